"""The register tiles of other processors, compiled for this one, must compute what this one's does."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
import pytest

from tinycnn.kernels import tiles
from tinycnn.kernels.tiles import LANES, MR, NR, TILES, second_level_cache
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
    for channels, filters, options in (
        (32, 64, {"padding": "same"}),
        (5, 7, {"strides": 2, "dilation_rate": 2}),
        (16, 48, {"padding": "same"}),  # Winograd in narrow panels
        (32, 1, {"padding": "same"}),
        (21, 21, {"groups": 21}),
    ):
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


@pytest.mark.long  # each of them compiles everything anew
@pytest.mark.parametrize("tile", OTHERS)
def test_every_tile_computes_the_same(tile, tmp_path):
    path = os.pathsep.join([str(Path(__file__).parent), os.getcwd()])
    environment = {"TINYCNN_SIMD": tile, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": path}
    command = [sys.executable, "-c", f"import test_tiles; test_tiles.save('outputs.npz', {tile!r})"]
    subprocess.run(command, env={**os.environ, **environment}, cwd=tmp_path, check=True, timeout=300)
    ours = [array for dtype in DTYPES[tile] for array in outputs(dtype)]
    with np.load(tmp_path / "outputs.npz") as file:
        others = [file[key] for key in file.files]
    assert len(ours) == len(others) == 27 * len(DTYPES[tile])
    for mine, theirs in zip(ours, others, strict=True):
        assert mine.dtype == theirs.dtype
        tolerance = 2e-6 if mine.dtype == np.float32 else 1e-14
        assert abs(mine - theirs).max() <= tolerance * abs(mine).max()


def host_of(monkeypatch, name, features, machine, **config):
    """A host of that kind, and what the environment told numba about it."""
    monkeypatch.delenv("TINYCNN_SIMD", raising=False)
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_name", lambda: name)
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: dict.fromkeys(features, True))
    monkeypatch.setattr(tiles.platform, "machine", lambda: machine)
    for key, value in {"CPU_NAME": None, "CPU_FEATURES": None, "ENABLE_AVX": 1, **config}.items():
        monkeypatch.setattr(numba.config, key, value)


@pytest.mark.parametrize(
    "features, machine, config, tile",
    [
        (["avx", "avx512f"], "x86_64", {}, "avx512"),
        (["avx", "avx512f"], "x86_64", {"CPU_NAME": "znver4"}, "avx512"),
        (["avx", "avx512f"], "x86_64", {"CPU_NAME": "haswell"}, "avx2"),
        (["avx", "avx512f"], "x86_64", {"CPU_FEATURES": "+sse2,+avx,-avx512f"}, "avx2"),
        (["avx", "avx512f"], "x86_64", {"CPU_NAME": "generic", "CPU_FEATURES": ""}, "generic"),
        (["avx", "avx512f"], "x86_64", {"ENABLE_AVX": 0}, "generic"),
        (["avx", "avx2"], "AMD64", {}, "avx2"),
        (["sse2"], "x86_64", {}, "generic"),
        (["neon"], "arm64", {}, "neon"),
        ([], "riscv64", {}, "generic"),
    ],
)
def test_the_tile_suits_the_processor_that_numba_compiles_for(monkeypatch, features, machine, config, tile):
    host_of(monkeypatch, "znver4", features, machine, **config)
    assert tiles.tile_name() == tile


def test_the_environment_forces_a_tile_of_those_there_are(monkeypatch):
    for name in tiles.TILES:
        monkeypatch.setenv("TINYCNN_SIMD", name)
        assert tiles.tile_name() == name
    monkeypatch.setenv("TINYCNN_SIMD", "sse")
    with pytest.raises(
        ValueError, match="^TINYCNN_SIMD=sse: set the environment variable to one of avx512, avx2, neon"
    ):
        tiles.tile_name()


@pytest.mark.parametrize(
    "text, kilobytes", [("1024K\n", 1024), ("64K\n", 256), ("32768K\n", 2048), ("much\n", 512), (None, 512)]
)
def test_the_size_of_the_second_level_cache(tmp_path, text, kilobytes):
    if text:
        (tmp_path / "size").write_text(text)
    assert second_level_cache(tmp_path / "size") == kilobytes * 1024
