"""One image on its way through a network and, with a label, the gradient on its way back: one picture."""

import os
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array
from tinycnn.files import atomic_write
from tinycnn.inside.class_score import output_names
from tinycnn.inside.columns import CHANNELS, Box, Column, columns_of
from tinycnn.inside.trace import trace
from tinycnn.model import Sequential
from tinycnn.scores.figure import Picture

# Dark below zero, light above, grey at zero: blue and yellow are told apart by all common kinds of colour blindness,
# and the lightness alone, which is what a grey printer leaves, rises from end to end.
SIGNED = LinearSegmentedColormap.from_list("signed", ["#04204f", "#2f5f9e", "#8d9298", "#e8b93c", "#fff6c4"])
INK, FAINT = "#1a1a1a", "#5f6368"
# Lengths are in inches.
WIDTH, MARGIN, GAP, BETWEEN = 10.0, 0.12, 0.13, 0.05
WIDTHS = {"film": 1.55, "maps": 0.0, "strip": 0.6, "bars": 1.7}
SMALLEST, LARGEST = 0.75, 1.3  # side of a channel's picture


class Band(NamedTuple):
    """A row of columns: forward or backward, its upper edge, size of a channel's picture, and the classes."""

    forward: bool
    top: float
    cell: float
    cell_height: float
    names: list[str]
    label: int | None

    @property
    def height(self) -> float:
        return CHANNELS * (self.cell_height + BETWEEN)


class Sheet:
    """A figure on which places are given in inches from its upper left corner."""

    def __init__(self, height: float) -> None:
        self.figure, self.height = Picture(figsize=(WIDTH, height), dpi=150, facecolor="white"), height

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes with the upper left corner at x, y."""
        bottom = self.height - y - height
        axes = self.figure.add_axes((x / WIDTH, bottom / self.height, width / WIDTH, height / self.height))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color="#b0b4b8", linewidth=0.5)
        return axes

    def text(self, x: float, y: float, text: str, **style: Any) -> Any:
        """Text at x, y, centred unless told otherwise."""
        style = {"fontsize": 7.5, "color": INK, "ha": "center", **style}
        return self.figure.text(x / WIDTH, 1 - y / self.height, text, **style)


def plot_pass(
    model: Sequential,
    image: ArrayLike,
    path: str | os.PathLike[str] | None = None,
    label: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw one image going through a network, layer by layer, and with a label the gradient coming back.

    For each layer whose output is an image, the three channels that tell most (they vary, and each in its own way):
    before the activation, on a scale from dark (negative) through grey (0) to light (positive), or in plain grey where
    nothing is negative.  Layers with vectors are strips; at the end are the class probabilities.  Below, for the same
    channels, the gradient of the cross-entropy: by how much the loss would grow per unit of each number.  Each picture
    has its own scale, whose ends stand in its corner; the hundredth of its numbers beyond them is cut off.
    Frames show what one pixel of the last such layer sees.

    Parameters
    ----------
    model : Sequential
        Built; left as it was.
    image : array, shape (height, width, channels)
        uint8 (scaled by 1/255) or float (as it is).
    path : str or path, optional
        File to write, in the format of its ending: ``.png``, ``.svg``, ``.pdf``.
    label : int, optional
        The image's class; without it there is no gradient to draw.
    class_names : sequence of str, optional
        By default those in ``model.metadata["class_names"]``, or numbers.

    Returns
    -------
    matplotlib.figure.Figure
        A grid, and so a figure of its own: there is no ``ax=``.

    Raises
    ------
    ValueError
        If the model is not built, or image, label or names do not fit it.
    OSError
        Naming `path`, if it cannot be written.

    Examples
    --------
    >>> from tinycnn.layers import Conv2D, Dense, Flatten
    >>> model = Sequential([Conv2D(4, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    >>> _ = model.build((8, 8, 1))
    >>> figure = plot_pass(model, np.zeros((8, 8, 1), np.uint8), label=1, class_names=["cat", "dog"])
    >>> [text.get_text() for text in figure.texts][:1]
    ['forward: what each layer makes of the image']
    """
    image = as_array(image, "image")
    if image.ndim != 3:
        raise ValueError(f"plot_pass draws one image of shape (height, width, channels), got shape {image.shape}")
    seen = trace(model, image[None], None if label is None else [label])
    columns, names = columns_of(model, seen, image), output_names(model, class_names)
    lines, cell = _in_lines(columns)
    band = Band(True, 0.06, cell, cell * image.shape[0] / image.shape[1], names, label)
    heading, scales, start = 0.28, 0.2, 0.16
    titles = 0.08 + 0.12 * max(column.title.count("\n") + 1 for column in columns)
    directions = [True] if label is None else [True, False]
    both = [titles, start][: len(directions)]
    sheet = Sheet(len(lines) * sum(heading + room + band.height + scales for room in both) + 0.55)
    for line in lines:
        for forward in directions:
            _heading(sheet, band.top + 0.08, forward)
            band = band._replace(forward=forward, top=band.top + heading + (titles if forward else start))
            _draw_columns(sheet, line, band)
            band = band._replace(top=band.top + band.height + scales)
    _legend(sheet)
    if path is not None:
        with atomic_write(path) as temporary:
            sheet.figure.savefig(temporary)
    return sheet.figure


def _in_lines(columns: Sequence[Column]) -> tuple[list[list[Column]], float]:
    """The columns in as many lines as they need, and the side of a channel's picture."""
    maps = sum(column.kind == "maps" for column in columns)
    room = WIDTH - 2 * MARGIN + GAP - sum(_width(column, 0) + GAP for column in columns)
    if maps and room / maps >= SMALLEST:
        return [list(columns)], min(LARGEST, room / maps)
    lines: list[list[Column]] = [[]]
    for column in columns:
        if (
            lines[-1]
            and sum(_width(other, SMALLEST) + GAP for other in [*lines[-1], column]) > WIDTH - 2 * MARGIN + GAP
        ):
            lines.append([])
        lines[-1].append(column)
    return lines, SMALLEST


def _width(column: Column, cell: float) -> float:
    return WIDTHS[column.kind] or cell


def _draw_columns(sheet: Sheet, line: Sequence[Column], band: Band) -> None:
    x = MARGIN
    for column in line:
        width, values = _width(column, band.cell), column.values if band.forward else column.grad
        above = _film_top(column, band) if column.kind == "film" else band.top
        if band.forward:
            sheet.text(x + width / 2, above - 0.05, column.title, va="bottom", linespacing=1.15)
        if values is not None and column.kind == "bars":
            _bars(sheet.axes(x, band.top, width, band.height), values, band)
            if not band.forward:
                sheet.text(x + width / 2, band.top - 0.03, "starts as probability − target", va="bottom")
        elif values is not None:
            _pictures(sheet, column, values, band, x)
        x += width + GAP


def _film_top(column: Column, band: Band) -> float:
    """Upper edge of the image, which stands in the middle of the band's height."""
    height = WIDTHS["film"] * column.values.shape[0] / column.values.shape[1]
    return band.top + max(0.0, (band.height - BETWEEN - height) / 2)


def _pictures(sheet: Sheet, column: Column, values: np.ndarray, band: Band, x: float) -> None:
    """Image, channels or units."""
    width = _width(column, band.cell)
    if column.kind == "strip":
        axes = sheet.axes(x + width / 2 - 0.1, band.top, 0.2, band.height - BETWEEN)
        sheet.text(x + width / 2, band.top + band.height, _picture(axes, values[:, None], band), fontsize=6.5, va="top")
    elif column.kind == "film":
        height = width * column.values.shape[0] / column.values.shape[1]
        axes = sheet.axes(x, _film_top(column, band), width, height)
        if not band.forward:
            _label(axes, _picture(axes, values, band))
            return
        grey = values if values.shape[2] == 3 else values[..., 0]
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255 if values.dtype == np.uint8 else 1, aspect="auto")
        _draw_frame(axes, column.frame)
    for i, channel in enumerate(column.channels):
        axes = sheet.axes(x, band.top + i * (band.cell_height + BETWEEN), width, band.cell_height)
        _label(axes, f"{channel}: {_picture(axes, values[..., channel], band)}")
        if band.forward:
            _draw_frame(axes, column.frame)


def _picture(axes: Axes, values: np.ndarray, band: Band) -> str:
    """On a scale of its own: signed, or grey where no output is negative; returns its ends."""
    sizes, signed = np.abs(values[values != 0]), not band.forward or bool((values < 0).any())
    end = float(np.quantile(sizes, 0.99)) if sizes.size else 1.0
    least, colours = (-end, SIGNED) if signed else (0.0, "gray")
    axes.imshow(values, cmap=colours, vmin=least, vmax=end, aspect="auto", interpolation="nearest")
    return f"±{end:.1g}" if signed else f"0 to {end:.1g}"


def _label(axes: Axes, text: str) -> None:
    patch = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.8}
    axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=6.2, color=INK, va="bottom", bbox=patch)


def _draw_frame(axes: Axes, frame: Box | None) -> None:
    if frame is not None:
        (top, bottom), (left, right) = frame
        box = Rectangle((left - 0.5, top - 0.5), right - left + 1, bottom - top + 1, fill=False)
        box.set(edgecolor="black", linewidth=0.9, path_effects=[withStroke(linewidth=2.4, foreground="white")])
        axes.add_patch(box)


def _bars(axes: Axes, values: np.ndarray, band: Band) -> None:
    """Class probabilities, or the gradient where it starts, for the six largest classes and the true one."""
    axes.spines[:].set_visible(False)
    shown = sorted(
        {*np.argsort(-np.abs(values), kind="stable")[:6].tolist(), *([] if band.label is None else [band.label])}
    )
    low, high = min(0.0, float(values[shown].min())), max(0.0, float(values[shown].max()))
    axes.set(xlim=(low, high + 0.35 * (high - low or 1)), ylim=(len(shown) - 0.4, -0.6))
    share = band.forward and low == 0 and np.isclose(values.sum(), 1)
    for i, k in enumerate(shown):
        value, true = float(values[k]), k == band.label
        colour = "#33383d" if band.forward else SIGNED(0.85 if value > 0 else 0.12)
        axes.barh(i, value, 0.34, color=colour, edgecolor=INK, linewidth=0.5)
        axes.plot([0, 0], [i - 0.22, i + 0.22], color=INK, linewidth=0.8)
        name = textwrap.shorten(band.names[k], 24, placeholder="…").replace("$", r"\$") + (" (true)" if true else "")
        style: dict[str, Any] = {"fontsize": 7.5, "color": INK, "fontweight": "bold" if true else "normal"}
        axes.text(0, i - 0.24, name, transform=axes.get_yaxis_transform(), va="bottom", **style)
        number = f"{100 * value:.0f} %" if share else f"{value:+.2f}".replace("-", "−")
        axes.annotate(number, (max(value, 0), i), (3, 0), textcoords="offset points", va="center", **style)


def _heading(sheet: Sheet, y: float, forward: bool) -> None:
    """What the band shows, and an arrow in the direction in which the numbers go."""
    text = "backward: the gradient, by how much the loss would grow per unit of each number above"
    if forward:
        text = "forward: what each layer makes of the image"
    side = {"ha": "left" if forward else "right", "va": "center", "fontsize": 9, "fontweight": "bold"}
    written = sheet.text(MARGIN if forward else WIDTH - MARGIN, y, text, **side)
    box = written.get_window_extent().transformed(sheet.figure.transFigure.inverted())
    across = (box.x1 + 0.01, 1 - MARGIN / WIDTH) if forward else (box.x0 - 0.01, MARGIN / WIDTH)
    arrow = FancyArrowPatch(*((x, 1 - y / sheet.height) for x in across), arrowstyle="-|>", mutation_scale=9, color=INK)
    arrow.set(transform=sheet.figure.transFigure, linewidth=0.9)
    sheet.figure.add_artist(arrow)


def _legend(sheet: Sheet) -> None:
    """The two scales, and what numbers and frames are."""
    y = sheet.height - 0.42
    for x, colours, ends in ((0.35, SIGNED, ("negative", "0", "positive")), (2.75, "gray", ("0", "", "largest"))):
        axes = sheet.axes(x, y, 1.7, 0.12)
        axes.imshow(np.linspace(0, 1, 256)[None], cmap=colours, aspect="auto")
        for at, text in zip((0.0, 0.85, 1.7), ends, strict=True):
            sheet.text(x + at, y + 0.16, text, va="top")
    sheet.text(
        4.9,
        y + 0.02,
        "In the corners: which of the layer's channels, and the ends of its scale.\n"
        "Frames: what the framed pixel of the last pictures sees.",
        ha="left",
        va="top",
        color=FAINT,
        linespacing=1.4,
    )
