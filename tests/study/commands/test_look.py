"""`tinycnn look`: from a model's file and an image's to the page."""

import argparse
import re

import numpy as np
import pytest
from PIL import Image

from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.model import Sequential
from tinycnn.study.commands import look


def called(*arguments):
    parser = argparse.ArgumentParser()
    look.add_arguments(parser)
    return look.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def files(tmp_path):
    """A model of two classes, and an image of another size, in colour."""
    model = Sequential([Conv2D(2, 3), Flatten(), Dense(2, activation="softmax")])
    model.build((8, 6, 1))
    model.metadata["class_names"] = ["cat", "1"]
    model.save(tmp_path / "m.npz")
    Image.fromarray(np.full((30, 20, 3), 90, np.uint8)).save(tmp_path / "i.png")
    return tmp_path / "m.npz", tmp_path / "i.png"


@pytest.mark.parametrize("label, index", [("cat", 0), ("1", 1), ("0", 0)])
def test_writes_the_page(files, tmp_path, capsys, label, index):
    out = tmp_path / "page.html"
    assert called(*files, "--out", out, "--label", label) == 0
    text = capsys.readouterr().out
    assert str(out) in text and "no gradients" not in text
    assert re.search(rf'"classes":\["cat","1"\],"label":{index},', out.read_text())


def test_the_image_is_made_as_the_model_knows(files, tmp_path):
    pages = []
    for keep_aspect in (False, True):
        model = Sequential.load(files[0])
        model.metadata["preprocessing"] = {"keep_aspect": keep_aspect, "scale": 1 / 255}
        model.save(tmp_path / "m.npz")
        assert called(*files, "--out", tmp_path / "page.html") == 0
        pages.append((tmp_path / "page.html").read_text())
    assert pages[0] != pages[1], "20 x 30 pixels are padded to 6 x 8, or squashed"


def test_without_a_label_it_says_what_is_missing(files, tmp_path, capsys):
    assert called(*files, "--out", tmp_path / "page.html") == 0
    assert "--label" in capsys.readouterr().out
    assert '"label":null' in (tmp_path / "page.html").read_text()


def test_errors_say_what_to_do(files, tmp_path):
    with pytest.raises(ValueError, match="--label must be a number from 0 to 1, or one of cat, 1; got 'dog'"):
        called(*files, "--label", "dog")
    model = Sequential([Dense(2)])
    model.build((5,))
    model.save(tmp_path / "vectors.npz")
    with pytest.raises(ValueError, match=r"vectors.npz takes inputs of shape \(5,\)"):
        called(tmp_path / "vectors.npz", files[1])
    with pytest.raises(FileNotFoundError):
        called(files[0], tmp_path / "none.png")
