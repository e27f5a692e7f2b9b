"""Figures on the disk: format by name, equal bytes, texts that can be drawn."""

import pytest
from matplotlib.figure import Figure

from tinycnn.scores.figure import Picture, finished, save_figure


def figure():
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [1, 0], marker="o", label="a line")
    axes.legend()
    return figure


@pytest.mark.parametrize(
    "name, start",
    [("a", b"\x89PNG"), ("a.png", b"\x89PNG"), ("a.JPG", b"\xff\xd8"), ("a.svg", b"<?xml"), ("a.b.pdf", b"%PDF")],
)
def test_the_ending_says_the_format_and_equal_figures_give_equal_bytes(name, start, tmp_path):
    drawn = finished(figure(), None, "Title", "note")
    path = save_figure(drawn, str(tmp_path / name))
    first = path.read_bytes()
    assert path == tmp_path / name and first.startswith(start)
    finished(figure(), path, "Title", "note")
    assert path.read_bytes() == first and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.doc", "2024.12"])
def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}: '\.\w+' is no format of pictures; use one of .*pdf.*png.*svg"):
        save_figure(figure(), tmp_path / "sub" / name)
    assert not list(tmp_path.iterdir())


def test_a_title_that_is_no_utf8_is_drawn_as_far_as_it_can_be(tmp_path):
    title = b"caf\xe9 for 5 $".decode("utf-8", "surrogateescape")
    drawn = finished(figure(), tmp_path / "a.png", title)
    assert drawn.get_suptitle() == r"caf? for 5 \$"


def test_a_picture_shows_itself_as_it_is_saved(tmp_path):
    picture = Picture(figsize=(3, 2))
    picture.subplots().plot([0, 1])
    assert picture._repr_png_() == save_figure(picture, tmp_path / "a.png").read_bytes()
