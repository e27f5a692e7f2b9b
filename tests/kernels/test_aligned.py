import subprocess
import sys

import numpy as np
import pytest

from tinycnn.kernels.aligned import aligned_empty, aligned_zeros_like


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("shape", [7, (3, 5), (2, 1, 11)])
def test_aligned_memory(dtype, shape):
    a = aligned_empty(shape, dtype)
    assert a.ctypes.data % 64 == 0 and a.dtype == dtype and a.shape == np.empty(shape).shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_aligned_zeros(dtype):
    zeros = aligned_zeros_like(np.ones((5, 3), dtype).T)
    assert zeros.ctypes.data % 64 == 0 and zeros.dtype == dtype and zeros.shape == (3, 5)
    assert zeros.flags.c_contiguous and not zeros.any()


def test_big_arrays_do_not_lie_a_power_of_two_and_a_page_apart():
    first, second = (aligned_empty((1 << 26,), np.uint8) for _ in range(2))
    assert abs(first.ctypes.data - second.ctypes.data) >= (1 << 26) + (1 << 16)


def test_importing_the_package_does_not_import_numba():
    code = "import sys, tinycnn\nassert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
