"""Arrays are packed whole, each once."""

import base64
import zlib

import numpy as np
import pytest

from tinycnn.inside.page.arrays import Arrays, pack


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_unpacked_they_are_the_same_bytes(dtype):
    array = np.random.default_rng(0).integers(-9, 9, (5, 3)).astype(dtype).T[:, ::2]
    item = 4 if dtype == np.int64 else array.itemsize
    planes = np.frombuffer(zlib.decompress(base64.b64decode(pack(array))), np.uint8)
    again = planes.reshape(item, -1).T.copy().view("<i4" if dtype == np.int64 else array.dtype).ravel()
    np.testing.assert_array_equal(again, array.ravel())


def test_the_same_numbers_are_held_once():
    arrays, values = Arrays(), np.arange(6, dtype=np.float32)
    assert [arrays.add(values), arrays.add(values.reshape(2, 3)), arrays.add(values + 1)] == [0, 0, 1]
    assert arrays.add(values.astype(np.float64)) == 2, "another type holds other numbers"
    assert arrays.add(-values, rule="negative", of=0) == 3 and arrays.add(-values) == 3
    assert [entry.get("rule", entry.get("type")) for entry in arrays.entries] == ["f4", "f4", "f8", "negative"]
    assert len(arrays.packed) == 3 and {entry["size"] for entry in arrays.entries} == {6}
