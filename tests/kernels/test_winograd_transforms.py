import functools

import numba
import numpy as np
import pytest

from tinycnn import reference_winograd as reference
from tinycnn.kernels import winograd_transforms as transforms
from tinycnn.kernels.simd import LANES

jit = functools.partial(numba.njit, error_model="numpy")
POINTS = {"4": [0, 1, -1, 2, -2], "2": [0, 1, -1], "2_of_5": [0, 1, -1, 2, -2]}
TAPS = {"4": 3, "2": 3, "2_of_5": 5}
NAMES = ("output", "kernel", "input")  # of A^T, G and B^T, as cook_toom returns them
CASES = [(name, tile) for name in (*NAMES, *(f"{name}_adjoint" for name in NAMES)) for tile in POINTS]


def matrix_of(name, tile):
    kind, _, adjoint = name.partition("_")
    matrix = reference.cook_toom(POINTS[tile], TAPS[tile])[NAMES.index(kind)].astype(float)
    return matrix.T if adjoint else matrix


@pytest.mark.parametrize("name, tile", CASES)
def test_formulas_on_numbers_equal_the_matrices(name, tile):
    matrix = matrix_of(name, tile)
    vectors = np.random.default_rng(0).normal(size=(matrix.shape[1], 5))
    variant = len(matrix) - 2 if name.startswith("input") else tile  # those of inputs depend on the points alone
    formula = getattr(transforms, f"_{name}_{variant}")
    assert np.allclose(np.stack(formula(tuple(vectors))), matrix @ vectors, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name, tile", CASES)
def test_compiled_in_place_and_elsewhere(name, tile, dtype):
    matrix = matrix_of(name, tile)
    transform = getattr(transforms, f"{name}_1d")

    @jit
    def apply(source, i, step, target, j, target_step, like):
        transform(source, i, step, target, j, target_step, like)

    rows, columns = matrix.shape
    source = np.random.default_rng(0).normal(size=1 + columns * (LANES + 2)).astype(dtype)
    vectors = source[1:].reshape(columns, LANES + 2)[:, :LANES]
    target = np.full(3 + rows * (LANES + 1), np.nan, dtype)
    like = transforms.rows_of(int(tile[0]), TAPS[tile])
    apply(source, 1, LANES + 2, target, 3, LANES + 1, like)
    written = target[3:].reshape(rows, LANES + 1)
    tolerance = 50 * np.finfo(dtype).eps
    assert np.allclose(written[:, :LANES], matrix @ vectors, rtol=tolerance, atol=tolerance)
    assert np.isnan(target[:3]).all() and np.isnan(written[:, LANES]).all()

    room = np.zeros(max(rows, columns) * LANES, dtype)
    room[: columns * LANES] = vectors.reshape(-1)
    apply(room, 0, LANES, room, 0, LANES, like)  # the input is read whole before the output is written
    assert np.array_equal(room[: rows * LANES].reshape(rows, LANES), written[:, :LANES])
