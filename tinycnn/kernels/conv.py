"""The three passes of a convolution, in terms of the correlation and weight-gradient kernels.

With zero padding, `kernel` in HWIO layout and o, i, k for row or column of output, input and kernel
(cross-correlation, as in every framework; the flipped kernel of mathematics is not used):

    y[o]           = bias + sum over k   x[o*stride + k*dilation - pad] @ kernel[k]
    grad_x[i]      = sum over k with (i + pad - k*dilation) divisible by stride
                                         grad_y[(i + pad - k*dilation) / stride] @ kernel[k].T
    grad_kernel[k] = sum over o          x[o*stride + k*dilation - pad].T @ grad_y[o]
"""

import os
from typing import NamedTuple

import numpy as np

from tinycnn.kernels import direct, winograd
from tinycnn.kernels.direct import NO_CODES
from tinycnn.kernels.simd import NR


class Geometry(NamedTuple):
    """How a kernel moves: pairs are (rows, columns); `pads` is ((top, bottom), (left, right))."""

    kernel_size: tuple
    strides: tuple
    pads: tuple
    dilation: tuple
    groups: int

    def output_size(self, height, width):
        """Rows and columns of the output for an input of `height` x `width`."""
        return tuple(
            (size + sum(pad) - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, dilation in zip(
                (height, width), self.kernel_size, self.strides, self.pads, self.dilation, strict=True
            )
        )


def _merged(geometry):
    """Kernel columns that lie side by side in memory and can be walked as one run."""
    return geometry.kernel_size[1] if geometry.dilation[1] == 1 and geometry.groups == 1 else 1


def _taps(geometry):
    rows = np.arange(geometry.kernel_size[0]) * geometry.dilation[0] - geometry.pads[0][0]
    columns = np.arange(geometry.kernel_size[1]) * geometry.dilation[1] - geometry.pads[1][0]
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)  # (kh*kw, 2)


def set_winograd(tile):
    """Choose the tile of Winograd's algorithm for 3x3 convolutions: "auto", 4, 2, or 0 to sum them directly.

    "auto" (or True) is the default, or the environment's ``TINYCNN_WINOGRAD``.  4x4 tiles are fastest and in
    float32 about ten times less exact than direct sums (5e-6 instead of 5e-7 of the largest output); 2x2 tiles are as
    exact as those.
    """
    global _winograd
    if tile not in ("auto", True, 4, 2, 0):
        raise ValueError(f'set_winograd({tile!r}): choose "auto", 4, 2 or 0')
    _winograd = "auto" if tile in ("auto", True) else int(tile)


def _tile_of(text):
    """What the environment's ``TINYCNN_WINOGRAD`` says."""
    if text not in ("auto", "4", "2", "0"):
        raise ValueError(f'TINYCNN_WINOGRAD={text}: set the environment variable to "auto", 4, 2 or 0, or not at all')
    return text if text == "auto" else int(text)


_winograd = _tile_of(os.environ.get("TINYCNN_WINOGRAD", "auto"))


def winograd_tile(kernel_shape, geometry, size):
    """The tile that a convolution runs on, 4 or 2, or 0 for the direct kernels.

    Winograd needs 3x3, stride 1, one group, and channels and filters in whole panels.  The rest of the rule was
    measured over 2x2 to 56x56 outputs and 16 to 256 channels (``benchmarks/winograd_table.py``): small images waste
    part of a 4x4 tile, and where there are fewer tiles than rows in a register tile, only the direct kernels pay.
    """
    suits = geometry[:2] == ((3, 3), (1, 1)) and geometry[3:] == ((1, 1), 1)
    if not suits or kernel_shape[2] % NR or kernel_shape[3] % NR:
        return 0
    if _winograd != "auto":
        return _winograd
    rows, columns = size
    if rows * columns >= 200:
        return 4
    return 2 if rows * columns >= 16 or kernel_shape[2] * kernel_shape[3] < 128 * 128 else 0


def _corner(geometry):
    return geometry.pads[0][0], geometry.pads[1][0]


def forward(x, kernel, bias, geometry, y, relu=False, codes=None):
    """Fill `y` ``(images, rows, columns, filters)``; with `codes`, `y` and `codes` are the 2x2 max-pooled output."""
    kh, kw, depth, filters = kernel.shape
    bias = np.zeros(filters, x.dtype) if bias is None else bias
    size = geometry.output_size(*x.shape[1:3])
    tile = winograd_tile(kernel.shape, geometry, size)
    if tile:
        winograd.forward(x, kernel, bias, _corner(geometry), size, y, relu, codes, tile)
        return
    groups = geometry.groups
    # (groups, kh*kw*depth, filters/groups): the columns of the matrix that im2col's rows meet
    weights = kernel.reshape(kh * kw * depth, groups, filters // groups).transpose(1, 0, 2)
    direct.correlate(
        x,
        x.shape,
        weights,
        _taps(geometry),
        geometry.strides,
        bias,
        (*size, 0, 1, 0, 1),
        y,
        relu,
        codes is not None,
        NO_CODES if codes is None else codes,
        merge=_merged(geometry),
    )


def input_gradient(grad, kernel, geometry, grad_x, bias=None, codes=None):
    """Fill `grad_x` ``(images, height, width, channels)``; a transposed convolution is this plus `bias`.

    Output pixels ``stride`` apart see the same kernel elements, so there is one correlation per phase.  With
    `codes`, `grad` is the gradient of the 2x2 max-pooled output.
    """
    kh, kw, depth, filters = kernel.shape
    groups, (stride_y, stride_x) = geometry.groups, geometry.strides
    images, height, width, channels = grad_x.shape
    shape = (images, *geometry.output_size(height, width), filters)
    bias = np.zeros(channels, grad.dtype) if bias is None else bias
    split = kernel.reshape(kh, kw, depth, groups, filters // groups)
    for phase_y in range(min(stride_y, height)):
        for phase_x in range(min(stride_x, width)):
            # descending kernel index = ascending source position
            offsets = [
                [(phase + pad[0] - k * dilation, k) for k in range(size - 1, -1, -1)]
                for phase, pad, dilation, size in zip(
                    (phase_y, phase_x), geometry.pads, geometry.dilation, (kh, kw), strict=True
                )
            ]
            rows = [(o // stride_y, k) for o, k in offsets[0] if o % stride_y == 0]
            columns = [(o // stride_x, k) for o, k in offsets[1] if o % stride_x == 0]
            if not rows or not columns:
                grad_x[:, phase_y::stride_y, phase_x::stride_x] = bias
                continue
            taps = np.array([(r, c) for r, _ in rows for c, _ in columns])
            # (rows, columns, depth, groups, filters)
            part = split[np.ix_([k for _, k in rows], [k for _, k in columns])]
            weights = part.transpose(3, 0, 1, 4, 2).reshape(groups, -1, depth)
            grid = (
                -(-(height - phase_y) // stride_y),
                -(-(width - phase_x) // stride_x),
                phase_y,
                stride_y,
                phase_x,
                stride_x,
            )
            merge = len(columns) if geometry.strides == (1, 1) else 1
            direct.correlate(
                grad,
                shape,
                weights,
                taps,
                (1, 1),
                bias,
                grid,
                grad_x,
                codes=NO_CODES if codes is None else codes,
                merge=min(merge, _merged(geometry)),
            )


def kernel_gradient(x, grad, geometry, grad_kernel, grad_bias=None, codes=None):
    """Fill `grad_kernel` ``(kh, kw, channels / groups, filters)`` and, if given, `grad_bias` ``(filters,)``."""
    grad_shape = (*geometry.output_size(*x.shape[1:3]), grad_kernel.shape[3])
    direct.weight_gradient(
        x,
        grad,
        grad_shape,
        _taps(geometry),
        geometry.strides,
        geometry.groups,
        grad_kernel,
        grad_bias,
        NO_CODES if codes is None else codes,
        merge=_merged(geometry),
    )


def backward(x, kernel, grad, geometry, grad_x, grad_kernel, grad_bias=None, codes=None):
    """`kernel_gradient` and, unless `grad_x` is None, `input_gradient`; in one pass where Winograd serves both."""
    size = geometry.output_size(*x.shape[1:3])
    tile = winograd_tile(kernel.shape, geometry, size)
    if tile:
        winograd.backward(x, kernel, grad, _corner(geometry), size, grad_x, grad_kernel, grad_bias, codes, tile)
        return
    kernel_gradient(x, grad, geometry, grad_kernel, grad_bias, codes)
    if grad_x is not None:
        input_gradient(grad, kernel, geometry, grad_x, codes=codes)
