import numpy as np
import pytest
from drawings import check_png

from tinycnn.scores import image_grids

NAMES = ("Covid", "Normal", "Viral Pneumonia")
NOTE = "Synthetic phantoms. For research and teaching only, never a diagnosis."


@pytest.mark.parametrize("shape", [(16, 12, 3), (16, 12, 1), (16, 12)])
def test_sample_grid_spreads_over_the_images(shape, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (90, *shape), dtype=np.uint8)
    labels = np.repeat([0, 1, 2], 30)
    figure = image_grids.plot_sample_grid(images, labels, NAMES, tmp_path / "g.png", n=7, note=NOTE)
    check_png(tmp_path / "g.png", tmp_path)
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert len(titles) == 7 and set(titles) == set(NAMES)
    first, *_, last = [axes.images[0] for axes in figure.axes if axes.images]
    np.testing.assert_array_equal(first.get_array(), images[0].squeeze())
    np.testing.assert_array_equal(last.get_array(), images[-1].squeeze())
    assert first.get_clim() == (0, 255)
    assert not any(spine.get_visible() for axes in figure.axes if axes.images for spine in axes.spines.values())


def test_sample_grid_marks_what_is_wrong(tmp_path):
    images = np.random.default_rng(0).random((3, 9, 9, 1))
    probabilities = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.1, 0.2, 0.7]]
    figure = image_grids.plot_sample_grid(images, [0, 1, 2], NAMES, tmp_path / "g.png", probabilities=probabilities)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [
        "Covid\n✓ Covid 70 %",
        "Normal\n✗ Viral Pneumonia 60 %",
        "Viral Pneumonia\n✓ Viral Pneumonia 70 %",
    ]
    assert [axes.spines["left"].get_visible() for axes in shown] == [False, True, False]
    figure = image_grids.plot_sample_grid(images, [0, 1, 2], NAMES, tmp_path / "g.png", predictions=[0, 0, 0])
    assert [axes.get_title() for axes in figure.axes if axes.images][1] == "Normal\n✗ Covid"


def test_sample_grid_must_fit(tmp_path):
    images = np.zeros((3, 4, 4, 1), np.uint8)
    with pytest.raises(ValueError, match="'images': 3, 'labels': 2"):
        image_grids.plot_sample_grid(images, [0, 1], NAMES, tmp_path / "g.png")
    with pytest.raises(ValueError, match="'predictions': 1"):
        image_grids.plot_sample_grid(images, [0, 1, 1], NAMES, tmp_path / "g.png", predictions=[1])
    with pytest.raises(ValueError, match="labels: label 3 at index 2, but with 3 classes"):
        image_grids.plot_sample_grid(images, [0, 1, 3], NAMES, tmp_path / "g.png")
    for bad in (np.zeros((0, 4, 4, 1)), np.zeros((2, 4, 4, 2)), np.zeros((4, 4))):
        with pytest.raises(ValueError, match="images: at least one image is needed"):
            image_grids.plot_sample_grid(bad, [0] * len(bad), NAMES, tmp_path / "g.png")


def test_image_rows_show_the_same_images_below_each_other(tmp_path):
    original = np.random.default_rng(0).random((5, 8, 6, 1))
    noisy = (255 * original).astype(np.uint8)
    rows = {"original": original - 0.2, "noisy, σ = 0.1": noisy}
    figure = image_grids.plot_image_rows(rows, tmp_path / "r.png", n=4, title="Denoising", note=NOTE)
    check_png(tmp_path / "r.png", tmp_path)
    grid = np.reshape(figure.axes, (2, 4))
    assert [axes.get_ylabel() for axes in grid[:, 0]] == list(rows)
    np.testing.assert_array_equal(grid[1, 3].images[0].get_array(), noisy[3, ..., 0])
    clipped = grid[0, 2].images[0]
    assert clipped.get_array().min() == 0 and clipped.get_clim() == (0, 1)
    with pytest.raises(ValueError, match="'original': 5, 'noisy': 4"):
        image_grids.plot_image_rows({"original": original, "noisy": noisy[:4]}, tmp_path / "r.png")
    with pytest.raises(ValueError, match="equally many"):
        image_grids.plot_image_rows({}, tmp_path / "r.png")
