import pytest


@pytest.fixture(autouse=True)
def every_set(kernels):
    """Every test of a layer runs over all sets of kernels."""
