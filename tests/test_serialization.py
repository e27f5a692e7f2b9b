"""Files that survive everything, those of the first version among them."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from toys import Affine, Bend, Noise, Pair, batch, small_model

from tinycnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool2D,
    MaxPool2D,
    ReLU,
    Residual,
)
from tinycnn.layers.base import Layer
from tinycnn.model import Sequential
from tinycnn.training import fit

pytestmark = pytest.mark.usefixtures("kernels")

OLD = Path(__file__).parent / "saved_by_0_1_0"


def test_a_model_saved_by_0_1_0_predicts_the_same():
    model, expected = Sequential.load(OLD / "model.npz"), np.load(OLD / "expected.npz")
    np.testing.assert_allclose(model.predict(expected["x"]), expected["predictions"], rtol=1e-4)
    assert model.metadata == {"class_names": ["a", "b", "c"]}
    assert [layer.name for layer in model.all_layers() if not layer.trainable] == ["residual/batch_normalization_1"]


def test_a_run_checkpointed_by_0_1_0_goes_on_as_it_would_have():
    norm = BatchNorm
    branch = [Conv2D(3, 3, padding="same", activation="relu"), norm(), norm()]
    layers = [Conv2D(3, 3, padding="same", use_bias=False), norm(), ReLU(), MaxPool2D(2)]
    layers += [Residual(branch, activation="relu"), Dropout(0.2), GlobalAveragePool2D(), Dense(3, activation="softmax")]
    model, expected = Sequential(layers, seed=5), np.load(OLD / "expected.npz")
    data = expected["x"], np.arange(12) % 3
    history = fit(model, data, data, epochs=3, batch_size=5, verbose=0, resume=OLD / "checkpoint.npz")
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-4)
    np.testing.assert_allclose(model.predict(data[0]), expected["predictions"], rtol=1e-3)


def test_loading_draws_no_random_weights(tmp_path, monkeypatch):
    model = Sequential([Conv2D(3, 3), Residual([Conv2D(3, 1)])])
    model.build((5, 5, 1))
    model.save(tmp_path / "m.npz")
    monkeypatch.setattr("tinycnn.initializers.get", lambda name: _only_zeros(name))
    loaded = Sequential.load(tmp_path / "m.npz")
    for key, array in loaded.get_weights().items():
        np.testing.assert_array_equal(array, model.get_weights()[key])
    assert all(layer.initialize for layer in loaded.all_layers())


def _only_zeros(name):
    assert name == "zeros"
    return lambda shape, rng, dtype: np.zeros(shape, dtype)


def test_a_text_file_is_told_to_be_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("a film, and another")
    with pytest.raises(ValueError, match="notes.txt is not a whole tinycnn file: a model is a .npz, which is a zip"):
        Sequential.load(tmp_path / "notes.txt")


def test_weights_that_are_no_numbers_change_nothing():
    model = small_model()
    weights = model.get_weights()
    weights["affine_1/bias"] = np.array(["a", "b", "c"])
    weights["affine/bias"] += 1
    before = model.get_weights()
    with pytest.raises(ValueError, match="layer 'affine_1' needs numbers for bias"):
        model.set_weights(weights)
    assert all((before[key] == array).all() for key, array in model.get_weights().items())


def test_a_loaded_model_is_the_saved_one(tmp_path):
    model = small_model(seed=5)
    model.metadata = {"class_names": ["Normal", "Covid"], "size": 256}
    model.get_layer("affine").trainable = False
    for _, param, _ in model.parameters():
        param += 0.5
    model.save(tmp_path / "m.npz")
    loaded = Sequential.load(tmp_path / "m.npz")
    assert repr(loaded) == repr(model) and loaded.metadata == model.metadata
    assert loaded.architecture() == model.architecture()
    np.testing.assert_array_equal(loaded.forward(batch()), model.forward(batch()))
    assert not loaded.get_layer("affine").trainable and loaded.get_layer("pair").trainable
    assert os.listdir(tmp_path) == ["m.npz"]


def test_equal_models_give_equal_bytes_and_no_pickle(tmp_path):
    small_model().save(tmp_path / "a.npz")
    small_model().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert all(file[key].dtype != object for key in file.files)


def test_float64_is_kept(tmp_path):
    model = Sequential([Affine(2)])
    model.build((3,), dtype=np.float64)
    model.save(tmp_path / "m.npz")
    assert Sequential.load(tmp_path / "m.npz").get_weights()["affine/kernel"].dtype == np.float64


@pytest.mark.parametrize("keep", [0, 1, 100, 1000, -60, -1])
def test_truncated_files_are_named(tmp_path, keep):
    path = tmp_path / "m.npz"
    small_model().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=re.escape(f"{path} is not a whole tinycnn file")):
        Sequential.load(path)


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "m.npz"
    small_model().save(path)
    whole = path.read_bytes()
    position = whole.index(b"weights/affine/kernel.npy") + 250
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
    with pytest.raises(ValueError, match="m.npz is not a whole"):
        Sequential.load(path)
    for name, write in {
        "text.npz": lambda p: p.write_text("hello"),
        "array.npy": lambda p: np.save(p, np.ones(3)),
        "other.npz": lambda p: np.savez(p, a=np.ones(3)),
        "pickle.npz": lambda p: np.savez(p, tinycnn=np.array([{}], dtype=object)),
        "json.npz": lambda p: np.savez(p, tinycnn=np.array("{")),
        "empty.npz": lambda p: np.savez(p, tinycnn=np.array("[]")),
    }.items():
        write(tmp_path / name)
        with pytest.raises(ValueError, match=f"{name} is not a whole tinycnn file"):
            Sequential.load(tmp_path / name)
    np.savez(tmp_path / "new.npz", tinycnn=np.array('{"version": 99}'))
    with pytest.raises(ValueError, match="format version 99"):
        Sequential.load(tmp_path / "new.npz")
    with pytest.raises(FileNotFoundError):
        Sequential.load(tmp_path / "absent.npz")


def test_unknown_layer_class_is_named(tmp_path, monkeypatch):
    model = small_model()
    model.save(tmp_path / "m.npz")
    monkeypatch.delitem(Layer.registry, "Pair")
    with pytest.raises(ValueError, match="m.npz: unknown layer class 'Pair'"):
        Sequential.load(tmp_path / "m.npz")


def test_load_weights_names_the_layer_and_both_shapes(tmp_path):
    model = small_model()
    model.save(tmp_path / "m.npz")
    other = small_model(seed=1)
    other.load_weights(tmp_path / "m.npz")
    np.testing.assert_array_equal(other.forward(batch()), model.forward(batch()))
    wider = Sequential([Affine(5), Bend(), Pair(4), Noise(), Affine(6)])
    wider.build((2, 3, 1))
    before = wider.get_weights()
    with pytest.raises(ValueError, match=r"layer 'affine_1' has kernel of shape \(4, 6\), but .*m.npz has \(4, 3\)"):
        wider.load_weights(tmp_path / "m.npz")
    assert all(np.array_equal(before[key], array) for key, array in wider.get_weights().items())
    longer = Sequential([*small_model().layers, Affine(2)])
    longer.build((2, 3, 1))
    with pytest.raises(ValueError, match=r"layer 'affine_2' needs kernel of shape \(3, 2\)"):
        longer.load_weights(tmp_path / "m.npz")
    shorter = Sequential([Affine(5)])
    shorter.build((2, 3, 1))
    with pytest.raises(ValueError, match=r"kernel of shape \(5, 4\) for layer 'pair/affine', which"):
        shorter.load_weights(tmp_path / "m.npz")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "m.npz"
    small_model().save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=re.escape(f"could not write {path}: No space left")):
        small_model(seed=1).save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    small_model().save(path)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"PK half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match=re.escape(str(path))):
        small_model(seed=1).save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


def test_what_json_cannot_hold_is_refused(tmp_path):
    model = small_model()
    model.metadata = {"when": object()}
    with pytest.raises(ValueError, match="m.npz.*cannot be stored"):
        model.save(tmp_path / "m.npz")
    assert os.listdir(tmp_path) == []
