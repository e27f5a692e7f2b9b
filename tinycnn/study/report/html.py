"""A run on one page: a single HTML file that any browser opens, without a server or anything from outside."""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinycnn.arguments import of_class
from tinycnn.study.report import tables
from tinycnn.study.report.charts import history_charts, prediction_charts
from tinycnn.study.report.inside_pages import RIGHT, WRONG
from tinycnn.study.report.overlays import colour_bar
from tinycnn.study.report.page import escaped, write_page
from tinycnn.study.report.scoring import of_chest_films, short_names
from tinycnn.study.report.sections import LongTable, sections
from tinycnn.study.report.tables import Table, as_html

_SHARES = 4  # of the likeliest classes that a caption names


def write_html_report(
    path: str | os.PathLike[str], report: Mapping[str, Any], pictures: Mapping[int, np.ndarray] | None = None
) -> Path:
    """Write the page of one run.

    Parameters
    ----------
    path : path-like
        The file to write, whole or not at all.
    report : dict
        What ``report.json`` holds.  ``results`` (of `scoring.score_predictions`, by name of the set of images)
        is needed; ``notice, synthetic, data, settings, class_weights, model, history, predictions, versions, machine,
        threads, timing, audit, attention`` each add their part; so does ``inside``, names of pages of
        `write_inside_pages` that lie beside this one.
    pictures : mapping of int to ndarray of uint8, (height, width, 1 or 3), optional
        For rows of ``predictions``, by their number: the image, with ``attention`` beside itself under its heat map.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If there are no results, or a picture is no uint8 pixels.
    OSError
        Naming the file that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from tinycnn.study.report.scoring import score_predictions
    >>> scores = score_predictions([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], ["Covid", "Normal"])
    >>> page = write_html_report(tempfile.mkdtemp() + "/report.html", {"results": {"all test images": scores}})
    >>> "0.667" in page.read_text(), "https:" in page.read_text()
    (True, False)
    """
    of_class(report, Mapping, "report")
    if not report.get("results"):
        raise ValueError("the report holds no results; score_predictions gives them")
    notices = [report["notice"]] if report.get("notice") else []
    if report.get("synthetic"):
        notices.append(
            "Synthetic images. The network saw drawings, not patients; the numbers say nothing about radiology."
        )
    known = {section.heading: [block_html(block) for block in section.blocks] for section in sections(report)}
    parts = {heading: known.pop(heading) for heading in list(known) if heading.startswith("Results")}
    parts["Results"].insert(0, _cards(report["results"]))
    class_names = list(next(iter(report["results"].values()))["classes"])
    predictions = report.get("predictions") or []
    charts = history_charts(report.get("history") or {})
    charts += prediction_charts(predictions, class_names) if predictions else []
    if charts:
        parts["Curves"] = [f'<div class="charts">{"".join(charts)}</div>']
    if predictions:
        one = ("film" if of_chest_films(report) else "image") if report.get("attention") else ""
        unlike = set((report.get("novelty") or {}).get("marked", ()))
        marked = [row | {"unlike": i in unlike} for i, row in enumerate(predictions)]
        parts["Predictions"] = _gallery(marked, class_names, pictures or {}, one)
    if report.get("inside"):
        which = "called {}, of which the network was {}"
        said = {RIGHT: which.format("right", "least sure"), WRONG: which.format("wrong", "surest")}
        links = [f'<li>one <a href="{escaped(page)}">{said[page]}</a></li>' for page in report["inside"]]
        about = "Pages in which a click on any number says what it is made of, forward and backward:"
        parts["Every number of one pass"] = [f"<p>{about}</p><ul>{''.join(links)}</ul>"]
    title = f"{'Chest X-ray' if of_chest_films(report) else 'Image'} classification with tinycnn"
    return write_page(path, title, notices, parts | known)


def jpeg_bytes(image: np.ndarray) -> bytes:
    """A JPEG file of uint8 pixels, (height, width) or (height, width, 1 or 3).

    >>> jpeg_bytes(np.zeros((2, 3), np.uint8))[:2]
    b'\\xff\\xd8'
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)) or not image.size:
        raise ValueError(f"a picture must be uint8 (height, width[, 1 or 3]), got {image.dtype} {image.shape}")
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).save(file, "JPEG", quality=88, subsampling=0)
    return file.getvalue()


def _cards(results: Mapping[str, Mapping[str, Any]]) -> str:
    cards = []
    for name, images, correct, *rates in tables.results_table(results).rows:
        for value, interval, words in (
            (*rates[:2], f"accuracy, {escaped(name)}<br>{correct} of {images} correct, 95 % interval"),
            (*rates[2:4], f"macro F1, {escaped(name)}<br>95 % interval"),
        ):
            text = f'<p class="big">{value}</p><p>{words} <span class="whole">{interval}</span></p>'
            cards.append(f'<div class="card">{text}</div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def block_html(block: str | list[str] | Table | LongTable) -> str:
    """A sentence, a list of them, or a table, as `sections` hands them out.

    >>> block_html("a < b")
    '<p>a &lt; b</p>'
    """
    if isinstance(block, str):
        return f"<p>{escaped(block)}</p>"
    if isinstance(block, list):
        return f"<ul>{''.join(f'<li>{escaped(text)}</li>' for text in block)}</ul>"
    if isinstance(block, Table):
        return as_html(block)
    return f"<p>{escaped(block.caption)}</p>{as_html(block.table, long=True)}"


def _gallery(
    predictions: Sequence[Mapping[str, Any]], class_names: Sequence[str], pictures: Mapping[int, np.ndarray], one: str
) -> list[str]:
    """Every prediction with its picture, if it has one; the scale of the heat maps of `one` image or film, if named."""
    figures = []
    for i, (name, row) in enumerate(zip(short_names([row["path"] for row in predictions]), predictions, strict=True)):
        verdict = "right" if row["true"] == row["predicted"] else "wrong"
        true, called, sure = escaped(row["true"]), escaped(row["predicted"]), max(row["probabilities"])
        likeliest = sorted(zip(row["probabilities"], class_names, strict=True), key=lambda pair: -pair[0])[:_SHARES]
        shares = ", ".join(f"{escaped(k)} {p:.0%}" for p, k in likeliest)
        about = f"{escaped(name) or i}: <b>{true}</b>, called <b>{called}</b><br>{shares}"
        about += "<br>unlike the training images" if row["unlike"] else ""
        image = f'<img alt="{escaped(name)}" {_source(pictures[i])}>' if i in pictures else ""
        figures.append(
            f'<figure class="{verdict}" data-true="{true}" data-called="{called}" data-sure="{sure:.6f}">{image}'
            f"<figcaption>{about}</figcaption></figure>"
        )
    parts = [f'<div class="gallery">{"".join(figures)}</div>']
    if pictures and len(pictures) < len(predictions):
        parts.insert(0, f"<p>{len(pictures)} of {len(predictions)} have a picture.</p>")
    if pictures and one:
        about = f"Each {one}, and right of it where the network looked (Grad-CAM of the class it was called)."
        bar = f'<img alt="from dark to bright" {_source(colour_bar())}>'
        scale = f"<span>nothing, 0</span>{bar}<span>1, the most in this {one}; every {one} has its own scale</span>"
        parts = [f"<p>{about}</p>", f'<div class="scale">{scale}</div>', *parts]
    return parts


def _source(image: np.ndarray) -> str:
    data = base64.b64encode(jpeg_bytes(image)).decode()
    return f'width="{image.shape[1]}" height="{image.shape[0]}" src="data:image/jpeg;base64,{data}"'
