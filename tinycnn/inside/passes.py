"""One image on its way through a network and, with a label, the gradient on its way back: one picture."""

import os
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from numpy.typing import ArrayLike

from tinycnn.files import atomic_write
from tinycnn.inside.trace import Trace, trace
from tinycnn.layers.activation import Softmax
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.model import Sequential
from tinycnn.summary import keras_class

# Dark below zero, light above, grey at zero: blue and yellow are told apart by all common kinds of colour blindness,
# and the lightness alone, which is what a grey printer leaves, rises from end to end.
SIGNED = LinearSegmentedColormap.from_list("signed", ["#04204f", "#2f5f9e", "#8d9298", "#e3b94b", "#fff3b8"])
INK, FAINT = "#1a1a1a", "#5f6368"
CHANNELS = 3
# Inches.
WIDTH, MARGIN, GAP, FILM, BARS, STRIP = 10.0, 0.12, 0.13, 1.55, 1.85, 0.42
SMALLEST, LARGEST = 0.78, 1.3  # side of a channel's picture


class Column(NamedTuple):
    """What stands one above the other in the picture.

    Attributes
    ----------
    kind : {"film", "maps", "strip", "bars"}
        The image; a layer's most active channels; a layer's units; the classes.
    title : str
        What the layer does, in plain words, and its output's shape.
    values, grad : ndarray
        Of the one image: ``(height, width, channels)`` or ``(units,)``; `grad` is None without a label.
    channels : tuple of int
        Those shown.
    """

    kind: str
    title: str
    values: np.ndarray
    grad: np.ndarray | None
    channels: tuple[int, ...] = ()


class Place(NamedTuple):
    """A band of the picture: its upper edge, width and height of a channel's picture, and of the whole figure."""

    top: float
    cell: float
    cell_height: float
    figure_height: float

    @property
    def height(self) -> float:
        return CHANNELS * (self.cell_height + 0.05)


def plot_pass(
    model: Sequential,
    image: ArrayLike,
    path: str | os.PathLike[str] | None = None,
    label: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw one image going through a network, layer by layer, and with a label the gradient coming back.

    For each layer whose output is an image, the three channels with the largest mean size: before the activation, on a
    scale from dark (negative) through grey (0) to light (positive), or in plain grey where nothing is negative.  Layers
    with vectors are strips; at the end are the class probabilities.  Below, for the same channels, the gradient of the
    cross-entropy: by how much the loss would change per unit of each number.  Each layer has its own scale, of which
    the end is written below it.

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
    image = np.asarray(image)
    if image.ndim != 3:
        raise ValueError(f"plot_pass draws one image of shape (height, width, channels), got shape {image.shape}")
    seen = trace(model, image[None], None if label is None else [label])
    columns, names = _columns(model, seen, image), _names(model, class_names)
    lines, cell = _in_lines(columns)
    bands = ["forward"] if label is None else ["forward", "backward"]
    place = Place(0, cell, cell * image.shape[0] / image.shape[1], 0)
    titles, heading, scales = 0.52, 0.34, 0.2
    height = len(lines) * (titles + len(bands) * (heading + scales + place.height)) + 0.62
    figure = Figure(figsize=(WIDTH, height), dpi=180, facecolor="white")
    top = height - 0.06
    for line in lines:
        for band in bands:
            _heading(figure, top, height, band)
            top -= heading + (titles if band == "forward" else 0)
            _band(figure, line, place._replace(top=top, figure_height=height), band, (names, label))
            top -= place.height + scales
    _legend(figure, height)
    if path is not None:
        with atomic_write(path) as temporary:
            figure.savefig(temporary)
    return figure


def _names(model: Sequential, class_names: Sequence[str] | None) -> list[str]:
    outputs = model.output_shape[-1]
    if class_names is None:
        class_names = model.metadata.get("class_names") or [f"class {i}" for i in range(outputs)]
    if len(class_names) != outputs:
        raise ValueError(f"{len(class_names)} class names were given, but model '{model.name}' has {outputs} outputs")
    return [str(name) for name in class_names]


def _columns(model: Sequential, seen: Trace, image: np.ndarray) -> list[Column]:
    """The image, the layers that change what they see, and the classes."""
    first = seen[str(model.layers[0].name)].grad_input
    columns = [
        Column("film", f"the image\n{_shape(image.shape)}", image, None if first is None else first[0].sum(axis=-1))
    ]
    for layer in model.layers:
        record = seen[str(layer.name)]
        values, grad = record.pre_activation[0], record.grad_pre_activation
        grad = None if grad is None else grad[0]
        title = f"{_title(layer)}\n{_shape(layer.output_shape)}"
        if isinstance(layer, (Dropout, Flatten, Reshape)) or (layer is model.layers[-1] and values.ndim == 1):
            continue  # nothing new to see
        if values.ndim == 3:
            size = np.abs(record.output[0]).mean(axis=(0, 1))
            chosen = np.sort(np.argsort(-size, kind="stable")[:CHANNELS])
            columns.append(Column("maps", title, values, grad, tuple(chosen.tolist())))
        elif values.ndim == 1:
            columns.append(Column("strip", title, values, grad))
    last = seen[str(model.layers[-1].name)]
    if seen.output.ndim == 2:
        grad = last.grad_input if isinstance(model.layers[-1], Softmax) else last.grad_pre_activation
        title = "how likely each class is" if model.ends_in_softmax else "the scores"
        columns.append(Column("bars", title, seen.output[0], None if grad is None else grad[0]))
    return columns


def _title(layer: Layer) -> str:
    """What the layer does, in words that fit above its pictures."""

    def times(pair: Sequence[int]) -> str:
        return f"{pair[0]}×{pair[1]}"

    words = keras_class(layer)
    if isinstance(layer, Conv2D):
        words = f"{layer.filters} filters {times(layer.kernel_size)}"
    elif isinstance(layer, Conv2DTranspose):
        words = f"{layer.filters} filters, ×{layer.strides[0]}"
    elif isinstance(layer, (MaxPool2D, AveragePool2D)):
        words = f"{'largest' if isinstance(layer, MaxPool2D) else 'mean'} of {times(layer.pool_size)}"
    elif isinstance(layer, UpSample2D):
        words = f"enlarged {times(layer.size)}"
    elif isinstance(layer, Residual):
        words = "block + shortcut"
    elif isinstance(layer, BatchNorm):
        words = "normalised"
    elif isinstance(layer, GlobalAveragePool2D):
        words = "means"
    elif isinstance(layer, Dense):
        words = "dense"
    return words if layer.activation is None else f"{words}\nbefore {keras_class(layer.activation)}"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _width(column: Column, cell: float) -> float:
    return {"film": FILM, "maps": cell, "strip": STRIP, "bars": BARS}[column.kind] + GAP


def _in_lines(columns: Sequence[Column]) -> tuple[list[list[Column]], float]:
    """The columns in as many lines as they need, and the side of a channel's picture."""
    maps = sum(column.kind == "maps" for column in columns)
    room = WIDTH - 2 * MARGIN - sum(_width(column, 0) for column in columns)
    if maps and room / maps >= SMALLEST:
        return [list(columns)], min(LARGEST, room / maps)
    lines: list[list[Column]] = [[]]
    for column in columns:
        if sum(_width(other, SMALLEST) for other in [*lines[-1], column]) > WIDTH - 2 * MARGIN and lines[-1]:
            lines.append([])
        lines[-1].append(column)
    return lines, SMALLEST


def _band(
    figure: Figure, line: Sequence[Column], place: Place, band: str, classes: tuple[list[str], int | None]
) -> None:
    """The columns of one line, forward or backward."""
    x = MARGIN
    for column in line:
        width, middle = _width(column, place.cell) - GAP, x + (_width(column, place.cell) - GAP) / 2
        if band == "forward":
            figure.text(
                middle / WIDTH, (place.top + 0.05) / place.figure_height, column.title, fontsize=7.5, color=INK,
                ha="center", va="bottom", linespacing=1.15,
            )  # fmt: skip
        values = column.values if band == "forward" else column.grad
        if values is not None and column.kind == "bars":
            axes = _axes(figure, place, x, 0, width, place.height)
            _bars(axes, values, band, classes)
        elif values is not None:
            below = _pictures(figure, column, values, place, (x, width))
            _scale(figure, place, middle, below, values, column.kind == "film" and band == "forward")
        x += width + GAP


def _axes(figure: Figure, place: Place, x: float, y: float, width: float, height: float) -> Axes:
    """Axes whose upper left corner lies `x` from the left and `y` below the band's upper edge."""
    bottom = place.top - y - height
    return figure.add_axes((x / WIDTH, bottom / place.figure_height, width / WIDTH, height / place.figure_height))


def _pictures(figure: Figure, column: Column, values: np.ndarray, place: Place, across: tuple[float, float]) -> float:
    """Image, channels or units; returns how far below the band's upper edge they end."""
    x, width = across
    if column.kind == "strip":
        axes = _axes(figure, place, x + width / 2 - 0.09, 0, 0.18, place.height)
        _picture(axes, values[:, None], values)
        return place.height
    if column.kind == "film":
        height = width * column.values.shape[0] / column.values.shape[1]
        axes = _axes(figure, place, x, (place.height - height) / 2, width, height)
        if values is column.values:
            scale = {"vmin": 0, "vmax": 255 if values.dtype == np.uint8 else max(1, values.max())}
            axes.imshow(values if values.shape[2] == 3 else values[..., 0], cmap="gray", aspect="auto", **scale)
            _frame(axes)
        else:
            _picture(axes, values, values)
        return (place.height + height) / 2
    for i, channel in enumerate(column.channels):
        axes = _axes(figure, place, x, i * (place.cell_height + 0.05), width, place.cell_height)
        _picture(axes, values[..., channel], values[..., list(column.channels)])
        axes.text(
            0.04, 0.95, channel, transform=axes.transAxes, fontsize=6.5, color=INK, ha="left", va="top",
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    return len(column.channels) * (place.cell_height + 0.05) - 0.05


def _picture(axes: Axes, values: np.ndarray, whole: np.ndarray) -> None:
    """On the scale of `whole`: signed, or grey where nothing in it is negative."""
    largest = float(np.abs(whole).max()) or 1.0
    signed = whole.min() < 0
    axes.imshow(
        values, cmap=SIGNED if signed else "gray", vmin=-largest if signed else 0, vmax=largest, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    _frame(axes)


def _frame(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#b0b4b8", linewidth=0.5)


def _scale(figure: Figure, place: Place, x: float, below: float, values: np.ndarray, bare: bool) -> None:
    """The ends of the column's scale, below it."""
    largest = np.abs(values).max()
    text = "" if bare else f"±{largest:.2g}" if values.min() < 0 else f"0 to {largest:.2g}"
    y = (place.top - below - 0.04) / place.figure_height
    figure.text(x / WIDTH, y, text, fontsize=7, color=FAINT, ha="center", va="top")


def _bars(axes: Axes, values: np.ndarray, band: str, classes: tuple[list[str], int | None]) -> None:
    """Class probabilities, or the gradient where it starts, for the six largest classes and the true one."""
    names, label = classes
    order = np.argsort(-np.abs(values), kind="stable")[:6].tolist()
    shown = sorted({*order, *([] if label is None else [label])})
    heights = values[shown]
    forward = band == "forward"
    colours = ["#33383d"] * len(shown) if forward else [SIGNED(0.93 if value > 0 else 0.12) for value in heights]
    axes.barh(range(len(shown)), heights, 0.36, color=colours, edgecolor=INK, linewidth=0.5)
    for i, (k, value) in enumerate(zip(shown, heights, strict=True)):
        true = "  (true class)" if k == label else ""
        name = textwrap.shorten(names[k], 24, placeholder="…").replace("$", r"\$")
        number = f"{100 * value:.0f} %" if forward and 0 <= values.min() <= values.max() <= 1 else f"{value:+.2f}"
        axes.text(0, i - 0.25, f"{name}{true}", transform=axes.get_yaxis_transform(), fontsize=7.5, color=INK, va="bottom",
                  fontweight="bold" if true else "normal")  # fmt: skip
        axes.annotate(
            number, (max(value, 0), i), (3, 0), textcoords="offset points", fontsize=7.5, color=INK, va="center"
        )
    low, high = min(0.0, float(heights.min())), max(0.0, float(heights.max()))
    axes.set(xlim=(low, high + 0.3 * (high - low or 1)), ylim=(len(shown) - 0.4, -0.7), xticks=[], yticks=[])
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.spines[:].set_visible(False)


def _heading(figure: Figure, top: float, height: float, band: str) -> None:
    """What the band shows, and an arrow in the direction in which the numbers go."""
    forward = band == "forward"
    text = (
        "forward: what each layer makes of the image"
        if forward
        else ("backward: the gradient, by how much the loss would grow per unit of each number above")
    )
    y = (top - 0.09) / height
    figure.text(MARGIN / WIDTH if forward else 1 - MARGIN / WIDTH, y, text, fontsize=9, color=INK, fontweight="bold", va="center",
                ha="left" if forward else "right")  # fmt: skip
    room = 0.068 * len(text) + 0.1
    ends = [(MARGIN + room) / WIDTH, 1 - MARGIN / WIDTH] if forward else [1 - (MARGIN + room) / WIDTH, MARGIN / WIDTH]
    arrow = FancyArrowPatch((ends[0], y), (ends[1], y), arrowstyle="-|>", mutation_scale=9, color=INK, linewidth=0.9)
    arrow.set_transform(figure.transFigure)
    figure.add_artist(arrow)


def _legend(figure: Figure, height: float) -> None:
    """The two scales, and what the small numbers are."""
    y, bar = 0.28 / height, 0.11 / height
    for x, cmap, ends in ((0.12, SIGNED, ("−", "0", "+")), (0.40, "gray", ("0", "", "largest"))):
        axes = figure.add_axes((x, y, 0.14, bar))
        axes.imshow(np.linspace(0, 1, 256)[None], cmap=cmap, aspect="auto")
        _frame(axes)
        for place, text in zip((0, 0.5, 1), ends, strict=True):
            axes.text(place, -0.4, text, transform=axes.transAxes, fontsize=7.5, color=INK, ha="center", va="top")
    note = "Small numbers: which of the layer's channels.\nBelow each column: the ends of its scale."
    figure.text(0.60, y + bar / 2, note, fontsize=7.5, color=FAINT, va="center")
