"""`tinycnn predict`: the model's own numbers, as a table, CSV or JSON, and heat maps."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from runs import films

import tinycnn
from tinycnn.__main__ import main
from tinycnn.data.decode import load_image
from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.study.novelty import fit_novelty, save_novelty


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model of grey images and some to predict: the model, its file, and the images' folder."""
    folder = tmp_path_factory.mktemp("predict")
    model = tinycnn.Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    model.build((20, 24, 1))
    model.metadata["class_names"] = ["cat", "dog"]
    model.save(folder / "m.npz")
    films(folder / "films", ("cat", "dog"))
    return tinycnn.Sequential.load(folder / "m.npz"), str(folder / "m.npz"), folder / "films/test"


def test_the_three_formats_say_what_the_model_says(made, capsys):
    model, file, images = made
    arguments = ["predict", file, str(images / "dog"), str(images / "cat/1.png"), str(images / "cat/1.png")]
    paths = [str(images / name) for name in ("dog/0.png", "dog/1.png", "dog/2.png", "cat/1.png")]
    expected = model.predict(np.stack([load_image(path, (20, 24), "L") for path in paths]))
    called = [["cat", "dog"][k] for k in expected.argmax(axis=1)]
    printed = {}
    for form in ("table", "csv", "json"):
        assert main([*arguments, "--format", form]) == 0
        printed[form], notice = capsys.readouterr()
        assert "never for diagnosis" in notice and "diagnosis" not in printed[form]
    told = json.loads(printed["json"])
    assert [row["path"] for row in told] == paths and [row["predicted"] for row in told] == called
    assert np.array_equal([list(row["probabilities"].values()) for row in told], expected.astype(float))
    heads, *rows = csv.reader(io.StringIO(printed["csv"]))
    assert heads == ["path", "predicted", "cat", "dog"]
    assert [row[:2] for row in rows] == [list(pair) for pair in zip(paths, called, strict=True)]
    assert np.array_equal(np.array([row[2:] for row in rows], float), expected.astype(float))
    for path, name, row in zip(paths, called, expected, strict=True):
        assert any(
            line.split() == [path, name, f"{row[0]:.3f}", f"{row[1]:.3f}"] for line in printed["table"].splitlines()
        )


def test_images_unlike_the_training_images_are_marked(made, tmp_path, capsys):
    model, _, images = made
    model.save(tmp_path / "m.npz")
    Image.new("RGB", (8, 8), "white").save(tmp_path / "white.png")
    arguments = ["predict", str(tmp_path / "m.npz"), str(images / "dog"), str(tmp_path / "white.png")]
    assert main(arguments) == 0
    text, error = capsys.readouterr()
    assert "distance" not in text and "there is no " in error and "m.novelty.npz" in error

    pixels = np.stack([load_image(path, (20, 24), "L") for path in sorted(images.rglob("*.png"))])
    data = tinycnn.Dataset(pixels, [0] * 3 + [1] * 3, ("cat", "dog"))
    novelty = fit_novelty(model, data, data)
    save_novelty(tmp_path / "m.npz", model, novelty)
    shown = np.concatenate([pixels[3:], np.full((1, 20, 24, 1), 255, np.uint8)])
    expected = novelty.distances(model, shown) / novelty.threshold
    printed = {}
    for form in ("table", "csv", "json"):
        assert main([*arguments, "--format", form]) == 0
        printed[form], error = capsys.readouterr()
        assert "Unlike the training images are 1 of 4 (25 %); of images like the 6 held out" in error
    np.testing.assert_allclose([row["distance"] for row in json.loads(printed["json"])], expected, rtol=1e-5)
    heads, *rows = csv.reader(io.StringIO(printed["csv"]))
    assert heads[-1] == "distance"
    np.testing.assert_allclose([float(row[-1]) for row in rows], expected, rtol=1e-5)
    assert [line.split()[-1] for line in printed["table"].splitlines()[1:]] == ["like"] * 3 + ["unlike"]


def test_images_are_made_as_the_file_says(made, tmp_path, capsys):
    model, _, images = made
    Image.open(images / "dog/0.png").crop((0, 0, 64, 20)).save(tmp_path / "wide.png")
    model.save(tmp_path / "old.npz")  # that says nothing of it: squashed, as ever
    model.metadata = {**model.metadata, "preprocessing": {"keep_aspect": True, "scale": 1 / 255}}
    model.save(tmp_path / "m.npz")
    model.metadata.pop("preprocessing")
    for file, keep_aspect in (("old.npz", False), ("m.npz", True)):
        assert main(["predict", str(tmp_path / file), str(tmp_path / "wide.png"), "--format", "json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)
        expected = model.predict(load_image(tmp_path / "wide.png", (20, 24), "L", keep_aspect=keep_aspect)[None])[0]
        assert list(told["probabilities"].values()) == expected.tolist()


def test_heat_maps_are_written_by_name(made, tmp_path, capsys):
    _, file, images = made
    arguments = ["predict", file, str(images / "dog/1.png"), str(images / "cat/1.png"), "--heatmap", str(tmp_path)]
    assert main(arguments) == 0
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")) == [
        "cat/1.png.png",
        "dog/1.png.png",
    ]
    assert Image.open(tmp_path / "cat/1.png.png").width > 200 and "2 heat maps" in capsys.readouterr().err


def test_files_that_are_no_images(made, tmp_path, capsys):
    _, file, images = made
    (tmp_path / "bad.png").write_bytes(b"no image")
    arguments = ["predict", file, str(tmp_path / "bad.png"), str(images / "cat/1.png"), str(tmp_path / "none.png")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "bad.png" in error and "none.png" in error and "--skip-bad-files" in error and error.count("\n") == 1
    assert main([*arguments, "--skip-bad-files"]) == 0
    assert "left out" in capsys.readouterr().err
    assert main([*arguments[:3], "--skip-bad-files"]) == 2, "nothing is left"


@pytest.mark.parametrize("names", [["cat"], "ab", 3, ["cat", "cat"]])
def test_models_whose_classes_are_unclear(tmp_path, made, names, capsys):
    model = tinycnn.Sequential([Flatten(), Dense(2, activation="softmax")])
    model.build((8, 8, 1))
    model.metadata["class_names"] = names
    model.save(tmp_path / "m.npz")
    assert main(["predict", str(tmp_path / "m.npz"), str(made[2] / "cat/1.png")]) == 2
    assert "class" in capsys.readouterr().err


def test_models_that_sort_no_images(tmp_path, made, capsys):
    for layers, shape in (([Dense(2, activation="softmax")], (5,)), ([Flatten(), Dense(2)], (8, 8, 1))):
        model = tinycnn.Sequential(layers)
        model.build(shape)
        model.save(tmp_path / "m.npz")
        assert main(["predict", str(tmp_path / "m.npz"), str(made[2] / "cat/1.png")]) == 2
        assert "softmax over its classes" in capsys.readouterr().err
