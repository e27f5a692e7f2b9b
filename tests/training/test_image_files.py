"""Image files through a model that knows how its images were made."""

import numpy as np
import pytest
from PIL import Image

from tinycnn.data import Dataset, load_image, load_image_folder
from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.model import Sequential
from tinycnn.training.image_files import Prediction, files_in, image_facts, predict_files

BY_HAND = {"class_names": ["cat", "dog"], "preprocessing": {"keep_aspect": False, "scale": 1 / 255}}


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Class folders of ten wide images each, in files of several kinds."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pets")
    for i in range(20):
        path = folder / ("cat", "dog")[i % 2] / f"{i}.{('png', 'jpg', 'bmp')[i % 3]}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 24, 3), np.uint8)).save(path)
    return folder


def network(units=2, activation="softmax", shape=None):
    model = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(units, activation=activation)])
    if shape:
        model.build(shape)
        model.untrained = False  # of no matter here
    return model


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("keep_aspect", [False, True])
def test_what_fit_learned_of_images_comes_back_from_the_file(pets, tmp_path, mode, keep_aspect):
    train, test, _ = load_image_folder(pets, size=(9, 12), mode=mode, keep_aspect=keep_aspect)
    model = network()
    model.metadata["mine"] = 1
    model.fit(train, epochs=1, verbose=0)
    model.save(tmp_path / "m.npz")
    loaded = Sequential.load(tmp_path / "m.npz")
    how = {"keep_aspect": keep_aspect, "scale": 1 / 255}
    assert loaded.metadata == {"mine": 1, "class_names": ["cat", "dog"], "preprocessing": how}
    assert image_facts(loaded) == ((9, 12), mode, ["cat", "dog"], keep_aspect, 1 / 255)
    found = loaded.predict_folder(pets, batch_size=7)
    assert [one.path for one in found] == sorted(str(path) for path in pets.rglob("*.*"))
    by_path = {one.path: one for one in found}
    for path, row in zip(test.paths, model.predict(test), strict=True):
        one = loaded.predict_image(pets / path)
        assert one.path == str(pets / path) and one.predicted == ["cat", "dog"][row.argmax()]
        np.testing.assert_allclose(list(one.probabilities.values()), row, rtol=1e-5)
        np.testing.assert_allclose(list(by_path[one.path].probabilities.values()), row, rtol=1e-5)


def test_a_later_dataset_renames_and_arrays_do_not(pets):
    data = load_image_folder(pets, size=8, splits="all").train
    model = network()
    model.fit(data, epochs=1, verbose=0)
    kept = model.metadata
    model.fit((data.images, data.labels), epochs=1, verbose=0)
    assert model.metadata is kept
    model.fit(Dataset(data.images, data.labels, ("a", "b")), epochs=1, verbose=0)
    assert model.metadata["class_names"] == ["a", "b"] and kept["class_names"] == ["cat", "dog"]


def test_data_that_are_refused_teach_nothing(pets):
    model = network(units=1)
    with pytest.raises(ValueError, match="CrossEntropy of one class"):
        model.fit(load_image_folder(pets, size=8, splits="all").train, epochs=1, verbose=0)
    assert model.metadata == {}


def test_facts_given_by_hand_and_another_scale(pets):
    model = network(shape=(8, 8, 3))
    file = pets / "cat/0.png"
    image = load_image(file, 8)
    model.metadata = BY_HAND
    np.testing.assert_array_equal(list(model.predict_image(file).probabilities.values()), model.predict(image[None])[0])
    model.metadata = BY_HAND | {"preprocessing": {"keep_aspect": False, "scale": 1}}
    as_it_is = model.predict(image[None].astype(np.float32))[0]
    np.testing.assert_array_equal(list(model.predict_image(file).probabilities.values()), as_it_is)
    assert as_it_is.max() > 0.9, "or the scale would not be seen"


def test_one_sigmoid_tells_two_classes_apart(pets):
    model = network(1, "sigmoid", (8, 8, 3))
    model.metadata = BY_HAND
    file = pets / "dog/1.jpg"
    share = float(model.predict(load_image(file, 8)[None])[0, 0])
    one = model.predict_image(file)
    assert one.probabilities == pytest.approx({"cat": 1 - share, "dog": share})
    assert one.predicted == ("dog" if share > 0.5 else "cat")


@pytest.mark.parametrize(
    "metadata, words",
    [
        ({}, r"does not know its class_names and preprocessing.*fit it on a Dataset, or .*metadata.update"),
        ({"class_names": ["cat", "dog"]}, "does not know its preprocessing"),
        (BY_HAND | {"class_names": ["cat"]}, "2 classes need as many different names"),
        (BY_HAND | {"class_names": ["cat", "cat"]}, "2 classes need as many different names"),
        (BY_HAND | {"class_names": 3}, "'class_names' must be list or tuple"),
        (BY_HAND | {"preprocessing": "squash"}, "'preprocessing' must be dict"),
        (BY_HAND | {"preprocessing": {"scale": 1}}, "'keep_aspect' is missing"),
        (BY_HAND | {"preprocessing": {"keep_aspect": True, "scale": -1}}, "'scale' must be at least 0"),
    ],
)
def test_what_a_model_does_not_know_is_said(pets, metadata, words):
    model = network(shape=(8, 8, 3))
    model.metadata = metadata
    with pytest.raises(ValueError, match=words):
        model.predict_image(pets / "cat/0.png")


@pytest.mark.parametrize(
    "units, activation, shape", [(2, None, (8, 8, 3)), (2, "sigmoid", (8, 8, 3)), (2, "softmax", (8, 8, 2))]
)
def test_models_that_sort_no_images(pets, units, activation, shape):
    model = network(units, activation, shape)
    model.metadata = BY_HAND
    with pytest.raises(ValueError, match="softmax over its classes, or in one sigmoid"):
        model.predict_image(pets / "cat/0.png")
    with pytest.raises(ValueError, match="takes nothing yet"):
        network().predict_image(pets / "cat/0.png")


def test_files_that_are_no_images(pets, tmp_path):
    model = network(shape=(8, 8, 3))
    model.metadata = BY_HAND
    (tmp_path / "sub").mkdir()
    Image.new("L", (5, 6), 99).save(tmp_path / "sub/good.png")
    (tmp_path / ".DS_Store").write_text("junk")
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="bad.png: not an image"):
        model.predict_image(tmp_path / "bad.png")
    with pytest.raises(FileNotFoundError):
        model.predict_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match="(?s)1 files cannot be predicted: .*bad.png: not an image.*on_error"):
        model.predict_folder(tmp_path)
    with pytest.warns(UserWarning, match="left out .*bad.png: not an image"):
        (one,) = model.predict_folder(tmp_path, on_error="skip")
    assert one.path == str(tmp_path / "sub/good.png")
    predictions, bad = predict_files(model, [tmp_path / "none.png", one.path])
    assert predictions == [one] and bad[0].path == str(tmp_path / "none.png") and "cannot be read" in bad[0].reason
    (tmp_path / "sub/good.png").write_bytes(b"")
    with pytest.raises(ValueError, match="2 files cannot be predicted"):
        model.predict_folder(tmp_path, on_error="skip")
    for i in range(6):
        (tmp_path / f"sub/{i}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)8 files cannot be predicted: .*sub/3.png: [^/]*; and 3 more"):
        model.predict_folder(tmp_path)
    with pytest.raises(ValueError, match='on_error must be "raise" or "skip"'):
        model.predict_folder(tmp_path, on_error="ignore")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        model.predict_folder(tmp_path / "none")


def test_files_are_found_once_and_in_order(pets, tmp_path):
    assert files_in([pets / "dog/1.jpg", pets / "cat", pets])[:2] == [pets / "dog/1.jpg", pets / "cat/0.png"]
    assert len(files_in([pets, pets / "cat", pets])) == 20
    with pytest.raises(ValueError, match="holds no file"):
        files_in([tmp_path])


def test_a_prediction_reads_well():
    assert str(Prediction("a/x.jpg", "dog", {"cat": 0.042, "dog": 0.958})) == "a/x.jpg: dog (96 %)"
