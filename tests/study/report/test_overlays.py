"""The overlay picture: a readable PNG that shows each image beside its heat."""

import numpy as np
import pytest
from PIL import Image

from tinycnn.study.report.overlays import colour_bar, overlay, plot_overlays


def pixels(*arguments, path, **options):
    """Of the picture that `plot_overlays` writes to `path`."""
    plot_overlays(*arguments, path, **options)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_heat_stands_on_the_right_of_each_image(tmp_path):
    images = np.full((3, 10, 14, 1), 128, np.uint8)
    titles = ["a", "b $x$", "c" * 80]
    picture = pixels(images, np.ones((3, 10, 14)), titles, path=tmp_path / "o.png", note="Synthetic.")
    grey = (np.abs(picture - 128) < 3).all(axis=2).sum()
    coloured = (picture[..., 0] - picture[..., 2] > 40).sum()
    assert grey > 10_000 and abs(grey - coloured) < 0.1 * grey
    assert [file.name for file in tmp_path.iterdir()] == ["o.png"]


def test_the_picture_has_the_scale_of_its_colours(tmp_path):
    images = np.zeros((1, 10, 14, 1), np.uint8)
    picture = pixels(images, np.zeros((1, 10, 14)), ["a"], path=tmp_path / "o.png")
    hottest = overlay(np.full((1, 1, 1, 1), 128, np.uint8), np.ones((1, 1, 1)))[0, 0, 0]
    assert np.array_equal(colour_bar()[0, -1], hottest)
    assert (np.abs(picture - hottest) < 12).all(axis=2).sum() > 20, "no map has any heat, so the scale alone shows it"


def test_colour_images_and_one_column(tmp_path):
    images = np.random.default_rng(0).random((2, 9, 9, 3))
    tall = pixels(images, np.zeros((2, 9, 9)), ["", ""], path=tmp_path / "o.png", columns=1, title=None)
    wide = pixels(images, np.zeros((2, 9, 9)), ["", ""], path=tmp_path / "o.png", columns=2, title=None)
    assert tall.shape[0] / tall.shape[1] > wide.shape[0] / wide.shape[1]


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="2 images, 1 maps, 2 titles"):
        plot_overlays(np.zeros((2, 8, 8, 1)), np.zeros((1, 8, 8)), ["a", "b"], tmp_path / "o.png")
    with pytest.raises(ValueError, match="0 images"):
        plot_overlays(np.zeros((0, 8, 8, 1)), np.zeros((0, 8, 8)), [], tmp_path / "o.png")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        plot_overlays(np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8)), ["a"], tmp_path / "taken")
