"""The page: self-contained, well formed, escaped, and with every number of the run."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from runs import NAMES, cats_and_dogs, small_run

from tinycnn.study.report.html import Picture, png_bytes, write_html_report


class Page(HTMLParser):
    """Collects what a browser would see; fails on tags that are not closed in order."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.images, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attributes))
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def written(tmp_path, *args):
    path = write_html_report(tmp_path / "report.html", *args)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_one_file_without_anything_from_outside(tmp_path):
    report, test, _, _ = small_run()
    text, page = written(tmp_path, report, [], {"Films": [Picture(image, "a film") for image in test.images]})
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    assert not re.search(r"https?://|url\(|@import", text)
    assert len(page.images) == 12 and all(image["alt"] == "a film" for image in page.images)


def test_says_every_number(tmp_path):
    report, *_ = small_run()
    page = written(tmp_path, report)[1]
    for scores in report["results"].values():
        assert f"{scores['accuracy']:.3f}" in page.text
        low, high = scores["accuracy_interval"]
        assert f"{low:.2f} - {high:.2f}" in page.text
    for words in (
        "never for diagnosis",
        "films & more",
        "1,234,567",
        "12%",
        "25%",
        "-0.25",
        "train/bad.png",
        "ab" * 32,
    ):
        assert words in page.text, words
    assert "Synthetic" not in page.text


def test_text_is_escaped(tmp_path):
    report, test, _, _ = small_run()
    text, page = written(tmp_path, report, [], {"<i>heading": [Picture(test.images[0], '"><script>alert(1)</script>')]})
    assert "<script" not in text and "<b>" not in text and "<i>" not in text
    assert NAMES[2] in page.text and page.images[0]["alt"] == '"><script>alert(1)</script>'


def test_synthetic_images_are_called_so(tmp_path):
    assert "Synthetic images." in written(tmp_path, small_run(synthetic=True)[0])[1].text


def test_a_run_on_other_images_is_not_called_one_on_chests(tmp_path):
    page = written(tmp_path, cats_and_dogs())[1]
    assert "Image classification with tinycnn" in page.text and "correlation" in page.text
    assert not re.search("chest|x-ray|lung|hospital|radiol|clinical|patient", page.text, re.IGNORECASE)
    assert "Chest X-ray classification" in written(tmp_path, small_run()[0])[1].text
    told = cats_and_dogs()
    told["data"]["chest_films"] = True  # as --chest says
    assert "Chest X-ray classification" in written(tmp_path, told)[1].text


def test_known_problems_of_the_public_set_are_named(tmp_path):
    report, *_ = small_run()
    names = ["Covid", "Normal", "Viral Pneumonia"]
    counts = {
        "train": dict(zip(names, (111, 70, 70), strict=True)),
        "test": dict(zip(names, (26, 20, 20), strict=True)),
    }
    report["data"] |= {"class_names": names, **counts}
    assert "bacterial" in written(tmp_path, report)[1].text
    assert "bacterial" not in written(tmp_path, small_run()[0])[1].text


def test_only_results_are_needed(tmp_path):
    report, *_ = small_run()
    page = written(tmp_path, {"results": report["results"]})[1]
    assert not any(words in page.text for words in ("confounds", "Intended use", "Data and splits", "Model and"))
    with pytest.raises(ValueError, match="no results"):
        write_html_report(tmp_path / "r.html", {"results": {}})


def test_png_files_are_embedded_and_others_refused(tmp_path):
    (tmp_path / "chart.png").write_bytes(png_bytes(np.zeros((3, 5), np.uint8)))
    page = written(tmp_path, small_run()[0], [Picture(tmp_path / "chart.png", "a chart")])[1]
    assert page.images[0]["width"] == "5" and page.images[0]["height"] == "3"
    assert base64.b64decode(page.images[0]["src"].split(",")[1]) == (tmp_path / "chart.png").read_bytes()
    (tmp_path / "fake.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="fake.png is not a PNG"):
        write_html_report(tmp_path / "r.html", small_run()[0], [Picture(tmp_path / "fake.png", "")])
    with pytest.raises(OSError, match="missing.png"):
        write_html_report(tmp_path / "r.html", small_run()[0], [Picture(tmp_path / "missing.png", "")])
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (6, 9, 1), (5, 8, 3)])
def test_png_holds_the_pixels(shape):
    Image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    read = np.asarray(Image.open(io.BytesIO(png_bytes(pixels))))
    assert np.array_equal(read.reshape(shape), pixels)


def test_png_refuses_other_arrays():
    for wrong in (np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            png_bytes(wrong)
