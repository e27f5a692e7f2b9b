"""Lets every test file import the helpers in this folder (`toys`), which pytest's importlib mode does not."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tinycnn.kernels import sets

# In the background of a script Python inherits an ignored SIGINT, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(Path(__file__).parent))


collect_ignore_glob = ["campaigns/*"]  # run by tests/campaigns/run.py, where they are modules of their own


@pytest.fixture(params=list(sets.SETS))
def kernels(request):
    """Every set of kernels in turn: what holds for one holds for all.

    Tests of models, training and files ask for it by ``pytestmark = pytest.mark.usefixtures("kernels")``.
    """
    with sets.set_kernels(request.param):
        yield sets.active()


@pytest.fixture(scope="session")
def real_folder():
    """The report's images, where the environment says they are."""
    folder = os.environ.get("TINYCNN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TINYCNN_DATA does not name the folder of the report's chest X-rays")
    return Path(folder)
