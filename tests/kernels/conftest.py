import pytest

from tinycnn.kernels import sets


@pytest.fixture(params=list(sets.SETS))
def kernels(request):
    """Every set of kernels in turn: what holds for one holds for all."""
    with sets.set_kernels(request.param):
        yield sets.active()
