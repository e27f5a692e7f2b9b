"""Every kernel, on enough data for several tasks: functions that return what it wrote; and convolutions to try."""

import numpy as np
from plain_cases import PLAIN_CASES

from tinycnn import reference
from tinycnn.kernels import activation, channelwise, dense, dropout, images, norm, pool, updates, upsample, winograd
from tinycnn.kernels import correlate as direct
from tinycnn.kernels import weight_gradient as gradient
from tinycnn.kernels.codes import DEAD
from tinycnn.kernels.correlate import Grid, Taps
from tinycnn.kernels.nhwc import Output, as_images
from tinycnn.kernels.simd import LANES, NR


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


PLACES = tuple((r - 1, s - 1) for r, s in np.ndindex(3, 3))


def correlate(fused=False):
    x, weights, bias = normal(3, 70, 40, 8), normal(1, 72, LANES, seed=1), normal(LANES, seed=2)
    codes = np.zeros((3, 35, 20, LANES), np.uint8)
    y = np.zeros(codes.shape if fused else (3, 70, 40, LANES), np.float32)
    out = Output(*as_images(y, codes if fused else None, (70, 40)), bias, fused)
    direct.correlate(as_images(x), weights, Taps(PLACES, (1, 1), merge=3), out, Grid(70, 40))
    return y, codes


def weight_gradient():
    x, grad = normal(7, 30, 20, 5), normal(7, 30, 20, 9, seed=1)
    grad_kernel, grad_bias = np.zeros((3, 3, 5, 9), np.float32), np.zeros(9, np.float32)
    gradient.weight_gradient(as_images(x), as_images(grad), Taps(PLACES, (1, 1)), 1, grad_kernel, grad_bias)
    return grad_kernel, grad_bias


def sum_bias():
    grad_bias = np.zeros(9, np.float32)
    gradient.sum_bias(normal(7, 30, 20, 9), grad_bias)
    return (grad_bias,)


def depthwise():
    x, weights, y = normal(3, 70, 40, 21), normal(21, 9, 1, seed=1), np.zeros((3, 70, 40, 21), np.float32)
    out = Output(*as_images(y), normal(21, seed=2), True)
    channelwise.depthwise(as_images(x), weights, Taps(PLACES, (1, 1)), out, Grid(70, 40))
    return (y,)


def few_filters():
    x, weights, y = normal(3, 70, 40, LANES), normal(1, 9 * LANES, 2, seed=1), np.zeros((3, 70, 40, 2), np.float32)
    out = Output(*as_images(y), normal(2, seed=2), False)
    channelwise.few_filters(as_images(x), weights, Taps(PLACES, (1, 1), merge=3), out, Grid(70, 40))
    return (y,)


def kernel_gradient():
    x, results = normal(7, 30, 20, 21), []
    for groups, filters in ((1, 2), (21, 21)):
        grad = normal(7, 30, 20, filters, seed=1)
        results += [np.zeros((9, 21 // groups, filters), np.float32), np.zeros(filters, np.float32)]
        channelwise.kernel_gradient(as_images(x), as_images(grad), Taps(PLACES, (1, 1)), groups, *results[-2:])
    return results


def winograd_forward():
    x, kernel, y = normal(5, 41, 22, NR), normal(3, 3, NR, NR, seed=1), np.zeros((5, 41, 22, NR), np.float32)
    winograd.forward(as_images(x), kernel, (1, 1), Output(*as_images(y), normal(NR, seed=2), False))
    return (y,)


def winograd_backward():
    x, kernel, grad = normal(5, 41, 22, NR), normal(3, 3, NR, NR, seed=1), normal(5, 41, 22, NR, seed=2)
    results = np.zeros_like(x), np.zeros_like(kernel), np.zeros(NR, np.float32)
    winograd.backward(as_images(x), kernel, as_images(grad), (1, 1), results)
    return results


def dense_forward():
    many, few = np.zeros((5, 7), np.float32), np.zeros((1, 7), np.float32)
    for y in (many, few):
        dense.dense_forward(normal(len(y), 9000), normal(9000, 7, seed=1), normal(7, seed=2), y)
    return many, few


def dense_backward():
    x, kernel = normal(5, 3000), normal(3000, 7, seed=1)
    results = np.zeros_like(x), np.zeros_like(kernel)
    dense.dense_backward(x, kernel, normal(5, 7, seed=2), *results)
    return results


def adam_step():
    param, grad, m, v = normal(300_000), normal(300_000, seed=1), normal(300_000, seed=2), normal(300_000, seed=3) ** 2
    few = [array[:77].copy() for array in (param, grad, m, v)]
    updates.adam_step([(param, grad, m, v), few], [0.1, 0.0], 0.1, 0.9, 0.99, 1e-7)
    return param, m, v


def sgd_step():
    param, velocity = normal(300_000), normal(300_000, seed=1)
    updates.sgd_step([(param, normal(300_000, seed=2), velocity)], [0.0], 0.1, 0.9, True)
    return param, velocity


def sum_of_squares():
    return (updates.sum_of_squares(normal(1_000_003)),)


def scale_u8():
    pixels, out = np.arange(300_000).astype(np.uint8), np.zeros(300_000, np.float32)
    images.scale_u8(pixels, out, 1 / 255)
    return (out,)


def dropout_mask_apply():
    out = np.zeros(300_000, np.float32)
    dropout.dropout_mask_apply(normal(300_000), out, np.uint64(5), 0.4)
    return (out,)


def relu_forward():
    activation.relu_forward(normal(300_000), out := np.zeros(300_000, np.float32))
    return (out,)


def add(relu=False):
    activation.add(normal(300_000), normal(300_000, seed=1), out := np.zeros(300_000, np.float32), relu)
    return (out,)


def relu_backward():
    out = np.zeros(300_000, np.float32)
    activation.relu_backward(normal(300_000), normal(300_000, seed=1), out)
    return (out,)


def tanh_forward():
    activation.tanh_forward(normal(300_000), out := np.zeros(300_000, np.float32))
    return (out,)


def tanh_backward():
    activation.tanh_backward(normal(300_000), normal(300_000, seed=1), out := np.zeros(300_000, np.float32))
    return (out,)


def sigmoid_forward():
    activation.sigmoid_forward(normal(300_000), out := np.zeros(300_000, np.float32))
    return (out,)


def sigmoid_backward():
    activation.sigmoid_backward(normal(300_000), normal(300_000, seed=1), out := np.zeros(300_000, np.float32))
    return (out,)


def moments():
    return norm.moments(normal(5001, LANES + 7))


def normalize():
    y = np.zeros((5001, LANES + 7), np.float32)
    norm.normalize(normal(5001, LANES + 7), normal(LANES + 7), normal(LANES + 7, seed=1), normal(LANES + 7, seed=2), y)
    return (y,)


def gradient_sums():
    return norm.gradient_sums(
        normal(5001, LANES + 7), normal(5001, LANES + 7, seed=1), normal(LANES + 7), normal(LANES + 7, seed=2)
    )


def input_gradient():
    grad_x = np.zeros((5001, LANES + 7), np.float32)
    norm.input_gradient(
        normal(5001, LANES + 7), normal(5001, LANES + 7, seed=1), *(normal(LANES + 7, seed=s) for s in range(4)), grad_x
    )
    return (grad_x,)


def maxpool_forward(window=3, stride=2):
    x = np.round(normal(3, 51, 31, LANES))
    size = (51 - window) // stride + 1, (31 - window) // stride + 1
    y, codes = np.zeros((3, *size, LANES), np.float32), np.zeros((3, *size, LANES), np.uint8)
    pool.maxpool_forward(x, (window, window, stride, stride, 0, 0), y, codes)
    return y, codes


def maxpool_backward(window=3, stride=2):
    y, codes = maxpool_forward(window, stride)
    grad_x = np.zeros((3, 51, 31, LANES), np.float32)
    pool.maxpool_backward(normal(*y.shape, seed=1), codes, (window, window, stride, stride, 0, 0), grad_x)
    return (grad_x,)


def avgpool_forward(window=3):
    y = np.zeros((3, 25, 15, 5), np.float32)
    pool.avgpool_forward(normal(3, 51, 31, 5), (window, window, 2, 2, 0, 0), y)
    return (y,)


def avgpool_backward(window=3):
    grad_x = np.zeros((3, 51, 31, 5), np.float32)
    pool.avgpool_backward(normal(3, 25, 15, 5), (window, window, 2, 2, 0, 0), grad_x)
    return (grad_x,)


def upsample_forward():
    y = np.zeros((3, 34, 36, LANES + 3), np.float32)
    upsample.upsample_forward(normal(3, 17, 12, LANES + 3), (2, 3), y)
    return (y,)


def upsample_backward():
    grad_x = np.zeros((3, 17, 12, LANES + 3), np.float32)
    upsample.upsample_backward(normal(3, 34, 36, LANES + 3), (2, 3), grad_x)
    return (grad_x,)


def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 40, 33, 3), dtype=np.uint8)


def warp_images():
    source, keys = pixels(), np.arange(5, dtype=np.uint64)
    out = np.zeros_like(source)
    matrices = np.tile(np.float32([[0.9, 0.1, 1], [-0.1, 0.9, 2]]), (5, 1, 1))
    levels = np.tile(np.float32([1.1, -3, 4]), (5, 1))
    none = np.zeros(5, np.float32)
    how = images.Warp(matrices, levels, keys, images.REFLECT, none, np.zeros((5, 2), np.float32), none)
    images.warp_images(source, out, how)
    return (out,)


def equalize_images():
    source = pixels()
    out = np.zeros_like(source)
    images.equalize_images(source, out, 4, 2.0)
    return (out,)


CASES = {
    direct: [correlate],
    gradient: [weight_gradient, sum_bias],
    channelwise: [depthwise, few_filters, kernel_gradient],
    winograd: [winograd_forward, winograd_backward],
    dense: [dense_forward, dense_backward],
    updates: [adam_step, sgd_step, sum_of_squares],
    dropout: [dropout_mask_apply],
    activation: [relu_forward, relu_backward, tanh_forward, tanh_backward, sigmoid_forward, sigmoid_backward, add],
    norm: [moments, normalize, gradient_sums, input_gradient],
    pool: [maxpool_forward, maxpool_backward, avgpool_forward, avgpool_backward],
    upsample: [upsample_forward, upsample_backward],
    images: [warp_images, equalize_images, scale_u8],
    **PLAIN_CASES,
}
VARIANTS = [lambda: correlate(fused=True), lambda: add(relu=True)]
PLAIN_VARIANTS = [lambda: maxpool_forward(2), lambda: maxpool_backward(2)]  # without vectors under NUMBA_DISABLE_JIT
PLAIN_VARIANTS += [lambda: avgpool_forward(2), lambda: avgpool_backward(2)]
EVERY_KERNEL = [case for cases in CASES.values() for case in cases] + VARIANTS + PLAIN_VARIANTS


def bits(results):
    return [np.asarray(a).tobytes() for a in results]


# image size, channels, filters, window, strides, padding, dilation, groups
CONVOLUTIONS = [
    ((5, 7), 3, 4, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((8, 9), 16, 32, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((6, 4), 2, NR + 1, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((7, 6), 5, 3, (2, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((9, 8), 4, 7, (3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 1),
    ((10, 7), 3, 5, (2, 3), (3, 1), ((1, 0), (2, 2)), (1, 1), 1),
    ((9, 10), 3, 6, (3, 2), (1, 1), ((2, 2), (1, 0)), (2, 1), 1),
    ((9, 10), 3, 6, (2, 3), (1, 2), ((0, 0), (3, 3)), (1, 3), 1),
    ((6, 5), 6, 9, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 3),
    ((7, 5), 4, 4, (3, 3), (2, 1), ((1, 1), (1, 1)), (1, 2), 4),
    ((1, 1), 1, 1, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((3, 2), 2, 2, (5, 4), (1, 1), ((3, 3), (3, 3)), (1, 1), 1),
    ((4, 3), 2, 3, (1, 1), (1, 1), ((3, 0), (0, 4)), (1, 1), 1),
    ((4, 3), 70, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((5, 6), 3, 4, (2, 1), (1, 1), ((0, 1), (0, 0)), (1, 1), 1),
]


def places_of(window, padding, dilation):
    """Row and column of every kernel element relative to the strided output position."""
    top, left = padding[0][0], padding[1][0]
    return tuple((r * dilation[0] - top, s * dilation[1] - left) for r, s in np.ndindex(*window))


def merges(window, dilation, groups):
    """One tap at a time; a whole kernel row as one run too, where its elements are neighbours in memory."""
    return sorted({1, window[1] if dilation[1] == 1 and groups == 1 else 1})


def pooled_gradient(size, filters, dtype, dead=True):
    """A gradient of the pooled output, its codes, and the same gradient at full size."""
    shape = (3, size[0] // 2, size[1] // 2, filters)
    grad = normal(*shape, seed=5).astype(dtype)
    codes = np.random.default_rng(6).integers(0, 5 if dead else 4, shape).astype(np.uint8)
    at = np.where(codes == DEAD, 0, codes)
    live = np.where(codes == DEAD, 0, grad).astype(dtype)
    return grad, codes, reference.maxpool_backward(live, at, (3, *size, filters), (2, 2), (2, 2))
