"""Every kernel, on enough data for several tasks: functions that return what the kernel wrote."""

import numpy as np
from plain_cases import PLAIN_CASES

from tinycnn.kernels import dense, direct, elementwise, images, norm, pool, winograd
from tinycnn.kernels.simd import LANES, NR


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


TAPS = np.array([(r - 1, s - 1) for r, s in np.ndindex(3, 3)])


def correlate(fused=False):
    x, weights, bias = normal(3, 70, 40, 8), normal(1, 72, LANES, seed=1), normal(LANES, seed=2)
    codes = np.zeros((3, 35, 20, LANES), np.uint8)
    y = np.zeros(codes.shape if fused else (3, 70, 40, LANES), np.float32)
    grid, merge = (70, 40, 0, 1, 0, 1), 3
    direct.correlate(x, x.shape, weights, TAPS, (1, 1), bias, grid, y, fused, fused, codes, merge=merge)
    return y, codes


def weight_gradient():
    x, grad = normal(7, 30, 20, 5), normal(7, 30, 20, 9, seed=1)
    grad_kernel, grad_bias = np.zeros((3, 3, 5, 9), np.float32), np.zeros(9, np.float32)
    direct.weight_gradient(x, grad, grad.shape[1:], TAPS, (1, 1), 1, grad_kernel, grad_bias)
    return grad_kernel, grad_bias


def winograd_forward():
    x, kernel, y = normal(5, 41, 22, NR), normal(3, 3, NR, NR, seed=1), np.zeros((5, 41, 22, NR), np.float32)
    winograd.forward(x, kernel, normal(NR, seed=2), (1, 1), (41, 22), y)
    return (y,)


def winograd_backward():
    x, kernel, grad = normal(5, 41, 22, NR), normal(3, 3, NR, NR, seed=1), normal(5, 41, 22, NR, seed=2)
    results = np.zeros_like(x), np.zeros_like(kernel), np.zeros(NR, np.float32)
    winograd.backward(x, kernel, grad, (1, 1), (41, 22), *results)
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


def adam_update():
    param, grad, m, v = normal(300_000), normal(300_000, seed=1), normal(300_000, seed=2), normal(300_000, seed=3) ** 2
    elementwise.adam_update(param, grad, m, v, 0.1, 0.9, 0.99, 1e-7)
    return param, m, v


def sgd_update():
    param, velocity = normal(300_000), normal(300_000, seed=1)
    elementwise.sgd_update(param, normal(300_000, seed=2), velocity, 0.1, 0.9, True)
    return param, velocity


def sum_of_squares():
    return (elementwise.sum_of_squares(normal(1_000_003)),)


def scale_u8():
    pixels, out = np.arange(300_000).astype(np.uint8), np.zeros(300_000, np.float32)
    elementwise.scale_u8(pixels, out, 1 / 255)
    return (out,)


def dropout_mask_apply():
    out = np.zeros(300_000, np.float32)
    elementwise.dropout_mask_apply(normal(300_000), out, np.uint64(5), 0.4)
    return (out,)


def relu_backward():
    out = np.zeros(300_000, np.float32)
    elementwise.relu_backward(normal(300_000), normal(300_000, seed=1), out)
    return (out,)


def moments():
    return norm.moments(normal(5001, 7))


def normalize():
    y = np.zeros((5001, 7), np.float32)
    norm.normalize(normal(5001, 7), normal(7), normal(7, seed=1), normal(7, seed=2), y)
    return (y,)


def gradient_sums():
    return norm.gradient_sums(normal(5001, 7), normal(5001, 7, seed=1), normal(7), normal(7, seed=2))


def input_gradient():
    grad_x = np.zeros((5001, 7), np.float32)
    norm.input_gradient(normal(5001, 7), normal(5001, 7, seed=1), *(normal(7, seed=s) for s in range(5)), grad_x)
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


def avgpool_forward():
    y = np.zeros((3, 25, 15, 5), np.float32)
    pool.avgpool_forward(normal(3, 51, 31, 5), (3, 3, 2, 2, 0, 0), y)
    return (y,)


def avgpool_backward():
    grad_x = np.zeros((3, 51, 31, 5), np.float32)
    pool.avgpool_backward(normal(3, 25, 15, 5), (3, 3, 2, 2, 0, 0), grad_x)
    return (grad_x,)


def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 40, 33, 3), dtype=np.uint8)


def warp_images():
    source, keys = pixels(), np.arange(5, dtype=np.uint64)
    out = np.zeros_like(source)
    matrices = np.tile(np.float32([[0.9, 0.1, 1], [-0.1, 0.9, 2]]), (5, 1, 1))
    levels = np.tile(np.float32([1.1, -3, 4]), (5, 1))
    images.warp_images(source, out, matrices, levels, keys, images.REFLECT, 0.0)
    return (out,)


def equalize_images():
    source = pixels()
    out = np.zeros_like(source)
    images.equalize_images(source, out, 4, 2.0)
    return (out,)


CASES = {
    direct: [correlate, weight_gradient],
    winograd: [winograd_forward, winograd_backward],
    dense: [dense_forward, dense_backward],
    elementwise: [adam_update, sgd_update, sum_of_squares, scale_u8, dropout_mask_apply, relu_backward],
    norm: [moments, normalize, gradient_sums, input_gradient],
    pool: [maxpool_forward, maxpool_backward, avgpool_forward, avgpool_backward],
    images: [warp_images, equalize_images],
    **PLAIN_CASES,
}
VARIANTS = [lambda: correlate(fused=True), lambda: maxpool_forward(2), lambda: maxpool_backward(2)]
EVERY_KERNEL = [case for cases in CASES.values() for case in cases] + VARIANTS


def bits(results):
    return [np.asarray(a).tobytes() for a in results]
