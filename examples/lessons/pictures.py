"""What the lessons' pictures share: where they go, their colours, and how arrays, windows and numbers are drawn."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from tinycnn.inside.passes import SIGNED
from tinycnn.scores.figure import COLOURS, LINES, finished

# Okabe and Ito's colours (2008), told apart by all common kinds of colour blindness.
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = COLOURS
INK = "#1a1a1a"


def panels(rows: int, columns: int, width: float, height: float, **options) -> tuple[Figure, np.ndarray]:
    """A figure of `width` x `height` inches and its axes, an array of shape (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def folder() -> Path:
    """Where pictures go: ``--out FOLDER`` of the command line, or runs/lessons."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("runs/lessons"))
    return parser.parse_known_args()[0].out  # Jupyter has arguments of its own on the command line


def save(figure: Figure, name: str, title: str) -> Image.Image:
    """Write ``NAME.png`` and return it: a notebook shows what the last line of a cell gives."""
    path = folder() / f"{name}.png"
    finished(figure, path, title)
    return Image.open(path)


def show(
    axes: Axes, array: np.ndarray, title: str = "", numbers: str = "", signed: bool = False, largest: float = 0.0
) -> None:
    """An array as a picture: grey, or with `signed` dark below zero and light above; `numbers` is their format.

    Without `signed`, black is 0 and white is `largest`, by default the largest number.
    """
    top = largest or float(np.abs(array).max()) or 1.0
    axes.imshow(array, cmap=SIGNED if signed else "gray", vmin=-top if signed else 0, vmax=top, aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)
    if numbers:
        for (i, j), value in np.ndenumerate(array):
            share = (value / top + 1) / 2 if signed else value / top
            write(axes, i, j, f"{value:{numbers}}", "white" if share < 0.6 else INK)


def write(axes: Axes, row: float, column: float, text: str, colour: str = INK, size: float = 9) -> None:
    """`text` in the middle of a pixel."""
    axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def frame(axes: Axes, row: float, column: float, height: float, width: float, colour: str = ORANGE) -> None:
    """A frame around `height` x `width` pixels from (row, column) on."""
    box = Rectangle((column - 0.5, row - 0.5), width, height, fill=False, edgecolor=colour, linewidth=2.5)
    axes.add_patch(box)
    box.set_clip_on(False)


def curve(axes: Axes, x: np.ndarray, y: np.ndarray, number: int, label: str, **style) -> None:
    """Line number 0 to 5, which differs from the others by colour and by dashes."""
    axes.plot(x, y, color=COLOURS[number], linestyle=LINES[number], label=label, **style)


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Titles of the axes, small, and no more lines than needed."""
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
