"""The register tile of other processors: their vector width, compiled for this one, must compute the same."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tinycnn.kernels import simd
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.steps import plan

HERE = "avx512" if simd.LANES == 16 else "avx2"
PROGRAM = """
import importlib.util
import sys
import numpy as np
import llvmlite.binding
host_features = llvmlite.binding.get_host_cpu_features
llvmlite.binding.get_host_cpu_features = lambda: {"avx512f": sys.argv[1] == "avx512"}
from tinycnn.kernels import simd
llvmlite.binding.get_host_cpu_features = host_features  # numba compiles for the processor that is really here
assert (simd.LANES, simd.MR, simd.NR) == ((16, 12, 32) if sys.argv[1] == "avx512" else (8, 6, 16))
spec = importlib.util.spec_from_file_location("tiles", sys.argv[2])
tiles = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiles)
np.savez(sys.argv[3], *tiles.computed())
"""


def computed():
    """What layers compute forward and backward with the tile of this process."""
    rng = np.random.default_rng(0)
    outputs = []
    for channels, filters, options in (
        (32, 64, {"padding": "same"}),
        (5, 7, {"strides": 2, "dilation_rate": 2}),
        (16, 48, {"padding": "same"}),  # Winograd in narrow panels
        (32, 1, {"padding": "same"}),
        (21, 21, {"groups": 21}),
    ):
        x = rng.standard_normal((2, 13, 10, channels)).astype(np.float32)
        layer = Conv2D(filters, 3, activation="relu", **options)
        layer.build(x.shape[1:], np.random.default_rng(1))
        y = layer.forward(x)
        grad_y = np.cos(np.arange(y.size)).reshape(y.shape)
        outputs += [y, layer.backward(grad_y), *(grad.copy() for grad in layer.grads.values())]
        if filters == 64:
            pool = MaxPool2D()
            pool.build(layer.output_shape)
            (step,), _ = plan([layer, pool])
            y = step.forward(x)
            outputs += [y, step.backward(np.cos(np.arange(y.size)).reshape(y.shape)), layer.grads["kernel"].copy()]
    x = rng.standard_normal((7, 50)).astype(np.float32)
    dense = Dense(37)
    y = dense.forward(x)
    return [*outputs, y, dense.backward(y), *dense.grads.values()]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Of the tile of this processor in this process, of the other one in a new process."""
    folder, other = tmp_path_factory.mktemp("tiles"), {"avx2": "avx512", "avx512": "avx2"}[HERE]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", PROGRAM, other, __file__, str(folder / "other.npz")]
    subprocess.run(command, env=environment, check=True, timeout=300)
    with np.load(folder / "other.npz") as file:
        return {HERE: computed(), other: [file[key] for key in file.files]}


def test_avx512_tile_computes_what_the_avx2_tile_computes(outputs):
    assert len(outputs["avx2"]) == len(outputs["avx512"]) == 27
    for narrow, wide in zip(outputs["avx2"], outputs["avx512"], strict=True):
        assert abs(narrow - wide).max() <= 2e-6 * abs(narrow).max()
