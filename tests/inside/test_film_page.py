import base64
import hashlib
import json
import re

import pytest

from tinycnn.inside.film_page import write_film_page

DATA = {
    "model": "</script><script>alert(1)</script>@@script@@",
    "history": {"loss": [1.0, float("nan")]},
    "frames": [{"epoch": 1, "layers": {"</script><b>&": {}}}],
    "images": 1,
    "slice": None,
}


@pytest.fixture
def page(tmp_path):
    return write_film_page(tmp_path / "film.html", DATA).read_text(encoding="utf-8")


def test_the_policy_names_the_only_script_and_style(page):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(f"<{element}>(.*?)</{element}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert not re.findall(r"\b(src|href|style|on\w+)=", page) and "http://www.w3.org/2000/svg" in page
    assert page.count("http") == 2  # the namespace of SVG, and http-equiv: nothing comes from outside


def test_names_are_escaped_and_the_data_come_back(page):
    assert page.count("<script") == page.count("</script") == 2 and "@@script@@" in page
    (numbers,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(numbers) == DATA | {"history": {"loss": [1.0, None]}}


def test_the_page_works_in_a_browser_without_the_network(page):
    """What the script needs of the page is there."""
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    assert set(re.findall(r'find\("([\w-]+)"\)', page)) <= ids
