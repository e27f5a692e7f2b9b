"""What each layer of a network costs and sees: shapes, weights, multiplications, memory, receptive field, kernels."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from tinycnn.arguments import of_class
from tinycnn.inside.field import View, view_of
from tinycnn.inside.windows import WINDOWED, window_axes
from tinycnn.kernels.sets import get_kernels
from tinycnn.layers.activation import ELU, GELU, LeakyReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.depthwise import SeparableConv2D
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.fused import steps_of
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.layers.weighted import Weighted
from tinycnn.model import Sequential
from tinycnn.notebook import html_table
from tinycnn.summary import keras_class
from tinycnn.walk import trainable

# Multiplications and divisions for each output, forward and backward, of layers without a kernel, as their equations
# have them: batch normalisation squares, normalises and scales; backward it multiplies by xhat twice and by the scale.
PER_OUTPUT: dict[type[Layer], tuple[int, int]] = {
    AveragePool2D: (1, 1),
    BatchNorm: (3, 3),
    Dropout: (1, 1),
    ELU: (1, 2),
    GELU: (3, 7),
    GlobalAveragePool2D: (1, 1),
    LayerNorm: (3, 5),
    LeakyReLU: (1, 1),
    Rescaling: (1, 1),
    Sigmoid: (1, 2),
    SiLU: (2, 4),
    Softmax: (1, 2),
    Softplus: (0, 1),
    Tanh: (0, 2),
}
APPROXIMATE_GELU = (6, 13)


class LayerAnatomy(NamedTuple):
    """One row of an `Anatomy`; counts are for one image in training.

    Attributes
    ----------
    path, kind : str
        Name and class of the layer.
    output_shape : tuple of int
    parameters : int
        Scalars that are saved, those of the layers inside left to their own rows.
    forward, backward : int
        Multiplications (and divisions) of the layer's equations, its activation included; a convolution's by direct
        sums, zeros of the padding included.  What is spared: the input gradient of the first layer that trains, all
        of the layers before it, and the softmax that the loss takes over.
    kept : int
        Bytes that are written forward and stay until the backward pass has read them: outputs, and where a maximum
        was.  The images themselves come on top.
    receptive_field : (int, int) or None
        Rows and columns of the image that one output depends on, edges of the image left aside; None where an output
        has no place in the image.
    jump : (Fraction, Fraction) or None
        Rows and columns of the image from one output to the next.
    padding : ((int, int), (int, int)) or None
        Cells added above and below, left and right; cropped from the output, by a transposed convolution.
    kernel : str
        What computes a convolution: ``"Winograd 4x4"``, ``"Winograd 2x2"``, ``"depthwise"`` (every channel by
        itself), ``"few filters"`` (sums over vectors of channels) or ``"direct"``; or the name of another set.
    fused : str
        What runs in one go with the layer, or in which layer it runs.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    forward: int
    backward: int
    kept: int
    receptive_field: tuple[int, int] | None
    jump: tuple[Fraction, Fraction] | None
    padding: tuple[tuple[int, int], tuple[int, int]] | None
    kernel: str
    fused: str


class Anatomy:
    """A network's layers, one row each; made by `anatomy`, printed as a table, shown as one in a notebook.

    Attributes
    ----------
    rows : list of LayerAnatomy
        In the order of the layers, each followed by those inside it, activations apart: they count as the layer's own.
    """

    def __init__(self, rows: Sequence[LayerAnatomy]) -> None:
        self.rows = list(rows)

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(n) if i in NUMBERS else cell.ljust(n)
                for i, (cell, n) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        rule = "-" * len(lines[0])
        return "\n".join(line.rstrip() for line in (lines[0], rule, *lines[1:-1], rule, lines[-1], "", *LEGEND))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *body, total = self._cells()
        return html_table(head, body, total, NUMBERS, below=LEGEND)

    def _cells(self) -> list[tuple[str, ...]]:
        """Heading, rows and totals as text."""
        found = [HEADING]
        for row in self.rows:
            found.append(
                (
                    row.path,
                    " x ".join(map(str, row.output_shape)),
                    f"{row.parameters:,}",
                    _short(row.forward),
                    _short(row.backward),
                    f"{row.kept:,}",
                    "-" if row.receptive_field is None else " x ".join(map(str, row.receptive_field)),
                    "-" if row.jump is None else " x ".join(map(str, row.jump)),
                    "-" if row.padding is None or not np.any(row.padding) else _sides(row.padding),
                    row.kernel or "-",
                    row.fused or "-",
                )
            )
        sums = [sum(getattr(row, key) for row in self.rows) for key in ("parameters", "forward", "backward", "kept")]
        return [
            *found,
            ("total", "", f"{sums[0]:,}", _short(sums[1]), _short(sums[2]), f"{sums[3]:,}", *[""] * 5),
        ]


HEADING = (
    "layer",
    "output",
    "weights",
    "forward",
    "backward",
    "bytes kept",
    "sees",
    "step",
    "padding",
    "kernel",
    "fused",
)
NUMBERS = range(2, 6)
LEGEND = (
    "forward, backward: multiplications for one training image (direct sums).  bytes kept: until the backward pass.",
    "sees: pixels of the image that one output depends on.  step: pixels of the image from one output to the next.",
)


def anatomy(model: Sequential) -> Anatomy:
    """What each layer computes, costs and sees, worked out from the layers without running them.

    Parameters
    ----------
    model : Sequential
        Built.

    Returns
    -------
    Anatomy

    Raises
    ------
    ValueError
        If the model is not built.

    References
    ----------
    Araujo, Norris and Sim, Computing receptive fields of convolutional neural networks, Distill, 2019.

    Examples
    --------
    >>> from tinycnn.layers import Conv2D, Dense, Flatten, MaxPool2D
    >>> model = Sequential([Conv2D(3, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(2)])
    >>> _ = model.build((8, 8, 1))
    >>> print(anatomy(model))  # doctest: +NORMALIZE_WHITESPACE
    layer          output     weights  forward  backward  bytes kept  sees   step   padding  kernel  fused
    ------------------------------------------------------------------------------------------------------
    conv2d         6 x 6 x 3       30      972       972         432  3 x 3  1 x 1  -        direct  ReLU
    max_pooling2d  3 x 3 x 3        0        0         0         135  4 x 4  2 x 2  -        -       -
    flatten        27               0        0         0           0  -      -      -        -       -
    dense          2               56       54       108           8  8 x 8  -      -        -       -
    ------------------------------------------------------------------------------------------------------
    total                          86    1,026     1,080         575
    ...
    """
    of_class(model, Sequential, "model")
    if not model.built:
        raise ValueError(f"model '{model.name}' must be built before its anatomy is known: call build(input_shape)")
    first = next((i for i, layer in enumerate(model.layers) if any(True for _ in trainable(layer))), len(model.layers))
    heads = [step.layers[0] for step in model.head]
    model.replan()
    paths = (path for layer in model.all_layers() if isinstance(layer, Block) for path in layer.paths)
    steps = [*model.steps, *(step for path in paths for step in steps_of(path))]
    partners = {layer: step.layers for step in steps for layer in step.layers if len(step.layers) > 1}
    rows: list[LayerAnatomy] = []
    view = view_of(model.input_shape)
    for i, layer in enumerate(model.layers):
        rows += _rows(layer, view, _Context(partners, heads, i >= first, i > first))
        view = view.through(layer)
    return Anatomy(rows)


def _short(count: int) -> str:
    """``1,026``, ``302.0 M``, ``4.8 G``."""
    if count < 1_000_000:
        return f"{count:,}"
    return f"{count / 1e6:.1f} M" if count < 1e9 else f"{count / 1e9:.1f} G"


def _sides(padding: tuple[tuple[int, int], tuple[int, int]]) -> str:
    """Cells of padding in as few numbers as say it: ``1``, ``1 x 2`` or ``0+1 x 0+1``, rows first."""
    one = [str(before) if before == after else f"{before}+{after}" for before, after in padding]
    return one[0] if one[0] == one[1] and "+" not in one[0] else " x ".join(one)


class _Context(NamedTuple):
    """Where a layer stands: what it is fused with, the softmax set apart, and what its backward computes."""

    partners: dict[Layer, tuple[Layer, ...]]
    heads: list[Layer]
    goes_back: bool
    input_grad: bool


def _rows(layer: Layer, view: View, context: _Context) -> Iterator[LayerAnatomy]:
    """The layer's row and those of the layers inside it."""
    forward, backward = _multiplications(layer, context)
    after = view.through(layer)
    axes = window_axes(layer) if isinstance(layer, WINDOWED) else None
    yield LayerAnatomy(
        path=str(layer.name),
        kind=keras_class(layer),
        output_shape=tuple(layer.output_shape),
        parameters=sum(array.size for array in [*layer.params.values(), *layer.state.values()]),
        forward=forward,
        backward=backward,
        kept=_kept(layer, context),
        receptive_field=after.field(),
        jump=after.jump,
        padding=axes and tuple((axis.before, axis.after) for axis in axes),  # type: ignore[arg-type]
        kernel=_kernel(layer, layer in context.partners),
        fused=_fused(layer, context),
    )
    if isinstance(layer, Block):
        for path in layer.paths:
            through = view
            for i, part in enumerate(path):
                yield from _rows(part, through, context._replace(input_grad=context.input_grad or i > 0))
                through = through.through(part)
        return
    for part in layer.sublayers():
        if part is not layer.activation:
            yield from _rows(part, view.lost(), context)  # how a layer of somebody else's runs them is not known


def _multiplications(layer: Layer, context: _Context) -> tuple[int, int]:
    outputs = math.prod(layer.output_shape)
    if layer in context.heads or (isinstance(layer, Dropout) and layer.rate == 0):
        return 0, 0
    if "kernel" in layer.params and isinstance(layer, (Conv2D, Conv2DTranspose, Dense)):
        # Each output of a convolution, and each input of a transposed one, meets the kernel's columns once.
        places = layer.input_shape[:-1] if isinstance(layer, Conv2DTranspose) else layer.output_shape[:-1]
        forward = math.prod(places) * layer.params["kernel"].size
        backward = forward * (1 + context.input_grad)  # the kernel's gradient and the input's
    elif isinstance(layer, UpSample2D) and layer.interpolation == "bilinear":
        # Two products each for the rows, then for the columns.
        forward = backward = 2 * (math.prod(layer.input_shape) * layer.size[0] + outputs)
    else:
        forward, backward = (n * outputs for n in _per_output(layer))
    if layer.activation is not None and layer.activation not in context.heads:
        own = _per_output(layer.activation)
        forward, backward = forward + own[0] * outputs, backward + own[1] * outputs
    return forward, backward if context.goes_back else 0


def _per_output(layer: Layer) -> tuple[int, int]:
    if isinstance(layer, GELU) and layer.approximate:
        return APPROXIMATE_GELU
    return PER_OUTPUT.get(type(layer), (0, 0))


def _kept(layer: Layer, context: _Context) -> int:
    outputs, item = math.prod(layer.output_shape), np.dtype(layer.dtype).itemsize
    if isinstance(layer, (Flatten, Reshape)) or layer in context.heads:
        return 0  # a view
    if isinstance(layer, Dropout) and layer.rate == 0:
        return 0
    pooled = context.partners.get(layer)
    if pooled and layer is pooled[0]:
        return 0  # its output is never written
    size = outputs * (item + isinstance(layer, (MaxPool2D, LeakyReLU)))  # one byte: which cell won, or whether x > 0
    if isinstance(layer, SeparableConv2D):
        size = 0  # its output is its last layer's
    if isinstance(layer, GlobalMaxPool2D):
        size += outputs * np.dtype(np.intp).itemsize  # which pixel won
    if isinstance(layer, LayerNorm):
        size += item * (outputs + outputs // layer.output_shape[-1])  # what is normalised, and each pixel's deviation
    fuses = isinstance(layer, (Conv2D, Residual)) and layer.fuses_relu
    fuses = fuses or (isinstance(layer, Weighted) and layer.writes_over)
    if layer.activation is not None and not fuses and layer.activation not in context.heads:
        size += outputs * (item + isinstance(layer.activation, LeakyReLU))
    return size


def _kernel(layer: Layer, pools: bool) -> str:
    if get_kernels() != "fast":  # these have one way for every layer
        return get_kernels() if isinstance(layer, (Conv2D, Conv2DTranspose)) else ""
    # These bring numba along, which "reference" does without.
    from tinycnn.kernels.channelwise import suits_dot
    from tinycnn.kernels.conv import LANES, winograd_tile

    if not isinstance(layer, (Conv2D, Conv2DTranspose)):
        return ""
    kernel, channels, groups = layer.params["kernel"], layer.input_shape[-1], 1
    if isinstance(layer, Conv2D):
        groups = layer.groups
        if tile := winograd_tile(kernel.shape, layer.geometry(layer.input_shape), layer.output_shape[:2]):
            return f"Winograd {tile}x{tile}"
        if groups == channels > 1 and layer.filters // channels < LANES:
            return "depthwise"
    return "few filters" if groups == 1 and not pools and suits_dot(channels, layer.filters) else "direct"


def _fused(layer: Layer, context: _Context) -> str:
    if layer in context.heads or layer.activation in context.heads:
        return "softmax in the loss"
    relu = ["ReLU"] if isinstance(layer, (Conv2D, Conv2DTranspose, Residual)) and layer.fuses_relu else []
    first, *others = context.partners.get(layer, (layer,))
    return ", ".join([*relu, *(str(other.name) for other in others)]) if layer is first else f"runs in {first.name}"
