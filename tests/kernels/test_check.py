import numpy as np
import pytest

from tinycnn.kernels.check import check


def test_what_fits_passes():
    x = np.zeros((2, 3))
    check("it", x=(x, (2, 3)), nothing=(None, (1,)), codes=(np.zeros(5, np.uint8), (5,), np.uint8))


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((2, 3), np.float32), "it: y is float32 and x is float64; give both one dtype"),
        (np.zeros((3, 2)), r"it: y has shape \(3, 2\), but must have shape \(2, 3\)"),
        (np.zeros((3, 2)).T, r"it: y must be a C-contiguous array, got shape \(2, 3\) with strides"),
        (np.zeros((2, 3), ">f8"), "it: y is >f8 and x is float64"),
    ],
)
def test_what_does_not_is_named(array, message):
    with pytest.raises(ValueError, match=message):
        check("it", x=(np.zeros((2, 3)), (2, 3)), y=(array, (2, 3)))


def test_dtypes_that_no_kernel_takes():
    with pytest.raises(ValueError, match="it: x is float16, but must be float32 or float64"):
        check("it", x=(np.zeros(3, np.float16), (3,)))
    with pytest.raises(ValueError, match="it: codes is int8, but must be uint8"):
        check("it", x=(np.zeros(3), (3,)), codes=(np.zeros(3, np.int8), (3,), np.uint8))
