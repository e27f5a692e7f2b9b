"""Sequential: wiring, names, and files that survive everything."""

import os
import re

import numpy as np
import pytest
from toys import Affine, Bend, Noise, Pair

from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.steps import plan
from tinycnn.model import Sequential


def small(seed=0):
    model = Sequential([Affine(5), Bend(), Pair(4), Noise(), Affine(3, activation="softmax")], seed=seed)
    model.build((2, 3, 1))
    return model


def batch(n=4, dtype=np.float32):
    return np.random.default_rng(1).normal(size=(n, 2, 3, 1)).astype(dtype)


def test_layers_get_unique_names_indices_and_workspaces():
    model = small()
    assert [layer.name for layer in model.layers] == ["affine", "bend", "pair", "noise", "affine_1"]
    assert [layer.name for layer in model.get_layer("pair").sublayers()] == ["pair/affine", "pair/bend"]
    assert [layer.index for layer in model.all_layers()] == [0, 1, 2, 2, 2, 3, 4, 4]
    assert all(layer._workspace is not None for layer in model.all_layers())


def test_names_given_by_the_user_are_kept_and_not_taken_twice():
    model = Sequential([Affine(2), Affine(2, name="affine"), Affine(2)])
    assert [layer.name for layer in model.layers] == ["affine_1", "affine", "affine_2"]
    with pytest.raises(ValueError, match="2 layers are called 'a'"):
        Sequential([Bend(name="a"), Affine(2, name="a")])


def test_what_is_not_a_list_of_layers_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Sequential([])
    with pytest.raises(ValueError, match="layer 1 is 'relu'"):
        Sequential([Bend(), "relu"])
    layer = Bend()
    with pytest.raises(ValueError, match="appears twice"):
        Sequential([layer, layer])


def test_results_belong_to_the_caller():
    model, x = small(), batch()
    first = model.forward(x)
    kept = first.copy()
    model.forward(x + 1)
    np.testing.assert_array_equal(first, kept)
    grad = model.backward(np.ones((4, 3), np.float32))
    kept = grad.copy()
    model.forward(x)
    model.backward(np.ones((4, 3), np.float32))
    np.testing.assert_array_equal(grad, kept)


def test_logits_leave_out_the_softmax_at_the_end():
    model, x = small(), batch()
    probabilities, logits = model.forward(x), model.forward(x, logits=True)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    odds = np.log(probabilities[:, 0] / probabilities[:, 2])
    np.testing.assert_allclose(odds, logits[:, 0] - logits[:, 2], rtol=1e-4)


def test_bytes_are_scaled_and_floats_are_not():
    model = Sequential([Affine(2)])
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 1), dtype=np.uint8)
    np.testing.assert_allclose(model.forward(images), model.forward(images / 255), rtol=1e-5)
    np.testing.assert_allclose(model.forward(images) * 255, model.forward(images.astype(np.float32)), rtol=1e-5)


def test_gradients_agree_with_finite_differences():
    model = Sequential([Affine(5), Bend(), Pair(4), Affine(3)])
    x = batch(dtype=np.float64)
    rng = np.random.default_rng(2)
    upstream = rng.normal(size=model.forward(x).shape)
    assert model.dtype == np.float64
    grad_x = model.backward(upstream)
    grads = {key: grad.copy() for key, _, grad in model.parameters()}
    arrays = {key: param for key, param, _ in model.parameters()} | {"x": x}
    for key, array in arrays.items():
        direction = rng.normal(size=array.shape)
        values = []
        for sign in (1, -1):
            array += sign * 1e-6 * direction
            values.append((model.forward(x) * upstream).sum())
            array -= sign * 1e-6 * direction
        expected = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(((grad_x if key == "x" else grads[key]) * direction).sum(), expected, rtol=1e-6)


def test_backward_without_input_gradient_gives_the_same_parameter_gradients():
    model, x, upstream = small(), batch(), np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
    model.forward(x)
    assert model.backward(upstream).shape == x.shape
    full = {key: grad.copy() for key, _, grad in model.parameters()}
    model.forward(x)
    assert model.backward(upstream, input_grad=False) is None
    for key, _, grad in model.parameters():
        np.testing.assert_array_equal(grad, full[key])


def test_backward_stops_at_the_first_layer_that_trains():
    model = small()
    model.layers[0].trainable = False
    called = []
    model.layers[0].backward = lambda grad, **options: called.append("affine")
    model.forward(batch())
    model.backward(np.ones((4, 3), np.float32), input_grad=False)
    assert not called


def test_fused_steps_change_no_bits_and_know_what_they_train():
    def convolutional(fused):
        model = Sequential([Conv2D(16, 3, padding="same", activation="relu"), MaxPool2D(), Conv2D(16, 3), Affine(3)])
        model.build((8, 10, 3))
        assert len(model._body) == 3
        if not fused:
            model._body, _ = plan(model.layers, fuse=False)
        return model

    x = np.random.default_rng(0).normal(size=(3, 8, 10, 3)).astype(np.float32)
    upstream = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    results = []
    for fused in (True, False):
        model = convolutional(fused)
        arrays = [model.forward(x), model.backward(upstream), *(grad for _, _, grad in model.parameters())]
        results.append([array.tobytes() for array in arrays])
        model.forward(x)
        assert model.backward(upstream, input_grad=False) is None
        assert [grad.tobytes() for _, _, grad in model.parameters()] == results[-1][2:]
    assert results[0] == results[1]
    model = convolutional(True)
    model.layers[0].trainable = False
    model.forward(x)
    assert model.backward(upstream, input_grad=False) is None
    assert not model.layers[0].grads["kernel"].any() and model.layers[2].grads["kernel"].any()


def test_frozen_layers_are_not_offered_to_the_optimizer():
    model = small()
    model.get_layer("pair").trainable = False
    assert [key for key, _, _ in model.parameters()] == [
        f"{name}/{what}" for name in ("affine", "affine_1") for what in ("kernel", "bias")
    ]


def test_backward_before_forward_and_misfits_are_clear_errors():
    model = Sequential([Affine(2)])
    with pytest.raises(RuntimeError, match="before forward"):
        model.backward(np.ones((1, 2)))
    with pytest.raises(ValueError, match="must be built"):
        model.summary()
    model.build((3,))
    with pytest.raises(ValueError, match=r"'affine' \(layer 0 of the model\).*\(images, 3\).*\(1, 4\)"):
        model.forward(np.ones((1, 4)))
    with pytest.raises(ValueError, match="no layer 'conv' in model 'sequential'; it has affine"):
        model.get_layer("conv")


def test_same_seed_same_weights_and_none_differs():
    a, b, other = (small(seed).get_weights() for seed in (7, 7, None))
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not np.array_equal(a["affine/kernel"], other["affine/kernel"])


def test_first_nonfinite_names_layer_and_array():
    model = small()
    assert model.first_nonfinite(batch()) is None
    x = batch()
    x[0, 0, 0, 0] = np.nan
    assert model.first_nonfinite(x)[:2] == (-1, "input")
    model.get_layer("pair/affine").params["bias"][1] = np.inf
    assert model.first_nonfinite() == (2, "pair/affine", "bias")
    model = small()
    model.get_layer("affine").params["kernel"][...] = 3e38
    assert model.first_nonfinite(np.full((1, 2, 3, 1), 1e3, np.float32)) == (0, "affine", "output")


# -- files --------------------------------------------------------------------------------------------------


def test_a_loaded_model_is_the_saved_one(tmp_path):
    model = small(seed=5)
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
    small().save(tmp_path / "a.npz")
    small().save(tmp_path / "b.npz")
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
    small().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=re.escape(f"{path} is not a whole tinycnn file")):
        Sequential.load(path)


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "m.npz"
    small().save(path)
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
    model = small()
    model.save(tmp_path / "m.npz")
    monkeypatch.delitem(Layer.registry, "Pair")
    with pytest.raises(ValueError, match="m.npz: unknown layer class 'Pair'"):
        Sequential.load(tmp_path / "m.npz")


def test_load_weights_names_the_layer_and_both_shapes(tmp_path):
    model = small()
    model.save(tmp_path / "m.npz")
    other = small(seed=1)
    other.load_weights(tmp_path / "m.npz")
    np.testing.assert_array_equal(other.forward(batch()), model.forward(batch()))
    wider = Sequential([Affine(5), Bend(), Pair(4), Noise(), Affine(6)])
    wider.build((2, 3, 1))
    before = wider.get_weights()
    with pytest.raises(ValueError, match=r"layer 'affine_1' has kernel of shape \(4, 6\), but .*m.npz has \(4, 3\)"):
        wider.load_weights(tmp_path / "m.npz")
    assert all(np.array_equal(before[key], array) for key, array in wider.get_weights().items())
    longer = Sequential([*small().layers, Affine(2)])
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
    small().save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=re.escape(f"could not write {path}: No space left")):
        small(seed=1).save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    small().save(path)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"PK half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match=re.escape(str(path))):
        small(seed=1).save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


def test_what_json_cannot_hold_is_refused(tmp_path):
    model = small()
    model.metadata = {"when": object()}
    with pytest.raises(ValueError, match="m.npz.*cannot be stored"):
        model.save(tmp_path / "m.npz")
    assert os.listdir(tmp_path) == []
