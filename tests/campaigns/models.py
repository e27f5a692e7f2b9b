"""Saved models with bits turned over, with nonsense in their description, and with other arrays."""

import json

import numpy as np
from campaign_tools import bits_turned, peak_bytes, spoiled, spoiled_arrays

from tinycnn import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, Residual, Sequential
from tinycnn.npz import read_npz

COUNT = 2000
IMAGE = np.linspace(0, 1, 36, dtype=np.float32).reshape(1, 6, 6, 1)


def prepare(folder):
    branch = [Conv2D(2, 3, padding="same", use_bias=False), BatchNorm()]
    model = Sequential([Conv2D(2, 3, activation="relu", padding="same"), Residual(branch), MaxPool2D(2), Flatten()])
    model = Sequential([*model.layers, Dense(3, activation="softmax")])
    model.build((6, 6, 1))
    model.metadata = {"class_names": ["a", "b", "c"]}
    model.save(folder / "model.npz")
    model.predict(IMAGE)
    return folder / "model.npz", (folder / "model.npz").read_bytes(), *read_npz(folder / "model.npz")


def attack(subject, rng):
    path, whole, header, arrays = subject
    path, kind = path.with_name("attacked.npz"), rng.integers(3)
    if kind == 0:
        path.write_bytes(bits_turned(whole, rng))
    elif kind == 1:
        write(path, spoiled(header, rng), arrays)
    else:
        write(path, header, spoiled_arrays(arrays, rng))
    before = peak_bytes()
    try:
        model = Sequential.load(path)
    except ValueError as error:
        assert str(path) in str(error) or "layer" in str(error), f"not named: {error}"
    else:
        assert all(np.isfinite(array).all() for array in model.get_weights().values()), "NaN was loaded"
    assert peak_bytes() - before < 20e6, f"it took {(peak_bytes() - before) / 1e6:.0f} MB"


def write(path, header, arrays):
    """Like `write_npz`, but anything goes."""
    with open(path, "wb") as file:
        np.savez(file, tinycnn=np.array(json.dumps(header)), **arrays)
