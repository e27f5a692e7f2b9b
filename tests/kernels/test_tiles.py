"""The register tiles of other processors, compiled for this one, must compute what this one's does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinycnn.kernels.simd import LANES, MR, NR, TILES
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.steps import plan

# The last one in float32 only: every tile and dtype takes ten seconds to compile.
DTYPES = {"avx512": ["float32", "float64"], "avx2": ["float32", "float64"], "generic": ["float32"]}
OTHERS = [name for name in DTYPES if TILES[name] != (LANES, MR, NR)]


def outputs(dtype):
    """By Winograd, pooled or not, by direct tiles and by a dense layer: outputs and all gradients."""
    rng = np.random.default_rng(0)
    found = []
    for channels, filters, options in ((32, 64, {"padding": "same"}), (5, 7, {"strides": 2, "dilation_rate": 2})):
        x = rng.standard_normal((2, 13, 10, channels)).astype(dtype)
        layer = Conv2D(filters, 3, activation="relu", **options)
        layer.build(x.shape[1:], np.random.default_rng(1), dtype)
        y = layer.forward(x)
        found += [y, layer.backward(np.cos(np.arange(y.size)).reshape(y.shape)), *layer.grads.values()]
        if filters == 64:
            pool = MaxPool2D()
            pool.build(layer.output_shape, dtype=dtype)
            (step,), _ = plan([layer, pool])
            y = step.forward(x)
            found += [y, step.backward(np.cos(np.arange(y.size)).reshape(y.shape)), layer.grads["kernel"].copy()]
    x = rng.standard_normal((7, 50)).astype(dtype)
    dense = Dense(37)
    y = dense.forward(x)
    return [*found, y, dense.backward(y), *dense.grads.values()]


def save(path, tile):
    """`outputs` of this process, which was told to use `tile`."""
    assert (LANES, MR, NR) == TILES[tile]
    np.savez(path, *(array for dtype in DTYPES[tile] for array in outputs(dtype)))


@pytest.mark.parametrize("tile", OTHERS)
def test_every_tile_computes_the_same(tile, tmp_path):
    path = os.pathsep.join([str(Path(__file__).parent), os.getcwd()])
    environment = {"TINYCNN_SIMD": tile, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": path}
    command = [sys.executable, "-c", f"import test_tiles; test_tiles.save('outputs.npz', {tile!r})"]
    subprocess.run(command, env={**os.environ, **environment}, cwd=tmp_path, check=True, timeout=300)
    ours = [array for dtype in DTYPES[tile] for array in outputs(dtype)]
    with np.load(tmp_path / "outputs.npz") as file:
        others = [file[key] for key in file.files]
    assert len(ours) == len(others) == 15 * len(DTYPES[tile])
    for mine, theirs in zip(ours, others, strict=True):
        assert mine.dtype == theirs.dtype
        tolerance = 2e-6 if mine.dtype == np.float32 else 1e-14
        assert abs(mine - theirs).max() <= tolerance * abs(mine).max()
