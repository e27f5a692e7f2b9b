"""A run on one page: a single HTML file that any browser opens, without a server, scripts or anything from outside."""

import base64
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinycnn.files import atomic_write
from tinycnn.study.report import tables
from tinycnn.study.report.scoring import leak_text, of_chest_films
from tinycnn.study.report.sections import Folded, sections
from tinycnn.study.report.tables import Table, as_html


class Picture(NamedTuple):
    """An image for the page.

    Attributes
    ----------
    source : path-like or ndarray of uint8, (height, width) or (height, width, 1 or 3)
        A PNG file, or the pixels themselves.
    caption : str
    """

    source: str | os.PathLike[str] | np.ndarray
    caption: str


def write_html_report(
    path: str | os.PathLike[str],
    report: Mapping[str, Any],
    figures: Sequence[Picture] = (),
    galleries: Mapping[str, Sequence[Picture]] | None = None,
) -> Path:
    """Write the page of one run.

    Parameters
    ----------
    path : path-like
        The file to write, whole or not at all.
    report : dict
        What ``report.json`` holds.  ``results`` (of `scoring.score_predictions`, by name of the set of images)
        is needed; ``notice, synthetic, data, settings, class_weights, model, history, versions, machine, threads,
        timing, audit, attention`` each add their part.
    figures : sequence of Picture
        Charts, in their order: curves, confusion matrix, reliability.
    galleries : mapping of str to sequence of Picture, optional
        Headings, and small images under each: heat maps, the worst mistakes.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If there are no results, or a picture is neither a PNG file nor uint8 pixels.
    OSError
        Naming the file that cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> from tinycnn.study.report.scoring import score_predictions
    >>> scores = score_predictions([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], ["Covid", "Normal"])
    >>> page = write_html_report(tempfile.mkdtemp() + "/report.html", {"results": {"all test images": scores}})
    >>> "0.667" in page.read_text(), "http" in page.read_text()
    (True, False)
    """
    if not report.get("results"):
        raise ValueError("the report holds no results; score_predictions gives them")
    title = f"{'Chest X-ray' if of_chest_films(report) else 'Image'} classification with tinycnn"
    body = [f"<header><h1>{title}</h1>{_banner(report)}</header>", f"<section>{_cards(report)}</section>"]
    for name, kind, pictures in (
        ("Charts", "charts", figures),
        *((name, "gallery", pictures) for name, pictures in (galleries or {}).items()),
    ):
        if pictures:
            body.append(_section(name, f'<div class="{kind}">{"".join(map(_figure, pictures))}</div>'))
    body += [_section(heading, "".join(map(_block, blocks))) for heading, blocks in sections(report)]
    html = _PAGE.replace("{title}", title).replace("{body}", "\n".join(body))
    with atomic_write(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


def png_bytes(image: np.ndarray) -> bytes:
    """A PNG file of uint8 pixels, (height, width) or (height, width, 1 or 3).

    Source: Portable Network Graphics Specification, third edition, W3C 2025.

    >>> png_bytes(np.zeros((2, 3), np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"a picture must be uint8 (height, width[, 1 or 3]), got {image.dtype} {image.shape}")
    height, width, channels = image.shape
    rows = image.reshape(height, width * channels)
    # Each row begins with its filter: 0, none.
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _banner(report: Mapping[str, Any]) -> str:
    text = f'<p class="notice">{escape(report["notice"])}</p>' if report.get("notice") else ""
    if report.get("synthetic"):
        text += (
            '<p class="notice"><strong>Synthetic images.</strong> The network saw drawings, not patients; the numbers '
            "say nothing about radiology.</p>"
        )
    return text


def _cards(report: Mapping[str, Any]) -> str:
    cards = []
    for name, images, correct, *rates in tables.results_table(report["results"]).rows:
        for value, interval, words in (
            (*rates[:2], f"accuracy, {escape(name)}<br>{correct} of {images} correct, 95 % interval"),
            (*rates[2:4], f"macro F1, {escape(name)}<br>95 % interval"),
        ):
            text = f'<p class="big">{value}</p><p>{words} <span class="whole">{interval}</span></p>'
            cards.append(f'<div class="card">{text}</div>')
    leaks = f"<p>{escape(leak_text(report['results']))}</p>" if report.get("audit") else ""
    return f'<div class="cards">{"".join(cards)}</div>{leaks}'


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def _block(block: str | list[str] | Table | Folded) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, list):
        return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in block)}</ul>"
    if isinstance(block, Table):
        return as_html(block)
    return f"<details><summary>{escape(block.summary)}</summary>{as_html(block.table)}</details>"


def _figure(picture: Picture) -> str:
    source, caption = picture
    data = png_bytes(source) if isinstance(source, np.ndarray) else Path(source).read_bytes()
    if not data.startswith(b"\x89PNG"):
        raise ValueError(f"{source} is not a PNG file")
    width, height = struct.unpack(">II", data[16:24])
    caption = escape(caption)
    broad = ' class="broad"' if width > 1.5 * height else ""
    return (
        f'<figure{broad}><img width="{width}" height="{height}" alt="{caption}" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}"><figcaption>{caption}</figcaption></figure>'
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root { --page: #f6f7f9; --paper: #fff; --ink: #1c2024; --faint: #5a646e; --line: #dfe3e8; --accent: #0b62a8;
  --warn: #fff4d6; --warn-ink: #5c4300; --mark: #e3f0fb; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171a; --paper: #1d2125; --ink: #e6e9ec; --faint: #a3adb7; --line: #343a41; --accent: #7cbcf2;
    --warn: #3b3112; --warn-ink: #ffe39a; --mark: #17354d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem; margin: 1rem 0; }
p { margin: .5rem 0; }
.notice { background: var(--warn); color: var(--warn-ink); border-radius: .6rem; padding: .6rem 1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; }
.card p { margin: 0; color: var(--faint); font-size: .9rem; }
.card .big { font-size: 2.2rem; font-weight: 650; line-height: 1.2; color: var(--accent); }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--faint); font-weight: 600; }
th:first-child, td:first-child, td.text { text-align: left; }
td.text { white-space: normal; overflow-wrap: anywhere; }
td.marked { background: var(--mark); font-weight: 650; }
th + th, td + td { padding-left: .8rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
.charts .broad { grid-column: 1 / -1; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
.whole { white-space: nowrap; }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; border-radius: .4rem; background: #fff; }
figcaption { font-size: .85rem; color: var(--faint); margin-top: .3rem; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--accent); margin: .5rem 0; }
li { overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; font-size: .85em; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
</style>
</head>
<body>
{body}
</body>
</html>
"""
