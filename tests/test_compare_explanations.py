"""The example that holds explanations against the truth, on fewer films."""

import runpy
from pathlib import Path

import numpy as np
from PIL import Image

import tinycnn
from tinycnn.study import explanations

EXAMPLE = Path(__file__).parent.parent / "examples" / "compare_explanations.py"


def test_it_prints_a_table_and_writes_the_picture(tmp_path, monkeypatch, capsys):
    small = {"n_train": 20, "n_test": 4, "size": 32}
    for name in ("chest_phantoms", "chest_phantom_masks"):
        draw = getattr(tinycnn, name)
        monkeypatch.setattr(tinycnn, name, lambda draw=draw, **options: draw(**options | small))
    compare = explanations.compare_explanations
    monkeypatch.setattr(explanations, "compare_explanations", lambda *given: compare(*given, checked=2))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    text = capsys.readouterr().out
    assert "films are called right and hold a pattern" in text
    places = [text.index(f"| {name} |") for name in [*explanations.METHODS, "everywhere alike"]]
    assert places == sorted(places)
    assert [path.name for path in tmp_path.iterdir()] == ["explanations.png"]
    picture = Image.open(tmp_path / "explanations.png")
    assert picture.height > picture.width and np.asarray(picture.convert("L")).std() > 5
