import functools

import numba
import numpy as np
import pytest

from tinycnn import reference_winograd as reference
from tinycnn.kernels import winograd_transforms as transforms
from tinycnn.kernels.simd import LANES

jit = functools.partial(numba.njit, error_model="numpy")
MATRICES = {
    "input_1d": {tile: reference.B_T[tile] for tile in (4, 2)},
    "output_1d": {tile: reference.A_T[tile] for tile in (4, 2)},
    "output_adjoint_1d": {tile: np.transpose(reference.A_T[tile]) for tile in (4, 2)},
    "input_adjoint_1d": {tile: np.transpose(reference.B_T[tile]) for tile in (4, 2)},
    "kernel_1d": {tile: reference.G[tile] for tile in (4, 2)},
    "kernel_adjoint_1d": {tile: np.transpose(reference.G[tile]) for tile in (4, 2)},
}
CASES = [(name, tile) for name in MATRICES for tile in (4, 2)]


@pytest.mark.parametrize("name, tile", CASES)
def test_formulas_on_numbers_equal_the_matrices(name, tile):
    matrix = np.asarray(MATRICES[name][tile], float)
    vectors = np.random.default_rng(0).normal(size=(matrix.shape[1], 5))
    formula = getattr(transforms, f"_{name.removesuffix('_1d')}_{tile}")
    assert np.allclose(np.stack(formula(tuple(vectors))), matrix @ vectors, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name, tile", CASES)
def test_compiled_in_place_and_elsewhere(name, tile, dtype):
    matrix = np.asarray(MATRICES[name][tile], float)
    transform = getattr(transforms, name)

    @jit
    def apply(source, i, step, target, j, target_step, like):
        transform(source, i, step, target, j, target_step, like)

    rows, columns = matrix.shape
    source = np.random.default_rng(0).normal(size=1 + columns * (LANES + 2)).astype(dtype)
    vectors = source[1:].reshape(columns, LANES + 2)[:, :LANES]
    target = np.full(3 + rows * (LANES + 1), np.nan, dtype)
    like = (0,) * (rows if name == "kernel_1d" else columns)
    apply(source, 1, LANES + 2, target, 3, LANES + 1, like)
    written = target[3:].reshape(rows, LANES + 1)
    tolerance = 50 * np.finfo(dtype).eps
    assert np.allclose(written[:, :LANES], matrix @ vectors, rtol=tolerance, atol=tolerance)
    assert np.isnan(target[:3]).all() and np.isnan(written[:, LANES]).all()

    room = np.zeros(max(rows, columns) * LANES, dtype)
    room[: columns * LANES] = vectors.reshape(-1)
    apply(room, 0, LANES, room, 0, LANES, like)  # the input is read whole before the output is written
    assert np.array_equal(room[: rows * LANES].reshape(rows, LANES), written[:, :LANES])
