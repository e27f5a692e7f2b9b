"""The examples from the outside: run as a user runs them, killed, resumed, and given wrong paths."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from runs import example_module, films

from tinycnn.models.report_cnn import report_cnn

ROOT = Path(__file__).parent.parent
SMALL = ["--size", "32", "--phantoms", "8", "--batch-size", "4", "--threads", "1"]


def command(*arguments):
    return [sys.executable, str(ROOT / "examples/chest_xray.py"), *map(str, arguments)]


def environment():
    inherited = {key: value for key, value in os.environ.items() if key != "TINYCNN_DATA"}
    return inherited | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"}


def run(*arguments, code=0, **extra):
    """Standard output of the example; its error output if it is to fail."""
    done = subprocess.run(
        command(*arguments), capture_output=True, encoding="utf-8", timeout=300, env=environment() | extra
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code == 2 else done.stdout


@pytest.fixture
def main(monkeypatch):
    """The example's `main`, to be called in this process."""
    monkeypatch.delenv("TINYCNN_DATA", raising=False)
    return example_module("chest_xray").main


@pytest.fixture
def called(main, capsys):
    """As `run`, but in this process, where an error that is not foreseen fails the test by itself."""

    def call(*arguments, code=0):
        try:
            status = main([*map(str, arguments)])
        except SystemExit as stopped:
            status = stopped.code
        output = capsys.readouterr()
        assert status == code, output.out + output.err
        return output.err if code == 2 else output.out

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and output of one whole run."""
    out = tmp_path_factory.mktemp("run")
    return out, run(*SMALL, "--epochs", 3, "--validation-fraction", 0.25, "--out", out)


def test_prints_what_a_user_wants_to_know(finished):
    out, text = finished
    order = [
        "never for diagnosis",
        "SYNTHETIC",
        "Total params: 372,419",
        "weight",
        "epoch 3/3",
        "precision    recall",
        "true \\ predicted",
        "95 % interval",
        "near-cop",
        "Saved in",
    ]
    places = [text.find(words) for words in order]
    assert -1 not in places and places == sorted(places)
    assert str(out) in text


def test_says_what_the_checkpoint_is_for_or_removes_it(finished, main, tmp_path, capsys):
    out, text = finished
    size = (out / "checkpoint.npz").stat().st_size
    last = text.splitlines()[-1]
    assert f"checkpoint.npz ({size / 1e6:.0f} MB)" in last and "--resume" in last and "--no-keep-checkpoint" in last
    assert main([*SMALL, "--epochs", "1", "--no-html", "--no-keep-checkpoint", "--out", str(tmp_path)]) == 0
    assert "checkpoint.npz" not in capsys.readouterr().out
    assert (tmp_path / "model.npz").exists() and not (tmp_path / "checkpoint.npz").exists()


def test_other_images_are_not_called_chest_films(main, tmp_path, capsys):
    films(tmp_path / "pets", ("cat", "dog"))
    options = ["--data", str(tmp_path / "pets"), "--size", "32", "--epochs", "1", "--out", str(tmp_path / "out")]
    assert main(options) == 0
    written = [(tmp_path / "out" / name).read_text() for name in ("report.html", "MODEL_CARD.md")]
    report = json.loads((tmp_path / "out/report.json").read_text())
    for text in (capsys.readouterr().out, *written):
        assert not re.search("chest|x-ray|lung|radiol|hospital|film", text.replace("_films", ""), re.IGNORECASE)
    assert "Image classification" in written[0] and "images in 2 classes: cat, dog" in written[1]
    assert report["data"]["chest_films"] is False and list(report["attention"]) == ["randomization"]
    assert main([*options, "--chest", "--no-html"]) == 0, "who knows better may say so"
    assert "inside_lungs" in json.loads((tmp_path / "out/report.json").read_text())["attention"]


def test_saves_everything(finished):
    out, _ = finished
    names = {
        "model.npz",
        "model.novelty.npz",
        "checkpoint.npz",
        "history.csv",
        "report.json",
        "report.html",
        "MODEL_CARD.md",
    }
    names |= {"inside.html", "inside_wrong.html"}
    names |= {f"{name}.png" for name in ("curves", "confusion", "roc", "reliability", "samples", "overlays")}
    assert {path.name for path in out.iterdir()} == names
    for name in names:
        if name.endswith(".png"):
            assert np.asarray(Image.open(out / name).convert("L")).std() > 5
    assert len(list(csv.DictReader((out / "history.csv").open()))) == 3


def test_report_json_holds_all_numbers(finished):
    report = json.loads((finished[0] / "report.json").read_text())
    assert report["synthetic"] is True and "never for diagnosis" in report["notice"]
    assert report["settings"] == {
        "epochs": 3,
        "batch_size": 4,
        "size": 32,
        "seed": 0,
        "class_weight": True,
        "validation_fraction": 0.25,
    }
    counts = {name: sum(report["data"][name].values()) for name in ("train", "validation", "test")}
    assert counts == {"train": 18, "validation": 6, "test": 6}
    assert re.fullmatch("[0-9a-f]{64}", report["data"]["sha256"])
    assert len(report["history"]["val_loss"]) == 3 and len(report["predictions"]) == 6
    (scores,) = report["results"].values()
    right = sum(row["true"] == row["predicted"] for row in report["predictions"])
    assert scores["correct"] == right and scores["images"] == 6
    assert np.sum(scores["confusion_matrix"]) == 6 and np.trace(scores["confusion_matrix"]) == right
    assert {"tinycnn", "python", "numpy", "numba"} <= report["versions"].keys()
    assert report["timing"]["total_seconds"] > report["timing"]["train_seconds"] > 0
    assert report["temperature"] > 0 and report["threads"] == 1


def test_page_and_card(finished):
    page = (finished[0] / "report.html").read_text()
    assert 'href="inside.html"' in page and 'href="inside_wrong.html"' in page
    assert "Synthetic images." in page and "never for diagnosis" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#|inside(_wrong)?\.html")|https?://|<script[^>]""", page)
    card = (finished[0] / "MODEL_CARD.md").read_text()
    assert "synthetic images" in card and "temperature" in card


def test_the_saved_model_gives_the_reported_predictions(finished):
    from tinycnn.model import Sequential
    from tinycnn.study.films.phantoms import chest_phantoms

    model = Sequential.load(finished[0] / "model.npz")
    test = chest_phantoms(n_train=8, n_test=2, size=32).test
    report = json.loads((finished[0] / "report.json").read_text())
    stored = [row["probabilities"] for row in report["predictions"]]
    assert np.allclose(model.predict(test), stored, atol=1e-6)
    assert model.metadata["class_names"] == list(test.class_names)


def test_killed_and_resumed_ends_with_the_same_bits(finished, tmp_path):
    options = [*SMALL, "--epochs", 3, "--validation-fraction", 0.25, "--out", tmp_path]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command(*options), stdout=log, stderr=log, env=environment())
        deadline = time.monotonic() + 200
        while not (tmp_path / "checkpoint.npz").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "checkpoint.npz").exists(), (tmp_path / "log").read_text()
    run(*options, "--resume")
    assert (tmp_path / "model.npz").read_bytes() == (finished[0] / "model.npz").read_bytes()
    ours, theirs = (json.loads((out / "report.json").read_text()) for out in (tmp_path, finished[0]))
    for key in ("results", "predictions", "temperature", "attention"):
        assert ours[key] == theirs[key]
    assert ours["history"]["val_loss"] == theirs["history"]["val_loss"]


def test_ctrl_c_says_how_to_go_on(tmp_path):
    options = [*SMALL, "--epochs", 2000, "--out", tmp_path, "--checkpoint-every", 2000]
    process = subprocess.Popen(
        command(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment()
    )
    for line in process.stdout:
        if line.startswith("epoch    2"):
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=100)
    assert process.returncode == 130, rest + errors
    assert "--resume" in rest and "Traceback" not in errors
    assert (tmp_path / "checkpoint.npz").exists()


def test_resume_refuses_another_run(finished, called):
    message = called(*SMALL, "--epochs", 3, "--out", finished[0], "--resume", code=2)
    assert "cannot resume" in message and "validation_fraction 0.25" in message
    message = called(*SMALL, "--validation-fraction", 0.25, "--seed", 5, "--out", finished[0], "--resume", code=2)
    assert "seed 0, this run has 5" in message


def test_damaged_checkpoint_is_named(tmp_path, called):
    (tmp_path / "checkpoint.npz").write_bytes(b"nonsense")
    message = called(*SMALL, "--out", tmp_path, "--resume", code=2)
    assert "checkpoint.npz is not a whole tinycnn file" in message


def test_real_files_and_near_copies(tmp_path, called):
    data = films(tmp_path / "films", broken=True)
    options = ["--data", data, "--size", 32, "--epochs", 1, "--out", tmp_path / "out", "--no-class-weight", "--no-html"]
    message = called(*options, code=2)
    assert "broken.png" in message and "--skip-bad-files" in message
    text = called(*options, "--skip-bad-files")
    assert "left out train/Normal/broken.png" in text
    assert "among the 6 test images: 1." in text and "5 without near-copies" in text
    assert "SYNTHETIC" not in text
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["class_weights"] is None and report["synthetic"] is False
    assert report["data"]["skipped"][0][0] == "train/Normal/broken.png"
    assert not (tmp_path / "out/report.html").exists()


def test_zip_of_the_files(main, tmp_path, capsys):
    films(tmp_path / "data" / "films")
    archive = shutil.make_archive(str(tmp_path / "films"), "zip", tmp_path / "data")
    assert main(["--data", archive, "--size", "32", "--epochs", "1", "--out", str(tmp_path / "out")]) == 0
    assert "films.zip" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/report.json").read_text())["data"]["train"] == {"Covid": 6, "Normal": 6}


def test_full_disk_is_noticed_before_training(main, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    assert main([*SMALL[:6], "--out", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert re.search(r"needs \d+ MB, the disk has 1 MB free", output.err) and "epoch" not in output.out


def test_data_may_be_named_by_the_environment(tmp_path):
    message = run("--out", tmp_path, code=2, TINYCNN_DATA=str(tmp_path / "gone"))
    assert "no such folder or zip file" in message and "gone" in message


@pytest.mark.parametrize(
    "options, words",
    [
        (["--data", "/no/such/folder"], "no such folder or zip file: /no/such/folder"),
        (["--data", str(ROOT / "tests/test_examples.py")], "neither a folder nor a zip"),
        (["--data", str(ROOT / "tests")], "has no folder"),
        (["--data", "x", "--phantoms", "3"], "give one of them"),
        (["--epochs", "0"], "must be at least 1"),
        (["--epochs", "ten"], "invalid"),
        (["--threads", "100000"], "a positive int up to 1024"),
        (["--validation-fraction", "0.7"], "from 0 to 0.5"),
        (["--nonsense"], "unrecognized"),
    ],
)
def test_wrong_options_are_answered_in_words(options, words, tmp_path, called):
    assert words in called(*options, "--out", tmp_path, code=2)


@pytest.mark.parametrize("option, words", [("--data", "no such folder or zip file: x"), ("--epochs", "invalid")])
def test_wrong_options_end_the_program_without_a_traceback(option, words, tmp_path):
    assert words in run(option, "x", "--out", tmp_path, code=2)


def test_out_that_is_a_file(tmp_path, called):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in called(*SMALL, "--out", tmp_path / "file", code=2)


def test_help_teaches(called):
    text = called("--help")
    for words in ("examples:", "--data Covid19-dataset.zip", "--resume", "exit codes", "never for diagnosis"):
        assert words in text


def test_the_network_on_the_first_screen_is_the_packages():
    shown, own = example_module("chest_xray").network(3, 5), report_cnn(3, 5)
    assert repr(shown) == repr(own)
