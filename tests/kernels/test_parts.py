import functools

import numba
import numpy as np
import pytest

from tinycnn.kernels.parts import load_part, store_part, widen
from tinycnn.kernels.simd import LANES, store

DTYPES = [np.float32, np.float64]
jit = functools.partial(numba.njit, error_model="numpy")


@jit
def copy_part(source, i, count, target, j, wide):
    value = load_part(source, i, count)
    store_part(target, j, value, count)
    store(wide, 0, widen(value))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, LANES - 1, LANES])
def test_part_of_a_vector(dtype, count):
    source, target = np.arange(1, LANES + 4, dtype=dtype), np.full(LANES + 4, 77, dtype)
    wide = np.full(LANES, np.nan)
    copy_part(source, 2, count, target, 3, wide)
    assert target.tolist() == [77] * 3 + source[2 : 2 + count].tolist() + [77] * (LANES + 1 - count)
    assert wide.tolist() == source[2 : 2 + count].tolist() + [0] * (LANES - count)
