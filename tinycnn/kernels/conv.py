"""The three passes of a convolution, in terms of the correlation and weight-gradient kernels.

With zero padding, `kernel` in HWIO layout and o, i, k for row or column of output, input and kernel
(cross-correlation, as in every framework; the flipped kernel of mathematics is not used):

    y[o]           = bias + sum over k   x[o*stride + k*dilation - pad] @ kernel[k]
    grad_x[i]      = sum over k with (i + pad - k*dilation) divisible by stride
                                         grad_y[(i + pad - k*dilation) / stride] @ kernel[k].T
    grad_kernel[k] = sum over o          x[o*stride + k*dilation - pad].T @ grad_y[o]
"""

import functools
import os

import numpy as np

from tinycnn.kernels import channelwise, winograd
from tinycnn.kernels.check import check
from tinycnn.kernels.correlate import Grid, Taps, correlate
from tinycnn.kernels.geometry import Geometry
from tinycnn.kernels.nhwc import Output, as_images
from tinycnn.kernels.simd import LANES
from tinycnn.kernels.weight_gradient import sum_bias, weight_gradient


def _merged(geometry):
    """How many kernel elements of a row are neighbours in memory and can be one run."""
    return geometry.kernel_size[1] if geometry.dilation[1] == 1 and geometry.groups == 1 else 1


def _corner(geometry):
    return geometry.pads[0][0], geometry.pads[1][0]


_TILES = {"auto": "auto", "on": "auto", "true": "auto", "4": 4, "2": 2, "0": 0, "off": 0, "false": 0}
_winograd: str | int | None = None  # None: the environment has not been asked yet


def set_winograd(tile: str | int) -> None:
    """Choose the tile of Winograd's algorithm for 3x3 convolutions: "auto", 4, 2, or 0 or "off" to sum them directly.

    5x5 convolutions run on 2x2 tiles, about as exact as 4x4 tiles for 3x3, if "auto" or 4.

    "auto" (or "on") is the default, or the environment's ``TINYCNN_WINOGRAD``.  4x4 tiles are fastest and in
    float32 about ten times less exact than direct sums (5e-6 instead of 5e-7 of the largest output); 2x2 tiles are as
    exact as those.
    """
    global _winograd
    _winograd = _tile_of(tile, f"set_winograd({tile!r}): choose")


def _tile_of(tile, wrong):
    try:
        return _TILES[str(tile).strip().lower()]
    except KeyError:
        raise ValueError(f'{wrong} "auto", 4, 2, or 0 or "off" for none') from None


def _winograd_setting():
    global _winograd
    if _winograd is None:
        text = os.environ.get("TINYCNN_WINOGRAD", "auto")
        _winograd = _tile_of(text, f"TINYCNN_WINOGRAD={text}: set the environment variable to")
    return _winograd


def winograd_tile(kernel_shape: tuple, geometry: Geometry, size: tuple, images: int = 16) -> int:
    """The tile that a convolution runs on, 4 or 2, or 0 for the direct kernels.

    Winograd needs 3x3 or 5x5, stride 1, one group, and channels and filters in whole vectors.  The rest of the rule was
    measured over 2x2 to 56x56 outputs and 16 to 256 channels (``benchmarks/winograd_table.py``): small images waste
    part of a 4x4 tile, few of them cost less than the transform of their kernel, and where there are fewer tiles than
    rows in a register tile, only the direct kernels pay.
    """
    setting = _winograd_setting()
    suits = geometry[:2] in (((3, 3), (1, 1)), ((5, 5), (1, 1))) and geometry[3:] == ((1, 1), 1)
    if not suits or kernel_shape[2] % LANES or kernel_shape[3] % LANES:
        return 0
    if geometry.kernel_size == (5, 5):
        return 2 if setting in ("auto", 4) and min(size) > 2 else 0
    if setting != "auto":
        return setting
    rows, columns = size
    if rows * columns >= 200 or (rows * columns >= 49 and images * -(-rows // 4) * -(-columns // 4) >= 64):
        return 4
    return 2 if rows * columns >= 16 or kernel_shape[2] * kernel_shape[3] < 128 * 128 else 0


def _repeats(geometry, channels, filters):
    """How many filters a depthwise convolution has per channel, if few; else 1."""
    repeats = filters // channels
    return repeats if geometry.groups == channels > 1 and repeats < LANES else 1


def _spread(x, kernel, geometry):
    """`x`, with a copy of its channel for each filter of a depthwise convolution."""
    repeats = _repeats(geometry, x.shape[3], kernel.shape[3])
    return x if repeats == 1 else np.repeat(x, repeats, axis=3)


def _correlate(source, weights, taps, out, grid):
    """`correlate`, by the kernel that suits so many groups and columns."""
    groups, _, columns = weights.shape
    if groups == source.channels > 1 and columns == 1:
        channelwise.depthwise(source, weights, taps, out, grid)
    elif groups == 1 and not out.pooled and channelwise.suits_dot(source.channels, columns):
        channelwise.few_filters(source, weights, taps, out, grid)
    else:
        correlate(source, weights, taps, out, grid)


@functools.lru_cache
def _taps(geometry):
    """Every kernel element's place relative to the strided output position."""
    (top, left), (dilation_y, dilation_x), (rows, columns) = _corner(geometry), geometry.dilation, geometry.kernel_size
    places = ((r * dilation_y - top, s * dilation_x - left) for r in range(rows) for s in range(columns))
    return Taps(tuple(places), geometry.strides, _merged(geometry))


@functools.lru_cache
def _shapes(geometry, image_shape, filters, pooled):
    """Rows and columns of the output, and the shape of every array of a convolution."""
    count, height, width, channels = image_shape
    size = rows, columns = geometry.output_size(height, width)
    kernel, bias = (*geometry.kernel_size, channels // geometry.groups, filters), (filters,)
    y = (count, rows // 2, columns // 2, filters) if pooled else (count, rows, columns, filters)
    shapes = {"x": image_shape, "kernel": kernel, "bias": bias}
    shapes |= {f"grad_{name}": shape for name, shape in shapes.items()}
    return size, shapes | {"y": y, "grad": y, "codes": y, "image_bias": (channels,)}


def _size(geometry, image_shape, filters, codes, **arrays):
    """Check every array of a convolution by its name; rows and columns of the output."""
    size, shapes = _shapes(geometry, image_shape, filters, codes is not None)
    expected = {name: (array, shapes[name]) for name, array in arrays.items()}
    check("convolution", **expected, codes=(codes, shapes["codes"], np.uint8))
    return size


def forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    geometry: Geometry,
    y: np.ndarray,
    relu: bool = False,
    codes: np.ndarray | None = None,
) -> None:
    """Fill `y` ``(images, rows, columns, filters)``; with `codes`, `y` and `codes` are the 2x2 max-pooled output."""
    filters = kernel.shape[-1]
    size = _size(geometry, x.shape, filters, codes, x=x, kernel=kernel, bias=bias, y=y)
    out = Output(*as_images(y, codes, size), np.zeros(filters, x.dtype) if bias is None else bias, relu)
    tile = winograd_tile(kernel.shape, geometry, size, len(x))
    if tile:
        winograd.forward(as_images(x), kernel, _corner(geometry), out, tile)
        return
    x = _spread(x, kernel, geometry)
    # (groups, kh*kw*depth, filters/groups): the columns of the matrix that im2col's rows meet
    groups = x.shape[3] // kernel.shape[2]
    weights = kernel.reshape(-1, groups, filters // groups).transpose(1, 0, 2)
    _correlate(as_images(x), weights, _taps(geometry), out, Grid(*size))


@functools.lru_cache
def _phase(phase, stride, pad, dilation, size):
    """Kernel indices that meet the input indices ``phase + i * stride`` of an axis, and where in the output, less i.

    Descending in the kernel, so that the places ascend.
    """
    places = [(phase + pad[0] - k * dilation, k) for k in range(size - 1, -1, -1)]
    met = [(place // stride, k) for place, k in places if place % stride == 0]
    return tuple(k for _, k in met), tuple(place for place, _ in met)


@functools.lru_cache
def _phases(geometry, height, width):
    """``(grid, taps, kernel elements)`` of each phase of the stride; a phase that no element meets has neither."""
    axes = tuple(zip(geometry.strides, geometry.pads, geometry.dilation, geometry.kernel_size, strict=True))
    (stride_y, stride_x), merge = geometry.strides, _merged(geometry) if geometry.strides == (1, 1) else 1
    phases = []
    for phase_y in range(min(stride_y, height)):
        for phase_x in range(min(stride_x, width)):
            rows, places_y = _phase(phase_y, *axes[0])
            columns, places_x = _phase(phase_x, *axes[1])
            pixels = -(-(height - phase_y) // stride_y), -(-(width - phase_x) // stride_x)
            taps = Taps(tuple((y, x) for y in places_y for x in places_x), (1, 1), merge)
            elements: list | slice = [r * geometry.kernel_size[1] + s for r in rows for s in columns]
            if geometry.strides == (1, 1):
                elements = slice(None, None, -1)  # all of them; a view, where a list would be a copy
            phases.append((Grid(*pixels, phase_y, stride_y, phase_x, stride_x), taps, elements))
    return phases


def input_gradient(
    grad: np.ndarray,
    kernel: np.ndarray,
    geometry: Geometry,
    grad_x: np.ndarray,
    bias: np.ndarray | None = None,
    codes: np.ndarray | None = None,
) -> None:
    """Fill `grad_x` ``(images, height, width, channels)``; a transposed convolution is this plus `bias`.

    Output pixels ``stride`` apart see the same kernel elements, so there is one correlation per phase.  With
    `codes`, `grad` is the gradient of the 2x2 max-pooled output.
    """
    arrays = {"grad": grad, "kernel": kernel, "grad_x": grad_x, "image_bias": bias}
    size = _size(geometry, grad_x.shape, kernel.shape[-1], codes, **arrays)
    _input_gradient(as_images(grad, codes, size), grad, kernel, geometry, grad_x, bias)


def _input_gradient(source, grad, kernel, geometry, grad_x, bias):
    """The same of arrays that are known to fit; `source` are the images of `grad`."""
    kh, kw, depth, filters = kernel.shape
    groups = geometry.groups
    _, height, width, channels = grad_x.shape
    bias = np.zeros(channels, grad.dtype) if bias is None else bias
    if _repeats(geometry, channels, filters) > 1:  # as if each filter had a channel of its own
        wide = np.empty((*grad_x.shape[:3], filters), grad.dtype)
        input_gradient(grad, kernel, geometry._replace(groups=filters), wide)
        np.add(wide.reshape(*grad_x.shape, -1).sum(axis=4), bias, out=grad_x)
        return
    out = Output(*as_images(grad_x), bias, False)
    split = kernel.reshape(kh * kw, depth, groups, filters // groups)
    phases = _phases(geometry, height, width)
    if not all(elements for _, _, elements in phases):  # pixels that no kernel element ever sees
        grad_x[...] = bias
    for grid, taps, elements in phases:
        if not elements:
            continue
        # (elements, depth, groups, filters) -> (groups, elements * filters, depth)
        weights = split[elements].transpose(2, 0, 3, 1).reshape(groups, -1, depth)
        _correlate(source, weights, taps, out, grid)


def kernel_gradient(
    x: np.ndarray,
    grad: np.ndarray,
    geometry: Geometry,
    grad_kernel: np.ndarray,
    grad_bias: np.ndarray | None = None,
    codes: np.ndarray | None = None,
) -> None:
    """Fill `grad_kernel` ``(kh, kw, channels / groups, filters)`` and, if given, `grad_bias` ``(filters,)``."""
    arrays = {"x": x, "grad": grad, "grad_kernel": grad_kernel, "grad_bias": grad_bias}
    size = _size(geometry, x.shape, grad_kernel.shape[-1], codes, **arrays)
    _kernel_gradient(x, as_images(grad, codes, size), geometry, grad_kernel, grad_bias)


def _kernel_gradient(x, grad, geometry, grad_kernel, grad_bias):
    """The same of arrays that are known to fit; `grad` are `Images`."""
    x, (*window, depth, filters) = _spread(x, grad_kernel, geometry), grad_kernel.shape
    groups = x.shape[3] // depth
    depthwise = groups == x.shape[3] == filters > 1
    few = groups == 1 and channelwise.suits_channels(window[0] * window[1], depth, filters)
    gradient = channelwise.kernel_gradient if depthwise or few else weight_gradient
    gradient(as_images(x), grad, _taps(geometry), groups, grad_kernel, grad_bias)


def backward(
    x: np.ndarray,
    kernel: np.ndarray,
    grad: np.ndarray,
    geometry: Geometry,
    grad_x: np.ndarray | None,
    grad_kernel: np.ndarray,
    grad_bias: np.ndarray | None = None,
    codes: np.ndarray | None = None,
) -> None:
    """`kernel_gradient` and, unless `grad_x` is None, `input_gradient`; in one pass where Winograd serves both."""
    gradients = {"grad_x": grad_x, "grad_kernel": grad_kernel, "grad_bias": grad_bias}
    size = _size(geometry, x.shape, kernel.shape[-1], codes, x=x, kernel=kernel, grad=grad, **gradients)
    tile, images = winograd_tile(kernel.shape, geometry, size, len(x)), as_images(grad, codes, size)
    if tile:
        winograd.backward(as_images(x), kernel, images, _corner(geometry), (grad_x, grad_kernel, grad_bias), tile)
        return
    _kernel_gradient(x, images, geometry, grad_kernel, grad_bias)
    if grad_x is not None:
        _input_gradient(images, grad, kernel, geometry, grad_x, None)


def bias_gradient(grad: np.ndarray, grad_bias: np.ndarray) -> None:
    """Fill `grad_bias` ``(filters,)`` with the sum of `grad` ``(images, rows, columns, filters)``, added in float64."""
    check("bias gradient", grad=(grad, grad.shape), grad_bias=(grad_bias, grad.shape[-1:]))
    sum_bias(grad, grad_bias)
