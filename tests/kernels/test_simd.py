import functools
import math

import numba
import numpy as np
import pytest

from tinycnn.kernels.aligned import aligned_empty
from tinycnn.kernels.simd import (
    LANES,
    at,
    copy,
    load,
    relu,
    store,
    stream,
    transpose_square,
    zero,
)

DTYPES = [np.float32, np.float64]
jit = functools.partial(numba.njit, error_model="numpy")


def normal(*shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@jit
def vector_results(a, i, b, j, out):
    x, y = load(a, i), load(b, j)
    store(out, 0, x + y)
    store(out, LANES, x - y)
    store(out, 2 * LANES, x * y)
    store(out, 3 * LANES, x / y)
    store(out, 4 * LANES, 2.0 * x + 0.5)
    store(out, 5 * LANES, 1.0 - x / 4.0)
    store(out, 6 * LANES, math.sqrt(x * x))
    store(out, 7 * LANES, load(a, i))
    store(out, 8 * LANES, relu(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("i, j", [(0, 0), (3, 1)])
def test_vectors_do_what_arrays_do(dtype, i, j):
    a, b = normal(LANES + 3, dtype=dtype), normal(LANES + 1, dtype=dtype, seed=1)
    out = np.full(9 * LANES + 1, 7, dtype)
    vector_results(a, i, b, j, out)
    x, y = a[i : i + LANES], b[j : j + LANES]
    mixed = [2 * x + dtype(0.5), 1 - x / 4]
    expected = [x + y, x - y, x * y, x / y, *mixed, abs(x), x, np.maximum(x, 0)]
    assert np.allclose(out[:-1].reshape(9, LANES), expected, rtol=4 * np.finfo(dtype).eps)
    assert out[-1] == 7
    assert np.array_equal(out[:LANES], x + y) and np.array_equal(out[3 * LANES : 4 * LANES], x / y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_keeps_nan(dtype):
    @jit
    def apply(a):
        store(a, 0, relu(load(a, 0)))

    a = np.zeros(LANES, dtype)
    special = [np.nan, -np.inf, np.inf, -0.0]
    a[:4] = special[: len(a[:4])]
    apply(a)
    assert np.array_equal(a[:4], [np.nan, 0, np.inf, 0], equal_nan=True)


def test_at_is_the_address_of_one_number():
    @jit
    def read(a, i):
        return at(a, i)[0], at(a, i)[1]

    assert read(np.arange(5.0), 2) == (2, 3)


@jit
def zero_and_copy(target, i, source, j, count):
    copy(target, i, source, j, count)
    zero(target, i + count, count)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, LANES + 3])
def test_zero_and_copy_touch_their_range_only(dtype, count):
    source = normal(2 + count, dtype=dtype)
    target = np.full(5 + 2 * count, 7, dtype)
    zero_and_copy(target, 3, source, 1, count)
    expected = np.r_[[7] * 3, source[1 : 1 + count], [0] * count, [7] * 2]
    assert np.array_equal(target, expected.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", [0, 1, LANES, 5])
@pytest.mark.parametrize("count", [0, 1, LANES, 3 * LANES, 3 * LANES + 1])
def test_stream_is_a_copy(dtype, start, count):
    @jit
    def move(target, i, source, j, count):
        stream(target, i, source, j, count)

    source = normal(6 * LANES, dtype=dtype)
    target = aligned_empty(6 * LANES, dtype)
    target[...] = 7
    move(target, start, source, 3, count)
    assert np.array_equal(target[start : start + count], source[3 : 3 + count])
    assert (target[:start] == 7).all() and (target[start + count :] == 7).all()


def test_stream_goes_past_the_caches():
    @jit
    def move(target, source):
        stream(target, 0, source, 0, source.size)

    move(np.empty(64, np.float32), np.empty(64, np.float32))
    assert any("!nontemporal" in llvm for llvm in move.inspect_llvm().values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose_square(dtype):
    @jit
    def turn(source, target):
        transpose_square(source, 2, LANES + 3, target, 1, LANES + 2)

    source = normal(LANES, LANES + 3, dtype=dtype)
    target = np.full((LANES, LANES + 2), 7, dtype)
    turn(source.reshape(-1), target.reshape(-1))
    assert np.array_equal(target[:, 1 : LANES + 1], source[:, 2 : LANES + 2].T)
    assert (target[:, 0] == 7).all() and (target[:, LANES + 1] == 7).all()
