"""The transform of a kernel against the matrices written out, and its way back as the adjoint."""

import numpy as np
import pytest

from tinycnn import reference_winograd as reference
from tinycnn.kernels import runtime
from tinycnn.kernels.simd import NR
from tinycnn.kernels.winograd_kernel import gather_kernel_gradient, transform_kernel

CHANNELS, FILTERS = NR, 2 * NR


def transformed(kernel, tile, transposed=False):
    """``(points, channels, filters)``, out of the panels that the register tile reads."""
    depth, columns = kernel.shape[:1:-1] if transposed else kernel.shape[2:]
    U = np.empty((tile + 2) ** 2 * depth * columns, kernel.dtype)
    runtime.locked(transform_kernel)(kernel, tile, U, NR, transposed)
    panels = U.reshape((tile + 2) ** 2, columns // NR, depth, NR)
    return panels.transpose(0, 2, 1, 3).reshape((tile + 2) ** 2, depth, columns)


@pytest.mark.parametrize("tile", [2, 4])
def test_it_is_the_reference_transform(tile):
    kernel = np.random.default_rng(0).normal(size=(3, 3, CHANNELS, FILTERS))
    expected = reference.transform_kernel(kernel, tile)
    np.testing.assert_allclose(transformed(kernel, tile), expected.reshape(-1, CHANNELS, FILTERS), atol=1e-12)


@pytest.mark.parametrize("tile", [2, 4])
def test_transposed_it_swaps_channels_and_filters(tile):
    kernel = np.random.default_rng(0).normal(size=(3, 3, CHANNELS, FILTERS))
    swapped = np.ascontiguousarray(kernel.transpose(0, 1, 3, 2))
    assert np.array_equal(transformed(kernel, tile, transposed=True), transformed(swapped, tile))


@pytest.mark.parametrize("tile", [2, 4])
def test_the_way_back_is_the_adjoint_and_sums_the_chunks(tile):
    rng, points = np.random.default_rng(1), (tile + 2) ** 2
    kernel = rng.normal(size=(3, 3, CHANNELS, FILTERS))
    chunks = rng.normal(size=(3, points, FILTERS, CHANNELS))  # of the gradient of the transformed kernel
    back = np.empty_like(kernel)
    runtime.locked(gather_kernel_gradient)(chunks.reshape(3, -1), tile, back)
    there = (transformed(kernel, tile) * chunks.sum(axis=0).transpose(0, 2, 1)).sum()
    assert there == pytest.approx((kernel * back).sum(), rel=1e-10)
