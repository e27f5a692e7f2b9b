"""The run's page: self-contained, well formed, escaped, and with every number of the run."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from runs import NAMES, Page, cats_and_dogs, hostile, small_run

from tinycnn.study.report.html import jpeg_bytes, write_html_report
from tinycnn.study.report.scoring import score_predictions

TAGS = "html head meta title style body header h1 h2 p br nav ol ul li a main section div span table thead tbody tr th"
TAGS = {*TAGS.split(), *"td small figure figcaption b img svg line text polyline circle script".split()}


def written(tmp_path, *args):
    path = write_html_report(tmp_path / "report.html", *args)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def pictures(test):
    return dict(enumerate(test.images))


def test_one_file_without_anything_from_outside(tmp_path):
    report, test, _, _ = small_run()
    text, page = written(tmp_path, report, pictures(test))
    assert set(page.tags) == TAGS and page.tags.count("script") == page.tags.count("style") == 1
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.images)
    assert not re.search(r"https?:|url\(|@import", text)
    assert [image["alt"] for image in page.images][1:] == [f"{NAMES[i % 3][:3]}/{i}.png" for i in range(12)]


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
        "Every epoch",
    ):
        assert words in page.text, words
    assert "Synthetic" not in page.text


def test_every_prediction_is_listed_with_its_picture(tmp_path):
    report, test, probabilities, _ = small_run()
    text, page = written(tmp_path, report, pictures(test))
    found = re.findall(r'<figure class="(right|wrong)" data-true="(.*?)" data-called="(.*?)" data-sure="(.*?)">', text)
    assert len(found) == 12
    for i, (verdict, true, called, sure) in enumerate(found):
        assert (verdict == "right") == (true == called) == (probabilities[i].argmax() == test.labels[i])
        assert float(sure) == pytest.approx(probabilities[i].max(), abs=1e-6)
    decoded = Image.open(io.BytesIO(base64.b64decode(page.images[1]["src"].split(",")[1])))
    assert np.array_equal(np.asarray(decoded), np.asarray(Image.open(io.BytesIO(jpeg_bytes(test.images[0])))))


def test_a_caption_names_the_likeliest_classes(tmp_path):
    names = [f"class {k}" for k in range(6)]
    rows = [{"path": "a", "true": "class 2", "predicted": "class 4", "probabilities": [0, 0.1, 0.2, 0.15, 0.5, 0.05]}]
    scores = score_predictions([2], [rows[0]["probabilities"]], names)
    text, _ = written(tmp_path, {"results": {"one": scores}, "predictions": rows})
    assert "<br>class 4 50%, class 2 20%, class 3 15%, class 1 10%</figcaption>" in text


def test_what_has_no_picture_is_listed_too(tmp_path):
    report, test, _, _ = small_run()
    text, page = written(tmp_path, report, {3: test.images[3]})
    assert len(page.images) == 2 and "1 of 12 have a picture" in page.text
    assert len(re.findall('<figure class="(?:right|wrong)"', text)) == 12


def test_the_scale_of_heat_maps_is_shown_with_them_alone(tmp_path):
    report, test, _, _ = small_run()
    assert (
        "every film has its own scale" in written(tmp_path, report | {"data": chests(report)}, pictures(test))[1].text
    )
    assert "its own scale" not in written(tmp_path, report)[1].text


def chests(report):
    return report["data"] | {"chest_films": True}


def test_charts_are_of_the_runs_own_numbers(tmp_path):
    text, page = written(tmp_path, small_run()[0])
    assert page.tags.count("svg") > 5
    for tip in ("epoch 2, training: 0.75", "epoch 1, training: 25.0 %", "epoch 2: 0.0005"):
        assert f'data-tip="{tip}"' in text


def test_no_text_of_a_run_becomes_markup(tmp_path):
    attack = "\"'><img src=x onerror=alert(1)></figure></script><script>alert(2)</script>\n<b>x</b>${script}"
    report, test, _, _ = small_run(names=tuple(f"{name}{attack}" for name in NAMES))
    for row in report["predictions"]:
        row["path"] += attack
    text, page = written(tmp_path, report, pictures(test))
    assert set(page.tags) == TAGS and page.tags.count("script") == 1 and "<b>x" not in text
    assert len(page.images) == 13 and all(set(image) == {"alt", "width", "height", "src"} for image in page.images)
    evil = hostile(small_run()[0])
    evil["predictions"] = []
    text, page = written(tmp_path, evil)
    assert set(page.tags) <= TAGS and "<b>x" not in text


def test_synthetic_images_are_called_so(tmp_path):
    assert "Synthetic images." in written(tmp_path, small_run(synthetic=True)[0])[1].text


def test_a_run_on_other_images_is_not_called_one_on_chests(tmp_path):
    told = cats_and_dogs()
    told["predictions"] = [{"path": "a.png", "true": "cat", "predicted": "cat", "probabilities": [0.75, 0.25]}]
    text, page = written(tmp_path, told, {0: np.zeros((4, 8), np.uint8)})
    assert "Image classification with tinycnn" in page.text and "correlation" in page.text
    assert not re.search("chest|x-ray|lung|hospital|radiol|clinical|patient|film", text, re.IGNORECASE)
    assert "Chest X-ray classification" in written(tmp_path, small_run()[0])[1].text
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
    absent = ("confounds", "Intended use", "Data and splits", "Model and", "Curves", "Predictions")
    assert not any(words in page.text for words in absent)
    with pytest.raises(ValueError, match="no results"):
        write_html_report(tmp_path / "r.html", {"results": {}})
    assert not (tmp_path / "r.html").exists()


def test_leads_to_the_pages_of_one_pass_that_there_are(tmp_path):
    report, *_ = small_run()
    assert "inside.html" not in written(tmp_path, report)[0]
    text, page = written(tmp_path, report | {"inside": ["inside_wrong.html"]})
    assert '<a href="inside_wrong.html">called wrong, of which the network was surest</a>' in text
    assert "inside.html" not in text and "Every number of one pass" in page.text


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (6, 9, 1), (5, 8, 3)])
def test_jpeg_shows_the_pixels(shape):
    rows, columns = np.indices(shape[:2])
    pixels = np.broadcast_to((20 * rows + 10 * columns).reshape(*shape[:2], *[1] * (len(shape) - 2)), shape)
    read = np.asarray(Image.open(io.BytesIO(jpeg_bytes(pixels.astype(np.uint8)))), float)
    assert np.abs(read.reshape(shape) - pixels).max() < 8


def test_jpeg_refuses_other_arrays():
    for wrong in (np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            jpeg_bytes(wrong)
