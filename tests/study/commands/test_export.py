"""`tinycnn export`: from one file to another, as their names say."""

import sys

import numpy as np
import pytest

import tinycnn
from tinycnn.__main__ import main


@pytest.fixture
def saved(tmp_path):
    model = tinycnn.Sequential([tinycnn.Conv2D(2, 3), tinycnn.Flatten(), tinycnn.Dense(3)])
    model.build((8, 8, 1))
    model.save(tmp_path / "m.npz")
    return tmp_path / "m.npz", model


def test_weights_as_safetensors(saved, capsys):
    path, model = saved
    out = path.with_suffix(".safetensors")
    assert main(["export", str(path), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 3 layers, {model.count_params} parameters\n"
    found = tinycnn.load_safetensors(out)
    assert all((found[key] == array).all() for key, array in model.get_weights().items())


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnx"), ("keras", "tensorflow")])
def test_a_library_that_is_not_there_is_asked_for_in_a_sentence(saved, name, package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    path = saved[0]
    assert main(["export", str(path), str(path.with_suffix(f".{name}"))]) == 2
    error = capsys.readouterr().err
    assert error == f"error: to_{name} needs {name}, which is not installed: pip install {package}\n"
    assert list(path.parent.iterdir()) == [path]


def test_onnx_and_back(saved):
    pytest.importorskip("onnx")
    path, model = saved
    assert main(["export", str(path), str(path.with_suffix(".onnx"))]) == 0
    assert main(["export", str(path.with_suffix(".onnx")), str(path.with_name("back.npz"))]) == 0
    x = np.ones((1, 8, 8, 1), np.float32)
    back = tinycnn.Sequential.load(path.with_name("back.npz"))
    np.testing.assert_allclose(back.forward(x), model.forward(x), rtol=1e-5)


def test_other_files_are_named_in_a_line(saved, capsys):
    assert main(["export", str(saved[0]), "m.pt"]) == 2
    error = capsys.readouterr().err
    assert "m.pt" in error and "written to these and .safetensors" in error and error.count("\n") == 1
