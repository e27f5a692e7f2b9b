"""The best recipe's example: what it prints and keeps, that it goes on after a stop, and what it says to mistakes."""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from runs import example_module, whole_run

from tinycnn.data import Dataset, Splits
from tinycnn.ensemble import Ensemble
from tinycnn.study import cross_validation, recipe
from tinycnn.study.command_line import load_audited
from tinycnn.study.experiment import begin

pytestmark = pytest.mark.long

SMALL = ["--phantoms", "6", "--size", "32", "--epochs", "1", "--seeds", "2", "--members", "2", "--executor", "1"]


@pytest.fixture(scope="module")
def example():
    return example_module("best_recipe")


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("TINYCNN_DATA", raising=False)


@pytest.fixture(scope="module")
def finished(example, tmp_path_factory):
    """Folder of one whole run."""
    return whole_run(example, tmp_path_factory.mktemp("run"), *SMALL, "--cross-validate", "train", "all")


@pytest.fixture
def report(finished):
    return json.loads((finished / "best_recipe.json").read_text())


def test_a_second_call_finds_every_member_and_says_the_same(example, finished, report, capsys, monkeypatch):
    monkeypatch.setattr(recipe, "train_job", lambda *_: pytest.fail("nothing was missing"))
    assert example.main([*SMALL, "--cross-validate", "train", "all", "--out", str(finished)]) == 0
    text = capsys.readouterr().out
    order = [
        "never for diagnosis",
        "SYNTHETIC",
        "6 as published",
        "4 of them found",
        "seed  accuracy",
        "lowest recall",
        "95 % interval",
        "each alone",
        "24 cross-validated",
        "Simulated shifts",
        "gamma 0.5",
        "Saved in",
    ]
    places = [text.find(words) for words in order]
    assert -1 not in places and places == sorted(places), places
    again = json.loads((finished / "best_recipe.json").read_text())
    for key in ("table", "shifts", "probabilities", "mistakes"):
        assert again[key] == report[key]


def test_saves_numbers_pictures_and_an_ensemble(finished, report):
    assert report["synthetic"] is True and report["settings"]["members"] == 2
    members = {path.stem for path in (finished / "members").iterdir()}
    assert len(members) == 4 + 2 * 5 * 2 and "all-fold-4-member-1" in members
    for name in ("confusion", "curves", "augmentation", "mistakes"):
        assert np.asarray(Image.open(finished / f"{name}.png").convert("L")).std() > 5
    lines = list(report["table"])
    assert [line.split()[0] for line in lines] == ["6", "6", "6", "18", "24"]
    assert report["table"][lines[0]]["2 members"]["runs"] == 2
    assert report["table"][lines[0]]["each alone"]["runs"] == 4
    assert len(report["shifts"]) == 3 and all(len(part) == 11 for part in report["shifts"].values())


def test_the_saved_ensemble_gives_the_reported_probabilities(example, finished, report):
    data, _, _ = load_audited(example.parse(SMALL), 32 * 10 // 3, "L")
    images = recipe.prepare_images(data.test.images, 32)
    probabilities = recipe.predict_with_views(Ensemble.load(finished / "ensemble"), images)
    np.testing.assert_allclose(probabilities, report["probabilities"][0], atol=1e-6)


def test_cross_validation_predicts_by_members_that_did_not_see_the_image(finished):
    rows = []
    for fold in range(5):
        with np.load(finished / f"members/train-fold-{fold}-member-0.npz", allow_pickle=False) as arrays:
            text = next(str(arrays[key]) for key in arrays.files if '"job"' in str(arrays[key]))
        seen = json.loads(text)["metadata"]["job"]["rows"]
        rows += sorted(set(range(18)) - set(seen))
    assert sorted(rows) == list(range(18))


def test_a_stopped_run_goes_on(example, finished, report, tmp_path, capsys, monkeypatch):
    train, calls = recipe.train_job, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(recipe, "train_job", interrupted)
    assert example.main([*SMALL, "--out", str(tmp_path)]) == 130
    assert "goes on" in capsys.readouterr().out
    assert len(list((tmp_path / "members").iterdir())) == 2
    assert example.main([*SMALL, "--out", str(tmp_path)]) == 0
    assert len(calls) == 3 + 2
    ours = json.loads((tmp_path / "best_recipe.json").read_text())
    assert ours["probabilities"] == report["probabilities"]


def test_results_of_other_settings_are_refused(example, finished, capsys):
    options = [*SMALL, "--out", str(finished)]
    options[options.index("--epochs") + 1] = "2"
    assert example.main(options) == 2
    assert "use another folder" in capsys.readouterr().err


def test_an_executor_by_name(example, finished, report, tmp_path, monkeypatch):
    (tmp_path / "my_pool.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\nmade = []\n"
        "def executor():\n    made.append(ThreadPoolExecutor(1))\n    return made[-1]\n"
    )
    monkeypatch.chdir(tmp_path)
    options = [*SMALL[:-1], "my_pool:executor", "--out", str(tmp_path / "out")]
    assert example.main(options) == 0
    assert isinstance(sys.modules["my_pool"].made[0], ThreadPoolExecutor) and str(tmp_path) not in sys.path
    ours = json.loads((tmp_path / "out/best_recipe.json").read_text())
    assert ours["probabilities"] == report["probabilities"], "whoever trains, the bits are the same"


def test_real_files_and_near_copies(example, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for split, n in (("train", 3), ("test", 2)):
        for name in ("Covid", "Normal"):
            (tmp_path / "films" / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
                Image.fromarray(pixels).save(tmp_path / "films" / split / name / f"{i}.png")
    shutil.copy(tmp_path / "films/train/Covid/2.png", tmp_path / "films/test/Covid/0.png")
    (tmp_path / "films/train/Normal/broken.png").write_bytes(b"no image")
    options = ["--data", str(tmp_path / "films"), *SMALL[2:], "--out", str(tmp_path / "out")]
    assert example.main(options) == 2
    assert "broken.png" in capsys.readouterr().err
    assert example.main([*options, "--skip-bad-files"]) == 0
    text = capsys.readouterr().out
    assert "left out train/Normal/broken.png" in text and "SYNTHETIC" not in text
    assert "3 without near-copies" in text and "Nothing is known of the patients" in text


@pytest.mark.parametrize(
    "options, words",
    [
        (["--data", "/no/such/folder"], "no such folder or zip file: /no/such/folder"),
        (["--data", "x", "--phantoms", "3"], "give one of them"),
        (["--executor", "no_such_module:executor"], "--executor must be a number of processes or MODULE:NAME"),
        (["--executor", "json:nothing"], "got 'json:nothing'"),
        (["--executor", "json:__doc__"], "__doc__ is no function"),
        (["--executor", "./json:dumps"], "relative import"),
        (["--executor", "os:getcwd", *SMALL[:6]], "no concurrent.futures.Executor"),
        (["--executor", "concurrent.futures:wait", *SMALL[:6]], "when called without arguments"),
        (["--executor", "0"], "got '0'"),
        (["--phantoms", "4", "--size", "32", "--cross-validate"], "too few for k=5 folds"),
        (["--phantoms", "4", "--size", "32", "--leave-sources-out"], "nothing is known of where these films come from"),
    ],
)
def test_wrong_options_are_answered_in_words(example, options, words, tmp_path, capsys):
    assert example.main([*options, "--out", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        (["--members", "0"], "must be at least 1"),
        (["--size", "31"], "must be at least 32"),
        (["--cross-validate", "test"], "invalid choice"),
        (["--nonsense"], "unrecognized"),
    ],
)
def test_wrong_arguments(example, options, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        example.parse(options)
    assert stopped.value.code == 2 and words in capsys.readouterr().err


def test_cross_validation_is_of_training_images_if_nothing_is_said(example):
    assert example.parse([]).cross_validate == []
    assert example.parse(["--cross-validate"]).cross_validate == ["train"]
    assert example.parse(["--cross-validate", "all"]).cross_validate == ["all"]


def test_a_collection_is_left_out_with_all_its_copies_if_its_classes_remain(example, monkeypatch):
    paths = ["c/1", "c/2", "c/3", "c/4", "n/1", "n/2", "n/3"]
    collections = ["Figure 1", "Cohen", "Cohen", "Figure 1", "Kermany", "Kermany", "Kermany"]
    monkeypatch.setattr(example, "known_sources", lambda _: dict(zip(paths, collections, strict=True)))
    pixels = np.zeros((7, 32, 32, 1), np.uint8)
    train = Dataset(pixels[:5], [0, 0, 0, 0, 1], ("Covid", "Normal"), paths[:5])
    data = Splits(train, Dataset(pixels[5:], [1, 1], ("Covid", "Normal"), paths[5:]), [])
    found = example.sources_to_leave(cross_validation.all_images(data), np.array([7, 7, 8, 12, 9, 10, 11]))
    rows = {source: [part.tolist() for part in both] for source, both in found.items()}
    # The first two films are copies of each other.  Without Kermany there would be no Normal.
    assert rows == {"Figure 1": [[2, 4, 5, 6], [0, 3]], "Cohen": [[3, 4, 5, 6], [1, 2]]}


def test_how_a_collection_is_called_by_networks_that_never_saw_it(example, tmp_path, capsys):
    study = begin(example.parse([*SMALL, "--out", str(tmp_path)]), "a test", 100, "L")
    everything = cross_validation.all_images(study.data)
    train, test = np.arange(2, len(everything)), np.array([0, 1])
    found = example.leave_out(study, "Figure 1", everything, train, test)
    assert found["films"] == 2 == sum(found["called"].values()) and found["trained_on"] == len(everything) - 2
    assert found["right"] == found["called"][everything.class_names[0]] and found["class"] == everything.class_names[0]
    assert found["interval"][0] <= found["accuracy"] <= found["interval"][1]
    models = [
        recipe.train_member(tuple(part[2:] for part in recipe.prepare(everything, 32)), k, epochs=1) for k in (0, 1)
    ]
    seen = recipe.prepare_images(everything.images[test], 32)
    called = recipe.predict_with_views(Ensemble(models), seen).argmax(axis=1)
    assert found["called"] == {name: (called == k).sum() for k, name in enumerate(everything.class_names)}
