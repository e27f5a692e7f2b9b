"""What a picture of a pass shows: the image, each layer's most telling channels, its units, the classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinycnn.inside.field import view_of
from tinycnn.inside.trace import Trace
from tinycnn.layers.activation import ACTIVATIONS, Softmax
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

CHANNELS = 3
CHANNELWISE = (MaxPool2D, AveragePool2D, UpSample2D, BatchNorm, *ACTIVATIONS)

Box = tuple[tuple[int, int], tuple[int, int]]  # first and last row, first and last column


class Column(NamedTuple):
    """What stands one above the other in the picture.

    Attributes
    ----------
    kind : {"film", "maps", "strip", "bars"}
        The image; a layer's most telling channels; a layer's units; the classes.
    title : str
        What the layer does, in plain words, and its output's shape.
    values, grad : ndarray
        Of the one image: ``(height, width, channels)`` or ``(units,)``; `grad` is None without a label.
    channels : tuple of int
        Those shown.
    position : int
        Of the layer in the model; -1 for the image.
    frame : Box or None
        What the framed pixel of the last layer sees here.
    """

    kind: str
    title: str
    values: np.ndarray
    grad: np.ndarray | None
    channels: tuple[int, ...] = ()
    position: int = -1
    frame: Box | None = None


def columns_of(model: Sequential, seen: Trace, image: np.ndarray) -> list[Column]:
    """The image, the layers that change what they see, and the classes, of a traced pass of one `image`."""

    def only(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[0]

    last = model.layers[-1]
    grad = only(seen[str(model.layers[0].name)].grad_input)
    columns = [Column("film", f"the image\n{_shape(image.shape)}", image, None if grad is None else grad.sum(axis=-1))]
    for i, layer in enumerate(model.layers):
        record = seen[str(layer.name)]
        values, title = record.pre_activation[0], f"{_title(layer)}\n{_shape(layer.output_shape)}"
        if isinstance(layer, (Dropout, Flatten, Reshape)) or (layer is last and values.ndim == 1):
            continue  # the same numbers again
        # A channel can be followed through the layers that take each by itself.
        before, channels = columns[-1], telling_channels(record.output[0]) if values.ndim == 3 else ()
        if isinstance(layer, CHANNELWISE) and before.channels and before.values.shape[-1] == values.shape[-1]:
            channels = before.channels
        kind = "maps" if channels else "strip"
        columns.append(Column(kind, title, values, only(record.grad_pre_activation), channels, i))
    if seen.output.ndim == 2:
        record = seen[str(last.name)]
        grad = only(record.grad_input if isinstance(last, Softmax) else record.grad_pre_activation)
        title = "how likely each class is" if model.ends_in_softmax else "the scores"
        columns.append(Column("bars", title, seen.output[0], grad))
    return _framed(model, columns)


def _framed(model: Sequential, columns: list[Column]) -> list[Column]:
    """With the frames of what one pixel of the last layer with channels sees: of the one that counts most."""
    end = max((column for column in columns if column.kind == "maps"), key=lambda column: column.position, default=None)
    if end is None:
        return columns
    strength = np.abs(end.values if end.grad is None else end.values * end.grad).sum(axis=-1)
    pixel = np.unravel_index(strength.argmax(), strength.shape)
    framed = []
    for column in columns:
        if column.kind in ("film", "maps"):
            view = view_of(column.values.shape)
            for layer in model.layers[column.position + 1 : end.position + 1]:
                view = view.through(layer)
            if view.sources:
                rows, across = (s((np.array(at), np.array(at))) for s, at in zip(view.sources, pixel, strict=True))
                column = column._replace(frame=((int(rows[0]), int(rows[1])), (int(across[0]), int(across[1]))))
        framed.append(column)
    return framed


def telling_channels(output: np.ndarray) -> tuple[int, ...]:
    """Active channels that differ most: each varies most after what it shares with those before is taken off."""
    rest = output.reshape(-1, output.shape[-1]).astype(np.float64)
    rest -= rest.mean(axis=0)
    spread = np.sqrt((rest**2).sum(axis=0))
    active = spread >= 0.1 * spread.max()
    rest /= np.where(spread > 0, spread, 1)
    chosen = [int(spread.argmax())]
    while len(chosen) < min(CHANNELS, active.sum()):
        direction = rest[:, chosen[-1]] / (np.linalg.norm(rest[:, chosen[-1]]) or 1.0)
        rest -= np.outer(direction, direction @ rest)
        left = np.where(active, (rest**2).sum(axis=0), -1)
        left[chosen] = -1
        chosen.append(int(left.argmax()))
    return tuple(sorted(chosen))


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
