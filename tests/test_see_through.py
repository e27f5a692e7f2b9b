"""The example that makes README's picture, on fewer films."""

import runpy
from pathlib import Path

from PIL import Image

import tinycnn

EXAMPLE = Path(__file__).parent.parent / "examples" / "see_through.py"


def test_it_prints_a_pass_and_writes_the_picture(tmp_path, monkeypatch, capsys):
    films = tinycnn.chest_phantoms
    monkeypatch.setattr(tinycnn, "chest_phantoms", lambda **options: films(**options | {"n_train": 8, "n_test": 3}))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    text = capsys.readouterr().out
    order = [
        "epoch 8/8",
        "bytes kept",
        "total",
        "1 image, loss",
        "conv2d_1/re_lu",
        "input (0, ",
        "and 135 more",
        "sum =",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert [path.name for path in tmp_path.iterdir()] == ["see_through.png"]
    assert Image.open(tmp_path / "see_through.png").size[0] == 1500


def test_the_picture_in_the_repository_is_small():
    assert EXAMPLE.with_suffix(".png").stat().st_size < 250_000
