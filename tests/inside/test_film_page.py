import base64
import hashlib
import json
import re

import numpy as np
import pytest

from tinycnn.inside.film import Film
from tinycnn.inside.film_page import write_film_page
from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.model import Sequential

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


def test_what_the_script_needs_of_the_page_is_there(page):
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    assert set(re.findall(r'find\("([\w-]+)"\)', page)) <= ids


def test_epochs_and_losses_are_found_with_the_keyboard(browser, tmp_path):
    images, labels = np.random.default_rng(0).random((12, 8, 8, 1), np.float32), np.arange(12) % 2
    model = Sequential([Conv2D(3, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")], seed=0)
    film = Film(tmp_path / "film.html", slice_steps=3)
    losses = model.fit((images, labels), epochs=3, verbose=0, callbacks=[film]).history["loss"]
    try:
        browser.open(film.path)
        said = lambda id: browser.run(f"document.getElementById('{id}').textContent")  # noqa: E731
        assert said("shown") == f"epoch 3 of 3, loss {losses[2]:.3g}"
        bars = "[...document.querySelectorAll('#layers .bar')].map(bar => bar.getAttribute('height'))"
        last = browser.run(bars)
        browser.run("document.getElementById('epoch').focus()")
        browser.press("ArrowLeft")
        assert said("shown") == f"epoch 2 of 3, loss {losses[1]:.3g}"
        assert browser.run(bars) != last
        browser.run("document.querySelector('.cell[tabindex=\"0\"]').focus()")
        assert said("slice-value") == f"Loss {film.landscape.centre:.6f} at the weights themselves."
        for key in ("ArrowUp", "ArrowUp", "ArrowLeft"):  # the second goes no further
            browser.press(key)
        assert said("slice-value").startswith(f"Loss {film.landscape.losses[2][0]:.6f} at 1 along the first direction")
        for width in (320, 400, 1280, 2560):
            browser.resize(width, 900)
            assert browser.run("document.documentElement.scrollWidth <= window.innerWidth"), width
        assert browser.complaints == [] and browser.requests == [film.path.as_uri()]
    finally:
        browser.resize(1280, 900)
