"""What the examples share: splits, lines, settings, members, JSON."""

import argparse
import json

import numpy as np
import pytest
from runs import films

from tinycnn.data import load_image_folder
from tinycnn.members import train_members
from tinycnn.models import report_cnn, small_vgg
from tinycnn.study.command_line import add_executor, example_parser
from tinycnn.study.experiment import Experiment, begin, checkpoint_to_resume
from tinycnn.study.films.audit import audit


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.delenv("TINYCNN_DATA", raising=False)
    parser = example_parser("", "", str(tmp_path / "out"))
    add_executor(parser)
    return begin(parser.parse_args(["--phantoms", "4", "--executor", "1"]), "a test", 32)


def test_validation_divides_no_copies_and_no_known_patient(tmp_path, monkeypatch):
    films(tmp_path)
    for name in ("Covid", "Normal"):  # copies of one film
        (tmp_path / f"train/{name}/1.png").write_bytes((tmp_path / f"train/{name}/0.png").read_bytes())
    known = {f"train/{name}/{i}.png": name for name in ("Covid", "Normal") for i in (1, 2, 4)}
    monkeypatch.setattr("tinycnn.study.cross_validation.known_patients", lambda _: known)
    data, found = load_image_folder(tmp_path, size=32), audit(tmp_path)
    for fraction in (0.3, 0.5):
        parts = list(Experiment(None, data, found, str(tmp_path), 0.0).split(fraction).values())[:2]
        assert sum(map(len, parts)) == 12
        for name in ("Covid", "Normal"):
            together = {f"train/{name}/{i}.png" for i in (0, 1, 2, 4)}
            assert sum(bool(together & set(part.paths)) for part in parts) == 1


def test_class_folders_alone_are_cut_as_the_library_does_it(tmp_path, capsys):
    films(tmp_path)
    whole = tmp_path / "train"
    for i in range(1, 5):
        (whole / f"Covid/{i}.png").rename(whole / f"Covid/person{i // 3}_{i}.png")
    arguments = ["--data", str(whole), "--test-fraction", "0.3"]
    study = begin(example_parser("", "", str(tmp_path / "out")).parse_args(arguments), "a test", 32)
    expected = load_image_folder(whole, size=32, validation_split=0.3)
    assert (study.data.train.paths, study.test.paths) == (expected.train.paths, expected.test.paths)
    assert study.audit.paths == [*expected.train.paths, *expected.test.paths]
    text = capsys.readouterr().out
    assert "8 images to train on, 4 to test on (--test-fraction 0.3)" in text and "whom 4 file names tell" in text
    people = {path: "Covid/person1" in path for path in study.audit.paths}
    parts = study.split(0.5)
    assert sum(any(people[path] for path in part.paths) for part in parts.values()) == 1, "nor does validation divide"


def test_a_share_that_cannot_be_held_out_is_named(experiment):
    with pytest.raises(ValueError, match=r"no 0\.05 of these training images can be held out: .* k=20 folds"):
        experiment.split(0.05)


def test_another_network_does_not_go_on_from_a_checkpoint(tmp_path):
    model, other = report_cnn(), small_vgg(filters=(2,))
    for one in (model, other):
        one.build((8, 8, 1))
    model.save(tmp_path / "checkpoint.npz")
    assert checkpoint_to_resume(tmp_path / "checkpoint.npz", model, True) == tmp_path / "checkpoint.npz"
    with pytest.raises(ValueError, match="with network 'report_cnn', this run has 'small_vgg'; use the same options"):
        checkpoint_to_resume(tmp_path / "checkpoint.npz", other, True)


def test_says_which_lines_there_will_be(experiment, capsys):
    experiment.print_lines()
    text = capsys.readouterr().out
    assert "6 as published, 6 without near-copies" in text and "Nothing is known of the patients" in text
    assert experiment.synthetic and "SYNTHETIC" in experiment.note


def test_an_executor_that_cannot_be_had_is_refused_before_the_images_are_read():
    with pytest.raises(ValueError, match="--executor must be"):
        begin(argparse.Namespace(executor="no_such_module:executor"), "a test", 32)


def test_members_are_kept_and_found(experiment, capsys):
    for _ in range(2):
        found = train_members(lambda job: job + 1, {"a": 1}, **experiment.members("One member", 1, str))
        assert found == {"a": 2}
    text = capsys.readouterr().out
    assert "One member\n  a: 2after" in text and "1 of them found" in text
    assert (experiment.options.out / "members/a.json").exists()


def test_lines_are_scored_on_their_images(experiment):
    experiment.lines = {"all": np.arange(6), "first": np.arange(2)}
    run = np.eye(3)[[0, 0, 1, 1, 2, 0]]
    scores = experiment.score_lines([run, run])
    assert {line: (one["images"], one["runs"]) for line, one in scores.items()} == {"all": (6, 2), "first": (2, 2)}
    assert scores["all"]["accuracy"]["mean"] == pytest.approx(5 / 6) and scores["first"]["accuracy"]["mean"] == 1


def test_json_says_of_what_it_is(experiment, capsys):
    experiment.write_json("x.json", {"settings": experiment.settings("phantoms"), "data_sha256": "mine"})
    written = json.loads((experiment.options.out / "x.json").read_text())
    assert written["settings"] == {"phantoms": 4} and written["data_sha256"] == "mine" and written["synthetic"]
    assert {"notice", "audit", "versions", "seconds"} <= written.keys()
    experiment.print_saved()
    assert "x.json" in capsys.readouterr().out


def test_there_is_nothing_to_resume_in_a_new_folder(tmp_path, capsys):
    model = report_cnn()
    model.build((8, 8, 1))
    assert checkpoint_to_resume(tmp_path / "new/checkpoint.npz", model, False) is None
    assert capsys.readouterr().out == "" and (tmp_path / "new").is_dir()
    assert checkpoint_to_resume(tmp_path / "new/checkpoint.npz", model, True) is None
    assert "starting from the beginning" in capsys.readouterr().out
    (tmp_path / "new/checkpoint.npz").write_bytes(b"")
    assert checkpoint_to_resume(tmp_path / "new/checkpoint.npz", model, False) is None
    assert "will be replaced" in capsys.readouterr().out
