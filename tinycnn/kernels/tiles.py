"""Sizes that depend on the processor: of vectors, of the register tile, and of the cache behind it.

The `LANES` numbers of a vector and the register tile of `gemm.gemm_tile`, `MR` rows by `NR` columns of accumulators,
are those of the processor that numba compiles for, or of the one in the environment::

    TINYCNN_SIMD=avx512|avx2|neon|generic

Any of them computes on any processor, as LLVM splits vectors that are too wide for its registers: what they differ in
is speed, and the last digits of sums that fused multiply-adds round once instead of twice.  `L2` is the cache that
the kernels' buffers are to fit in.
"""

import os
import platform
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba

TILES = {  # LANES, MR, NR: MR x NR/LANES accumulators, NR/LANES columns of B and one broadcast of A fill the registers
    "avx512": (16, 12, 32),  # 24 + 2 + 1 of 32 registers of 16 floats
    "avx2": (8, 6, 16),  # 12 + 2 + 1 of 16 of 8 floats
    "neon": (8, 6, 16),  # 24 + 4 + 1 of 32 of 4 floats
    "generic": (4, 6, 8),  # 12 + 2 + 1 of 16 of 4 floats
}


def tile_name() -> str:
    """Which of `TILES` suits the processor that numba compiles for, or the one in the environment's TINYCNN_SIMD.

    Numba has variables of its own: NUMBA_CPU_FEATURES, NUMBA_ENABLE_AVX and NUMBA_CPU_NAME.  A processor named there
    that is not the one at hand is not trusted to have AVX-512.

    Raises
    ------
    ValueError
        For a name that is not one of `TILES`.
    """
    forced = os.environ.get("TINYCNN_SIMD")
    if forced:
        if forced not in TILES:
            raise ValueError(f"TINYCNN_SIMD={forced}: set the environment variable to one of {', '.join(TILES)}")
        return forced
    config: Any = numba.config
    host = llvmlite.binding.get_host_cpu_features() if config.ENABLE_AVX else {}
    features = [name for name, there in host.items() if there]
    if config.CPU_FEATURES is not None:
        features = [name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")]
    at_hand = config.CPU_NAME in (None, llvmlite.binding.get_host_cpu_name())
    if "avx512f" in features and at_hand:
        return "avx512"
    if "avx" in features:
        return "avx2"
    return "neon" if platform.machine().lower() in ("arm64", "aarch64") else "generic"


LANES, MR, NR = TILES[tile_name()]


def second_level_cache(file: str = "/sys/devices/system/cpu/cpu0/cache/index2/size") -> int:
    """Bytes of a core's second-level cache as Linux tells, from 256 KB to 2 MB; elsewhere 512 KB."""
    try:
        size = int(Path(file).read_text().strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 512 * 1024
    return min(max(size, 256 * 1024), 2048 * 1024)


L2 = second_level_cache()
