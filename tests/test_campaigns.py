"""Each campaign runs: a few of its cases, in this process, so that none rots between the runs of CI's own step."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "campaigns"
SLOW = {"arguments": 2, "kills": 1}


@pytest.fixture
def campaign(monkeypatch, request):
    """The module, which is to be found under its own name only while it runs."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module(request.param)
    for name in {path.stem for path in FOLDER.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.mark.parametrize(
    "campaign", sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "run"), indirect=True
)
@pytest.mark.filterwarnings("ignore")
def test_a_few_cases(campaign, tmp_path):
    subject = campaign.prepare(tmp_path)
    assert campaign.COUNT >= 20 and campaign.__doc__
    for case in range(SLOW.get(campaign.__name__, 5)):
        campaign.attack(subject, np.random.default_rng([0, case]))
