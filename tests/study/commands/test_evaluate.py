"""`tinycnn evaluate`: labels matched by name, groups, and a report of the model on these images alone."""

import json
import shutil

import numpy as np
import pytest
from runs import films

import tinycnn
from tinycnn.__main__ import main
from tinycnn.data.folder import load_image_folder
from tinycnn.layers import Dense, Flatten


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model that knows more classes than the folder has, its file, and the folder."""
    folder = tmp_path_factory.mktemp("evaluate")
    model = tinycnn.Sequential([Flatten(), Dense(3, activation="softmax")])
    model.build((16, 16, 3))
    model.metadata["class_names"] = ["dog", "cow", "cat"]
    model.save(folder / "m.npz")
    films(folder / "films", ("cat", "dog"))
    return tinycnn.Sequential.load(folder / "m.npz"), str(folder / "m.npz"), folder / "films"


def test_labels_are_matched_by_name(made, tmp_path, capsys):
    model, file, folder = made
    test = load_image_folder(folder, 16).test
    called = model.predict(test).argmax(axis=1)
    truth = np.array([["dog", "cow", "cat"].index(path.split("/")[1]) for path in test.paths])
    archive = shutil.make_archive(str(tmp_path / "flat"), "zip", folder / "test")
    for of in (folder / "test", folder, archive):
        assert main(["evaluate", file, str(of)]) == 0
        text = capsys.readouterr().out
        line = next(line for line in text.splitlines() if line.startswith("all 6 test images"))
        assert line.split()[4:6] == ["6", str((called == truth).sum())] and "never for diagnosis" in text
    assert main(["evaluate", file, str(folder / "test"), "--out", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "report.json").read_text())
    assert [row["true"] for row in told["predictions"]] == [["dog", "cow", "cat"][k] for k in truth]
    assert told["data"]["name"] == "test" and "train" not in told["data"] and (tmp_path / "report.html").exists()


def test_groups_are_scored_alone(made, tmp_path, capsys):
    _, file, folder = made
    lines = [f"{name}/{i}.png,{'north' if i else 'south'}" for name in ("cat", "dog") for i in range(3)]
    (tmp_path / "by.csv").write_text("\n".join(["path,hospital", *lines]))
    for of in ("test", "."):
        arguments = ["evaluate", file, str(folder / of), "--by", str(tmp_path / "by.csv")]
        assert main(arguments) == 0
    text = capsys.readouterr().out.split("Classification report")[2]
    assert [line.split()[:2] for line in text.splitlines() if line.startswith(("north", "south"))] == [
        ["north", "4"],
        ["south", "2"],
    ]
    (tmp_path / "by.csv").write_text("\n".join(lines[1:]))
    assert main(arguments) == 2
    assert "no group for 1 of 6 images, such as cat/0.png" in capsys.readouterr().err


def test_classes_that_the_model_does_not_know(made, tmp_path, capsys):
    films(tmp_path / "films", ("cat", "horse"))
    assert main(["evaluate", made[1], str(tmp_path / "films/test")]) == 2
    assert "['horse']" in capsys.readouterr().err
