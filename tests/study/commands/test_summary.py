"""`tinycnn summary`: what a model is made of, from its file alone."""

import tinycnn
from tinycnn.__main__ import main


def test_prints_layers_cost_and_metadata(tmp_path, capsys):
    model = tinycnn.Sequential([tinycnn.Conv2D(2, 3), tinycnn.Flatten(), tinycnn.Dense(3)])
    model.build((8, 8, 1))
    model.metadata["class_names"] = ["cat", "dog", "cow"]
    model.save(tmp_path / "m.npz")
    assert main(["summary", str(tmp_path / "m.npz")]) == 0
    text = capsys.readouterr().out
    assert f"Total params: {model.count_params}" in text and str(tinycnn.anatomy(model)) in text
    assert "class_names: ['cat', 'dog', 'cow']" in text


def test_what_is_no_model_is_named(tmp_path, capsys):
    (tmp_path / "m.npz").write_bytes(b"nonsense")
    assert main(["summary", str(tmp_path / "m.npz")]) == 2
    assert "m.npz" in capsys.readouterr().err
