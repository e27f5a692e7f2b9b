"""The table that `Sequential.summary` prints, in the letters and widths of Keras 3's, or shows in a notebook."""

import shutil
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.arguments import count
from tinycnn.notebook import html_table

if TYPE_CHECKING:
    from tinycnn.stack import Stack

KERAS_CLASS = {
    "MaxPool2D": "MaxPooling2D",
    "AveragePool2D": "AveragePooling2D",
    "GlobalAveragePool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "BatchNorm": "BatchNormalization",
    "LayerNorm": "LayerNormalization",
    "UpSample2D": "UpSampling2D",
}


def keras_class(layer: object) -> str:
    """Class name that Keras gives this kind of layer.

    >>> class MaxPool2D: pass
    >>> keras_class(MaxPool2D())
    'MaxPooling2D'
    """
    name = type(layer).__name__
    return KERAS_CLASS.get(name, name)


def summary_text(model: "Stack", line_length: int | None = None) -> str:
    """Layers, output shapes and parameter counts of a built model, as one string.

    Parameters
    ----------
    model : Sequential
        Built, so that shapes are known.
    line_length : int, optional
        Characters across; by default 88, or what the terminal has, as Keras chooses.

    Returns
    -------
    str
        Box-drawing table and three lines of totals, ending with a newline.

    Raises
    ------
    ValueError
        If the width that is asked for leaves no room for three columns.
    """
    asked = count(0 if line_length is None else line_length, "line_length", most=10_000)
    width = asked or max(24, min(88, shutil.get_terminal_size().columns - 4))
    ends = [int(width * share) for share in (0.45, 0.80, 1.0)]
    # Keras asks `rich` for columns that do not fit beside their padding and borders; rich takes 3, 4 and 3 off.
    columns = [ends[0] - 3, ends[1] - ends[0] - 4, ends[2] - ends[1] - 3]
    if min(columns) < 1:
        raise ValueError(f"a summary needs a width of at least 24 characters, got {width}")
    head = _rule("┏━┳┓", columns) + _row(HEADING, columns, "┃") + _rule("┡━╇┩", columns)
    body = _rule("├─┼┤", columns).join(_row(row, columns, "│") for row in _layers(model)) + _rule("└─┴┘", columns)
    return f'Model: "{model.name}"\n{head}{body}' + "".join(f" {text}\n" for text in _totals(model))


def summary_html(model: "Stack") -> str:
    """The same table for a notebook; without numbers if the model is not built."""
    if model.built:
        return html_table(HEADING, _layers(model), numbers=[2], above=f'Model: "{model.name}"', below=_totals(model))
    rows = [(f"{layer.name} ({keras_class(layer)})", "?", "?") for layer in model.layers]
    return html_table(HEADING, rows, numbers=[2], above=f'Model: "{model.name}"', below=["not built"])


HEADING = ("Layer (type)", "Output Shape", "Param #")


def _layers(model: "Stack") -> list[tuple[str, str, str]]:
    return [
        (
            f"{layer.name} ({keras_class(layer)})",
            f"({', '.join(map(str, (None, *layer.output_shape)))})",
            f"{layer.count_params:,}",
        )
        for layer in model.layers
    ]


def _totals(model: "Stack") -> list[str]:
    trainable = sum(param.size for _, param, _ in model.parameters())
    total = model.count_params
    item = np.dtype(model.dtype).itemsize
    parts = {"Total": total, "Trainable": trainable, "Non-trainable": total - trainable}
    return [f"{what} params: {scalars:,} ({_memory(scalars * item)})" for what, scalars in parts.items()]


def _memory(size: float) -> str:
    """Bytes as a person reads them: ``_memory(1536)`` is ``1.50 KB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


def _rule(corners: str, columns: list[int]) -> str:
    left, bar, middle, right = list(corners)
    return left + middle.join(bar * (width + 2) for width in columns) + right + "\n"


def _row(cells: tuple[str, str, str], columns: list[int], edge: str) -> str:
    """One line, or several where a cell is wider than its column; numbers stand to the right."""
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, columns, strict=True)]
    lines = [
        edge.join(f" {text:{side}{width}} " for text, side, width in zip(texts, "<<>", columns, strict=True))
        for texts in zip_longest(*wrapped, fillvalue="")
    ]
    return "".join(f"{edge}{line}{edge}\n" for line in lines)


def _wrap(text: str, width: int) -> list[str]:
    """Greedy lines of whole words; a word longer than the line ends in an ellipsis."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
