import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels.dropout import dropout_mask_apply
from tinycnn.kernels.sweep import TASK

DTYPES = [np.float32, np.float64]
SHAPES = [(1,), (3, 5, 7), (TASK,), (2, TASK + 13), (0,)]  # one task, several, remainders of vectors, nothing


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.999])
def test_dropout_equals_reference_bit_for_bit(shape, rate, dtype):
    x = normal(shape, dtype)
    for key in (0, 12345, 2**64 - 1):
        out = np.full(shape, np.nan, dtype)
        dropout_mask_apply(x, out, np.uint64(key), rate)
        assert out.tobytes() == reference.dropout(x, key, rate).tobytes()


def test_dropout_keeps_its_share_and_differs_between_keys():
    x = np.ones(100_000, np.float32)
    one, two = np.empty_like(x), np.empty_like(x)
    dropout_mask_apply(x, one, np.uint64(1), 0.25)
    dropout_mask_apply(x, two, np.uint64(2), 0.25)
    assert (one == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert ((one == 0) & (two == 0)).mean() == pytest.approx(0.0625, abs=0.01)
    assert ((one[1:] == 0) & (one[:-1] == 0)).mean() == pytest.approx(0.0625, abs=0.01)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="dropout: out is float64 and x is float32"):
        dropout_mask_apply(np.ones(4, np.float32), np.ones(4), np.uint64(1), 0.5)
