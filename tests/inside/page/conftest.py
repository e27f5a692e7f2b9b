"""One browser for all tests of the page."""

import pytest
from browser import PROGRAM, Browser


@pytest.fixture(scope="session")
def browser():
    if PROGRAM is None:
        pytest.skip("there is no Chromium here")
    browser = Browser()
    yield browser
    browser.close()
