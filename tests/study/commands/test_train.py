"""`tinycnn train`: the same run as the example's, whose own tests are test_examples.py."""

import json
import os

import pytest
from runs import films

import tinycnn
from tinycnn.__main__ import main
from tinycnn.files import alone


def test_trains_on_a_folder_and_the_next_commands_take_it_from_there(tmp_path, capsys):
    folder, out = films(tmp_path / "pets", ("cat", "dog"), broken=True), tmp_path / "run"
    options = ["--size", "32", "--epochs", "1", "--no-html", "--no-keep-checkpoint", "--out", str(out)]
    assert main(["train", str(folder), *options]) == 2
    assert "--skip-bad-files" in capsys.readouterr().err
    assert main(["train", str(folder), *options, "--skip-bad-files"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["data"]["name"] == "pets" and report["settings"]["epochs"] == 1 and report["data"]["skipped"]
    assert tinycnn.Sequential.load(out / "model.npz").metadata["class_names"] == ["cat", "dog"]
    assert main(["predict", str(out / "model.npz"), str(folder / "test/cat/1.png"), "--format", "json"]) == 0
    row = next(row for row in report["predictions"] if row["path"] == "test/cat/1.png")
    (printed,) = json.loads(capsys.readouterr().out.split("report.json, MODEL_CARD.md\n")[1])
    assert list(printed["probabilities"].values()) == row["probabilities"]


def test_class_folders_alone_are_cut_and_it_says_so(tmp_path, capsys):
    folder, out = films(tmp_path / "pets", ("cat", "dog")) / "train", tmp_path / "run"
    options = ["--size", "32", "--epochs", "1", "--no-html", "--out", str(out)]
    assert main(["train", str(folder), *options]) == 0
    assert "no folders train and test and so is cut" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    train, test = report["data"]["train"], report["data"]["test"]
    assert [train[name] + test[name] for name in ("cat", "dog")] == [6, 6] and set(test.values()) <= {1, 2}
    assert any("cut from the same folder" in warning for warning in report["audit"]["warnings"])
    for path in folder.glob("*/[2-5].png"):
        path.unlink()
    assert main(["train", str(folder), *options]) == 2
    error = capsys.readouterr().err
    assert "cannot be cut" in error and "a larger share to test on" in error and error.count("\n") == 1
    assert main(["train", str(folder / "cat"), *options]) == 2
    assert "class/image files alone" in capsys.readouterr().err


def test_a_folder_beside_phantoms_is_refused(capsys):
    assert main(["train", "somewhere", "--phantoms", "4"]) == 2
    assert "--phantoms asks for synthetic images" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_two_runs_into_one_folder_refuse(tmp_path, capsys):
    with alone(tmp_path):
        assert main(["train", "--phantoms", "2", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"error: {tmp_path} is in use by process {os.getpid()} on ")
    assert said.err.count("\n") == 1 and list(tmp_path.iterdir()) == []
