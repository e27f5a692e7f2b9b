"""examples/compare_networks.py, small: that no film is predicted by a network that saw it, and what is written."""

import json

import numpy as np
import pytest
from PIL import Image
from runs import example_module, whole_run

from tinycnn.study import recipe
from tinycnn.study.command_line import load_audited

pytestmark = pytest.mark.long

SMALL = ["--phantoms", "6", "--size", "32", "--epochs", "1", "--members", "2", "--executor", "1"]
SMALL += ["--networks", "film_cnn", "small_resnet"]


@pytest.fixture(scope="module")
def example():
    return example_module("compare_networks")


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("TINYCNN_DATA", raising=False)


@pytest.fixture(scope="module")
def finished(example, tmp_path_factory):
    """Folder of one whole run."""
    return whole_run(example, tmp_path_factory.mktemp("run"), *SMALL)


@pytest.fixture
def report(finished):
    return json.loads((finished / "networks.json").read_text())


def test_every_network_and_every_average_is_scored(finished, report):
    assert list(report["table"]) == [
        "film_cnn",
        "film_cnn, 2 averaged",
        "small_resnet",
        "small_resnet, 2 averaged",
        "all 2 networks averaged",
    ]
    assert report["synthetic"] and "never for diagnosis" in report["notice"]
    assert {path.name for path in finished.iterdir()} == {"networks.json", "confusion.png", "members"}
    assert np.asarray(Image.open(finished / "confusion.png").convert("L")).std() > 5
    probabilities = np.array([report["probabilities"][name] for name in ("film_cnn", "small_resnet")])
    assert probabilities.shape == (2, 2, 18, 3)
    np.testing.assert_allclose(probabilities.sum(axis=3), 1, atol=1e-6)
    labels = np.repeat([0, 1, 2], 6)
    together = probabilities.mean(axis=(0, 1))
    scores = report["table"]["all 2 networks averaged"]
    assert scores["accuracy"]["mean"] == pytest.approx((together.argmax(axis=1) == labels).mean())
    first = (probabilities[0].argmax(axis=2) == labels).mean()
    difference = report["differences"]["all 2 networks averaged"]
    assert report["differences"]["from"] == "film_cnn" and len(report["differences"]) == 5
    assert difference["mean"] == pytest.approx(scores["accuracy"]["mean"] - first)
    assert difference["interval"][0] <= difference["mean"] <= difference["interval"][1]
    of_truth = together[np.arange(18), labels]
    assert report["losses"]["all 2 networks averaged"][0]["log_loss"] == pytest.approx(-np.log(of_truth).mean())


def test_a_film_is_predicted_by_networks_that_did_not_see_it(example, finished, report):
    data, _, _ = load_audited(example.parse(SMALL), 32 * 10 // 3, "L")
    held_out = []
    for fold in range(5):
        job = json.loads((finished / f"members/small_resnet-1-fold-{fold}.json").read_text())["job"]
        assert sorted(job["rows"] + job["held_out"]) == list(range(18))
        held_out += job["held_out"]
    assert sorted(held_out) == list(range(18))
    films = recipe.prepare(data.train, 32)
    model = recipe.train_member([part[job["rows"]] for part in films], 1, network="small_resnet", epochs=1)
    assert model.name == "small_resnet"
    images = recipe.prepare_images(data.train.images[job["held_out"]], 32)
    ours = np.array(report["probabilities"]["small_resnet"])[1, job["held_out"]]
    np.testing.assert_allclose(ours, recipe.predict_with_views(model, images), atol=1e-6)


def test_a_second_call_trains_nothing(example, finished, report, capsys, monkeypatch):
    monkeypatch.setattr(recipe, "train_job", lambda *_: pytest.fail("nothing was missing"))
    assert example.main([*SMALL, "--out", str(finished)]) == 0
    text = capsys.readouterr().out
    assert "20 of them found" in text and "log loss" in text and "SYNTHETIC" in text
    again = json.loads((finished / "networks.json").read_text())
    assert again["table"] == report["table"]


def test_results_of_other_settings_are_refused(example, finished, capsys):
    assert example.main([*SMALL, "--epochs", "2", "--out", str(finished)]) == 2
    assert "use another folder" in capsys.readouterr().err


def test_one_network_alone_has_no_average(example, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "train_job", lambda *_: None)
    monkeypatch.setattr(recipe, "predict_with_views", lambda _, images: np.eye(3)[[0] * len(images)])
    options = ["--phantoms", "6", "--size", "32", "--networks", "film_cnn", "film_cnn", "--executor", "1"]
    assert example.main([*options, "--out", str(tmp_path)]) == 0
    table = json.loads((tmp_path / "networks.json").read_text())["table"]
    assert list(table) == ["film_cnn"] and table["film_cnn"]["accuracy"]["mean"] == pytest.approx(1 / 3)


def test_wrong_options_are_answered_in_words(example, tmp_path, capsys):
    assert example.main(["--phantoms", "3", "--size", "32", "--out", str(tmp_path)]) == 2
    assert "too few for k=5 folds" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        example.parse(["--networks", "big_vgg"])
    assert stopped.value.code == 2 and "invalid choice: 'big_vgg'" in capsys.readouterr().err
