"""Every kernel in NumPy alone, one idea per line and nothing fused: the set "reference".

Set a breakpoint anywhere here and call `fit`: every array of a training step can be looked at.  numba is not imported.
A convolution is a sum over the elements of its kernel: each sees one shifted, strided view of the whole batch, so
these are loops over 9 views where `tinycnn.reference` loops over every pixel.  What that module computes fast enough is
called there.  Shapes and arguments: `tinycnn.kernels.sets.Kernels`.

float32 results lie within 1e-5 of the exact ones, relative to the largest; float64 results within 1e-13.
"""

from collections.abc import Sequence

import numpy as np

from tinycnn import reference
from tinycnn.kernels.geometry import Geometry

Array = np.ndarray
Maybe = np.ndarray | None
Windows = tuple[int, int, int, int, int, int]


def _pad(x, pads, value=0):
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def _unpad(x, pads):
    (top, bottom), (left, right) = pads
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def _seen_by(element, strides, dilation, size):
    """Index of the pixels in the padded images that kernel element (r, s) meets: one for each of `size` outputs."""
    rows, columns = (
        slice(k * step, k * step + (count - 1) * stride + 1, stride)
        for k, stride, step, count in zip(element, strides, dilation, size, strict=True)
    )
    return slice(None), rows, columns


def _groups(geometry, channels, filters):
    """Slices of the channels and filters that belong together."""
    count = geometry.groups
    ins, outs = channels // count, filters // count
    return [(slice(g * ins, (g + 1) * ins), slice(g * outs, (g + 1) * outs)) for g in range(count)]


def _pixels(images):
    """The pixels of all images as the rows of one matrix ``(pixels, channels)``."""
    return images.reshape(-1, images.shape[-1])


def conv_forward(
    x: Array, kernel: Array, bias: Maybe, geometry: Geometry, y: Array, relu: bool = False, codes: Maybe = None
) -> None:
    """``y[o] = bias + sum over k of  x[o*stride + k*dilation - pad] @ kernel[k]``."""
    _refuse(codes)
    padded = _pad(x, geometry.pads)
    y[...] = 0 if bias is None else bias
    for k in np.ndindex(*geometry.kernel_size):
        seen = padded[_seen_by(k, geometry.strides, geometry.dilation, y.shape[1:3])]
        for ins, outs in _groups(geometry, x.shape[3], y.shape[3]):
            y[..., outs] += seen[..., ins] @ kernel[k][:, outs]
    if relu:
        np.maximum(y, 0, out=y)


def conv_kernel_gradient(
    x: Array, grad: Array, geometry: Geometry, grad_kernel: Array, grad_bias: Maybe = None, codes: Maybe = None
) -> None:
    """``grad_kernel[k] = sum over o of x[o*stride + k*dilation - pad].T @ grad[o]``, ``grad_bias = sum of grad[o]``."""
    _refuse(codes)
    padded = _pad(x, geometry.pads)
    for k in np.ndindex(*geometry.kernel_size):
        seen = padded[_seen_by(k, geometry.strides, geometry.dilation, grad.shape[1:3])]
        for ins, outs in _groups(geometry, x.shape[3], grad.shape[3]):
            grad_kernel[k][:, outs] = _pixels(seen[..., ins]).T @ _pixels(grad[..., outs])
    if grad_bias is not None:
        grad_bias[...] = grad.sum(axis=(0, 1, 2), dtype=np.float64)


def conv_input_gradient(
    grad: Array, kernel: Array, geometry: Geometry, grad_x: Array, bias: Maybe = None, codes: Maybe = None
) -> None:
    """``grad_x[o*stride + k*dilation - pad] += grad[o] @ kernel[k].T``, for all k and o; plus `bias`."""
    _refuse(codes)
    padded = _pad(np.zeros_like(grad_x), geometry.pads)
    for k in np.ndindex(*geometry.kernel_size):
        seen = padded[_seen_by(k, geometry.strides, geometry.dilation, grad.shape[1:3])]
        for ins, outs in _groups(geometry, grad_x.shape[3], grad.shape[3]):
            seen[..., ins] += grad[..., outs] @ kernel[k][:, outs].T
    grad_x[...] = _unpad(padded, geometry.pads)
    if bias is not None:
        grad_x += bias


def conv_backward(
    x: Array,
    kernel: Array,
    grad: Array,
    geometry: Geometry,
    grad_x: Maybe,
    grad_kernel: Array,
    grad_bias: Maybe = None,
    codes: Maybe = None,
) -> None:
    """`conv_kernel_gradient` and, unless `grad_x` is None, `conv_input_gradient`."""
    conv_kernel_gradient(x, grad, geometry, grad_kernel, grad_bias, codes)
    if grad_x is not None:
        conv_input_gradient(grad, kernel, geometry, grad_x, codes=codes)


def _refuse(codes):
    if codes is not None:
        raise ValueError('the kernels "reference" do not fuse pooling: call without codes, then maxpool_forward')


def _pool_padding(geometry, image, output):
    """The zeros ((above, below), (left, right)) that six ints of pooling geometry stand for."""
    window, strides, before = geometry[:2], geometry[2:4], geometry[4:]
    after = (
        max(0, (count - 1) * stride + size - first - length)
        for size, stride, first, length, count in zip(window, strides, before, image[1:3], output[1:3], strict=True)
    )
    return tuple(zip(before, after, strict=True))


def bias_gradient(grad: Array, grad_bias: Array) -> None:
    """``grad_bias = sum of grad over images, rows and columns``, in float64."""
    grad_bias[...] = grad.sum(axis=(0, 1, 2), dtype=np.float64)


def maxpool_forward(x: Array, geometry: Windows, y: Array, codes: Array) -> None:
    """``y[o] = max over k of x[o*stride + k - pad]``, and the code ``r * window columns + s`` of the winner k = (r, s).

    Cell after cell is compared with the best so far; what lies outside the image is no cell.
    """
    pads = _pool_padding(geometry, x.shape, y.shape)
    padded, inside = _pad(x, pads), _pad(np.ones((*x.shape[:3], 1), bool), pads)
    none_yet = np.ones(y.shape, bool)
    for code, k in enumerate(np.ndindex(*geometry[:2])):
        seen = _seen_by(k, geometry[2:4], (1, 1), y.shape[1:3])
        value = padded[seen]
        better = inside[seen] & (none_yet | (value > y) | np.isnan(value))
        y[better], codes[better], none_yet[better] = value[better], code, False


def maxpool_backward(grad: Array, codes: Array, geometry: Windows, grad_x: Array) -> None:
    """``grad_x[o*stride + k - pad] += grad[o]`` where the code of o is that of k."""
    pads = _pool_padding(geometry, grad_x.shape, grad.shape)
    padded = _pad(np.zeros_like(grad_x), pads)
    for code, k in enumerate(np.ndindex(*geometry[:2])):
        padded[_seen_by(k, geometry[2:4], (1, 1), grad.shape[1:3])] += np.where(codes == code, grad, 0)
    grad_x[...] = _unpad(padded, pads)


def avgpool_forward(x: Array, geometry: Windows, y: Array) -> None:
    """``y[o] = mean over k of x[o*stride + k - pad]``, cells outside the image left out; sums in float64."""
    pads = _pool_padding(geometry, x.shape, y.shape)
    y[...] = reference.avgpool_forward(x.astype(np.float64), geometry[:2], geometry[2:4], pads)


def avgpool_backward(grad: Array, geometry: Windows, grad_x: Array) -> None:
    """``grad_x[o*stride + k - pad] += grad[o] / number of cells of o``."""
    pads = _pool_padding(geometry, grad_x.shape, grad.shape)
    grad_x[...] = reference.avgpool_backward(grad, grad_x.shape, geometry[:2], geometry[2:4], pads)


def upsample_forward(x: Array, size: tuple[int, int], y: Array) -> None:
    """``y[o] = x[i]`` for ``o = size*i + p``."""
    (n, h, w, c), (rows, columns) = x.shape, size
    y.reshape(n, h, rows, w, columns, c)[...] = x[:, :, None, :, None, :]


def upsample_backward(grad: Array, size: tuple[int, int], grad_x: Array) -> None:
    """``grad_x[i] = sum over p  grad[size*i + p]``."""
    (rows, columns), grad_x[...] = size, 0
    for row, column in np.ndindex(rows, columns):
        grad_x += grad[:, row::rows, column::columns]


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each column, in float64."""
    return x.mean(axis=0, dtype=np.float64), x.astype(np.float64).var(axis=0)


def normalize(x: Array, mean: Array, scale: Array, beta: Array, y: Array, relu: bool = False) -> None:
    """``y = (x - mean) * scale + beta``, column by column, cut at 0 with `relu`."""
    y[...] = (x - mean) * scale + beta
    if relu:
        y[...] = reference.relu_forward(y)


def gradient_sums(
    x: Array, grad_y: Array, mean: Array, inverse_std: Array, scale: Maybe = None, beta: Maybe = None
) -> tuple[Array, Array]:
    """``grad_gamma = sum of grad_y * xhat`` and ``grad_beta = sum of grad_y``, xhat = (x - mean) * inverse_std.

    With `beta` only over what a ReLU of ``(x - mean) * scale + beta`` lets through.
    """
    if beta is not None:
        grad_y = reference.relu_backward(grad_y, (x - mean) * scale + beta)
    xhat = (x - mean) * inverse_std
    return (grad_y * xhat).sum(axis=0, dtype=np.float64), grad_y.sum(axis=0, dtype=np.float64)


def norm_input_gradient(
    x: Array,
    grad_y: Array,
    mean: Array,
    scale: Array,
    mean_grad: Array,
    slope: Array,
    grad_x: Array,
    beta: Maybe = None,
) -> None:
    """``scale * (grad_y - mean_grad - (x - mean) * slope)`` into `grad_x`; with `beta` as `gradient_sums`."""
    if beta is not None:
        grad_y = reference.relu_backward(grad_y, (x - mean) * scale + beta)
    grad_x[...] = scale * (grad_y - mean_grad - (x - mean) * slope)


def dense_forward(x: Array, kernel: Array, bias: Maybe, y: Array) -> None:
    """``y = x @ kernel + bias``."""
    y[...] = reference.dense_forward(x, kernel, bias)


def dense_backward(x: Array, kernel: Array, grad: Array, grad_x: Maybe, grad_kernel: Array) -> None:
    """``grad_kernel = x.T @ grad`` and, unless `grad_x` is None, ``grad_x = grad @ kernel.T``."""
    grad_kernel[...] = x.T @ grad
    if grad_x is not None:
        grad_x[...] = grad @ kernel.T


def relu_forward(x: Array, out: Array) -> None:
    """``out = max(x, 0)``."""
    out[...] = reference.relu_forward(x)


def add(a: Array, b: Array, out: Array, relu: bool = False) -> None:
    """``out = a + b``, cut at 0 with `relu`."""
    np.add(a, b, out=out)
    if relu:
        relu_forward(out, out)


def relu_backward(grad: Array, y: Array, out: Array) -> None:
    """``out = grad`` where the ReLU's output `y` is positive, 0 elsewhere."""
    out[...] = reference.relu_backward(grad, y)


def tanh_forward(x: Array, out: Array) -> None:
    """``out = tanh(x)``."""
    np.tanh(x, out=out)


def tanh_backward(grad: Array, y: Array, out: Array) -> None:
    """``out = grad * (1 - y**2)``."""
    out[...] = grad * (1 - y * y)


def sigmoid_forward(x: Array, out: Array) -> None:
    """``out = 1 / (1 + exp(-x))``, so that no exponential overflows."""
    e = np.exp(-np.abs(x))
    out[...] = np.where(x >= 0, 1, e) / (1 + e)


def sigmoid_backward(grad: Array, y: Array, out: Array) -> None:
    """``out = grad * y * (1 - y)``."""
    out[...] = grad * (y * (1 - y))


def dropout_mask_apply(x: Array, out: Array, key: int, rate: float) -> None:
    """``out = x / (1 - rate)`` where element i is kept, 0 where it is dropped, by the hash of `reference.dropout`."""
    out[...] = reference.dropout(x, key, rate)


def scale_u8(images: Array, out: Array, scale: float) -> None:
    """``out[...] = images * scale`` for 8-bit images and a float array of the same size."""
    np.multiply(images, out.dtype.type(scale), out=out)


def adam_step(
    parameters: Sequence[tuple[Array, ...]],
    decays: Sequence[float],
    lr_t: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    grad_scale: float = 1.0,
) -> None:
    """One step of `reference.adam_update` for every ``(param, grad, m, v)``, in place, each with its decay."""
    for (param, grad, m, v), decay in zip(parameters, decays, strict=True):
        decayed = decay * param
        param[...], m[...], v[...] = reference.adam_update(
            param, grad_scale * grad, m, v, lr_t, beta_1, beta_2, epsilon
        )
        param -= decayed


def sgd_step(
    parameters: Sequence[tuple[Array, ...]],
    decays: Sequence[float],
    lr: float,
    momentum: float,
    nesterov: bool,
    grad_scale: float = 1.0,
) -> None:
    """One step of `reference.sgd_update` for every ``(param, grad, velocity)``, in place, each with its decay."""
    for (param, grad, velocity), decay in zip(parameters, decays, strict=True):
        numbers = lr, momentum, nesterov, decay, grad_scale
        param[...], velocity[...] = reference.sgd_update(param, grad, velocity, *numbers)


def sum_of_squares(a: Array) -> float:
    """Sum of ``a**2`` as a float, in float64."""
    return float(np.square(a, dtype=np.float64).sum())
