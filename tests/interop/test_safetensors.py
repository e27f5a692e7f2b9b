"""safetensors: what is written comes back, equals what the format's own package reads, and damage is named."""

import json

import numpy as np
import pytest

import tinycnn
from tinycnn.interop.safetensors import load_safetensors, save_safetensors


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_a_models_weights_come_back(tmp_path):
    models = []
    for seed in (0, 1):
        layers = [tinycnn.Conv2D(2, 3), tinycnn.BatchNorm(), tinycnn.Flatten(), tinycnn.Dense(3)]
        models.append(tinycnn.Sequential(layers, seed=seed))
        models[-1].build((5, 5, 1))
    save_safetensors(models[0].get_weights(), tmp_path / "w.safetensors")
    models[1].set_weights(load_safetensors(tmp_path / "w.safetensors"))
    for key, array in models[0].get_weights().items():
        np.testing.assert_array_equal(models[1].get_weights()[key], array)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ">f4"])
def test_every_type_comes_back_and_numbers_begin_at_eight_bytes(tmp_path, dtype):
    arrays = {
        "a": np.arange(6).reshape(2, 3).astype(dtype),
        "scalar": np.array(1, dtype),
        "none": np.zeros((0, 2), dtype),
    }
    save_safetensors(arrays, tmp_path / "a")
    found = load_safetensors(tmp_path / "a")
    assert list(found) == list(arrays)
    for key, array in arrays.items():
        assert found[key].shape == array.shape and found[key].dtype == np.dtype(dtype).newbyteorder("<")
        np.testing.assert_array_equal(found[key], array)
    assert int.from_bytes((tmp_path / "a").read_bytes()[:8], "little") % 8 == 0


def test_bfloat16_comes_as_float32(tmp_path):
    (tmp_path / "b").write_bytes(raw({"x": entry("BF16", (2,))}, np.uint16([0x3F80, 0xC040]).tobytes()))
    np.testing.assert_array_equal(load_safetensors(tmp_path / "b")["x"], np.float32([1, -3]))


def test_agrees_with_the_formats_own_package(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    arrays = {"b": np.float32([[1, 2]]), "a": np.arange(3)}
    save_safetensors(arrays, tmp_path / "ours")
    package.save_file(arrays, tmp_path / "theirs", metadata={"format": "np"})
    for found in (package.load_file(tmp_path / "ours"), load_safetensors(tmp_path / "theirs")):
        assert {key: value.tolist() for key, value in found.items()} == {"b": [[1, 2]], "a": [0, 1, 2]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "header claims"),
        (b"1234567", "header claims"),
        ((2**63).to_bytes(8, "little"), "header claims"),
        (raw(b"\xff\xfe"), "utf-8"),
        (raw(b"{"), "no whole"),
        (raw(b"[" * 100_000), "no whole"),
        (raw([]), "no dict"),
        (raw({"x": 3}), "'dtype'"),
        (raw({"x": {"dtype": "F32", "shape": [1]}}), "'data_offsets'"),
        (raw({"x": entry("F4")}, b"1234"), "known are F64"),
        (raw({"x": entry(shape=[2**62])}, b"1234"), "but has 4 bytes"),
        (raw({"x": entry(shape=[-1, -1])}, b"1234"), "shape"),
        (raw({"x": entry(shape=[True])}, b"1234"), "shape"),
        (raw({"x": entry()}), "behind its header are 0"),
        (raw({"x": entry()}, b"12345"), "behind its header are 5"),
        (raw({"x": entry(offsets=(4, 8))}, b"12345678"), "begins at byte 4"),
        (raw({"x": entry(), "y": entry()}, b"1234"), "begins at byte 0"),
    ],
)
def test_damage_is_named(tmp_path, content, says):
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no whole safetensors file") as raised:
        load_safetensors(path)
    assert says in str(raised.value) and str(path) in str(raised.value)


def test_what_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(ValueError, match="'x' of complex128"):
        save_safetensors({"x": np.zeros(1, complex)}, tmp_path / "a")
    assert not list(tmp_path.iterdir())
