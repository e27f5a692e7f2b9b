"""A matplotlib figure: its title and note, its texts, in a notebook, and on the disk in the format of its name."""

import io
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinycnn.arguments import as_path, flag, of_class
from tinycnn.files import PathLike, atomic_write

DPI = 140
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", (0, (5, 2)), (0, (1, 1.3)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "osD^vX"
WRONG = COLOURS[1]


class Picture(Figure):
    """A figure that a notebook shows as it is, without pyplot, which would open windows and keep every figure.

    >>> Picture()._repr_png_()[:4]
    b'\x89PNG'
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI)
        return file.getvalue()


def axes_for(ax: Any, note: str | None, figsize: tuple[float, float], charts: int = 1, **layout: Any) -> list[Axes]:
    """Those of `ax`, one or a sequence, or of a new `Picture` of `figsize` inches with that `layout` of subplots.

    Raises
    ------
    ValueError
        If they are not as many as there are `charts`, or for a note without a figure of its own to stand below.
    """
    found = Picture(figsize=figsize, layout="constrained").subplots(**layout) if ax is None else ax
    axes = list(np.ravel(np.asarray(found, object)))
    for one in axes:
        of_class(one, Axes, "ax")
    if len(axes) != charts:
        raise ValueError(f"there are {charts} charts to draw, so ax must be {charts} axes, got {len(axes)}")
    if flag(note, "note") and ax is not None:
        raise ValueError("a note stands below a whole figure; with ax=, give it to your own, by figure.supxlabel(note)")
    return axes


def headline(title: str | None, more: str) -> str | None:
    """`title` followed by `more`; nothing where there is to be no title."""
    return f"{title}{more}" if flag(title, "title") else None


def finished(
    figure: Figure, path: PathLike | None, title: str | None, note: str | None = None, ax: Any = None
) -> Figure:
    """`figure` with its title above, its note small below, and, if there is a `path`, on the disk.

    With `ax`, the caller's axes, the title stands above the first of these.  Errors as of `save_figure`.
    """
    # 9.3 and 14 letters per inch of the 12 and 8 point sans-serif; constrained layout does not wrap by itself.
    width = figure.get_figwidth()
    if flag(title, "title") and ax is not None:
        first = np.ravel(ax)[0]
        first.set_title(wrapped(title, int(9.3 * width * first.get_position().width)), fontsize=12)
    elif title:
        figure.suptitle(wrapped(title, int(9.3 * width)), fontsize=12)
    if flag(note, "note"):
        figure.supxlabel(wrapped(note, int(14 * width)), fontsize=8, color="0.3")
    if path is not None:
        save_figure(figure, path)
    return figure


def save_figure(figure: Figure, path: PathLike) -> Path:
    """Write `figure` in the format that the ending of `path` says.

    The file is written whole or not at all, and equal figures give equal bytes.

    Raises
    ------
    ValueError
        For an ending that matplotlib does not know; without one the file is a PNG.

    Examples
    --------
    >>> import tempfile
    >>> save_figure(Figure(), tempfile.mkdtemp() + "/empty.pdf").read_bytes()[:4]
    b'%PDF'
    """
    path = as_path(path)
    form = path.suffix[1:].lower() or "png"
    known = figure.canvas.get_supported_filetypes()
    if form not in known:
        raise ValueError(f"{path}: '{path.suffix}' is no format of pictures; use one of {', '.join(known)}")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with atomic_write(path) as temporary, rc_context({"svg.hashsalt": "tinycnn"}):
        figure.savefig(temporary, format=form, dpi=DPI, metadata=undated)
    return path


def wrapped(text: object, width: int) -> str:
    """Plain text in lines of at most `width` letters, where words allow it."""
    return plain_text("\n".join(textwrap.wrap(str(text), width, break_long_words=False)))


def plain_text(text: str) -> str:
    r"""A dollar sign in a class name is no formula, and what a name holds that is no letter cannot be drawn.

    >>> plain_text("US$ caf\udce9")
    'US\\$ caf?'
    """
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("$", r"\$")
