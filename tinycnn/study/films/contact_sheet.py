"""The contact sheet of an audit: near copies side by side, and a sample of each class, as one PNG."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinycnn.files import atomic_write

if TYPE_CHECKING:  # audit draws this sheet
    from tinycnn.study.films.audit import Audit

_SIDE, _GAP, _CAPTION, _COLUMNS = 96, 6, 26, 10
_TRAIN, _TEST, _INK, _PAPER = (40, 90, 200), (210, 60, 30), (20, 20, 20), (255, 255, 255)


def small_picture(image: np.ndarray) -> np.ndarray:
    """Grey 96x96 uint8 version of a uint8 image (height, width, 1 or 3)."""
    picture = Image.fromarray(image[:, :, 0]) if image.shape[2] == 1 else Image.fromarray(image).convert("L")
    return np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BOX))


def draw_contact_sheet(path: str | os.PathLike[str], audit: Audit, max_groups: int = 60) -> None:
    """Save the sheet of an `Audit`: rows of near copies, then of samples; blue frames are training, red are test."""
    rows: list[str | list[int | None]] = []
    sizes = np.bincount(audit.groups)
    copies = np.flatnonzero(sizes > 1)
    title = f"{len(copies)} groups of near copies"
    if len(copies) > max_groups:
        title += f", the first {max_groups} of them"
    rows.append(title)
    rows += _packed([np.flatnonzero(audit.groups == group).tolist() for group in copies[:max_groups]])
    for label, name in enumerate(audit.class_names):
        members = np.flatnonzero(audit.labels == label)
        rows.append(f"{name}: {len(members)} images, a sample")
        if len(members):
            rows.append(members[np.unique(np.linspace(0, len(members) - 1, _COLUMNS).astype(int))].tolist())

    title_height, row_height = 22, _SIDE + _CAPTION + _GAP
    height = sum(title_height if isinstance(row, str) else row_height for row in rows) + 2 * _GAP + title_height
    sheet = Image.new("RGB", (_COLUMNS * (_SIDE + _GAP) + _GAP, height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    draw.text((_GAP, _GAP), "Blue frame: training. Red frame: test.", _INK, font)
    top = title_height
    for row in rows:
        if isinstance(row, str):
            draw.text((_GAP, top + 6), row, _INK, font)
            top += title_height
            continue
        for column, i in enumerate(row):
            if i is None:
                continue
            left = _GAP + column * (_SIDE + _GAP)
            sheet.paste(Image.fromarray(audit.pictures[i]), (left, top))
            frame = _TEST if audit.in_test[i] else _TRAIN
            draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), outline=frame, width=2)
            lines = (audit.class_names[audit.labels[i]], PurePosixPath(audit.paths[i]).name)
            for line, text in enumerate(lines):
                draw.text((left, top + _SIDE + 12 * line), _shortened(draw, text, font), _INK, font)
        top += row_height
    with atomic_write(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _packed(groups: list[list[int]]) -> list[list[int | None]]:
    """Rows of image numbers in which groups stand side by side, an empty column (None) between them."""
    rows: list[list[int | None]] = []
    row: list[int | None] = []
    for group in groups:
        if row and len(row) + 1 + len(group) > _COLUMNS:
            rows.append(row)
            row = []
        row = [*row, None, *group] if row else list(group)
        while len(row) > _COLUMNS:
            rows.append(row[:_COLUMNS])
            row = row[_COLUMNS:]
    return rows + [row] if row else rows


def _shortened(draw, text, font):
    """The text cut to the width of a picture; Pillow's built-in font knows only Latin letters."""
    text = text.encode("ascii", "replace").decode()
    if draw.textlength(text, font) <= _SIDE:
        return text
    while text and draw.textlength(text + "...", font) > _SIDE:
        text = text[:-1]
    return text + "..."
