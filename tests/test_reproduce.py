"""examples/reproduce_report.py, small: what it writes, that it goes on where it was, and its errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import example_module, whole_run

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY = ["--phantoms", "8", "--size", "32", "--epochs", "1", "--denoise-epochs", "1", "--seeds", "2", "--folds", "2"]


@pytest.fixture(autouse=True)
def no_real_data(monkeypatch):
    monkeypatch.delenv("TINYCNN_DATA", raising=False)


@pytest.fixture(scope="module")
def example():
    return example_module("reproduce_report")


@pytest.fixture(scope="module")
def done(tmp_path_factory, example):
    """A whole small run."""
    return whole_run(example, tmp_path_factory.mktemp("run"), *TINY, "--executor", "1")


def test_every_method_on_every_line(done):
    report = json.loads((done / "reproduction.json").read_text())
    assert report["synthetic"] and "never for diagnosis" in report["notice"]
    assert [line.split(" ", 1)[1].split(",")[0] for line in report["table"]] == [
        "as published",
        "without near-copies",
        "without repeats",
        "cross-validated",
    ]
    for line, methods in report["table"].items():
        assert len(methods) == 5
        for name, scores in methods.items():
            assert scores["images"] == int(line.split()[0])
            trained = name[0] in "AB" and "cross" not in line
            assert scores["runs"] == (2 if trained else 1)
            low, high = scores["accuracy"]["interval"]
            assert 0 <= low <= scores["accuracy"]["mean"] <= high <= 1
    assert {path.suffix for path in done.iterdir() if path.is_file()} == {".json", ".npz", ".png"}
    assert len(list((done / "members").iterdir())) == 2 * (2 + 2)


def test_seeds_differ_and_the_scores_are_those_of_the_saved_probabilities(done):
    report = json.loads((done / "reproduction.json").read_text())
    first, second = (np.array(run["probabilities"]) for run in report["runs"]["B"])
    assert first.shape == (6, 3) and (first != second).any()
    truth = np.repeat([0, 1, 2], 2)
    scores = report["table"]["6 as published"]["B: class weights"]
    assert scores["accuracy"]["values"] == [np.mean(run.argmax(axis=1) == truth) for run in (first, second)]


def test_model_b_is_what_chest_xray_trains(done, tmp_path):
    chest_xray = example_module("chest_xray")
    options = ["--phantoms", "8", "--size", "32", "--epochs", "1", "--seed", "1", "--out", str(tmp_path), "--no-html"]
    assert chest_xray.main(options) == 0
    theirs = [row["probabilities"] for row in json.loads((tmp_path / "report.json").read_text())["predictions"]]
    ours = json.loads((done / "members" / "B-seed-1.json").read_text())["result"]["probabilities"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_goes_on_where_it_was_and_refuses_another_recipe(done, example, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (done / "members").iterdir()}
    (done / "members" / "A-seed-1.json").unlink()
    old = json.loads((done / "reproduction.json").read_text())
    assert example.main([*TINY, "--executor", "1", "--out", str(done)]) == 0
    text = capsys.readouterr().out
    assert "1 of them found from an earlier run" in text and "A-seed-1: after" in text
    after = {path.name: path.stat().st_mtime_ns for path in (done / "members").iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["A-seed-1.json"]
    assert json.loads((done / "reproduction.json").read_text())["table"] == old["table"]
    assert example.main([*TINY, "--epochs", "2", "--out", str(done)]) == 2
    assert "holds results for epochs 1, this run has 2; use another --out" in capsys.readouterr().err


def test_what_is_printed_says_what_the_images_are(done, example, capsys):
    assert example.main([*TINY, "--executor", "1", "--out", str(done), "--only", "B"]) == 0
    text = capsys.readouterr().out
    assert "SYNTHETIC" in text and "never for diagnosis" in text
    assert "Model A" not in text and "thumbnail" not in text and "0.91" not in text


def test_as_a_program_with_two_processes_the_same_bits(done, tmp_path):
    command = [sys.executable, str(EXAMPLES / "reproduce_report.py"), *TINY, "--executor", "2", "--only", "B"]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    ended = subprocess.run([*command, "--out", tmp_path], env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    for seed in (0, 1):
        ours, theirs = (
            json.loads((folder / "members" / f"B-seed-{seed}.json").read_text())["result"]["probabilities"]
            for folder in (done, tmp_path)
        )
        assert ours == theirs


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data", "no-such-folder"], "no-such-folder"),
        (["--data", ".", "--phantoms", "3"], "give one of them"),
        (["--phantoms", "3", "--folds", "50"], "too few for k=50 folds"),
        (["--executor", "json:__doc__"], "__doc__ is no function"),
    ],
)
def test_errors_are_one_line_and_no_traceback(example, options, message, tmp_path, capsys):
    assert example.main(["--seeds", "1", "--executor", "1", *options, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error
    assert not list(tmp_path.iterdir()), "a corrected command must not find settings that nothing was made with"


def test_half_a_training_is_no_member(example, tmp_path, monkeypatch, capsys):
    from tinycnn.training.loop import History

    monkeypatch.setattr("tinycnn.model.Sequential.fit", lambda *_, **__: History(loss=[]))  # as after Ctrl-C
    assert example.main([*TINY, "--executor", "1", "--only", "B", "--out", str(tmp_path)]) == 130
    assert "stopped" in capsys.readouterr().out
    assert list((tmp_path / "members").iterdir()) == []


IMPOSSIBLE = (
    "--seeds 0",
    "--folds 1",
    "--only C",
    "--only folds",
    "--size 30",
    "--size 8",
    "--noise -1",
    "--noise nan",
)


@pytest.mark.parametrize("option", IMPOSSIBLE)
def test_impossible_options(example, option):
    with pytest.raises(SystemExit) as caught:
        example.main(option.split())
    assert caught.value.code == 2
