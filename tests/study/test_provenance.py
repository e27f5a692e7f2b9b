"""Hashes and versions: the same for the same images, and fit for JSON."""

import json

import numpy as np

from tinycnn import files
from tinycnn.data import Dataset
from tinycnn.kernels.sets import set_kernels
from tinycnn.layers import Dense
from tinycnn.model import Sequential
from tinycnn.study import provenance

NAMES = ("Covid", "Normal", "Viral Pneumonia")


def dataset(n=6, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 4, 5, 1), dtype=np.uint8)
    return Dataset(images, np.arange(n) % 3, NAMES, [f"test/{i}.png" for i in range(n)])


def test_hash_follows_every_pixel_label_and_name():
    data = dataset()
    first = provenance.dataset_hash(data, None, data)
    assert first == provenance.dataset_hash(dataset(), dataset()) and len(first) == 64
    images = data.images.copy()
    images[3, 1, 2, 0] ^= 1
    others = [
        Dataset(images, data.labels, NAMES),
        Dataset(data.images, data.labels[::-1], NAMES),
        Dataset(data.images, data.labels, ("a", "b", "c")),
        Dataset(data.images.reshape(6, 5, 4, 1), data.labels, NAMES),
    ]
    hashes = {provenance.dataset_hash(other, data) for other in others} | {first}
    assert len(hashes) == 5


def test_environment_and_json(tmp_path):
    found = provenance.environment()
    assert found["versions"]["numpy"] == np.__version__
    assert found["threads"] >= 1
    files.write_json(tmp_path / "r.json", {"x": np.float32(0.5), "y": float("nan"), **found})
    read = json.loads((tmp_path / "r.json").read_text())
    assert read["x"] == 0.5 and read["y"] is None and read["versions"] == found["versions"]


def test_weights_hash_follows_every_bit():
    model = Sequential([Dense(3)])
    model.build((4,))
    first = provenance.weights_hash(model)
    assert provenance.weights_hash(model) == first and len(first) == 64
    model.layers[0].params["bias"][1] = -0.0
    assert provenance.weights_hash(model) != first


def test_environment_says_which_kernels_compute():
    with set_kernels("reference"):
        assert (provenance.environment()["kernels"], provenance.environment()["tile"]) == ("reference", None)
        assert "kernels reference; " in provenance.environment_line()
    with set_kernels("fast"):
        found = provenance.environment()
        assert found["tile"] in ("6 x 16", "12 x 32") and f"tile {found['tile']}; " in provenance.environment_line()
