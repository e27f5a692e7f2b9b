"""`tinycnn train`: the same run as the example's, whose own tests are test_examples.py."""

import json
import os
import re

import pytest
from runs import films

import tinycnn
from tinycnn.__main__ import main
from tinycnn.files import alone
from tinycnn.study.commands import train
from tinycnn.study.novelty import load_novelty


def test_trains_on_a_folder_and_the_next_commands_take_it_from_there(tmp_path, capsys):
    folder, out = films(tmp_path / "pets", ("cat", "dog"), broken=True), tmp_path / "run"
    for part in ("train", "test"):  # a name that is no UTF-8, and would steer a terminal
        os.rename(folder / part / "dog" / "0.png", os.fsencode(folder / part / "dog") + b"/caf\xe9\x1b[2J.png")
    options = ["--size", "32", "--epochs", "1", "--no-html", "--no-keep-checkpoint", "--out", str(out)]
    assert main(["train", str(folder), *options]) == 2
    assert "--skip-bad-files" in capsys.readouterr().err
    out.mkdir(exist_ok=True)
    (out / "model.novelty.npz").write_bytes(b"of an earlier run with held-out images")
    assert main(["train", str(folder), *options, "--skip-bad-files"]) == 0
    assert not (out / "model.novelty.npz").exists()
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


def test_the_help_gives_every_network_its_parameters():
    words = re.sub(r"\n {4,}", " ", train.__doc__)  # each network's lines as one
    for name, network in train.NETWORKS.items():
        model = network(3)
        assert model.name == name
        model.build((256, 256, 3))
        assert re.search(rf"^  {name} .*; {model.count_params:,} at ", words, re.MULTILINE), name
    small = train.NETWORKS["report_cnn"](3)
    small.build((32, 32, 3))
    assert f", {small.count_params:,} at 32 x 32" in train.__doc__
    sizes = dict(re.findall(r"^  (\w+) .* at any size from (\d+) on$", train.__doc__, re.MULTILINE))
    assert list(sizes) == ["film_cnn", "small_vgg", "deep_encoder"]
    for name, size in sizes.items():
        train.NETWORKS[name](3).build((int(size), int(size), 3))


def test_another_network_is_named_and_held_out_images_tell_what_is_unlike_them(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TINYCNN_DATA", raising=False)
    options = ["train", "--phantoms", "4", "--size", "16", "--epochs", "1", "--no-keep-checkpoint"]
    options += ["--network", "small_resnet", "--validation-fraction", "0.25", "--out", str(tmp_path)]
    assert main(options) == 0
    text, report = capsys.readouterr().out, json.loads((tmp_path / "report.json").read_text())
    assert report["model"]["name"] == "small_resnet" and report["model"]["parameters"] == 309_363
    page, card = ((tmp_path / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    assert card.startswith("# Model card: small\\_resnet\n") and "small_resnet, 309,363 parameters" in page
    assert not any("report_cnn" in words or "report's" in words for words in (text, page, card))
    model = tinycnn.Sequential.load(tmp_path / "model.npz")
    novelty = load_novelty(tmp_path / "model.npz", model)
    assert model.name == "small_resnet" and novelty.held_out == 3 and novelty.expected == 1 / 4
    words = f"Unlike the training images are {len(report['novelty']['marked'])} of 6 "
    assert "model.novelty.npz" in text and all(words in told for told in (text, page, card))


def test_images_too_small_for_a_network(tmp_path, capsys):
    options = ["--phantoms", "4", "--size", "8", "--out", str(tmp_path)]
    assert main(["train", *options, "--network", "small_vgg"]) == 2
    assert "error: images of 8 x 8 pixels are too small for small_vgg: use a larger --size\n" in capsys.readouterr().err
