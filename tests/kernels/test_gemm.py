import functools

import numba
import numpy as np
import pytest

from tinycnn.kernels.gemm import (
    NARROW,
    NARROW_ROWS,
    WIDE,
    Finish,
    Left,
    Out,
    Right,
    Runs,
    channel_tile,
    dot_tile,
    gemm_tile,
    one_run,
    panel_tile,
    tile_rows,
)
from tinycnn.kernels.simd import LANES, MR, NR, at

DTYPES = [np.float32, np.float64]
jit = functools.partial(numba.njit, error_model="numpy")


def normal(*shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@jit
def one_tile(left, runs, right, out, size, add):
    (A, a, a_row, a_k), (taps, tap, n_taps, run), (B, b, b_k), (C, c, c_row) = left, runs, right, out
    walk, product = Runs(at(taps, tap), n_taps, run), Out(at(C, c), row=c_row)
    gemm_tile(Left(at(A, a), a_row, a_k), walk, Right(at(B, b), row=b_k), product, size[0], size[1], add)


@jit
def plain_tile(A, B, C, depth):
    gemm_tile(Left(at(A, 0), depth, 1), one_run(depth), Right(at(B, 0), NR), Out(at(C, 0), NR), MR, NR, False)


def check_tile(dtype, rows, cols, offsets, run, *, transposed=False, add=False, b_k=NR, seed=0):
    """Compare one tile with NumPy, and see that it leaves the rest of C alone."""
    a, b, c, c_row, skip = 5, 3, 4, cols + 2, 1
    a_row, a_k = (1, MR + 2) if transposed else (run + max(offsets) + 1, 1)
    depth = len(offsets) * run
    A = normal(a + max(offsets) + (rows - 1) * a_row + (run - 1) * a_k + 1, dtype=dtype, seed=seed)
    B = normal(b + (depth - 1) * b_k + NR, dtype=dtype, seed=seed + 1)
    A, B = (np.append(array, np.full(99, np.nan, dtype)) for array in (A, B))  # what must not be read
    C = np.full(c + rows * c_row, np.nan if not add else 0.5, dtype)
    before = C.copy()
    taps = np.array([99999] * skip + list(offsets), np.int64)
    runs = taps, skip, len(offsets), run
    one_tile((A, a, a_row, a_k), runs, (B, b, b_k), (C, c, c_row), (rows, cols), add)

    index = a + np.add.outer(np.arange(rows) * a_row, np.add.outer(offsets, np.arange(run) * a_k).reshape(-1))
    lines = b + np.add.outer(np.arange(depth) * b_k, np.arange(cols))
    product = A[index].astype(np.float64) @ B[lines].astype(np.float64)  # (rows, cols)
    expected = before.copy()
    for i in range(rows):
        line = slice(c + i * c_row, c + i * c_row + cols)
        expected[line] = product[i] + (0.5 if add else 0)
    tolerance = depth * np.finfo(dtype).eps * 4
    assert np.allclose(C, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("add", [False, True])
def test_every_edge_of_the_tile(dtype, add):
    for rows in range(1, MR + 1):
        for cols in range(1, NR + 1):
            check_tile(dtype, rows, cols, [0], 5, add=add, seed=rows * NR + cols)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("offsets", [[0], [7], [0, 3], [9, 0, 4, 4], list(range(0, 50, 2))])
@pytest.mark.parametrize("run", [1, 2, 19])
def test_taps_and_runs(dtype, transposed, offsets, run):
    for rows, cols in ((MR, NR), (1, NR), (MR, 1), (MR - 1, NR - 1)):
        check_tile(dtype, rows, cols, offsets, run, transposed=transposed)
        check_tile(dtype, rows, cols, offsets, run, transposed=transposed, add=True, b_k=NR + 5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_taps_write_zeros(dtype):
    C = np.full(MR * NR, np.nan, dtype)
    nothing = np.zeros(NR, dtype)
    runs = np.zeros(1, np.int64), 0, 0, 3
    one_tile((nothing, 0, 1, 1), runs, (nothing, 0, NR), (C, 0, NR), (MR, NR), False)
    assert (C == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [0, 1, 19])
def test_one_run_is_a_plain_product(dtype, depth):
    A, B, C = normal(MR, depth, dtype=dtype), normal(depth + 1, NR, dtype=dtype, seed=1), np.full((MR, NR), 7, dtype)
    plain_tile(A.reshape(-1), B.reshape(-1), C.reshape(-1), depth)
    assert np.allclose(C, A @ B[:depth], rtol=1e-5, atol=1e-5)


@jit
def tile_by_tables(A, B, bias, C, tables, depth, size, relu, panel):
    """Rows of A, from number 3 on, and of C stand in no order."""
    left, out = Left(at(A, 3), at(tables[0], 0), 2), Out(at(C, 0), at(tables[1], 0))
    finish = Finish(at(bias, 0), relu)
    panel_tile(left, one_run(depth), Right(at(B, 0), NR), out, size[0], size[1], True, finish, panel)
    return tile_rows(panel)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("panel", [WIDE, NARROW])
def test_tables_of_rows_and_what_finishes_a_product(panel, dtype):
    rng, depth, most = np.random.default_rng(0), 7, len(panel) * LANES
    for rows, cols in ((1, 1), (5, most), (tile_rows.py_func(panel), most - 1)):
        starts, targets = rng.permutation(20)[:rows] * 3, rng.permutation(20)[:rows] * (NR + 1)
        A, B = normal(3 + 57 + 2 * depth, dtype=dtype), normal(depth, NR, dtype=dtype, seed=1)
        bias, C = normal(cols, dtype=dtype, seed=2), normal(20 * (NR + 1), dtype=dtype, seed=3)
        for relu in (False, True):
            ours, expected = C.copy(), C.copy()
            assert tile_by_tables(A, B, bias, ours, (starts, targets), depth, (rows, cols), relu, panel) >= rows
            for start, target in zip(starts, targets, strict=True):
                row = C[target : target + cols] + A[3 + start :][: 2 * depth : 2] @ B[:, :cols] + bias
                expected[target : target + cols] = np.maximum(row, 0) if relu else row
            assert np.allclose(ours, expected, rtol=1e-5, atol=1e-5)


@jit
def tile_of_channels(A, B, C, size, depth, lanes):
    left, out = Left(at(A, 0), row=LANES, step=2 * LANES), Out(at(C, 0), row=LANES)
    right = Right(at(B, 0), row=LANES)
    channel_tile(left, one_run(depth), right, out, size[0], size[1], False, None, lanes)


@jit
def tile_of_sums(A, B, C, rows, depth):
    left, out = Left(at(A, 0), row=LANES, step=2 * LANES), Out(at(C, 0), row=3)
    dot_tile(left, one_run(depth), Right(at(B, 0), row=LANES), out, rows, None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_of_channels(dtype):
    depth = 5
    A, B = normal(2 * depth + NARROW_ROWS, LANES, dtype=dtype), normal(depth, LANES, dtype=dtype, seed=1)
    rows_of_a = np.stack([A[i : i + 2 * depth : 2] for i in range(NARROW_ROWS)])  # (rows, depth, channels)
    for rows, cols in ((1, 1), (NARROW_ROWS - 1, LANES - 1), (NARROW_ROWS, LANES)):
        for lanes, right in (((0,), B), ((), B[:, :1])):
            C, expected = np.full((2, NARROW_ROWS, LANES), 7, dtype)
            tile_of_channels(A.reshape(-1), B.reshape(-1), C.reshape(-1), (rows, cols), depth, lanes)
            expected[:rows, :cols] = (rows_of_a * right).sum(axis=1)[:rows, :cols]
            assert np.allclose(C, expected, rtol=1e-5, atol=1e-5)
        C, expected = np.full((2, NARROW_ROWS, 3), 7, dtype)
        tile_of_sums(A.reshape(-1), B.reshape(-1), C.reshape(-1), rows, depth)
        expected[:rows, 0] = (rows_of_a * B).sum(axis=(1, 2))[:rows]
        assert np.allclose(C, expected, rtol=1e-5, atol=1e-5)
