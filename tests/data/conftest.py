import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_folder():
    """The report's images, where the environment says they are."""
    folder = os.environ.get("TINYCNN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TINYCNN_DATA does not name the folder of the report's chest X-rays")
    return Path(folder)
