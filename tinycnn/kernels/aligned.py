"""Arrays laid out for the caches.  Without numba, which takes longer to import than everything else here."""

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

LINE = 64  # bytes of a cache line


def aligned_empty(
    shape: int | tuple[int, ...], dtype: DTypeLike, allocate: Callable[..., np.ndarray] = np.empty
) -> np.ndarray:
    """`numpy.empty` where a cache line begins: a vector load never straddles two.

    The system lays big arrays next to each other, a page between them.  A thousandth of slack keeps those of 64 MB from
    lying 64 MB and 4 KB apart, where a loop over two of them is up to half slower (seen on a Zen 3).
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = allocate(size + size // 1024 + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned_zeros_like(array: np.ndarray) -> np.ndarray:
    """`numpy.zeros_like`, C-contiguous, where a cache line begins."""
    return aligned_empty(array.shape, array.dtype, np.zeros)
