"""Conversions are the same for every set of kernels; NumPy's needs no compiling."""

import pytest

from tinycnn.kernels.sets import set_kernels


@pytest.fixture(autouse=True)
def plain_kernels():
    with set_kernels("reference"):
        yield
