"""Images unlike the training images: the distance, its threshold, and the file beside the model."""

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image

from tinycnn.data.dataset import Dataset
from tinycnn.files import write_json
from tinycnn.layers import Dense, Flatten
from tinycnn.model import Sequential
from tinycnn.models import small_resnet, small_vgg
from tinycnn.npz import read_npz, write_npz
from tinycnn.study.films.phantoms import chest_phantoms
from tinycnn.study.novelty import (
    channel_statistics,
    fit_novelty,
    load_novelty,
    novelty_file,
    save_novelty,
    shrunk_covariance,
)

SIZE = 48


@pytest.fixture(scope="module")
def trained():
    """A model trained on drawn films, what it was not shown of their kind, and its novelty."""
    train, held_out, _ = chest_phantoms(n_train=50, n_test=13, size=SIZE)
    model = small_vgg(filters=(8, 16))
    model.fit(train, epochs=3, verbose=0)
    return model, fit_novelty(model, train, held_out)


def marked(trained, images):
    model, novelty = trained
    return novelty.marks(model, images).mean()


def test_about_the_expected_share_of_new_films_is_marked(trained):
    assert trained[1].expected == 0.05 and trained[1].held_out == 39
    films = chest_phantoms(n_train=0, n_test=60, size=SIZE, seed=1).test.images
    assert 0 < marked(trained, films) < 0.15


def test_noise_inverted_films_photographs_and_blank_images_are_marked(trained):
    rng, films = np.random.default_rng(0), chest_phantoms(n_train=0, n_test=10, size=SIZE, seed=2).test.images
    assert marked(trained, rng.integers(0, 256, films.shape, np.uint8)) == 1
    assert marked(trained, rng.integers(0, 256, (*films.shape[:3], 1), np.uint8).repeat(3, axis=3)) == 1
    assert marked(trained, 255 - films) > 0.8
    assert marked(trained, np.stack([np.full_like(films[0], level) for level in (0, 128, 255)])) == 1
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        corners = [(x, y) for x in range(0, 400, 100) for y in range(0, 500, 100)]
        parts = [photo.crop((x, y, x + 110, y + 110)).resize((SIZE, SIZE)) for x, y in corners]
    parts = np.stack([np.asarray(part) for part in parts])
    assert marked(trained, parts) > 0.9
    assert marked(trained, parts.mean(axis=3, keepdims=True).astype(np.uint8).repeat(3, axis=3)) > 0.8


def test_the_threshold_is_one_of_the_held_out_distances(trained):
    model, _ = trained
    train, held_out, _ = chest_phantoms(n_train=5, n_test=13, size=SIZE)
    novelty = fit_novelty(model, train, held_out)
    distances = np.sort(novelty.distances(model, held_out.images))
    assert novelty.threshold == distances[37] and novelty.expected == 2 / 40
    few = fit_novelty(model, train, held_out[[0, 20]])
    assert few.expected == 1 / 3 and not few.marks(model, held_out.images[[0, 20]]).any()
    assert few.told(np.array([False, True, True])) == {
        "threshold": few.threshold,
        "expected": 1 / 3,
        "held_out": 2,
        "marked": [1, 2],
    }


def test_the_distance_is_mahalanobiss(trained):
    model, _ = trained
    train, held_out, _ = chest_phantoms(n_train=9, n_test=1, size=SIZE)
    novelty = fit_novelty(model, train, held_out)
    seen, new = (channel_statistics(model, data.images) for data in (train, held_out))
    apart = new - seen.mean(axis=0)
    squares = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(shrunk_covariance(seen - seen.mean(axis=0))), apart)
    np.testing.assert_allclose(novelty.distances(model, held_out.images), np.sqrt(squares), rtol=1e-4)


def test_statistics_are_of_the_last_maps_of_each_size():
    films, model = chest_phantoms(n_train=0, n_test=1, size=32, mode="L").test.images, small_resnet(filters=(4, 8))
    model.build((32, 32, 1))
    x, maps = model.prepare(films), []
    for layer in model.layers:
        x = layer.forward(x)
        maps.append(x.copy())
    assert [layer.name for layer in model.layers[:5]] == ["conv2d", "batch_normalization", "re_lu", "residual"] + [
        "residual_1"
    ]
    expected = [
        np.concatenate([maps[i].mean((1, 2), np.float64), maps[i].std((1, 2), np.float64)], axis=1) for i in (3, 4)
    ]
    found = channel_statistics(model, films, batch_size=2)
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-6)


def test_covariance_is_scikit_learns():
    covariance = pytest.importorskip("sklearn.covariance")
    rng = np.random.default_rng(0)
    for n, p in ((6, 20), (40, 20), (500, 5)):
        rows = rng.normal(size=(n, p)) * np.linspace(0.1, 3, p)
        rows -= rows.mean(axis=0)
        expected = covariance.ledoit_wolf(rows, assume_centered=True)[0]
        np.testing.assert_allclose(shrunk_covariance(rows), expected, atol=1e-12)


def test_few_images_and_images_that_are_all_alike_have_a_distance_too(trained):
    model = trained[0]
    blank = Dataset(np.zeros((4, SIZE, SIZE, 3), np.uint8), [0, 1, 2, 0], ("a", "b", "c"))
    assert marked((model, fit_novelty(model, blank, blank)), blank.images + 9) == 1
    train, held_out, _ = chest_phantoms(n_train=(2, 0, 0), n_test=5, size=SIZE)
    novelty = fit_novelty(model, train, held_out)
    assert np.isfinite(novelty.whitening).all() and novelty.threshold > 0


def test_it_is_found_beside_the_model_and_says_the_same(trained, tmp_path):
    model, novelty = trained
    model.save(tmp_path / "m.npz")
    assert load_novelty(tmp_path / "m.npz", model) is None
    assert save_novelty(tmp_path / "m.npz", model, novelty) == tmp_path / "m.novelty.npz"
    again, films = Sequential.load(tmp_path / "m.npz"), chest_phantoms(n_train=0, n_test=2, size=SIZE).test.images
    found = load_novelty(tmp_path / "m.npz", again)
    assert found[2:] == novelty[2:]
    np.testing.assert_array_equal(found.distances(again, films), novelty.distances(model, films))


def test_other_weights_and_damaged_files_are_refused(trained, tmp_path):
    model, novelty = trained
    save_novelty(tmp_path / "m.npz", model, novelty)
    file = novelty_file(tmp_path / "m.npz")
    other = small_vgg(filters=(8, 16), seed=1)
    other.build(model.input_shape)
    with pytest.raises(ValueError, match=r"m\.novelty\.npz belongs to other weights than those of .*m\.npz"):
        load_novelty(tmp_path / "m.npz", other)
    header, arrays = read_npz(file)
    told = header["novelty"]
    for changed, words in (
        ({"mean": arrays["mean"][:3]}, "mean must be"),
        ({"whitening": arrays["whitening"] * np.nan}, "whitening must be"),
        ({"whitening": arrays["whitening"].astype(np.int32)}, "whitening must be"),
    ):
        write_npz(file, header, arrays | changed)
        with pytest.raises(ValueError, match=words):
            load_novelty(tmp_path / "m.npz", model)
    for key, value in (("threshold", "far"), ("threshold", -1.0), ("held_out", 0), ("expected", None)):
        write_npz(file, {"novelty": told | {key: value}}, arrays)
        with pytest.raises(ValueError, match=key):
            load_novelty(tmp_path / "m.npz", model)
    write_json(file, told)
    with pytest.raises(ValueError, match="not a whole tinycnn file"):
        load_novelty(tmp_path / "m.npz", model)


def test_what_cannot_be_compared_is_said():
    data = Dataset(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], ("a", "b"))
    flat = Sequential([Flatten(), Dense(2, activation="softmax")])
    flat.build((8, 8, 3))
    with pytest.raises(ValueError, match="no layer of model 'sequential' gives feature maps"):
        fit_novelty(flat, data, data)
    with pytest.raises(ValueError, match="held-out images are needed, got 2 and 0"):
        fit_novelty(flat, data, data[[]])
