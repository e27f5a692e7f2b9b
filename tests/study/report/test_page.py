"""The page's shell, and what its script does, in a browser without a screen."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest
from runs import Page, small_run

from tinycnn.study.report.html import write_html_report
from tinycnn.study.report.page import write_page
from tinycnn.study.report.scoring import score_predictions


def digest(text):
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_policy_allows_the_pages_own_script_and_style_alone(tmp_path):
    page = Page(write_page(tmp_path / "p.html", "title", [], {}).read_text(encoding="utf-8"))
    (policy,) = (meta["content"] for meta in page.metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{digest(page.raw['style'])}'",
        "script-src": f"'sha256-{digest(page.raw['script'])}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # Nothing stands before the policy that it would not hold for.
    assert page.tags.index("meta") < page.tags.index("style") < page.tags.index("script")


def test_contents_lead_to_every_section(tmp_path):
    headings = ["Results", "Results: <b>", "results", "Über", ""]
    text = write_page(
        tmp_path / "p.html", "t", ["a & b"], {name: [f"<p>{name and 1}</p>"] for name in headings}
    ).read_text(encoding="utf-8")
    links, anchors = re.findall('<a href="#(.*?)">', text), re.findall('<section id="(.*?)">', text)
    assert links == anchors and len(set(links)) == 5 and all(re.fullmatch("[a-z0-9-]+", link) for link in links)
    assert "a &amp; b" in text and "<b>" not in text


def test_texts_are_no_templates(tmp_path):
    text = write_page(tmp_path / "p.html", "$script", ["${style}"], {"$policy": ["$body"]}).read_text(encoding="utf-8")
    assert "<h1>$script</h1>" in text and "${style}" in text and "<h2>$policy</h2>$body" in text


USE = """
result.violations = 0;
document.addEventListener("securitypolicyviolation", () => result.violations++);
const shown = () => [...document.querySelectorAll(".gallery figure:not([hidden])")];
const [is, called, verdict, order] = document.querySelectorAll(".controls select");
const choose = (select, value) => { select.value = value; select.dispatchEvent(new Event("change")); };
result.all = shown().length;
choose(is, "=Normal");
result.normal = shown().map((figure) => figure.dataset.true);
choose(verdict, "wrong");
result.wrong = shown().map((figure) => figure.className);
result.count = document.querySelector(".controls output").textContent;
choose(is, ""); choose(verdict, ""); choose(order, "sure");
result.sure = shown().map((figure) => Number(figure.dataset.sure));
choose(order, "");
result.order = shown().map((figure) => figure.querySelector("figcaption").textContent.match(/\\d+/)[0]).join(" ");
const search = document.querySelector(".controls input");
search.value = "/7.PNG"; search.dispatchEvent(new Event("input"));
result.found = shown().length;
search.value = ""; search.dispatchEvent(new Event("input"));

shown()[0].querySelector("button").click();
const viewer = document.querySelector("#viewer");
result.open = viewer.open;
const caption = (element) => element.querySelector("figcaption").textContent;
result.enlarged = caption(viewer) === caption(shown()[0]);
viewer.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
result.previous = caption(viewer) === caption(shown().at(-1));
result.scale = viewer.querySelectorAll(".scale").length;
[...viewer.querySelectorAll("button")].at(-1).click();
result.closed = !viewer.open;

const table = [...document.querySelectorAll("table")].find((table) => table.textContent.includes("random down to"));
const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].textContent);
const buttons = table.querySelectorAll("button");
buttons[1].click(); result.up = column(1);
buttons[1].click(); result.down = column(1);
buttons[0].click(); result.names = column(0);

const chart = document.querySelector(".chart > svg");
const tip = document.querySelector("#tip");
const dot = chart.querySelectorAll(".dot")[1].getBoundingClientRect();
chart.dispatchEvent(new PointerEvent("pointermove", {clientX: dot.x + 5, clientY: dot.y + 3}));
result.tip = tip.hidden ? null : tip.textContent;
chart.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
result.left = tip.textContent;
chart.dispatchEvent(new PointerEvent("pointerleave"));
result.hidden = tip.hidden;
"""


def used(path, code, tmp_path):
    """What the code, run within the page at `path` and its policy, puts into ``result``."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium to open the page in")
    code = "{const result = {};" + code + "setTimeout(() => { document.title = JSON.stringify(result); }, 0);}"
    text = path.read_text(encoding="utf-8").replace("script-src ", f"script-src 'sha256-{digest(code)}' ")
    path.write_text(text.replace("</body>", f"<script>{code}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([browser, *options, path.as_uri()], capture_output=True, encoding="utf-8", timeout=100)
    return json.loads(unescape(re.search("<title>(.*?)</title>", done.stdout)[1]))


def test_many_predictions_are_shown_by_and_by(tmp_path):
    rows = [{"path": f"{i}", "true": "a", "predicted": "a", "probabilities": [1.0, 0.0]} for i in range(300)]
    report = {"results": {"all": score_predictions([0, 1], np.eye(2), "ab")}, "predictions": rows}
    code = """
    const shown = () => document.querySelectorAll(".gallery figure:not([hidden])").length;
    const more = document.querySelector(".gallery + .buttons");
    result.states = [[shown(), more.hidden, document.querySelector("output").textContent]];
    for (let i = 0; i < 2; i++) { more.firstChild.click(); result.states.push([shown(), more.hidden]); }
    """
    states = used(write_html_report(tmp_path / "page.html", report), code, tmp_path)["states"]
    assert states == [[120, False, "300 of 300, 120 of them shown"], [240, False], [300, True]]


def test_clicks_do_what_they_say(tmp_path):
    report, test, probabilities, _ = small_run()
    path = write_html_report(tmp_path / "page.html", report, dict(enumerate(test.images)))
    result = used(path, USE, tmp_path)
    called = probabilities.argmax(axis=1)
    wrong = int(((called != test.labels) & (test.labels == 1)).sum())
    assert result == {
        "violations": 0,
        "all": 12,
        "normal": ["Normal"] * 4,
        "wrong": ["wrong"] * wrong,
        "count": f"{wrong} of 12 shown",
        "sure": sorted(result["sure"], reverse=True),
        "order": "0 1 2 3 4 5 6 7 8 9 10 11",
        "found": 1,
        "open": True,
        "enlarged": True,
        "previous": True,
        "scale": 1,
        "closed": True,
        "up": ["-0.25", "0.50"],
        "down": ["0.50", "-0.25"],
        "names": ["conv2d", "dense"],
        "tip": "epoch 2, training: 0.75",
        "left": "epoch 1, training: 1.5",
        "hidden": True,
    }
    assert result["sure"] == pytest.approx(sorted(probabilities.max(axis=1), reverse=True), abs=1e-6)
