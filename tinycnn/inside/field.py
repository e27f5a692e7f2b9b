"""What an output sees of the image: receptive fields, followed layer by layer back to the pixels."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial, reduce
from typing import NamedTuple

import numpy as np

from tinycnn.inside.windows import WINDOWED, Axis, window_axes
from tinycnn.layers.activation import ACTIVATIONS
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import GlobalAveragePool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.upsample import UpSample2D

Interval = tuple[np.ndarray, np.ndarray]  # first and last position along one axis, of many outputs at once
Source = Callable[[Interval], Interval]


class View(NamedTuple):
    """What an output sees of the image.

    Attributes
    ----------
    image : tuple of int
        Its rows and columns; () where the model takes none.
    sources : tuple of callable
        For rows and columns: from first and last output to first and last pixel; () where that is not known.
    whole : bool
        Every output sees the whole image.
    jump : (Fraction, Fraction) or None
    size : tuple of int
        Outputs along rows and columns.
    """

    image: tuple[int, ...]
    sources: tuple[Source, ...]
    whole: bool
    jump: tuple[Fraction, Fraction] | None
    size: tuple[int, ...]

    def field(self) -> tuple[int, int] | None:
        """Rows and columns that the output sees which sees most."""
        if self.whole and self.image:
            return self.image[0], self.image[1]
        if not self.sources:
            return None
        rows, columns = (
            source((np.arange(n), np.arange(n))) for source, n in zip(self.sources, self.size, strict=True)
        )
        return int(np.nanmax(rows[1] - rows[0])) + 1, int(np.nanmax(columns[1] - columns[0])) + 1

    def lost(self) -> "View":
        """Where in the image an output comes from is not known."""
        return self._replace(sources=(), jump=None)

    def through(self, layer: Layer) -> "View":
        """The view of the layer's outputs, this being the view of its inputs."""
        if isinstance(layer, (Dense, GlobalAveragePool2D, GlobalMaxPool2D)):
            return self.lost()._replace(whole=True)
        if isinstance(layer, Block):
            views = [reduce(View.through, path, self) for path in layer.paths]
            both = tuple(reduce(_union, sources) for sources in zip(*(view.sources for view in views), strict=False))
            return views[0]._replace(sources=both, whole=any(view.whole for view in views))
        if isinstance(layer, (*ACTIVATIONS, Augmentation, BatchNorm, Dropout, LayerNorm, Rescaling)):
            return self
        if not isinstance(layer, (*WINDOWED, UpSample2D)) or not self.sources:
            return self.lost()
        steps = _steps(layer)
        sources = tuple(_then(step, source) for (step, _), source in zip(steps, self.sources, strict=True))
        assert self.jump is not None
        jump = self.jump[0] * steps[0][1], self.jump[1] * steps[1][1]
        return self._replace(sources=sources, jump=jump, size=layer.output_shape[:2])


def view_of(shape: Sequence[int]) -> View:
    if len(shape) != 3:
        return View((), (), False, None, ())
    image = tuple(shape[:2])
    return View(image, (lambda at: at, lambda at: at), False, (Fraction(1), Fraction(1)), image)


def _then(first: Source, second: Source) -> Source:
    return lambda at: second(first(at))


def _union(one: Source, other: Source) -> Source:
    def both(at: Interval) -> Interval:
        a, b = one(at), other(at)
        return np.fmin(a[0], b[0]), np.fmax(a[1], b[1])

    return both


def _steps(layer: Layer) -> list[tuple[Source, Fraction]]:
    """Rows and columns of a window layer: from first and last output to first and last input, and the jump."""
    if isinstance(layer, UpSample2D):
        bilinear = layer.interpolation == "bilinear"
        return [(partial(_enlarged_from, factor=s, bilinear=bilinear), Fraction(1, s)) for s in layer.size]
    if isinstance(layer, Conv2DTranspose):
        return [(partial(_over, axis=axis), Fraction(1, axis.stride)) for axis in window_axes(layer)]
    return [(partial(_under, axis=axis), Fraction(axis.stride)) for axis in window_axes(layer)]


def _under(at: Interval, axis: Axis) -> Interval:
    """Under the windows of outputs `at`."""
    return at[0] * axis.stride - axis.before, at[1] * axis.stride - axis.before + axis.dilation * (axis.window - 1)


def _over(at: Interval, axis: Axis) -> Interval:
    """Positions of the windows that cover pixels `at`; nan where there are none."""
    first = -((axis.window - 1 - at[0] - axis.before) // axis.stride)
    last = (at[1] + axis.before) // axis.stride
    return tuple(np.where(first <= last, edge, np.nan) for edge in (first, last))  # type: ignore[return-value]


def _enlarged_from(at: Interval, factor: int, bilinear: bool) -> Interval:
    """Pixels that upsampled pixels `at` are made of: bilinear, also the neighbour on the side of the centre."""
    centre = (factor - 1) / 2 if bilinear else np.nan  # a phase at the centre has no neighbour
    first = at[0] // factor - (at[0] % factor < centre)
    return first, at[1] // factor + (at[1] % factor > centre)
