import functools

import numba
import numpy as np
import pytest

from tinycnn.kernels.codes import DEAD, load_where_code, store_max4
from tinycnn.kernels.simd import LANES, load, store

DTYPES = [np.float32, np.float64]
jit = functools.partial(numba.njit, error_model="numpy")


@jit
def pool_lanes(windows, y, codes, i, with_relu):
    v0, v1 = load(windows, 0), load(windows, LANES)
    v2, v3 = load(windows, 2 * LANES), load(windows, 3 * LANES)
    store_max4(y, codes, i, (v0, v1, v2, v3), with_relu)


@jit
def pick(grad, codes, i, k, out):
    store(out, 0, load_where_code(grad, codes, i, k))


nan = np.nan
# four values, the maximum, its code, and both with a ReLU
WINDOWS = [
    ([1, 2, 3, 4], 4, 3, 4, 3),
    ([4, 3, 2, 1], 4, 0, 4, 0),
    ([1, 5, 5, 5], 5, 1, 5, 1),
    ([2, 1, 2, 2], 2, 0, 2, 0),
    ([0, 1, 3, 2], 3, 2, 3, 2),
    ([-4, -3, -3, -5], -3, 1, 0, DEAD),
    ([0, 0, 0, 0], 0, 0, 0, DEAD),
    ([-1, 0, -0.0, -2], 0, 1, 0, DEAD),
    ([1, nan, 9, 2], nan, 1, nan, DEAD),
    ([nan, 1, 2, 3], nan, 0, nan, DEAD),
    ([-1, -2, -3, nan], nan, 3, nan, DEAD),
    ([np.inf, -np.inf, np.inf, 0], np.inf, 0, np.inf, 0),
    ([-np.inf] * 4, -np.inf, 0, 0, DEAD),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_relu", [False, True])
def test_store_max4(dtype, with_relu):
    for first in range(0, len(WINDOWS), LANES):
        rows = [WINDOWS[(first + k) % len(WINDOWS)] for k in range(LANES)]
        windows = np.array([row[0] for row in rows], dtype).T.reshape(-1)  # (4, LANES)
        y, codes = np.full(LANES + 4, 77, dtype), np.full(LANES + 4, 77, np.uint8)
        pool_lanes(windows, y, codes, 2, with_relu)
        assert np.array_equal(y[2:-2], [row[3 if with_relu else 1] for row in rows], equal_nan=True)
        assert codes[2:-2].tolist() == [row[4 if with_relu else 2] for row in rows]
        assert y[[0, 1, -2, -1]].tolist() == [77] * 4 and codes[[0, 1, -2, -1]].tolist() == [77] * 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_load_where_code(dtype):
    grad = np.arange(1, LANES + 4).astype(dtype)
    codes = np.random.default_rng(0).integers(0, 5, LANES + 5).astype(np.uint8)
    codes[3:8] = range(5)
    for k in range(5):
        out = np.full(LANES, 77, dtype)
        pick(grad, codes, 3, k, out)
        assert np.array_equal(out, np.where(codes[3 : 3 + LANES] == k, grad[3:], 0))


def test_load_where_code_stops_nan():
    out = np.full(LANES, 77, np.float32)
    pick(np.full(LANES, nan, np.float32), np.full(LANES, DEAD, np.uint8), 0, 1, out)
    assert (out == 0).all()
