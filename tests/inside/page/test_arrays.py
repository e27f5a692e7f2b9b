"""Arrays are packed whole, each once, and small."""

import base64
import zlib

import numpy as np
import pytest

from tinycnn.inside.page.arrays import Arrays, pack
from tinycnn.inside.page.write import write_inside_page
from tinycnn.models import report_cnn
from tinycnn.study.films.phantoms import chest_phantoms


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


@pytest.mark.long
def test_the_reports_network_at_full_size_is_small_and_soon_there(browser, tmp_path):
    films = chest_phantoms(n_train=(1, 1, 1), n_test=(1, 1, 1), size=256, mode="RGB").train
    model = report_cnn()
    model.build((256, 256, 3))
    path = write_inside_page(tmp_path / "page.html", model, films.images[0], int(films.labels[0]), films.class_names)
    assert path.stat().st_size < 25_000_000
    times = []
    for _ in range(3):  # the machine may have other things to do as well
        browser.open(path)
        times.append(browser.run("Number(document.documentElement.dataset.ready)"))
    assert min(times) < 2000, times
