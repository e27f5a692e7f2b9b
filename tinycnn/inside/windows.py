"""Which inputs an output of a window layer sees, and which outputs see an input: along one axis at a time.

Convolutions, transposed convolutions and pools differ in what they do with a window, not in where it lies: output `o`
has its cell `k` on input ``o * stride + k * dilation - before``.
"""

from typing import NamedTuple

import numpy as np

from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.pool import AveragePool2D, MaxPool2D
from tinycnn.layers.zero_padding import ZeroPadding2D

WINDOWED = (Conv2D, Conv2DTranspose, MaxPool2D, AveragePool2D, ZeroPadding2D)


class Axis(NamedTuple):
    """How a window moves along one axis.

    Attributes
    ----------
    window, stride, dilation : int
        Cells of the window, inputs from one position to the next, inputs from one cell to the next.
    before, after : int
        Cells of padding on the two sides.
    outputs : int
        Positions.
    """

    window: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int

    def inputs_of(self, output: int) -> np.ndarray:
        """Input under each cell of the window; below 0 or beyond the end in the padding.

        >>> Axis(3, 2, 1, 1, 1, 4).inputs_of(0)
        array([-1,  0,  1])
        """
        return output * self.stride + np.arange(self.window) * self.dilation - self.before

    def outputs_of(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Outputs whose window covers input `position`, in order, and with which of its cells.

        >>> Axis(3, 2, 1, 1, 1, 4).outputs_of(1)
        (array([0, 1]), array([2, 0]))
        """
        cells = np.arange(self.window)[::-1]
        ahead = position + self.before - cells * self.dilation
        hits = (ahead % self.stride == 0) & (ahead >= 0) & (ahead < self.outputs * self.stride)
        return ahead[hits] // self.stride, cells[hits]


def window_axes(layer: Layer) -> tuple[Axis, Axis]:
    """Rows and columns of a built convolution, pool or padding; of a transposed convolution, of the one it reverses."""
    if isinstance(layer, Conv2D):
        geometry, outputs = layer.geometry(layer.input_shape), layer.output_shape
    elif isinstance(layer, Conv2DTranspose):
        mirrored = Conv2D(1, layer.kernel_size, layer.strides, layer.padding)
        geometry, outputs = mirrored.geometry(layer.output_shape), layer.input_shape
    elif isinstance(layer, (MaxPool2D, AveragePool2D)):
        same = Conv2D(1, layer.pool_size, layer.strides, layer.padding)
        geometry, outputs = same.geometry(layer.input_shape), layer.output_shape
    elif isinstance(layer, ZeroPadding2D):
        same = Conv2D(1, 1, padding=layer.padding)
        geometry, outputs = same.geometry(layer.input_shape), layer.output_shape
    else:
        raise ValueError(f"{layer.where()} has no window")
    rows, columns = (
        Axis(window, stride, dilation, pads[0], pads[1], n)
        for window, stride, dilation, pads, n in zip(
            geometry.kernel_size, geometry.strides, geometry.dilation, geometry.pads, outputs[:2], strict=True
        )
    )
    return rows, columns


def upsampling_weights(factor: int, bilinear: bool, output: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis of `inputs` pixels: those that upsampled pixel `output` is made of, and their shares.

    >>> upsampling_weights(2, True, 1, 5), upsampling_weights(2, True, 0, 5)
    ((array([0, 1]), array([0.75, 0.25])), (array([0]), array([1.])))
    """
    own, phase = divmod(output, factor)
    offset = (phase + 0.5) / factor - 0.5 if bilinear else 0.0
    other = min(max(own + int(np.sign(offset)), 0), inputs - 1)
    if other == own:
        return np.array([own]), np.ones(1)
    return np.array([own, other]), np.array([1 - abs(offset), abs(offset)])
