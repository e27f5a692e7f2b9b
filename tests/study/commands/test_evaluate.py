"""`tinycnn evaluate`: labels matched by name, groups, and a report of the model on these images alone."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from runs import films

import tinycnn
from tinycnn.__main__ import main
from tinycnn.data.folder import load_image_folder
from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.study.novelty import fit_novelty, save_novelty


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


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'cat/0.png,"' + b"a" * 200_000 + b'"'])
def test_groups_from_a_file_that_is_no_csv(made, tmp_path, content, capsys):
    (tmp_path / "by.csv").write_bytes(content)
    assert main(["evaluate", made[1], str(made[2] / "test"), "--by", str(tmp_path / "by.csv")]) == 2
    assert "by.csv is no CSV file of lines path,group: " in capsys.readouterr().err


def test_classes_that_the_model_does_not_know(made, tmp_path, capsys):
    films(tmp_path / "films", ("cat", "horse"))
    assert main(["evaluate", made[1], str(tmp_path / "films/test")]) == 2
    assert "['horse']" in capsys.readouterr().err


def test_images_unlike_the_training_images_are_marked_counted_and_left_out(made, tmp_path, capsys):
    _, _, folder = made
    model = tinycnn.Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    data = load_image_folder(folder, 16)
    model.build((16, 16, 3))
    model.metadata["class_names"] = ["cat", "dog"]
    model.save(tmp_path / "m.npz")
    arguments = ["evaluate", str(tmp_path / "m.npz"), str(tmp_path / "new"), "--by", str(tmp_path / "by.csv")]
    arguments += ["--out", str(tmp_path / "out")]
    new, lines = tmp_path / "new", []
    for name in ("cat", "dog"):
        (new / name).mkdir(parents=True)
        for i in range(3):
            (new / name / f"{i}.png").write_bytes((folder / f"train/{name}/{i}.png").read_bytes())
            lines.append(f"{name}/{i}.png,near")
    Image.new("RGB", (8, 8), "red").save(new / "dog/red.png")
    (tmp_path / "by.csv").write_text("\n".join([*lines, "dog/red.png,far"]))
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "there is no" in text and "m.novelty.npz" in text and "unlike training" not in text

    save_novelty(tmp_path / "m.npz", model, fit_novelty(model, data.train, data.train))
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "\nUnlike the training images are 1 of 7 (14 %); of images like the 12 held out" in text
    assert "\nall 7 test images" in text and "\n6 like the training images" in text
    first, second = text.split("without images unlike the training images")
    rows = [line.split()[:3] for line in first.splitlines() if line.startswith(("near", "far"))]
    assert rows == [["far", "1", "1"], ["near", "0", "6"]]
    assert [line.split()[:2] for line in second.splitlines() if line.startswith(("near", "far"))] == [["near", "6"]]
    (listed,) = (line.split() for line in text.splitlines() if line.startswith("dog/red.png"))
    assert listed[1] == "dog" and float(listed[3]) > 1
    told = json.loads((tmp_path / "out/report.json").read_text())
    (index,) = told["novelty"]["marked"]
    assert told["predictions"][index]["path"] == "dog/red.png"
    assert list(told["results"]) == ["all 7 test images", "6 like the training images"]
    page, card = ((tmp_path / "out" / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    assert page.count("<br>unlike the training images</figcaption>") == 1
    assert all("Unlike the training images are 1 of 7" in words for words in (page, card))


def test_images_are_brought_to_size_as_those_of_the_training(tmp_path, capsys):
    """White ones that are wider than high stay white all over if squashed, and get a border if their aspect is kept."""
    for name in ("bordered", "white"):
        (tmp_path / "test" / name).mkdir(parents=True)
        Image.new("RGB", (32, 8), "white").save(tmp_path / "test" / name / "0.png")
    model = tinycnn.Sequential([Flatten(), Dense(2, activation="softmax")])
    model.build((16, 16, 3))
    kernel, bias = model.layers[1].params["kernel"], model.layers[1].params["bias"]
    kernel[...], bias[...] = [0, 1 / len(kernel)], [0.9, 0]
    for keep_aspect, called in ((True, "bordered"), (False, "white")):
        facts = {"class_names": ["bordered", "white"], "preprocessing": {"keep_aspect": keep_aspect, "scale": 1 / 255}}
        model.metadata = facts
        model.save(tmp_path / "m.npz")
        assert main(["evaluate", str(tmp_path / "m.npz"), str(tmp_path), "--out", str(tmp_path / "out")]) == 0
        told = json.loads((tmp_path / "out/report.json").read_text())["predictions"]
        assert [row["predicted"] for row in told] == [called, called]
    capsys.readouterr()
