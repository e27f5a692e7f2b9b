"""The plain kernels, those of the set "im2col", on enough data for several tasks: a part of `kernel_cases`."""

import numpy as np

from tinycnn.kernels import im2col, plain_dense, plain_elementwise, plain_norm, plain_pool
from tinycnn.kernels.geometry import Geometry

GEOMETRY = Geometry((3, 3), (2, 1), ((1, 1), (0, 2)), (1, 2), 2)
POOL = (3, 3, 2, 2, 1, 0)  # windows, strides, rows above, columns on the left


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def like(*arrays):
    return [np.zeros_like(a) for a in arrays]


def images_of():
    """Image, kernel and output gradient of a convolution by `GEOMETRY`."""
    return normal(7, 41, 30, 6), normal(3, 3, 3, 10, seed=1), normal(7, *GEOMETRY.output_size(41, 30), 10, seed=2)


def conv_forward():
    x, kernel, grad = images_of()
    (y,) = like(grad)
    im2col.conv_forward(x, kernel, normal(10, seed=3), GEOMETRY, y, relu=True)
    return (y,)


def conv_kernel_gradient():
    x, kernel, grad = images_of()
    grad_kernel, grad_bias = like(kernel, kernel[0, 0, 0])
    im2col.conv_kernel_gradient(x, grad, GEOMETRY, grad_kernel, grad_bias)
    return grad_kernel, grad_bias


def conv_input_gradient():
    x, kernel, grad = images_of()
    (grad_x,) = like(x)
    im2col.conv_input_gradient(grad, kernel, GEOMETRY, grad_x, normal(6, seed=3))
    return (grad_x,)


def maxpool_forward():
    x = np.round(normal(5, 51, 31, 7))
    y = np.zeros((5, 26, 15, 7), np.float32)
    plain_pool.maxpool_forward(x, POOL, y, codes := np.zeros(y.shape, np.uint8))
    return y, codes


def maxpool_backward():
    y, codes = maxpool_forward()
    plain_pool.maxpool_backward(normal(*y.shape), codes, POOL, grad_x := np.zeros((5, 51, 31, 7), np.float32))
    return (grad_x,)


def avgpool_forward():
    plain_pool.avgpool_forward(normal(5, 51, 31, 7), POOL, y := np.zeros((5, 26, 15, 7), np.float32))
    return (y,)


def avgpool_backward():
    plain_pool.avgpool_backward(normal(5, 26, 15, 7), POOL, grad_x := np.zeros((5, 51, 31, 7), np.float32))
    return (grad_x,)


def upsample_forward():
    plain_pool.upsample_forward(normal(5, 17, 12, 7), (2, 3), y := np.zeros((5, 34, 36, 7), np.float32))
    return (y,)


def upsample_backward():
    plain_pool.upsample_backward(normal(5, 34, 36, 7), (2, 3), grad_x := np.zeros((5, 17, 12, 7), np.float32))
    return (grad_x,)


def moments():
    return plain_norm.moments(normal(5001, 7))


def normalize():
    plain_norm.normalize(normal(5001, 7), *(normal(7, seed=s) for s in range(3)), y := np.zeros((5001, 7), np.float32))
    return (y,)


def gradient_sums():
    return plain_norm.gradient_sums(normal(5001, 7), normal(5001, 7, seed=1), normal(7), normal(7, seed=2))


def norm_input_gradient():
    x, (grad_x,) = normal(5001, 7), like(normal(5001, 7))
    plain_norm.norm_input_gradient(x, normal(5001, 7, seed=1), *(normal(7, seed=s) for s in range(4)), grad_x)
    return (grad_x,)


def dense_forward():
    y = np.zeros((5, 7), np.float32)
    plain_dense.dense_forward(normal(5, 9000), normal(9000, 7, seed=1), normal(7, seed=2), y)
    return (y,)


def dense_backward():
    x, kernel = normal(5, 9000), normal(9000, 7, seed=1)
    results = like(x, kernel)
    plain_dense.dense_backward(x, kernel, normal(5, 7, seed=2), *results)
    return results


def adam_step():
    param, grad, m, v = (normal(300_000, seed=seed) for seed in range(4))
    plain_elementwise.adam_step([(param, grad, m, v := v**2)], [0.0], 0.1, 0.9, 0.99, 1e-7)
    return param, m, v


def sgd_step():
    param, grad, velocity = (normal(300_000, seed=seed) for seed in range(3))
    plain_elementwise.sgd_step([(param, grad, velocity)], [0.0], 0.1, 0.9, True)
    return param, velocity


def sum_of_squares():
    return (plain_elementwise.sum_of_squares(normal(1_000_003)),)


def scale_u8():
    pixels, out = np.arange(300_000).astype(np.uint8), np.zeros(300_000, np.float32)
    plain_elementwise.scale_u8(pixels, out, 1 / 255)
    return (out,)


def dropout_mask_apply():
    plain_elementwise.dropout_mask_apply(x := normal(300_000), out := np.zeros_like(x), np.uint64(5), 0.4)
    return (out,)


def relu_forward():
    plain_elementwise.relu_forward(normal(300_000), out := np.zeros(300_000, np.float32))
    return (out,)


def add():
    plain_elementwise.add(normal(300_000), normal(300_000, seed=1), out := np.zeros(300_000, np.float32))
    return (out,)


def tanh_forward():
    plain_elementwise.tanh_forward(normal(300_000), out := np.zeros(300_000, np.float32))
    return (out,)


def tanh_backward():
    plain_elementwise.tanh_backward(normal(300_000), normal(300_000, seed=1), out := np.zeros(300_000, np.float32))
    return (out,)


def sigmoid_forward():
    plain_elementwise.sigmoid_forward(normal(300_000), out := np.zeros(300_000, np.float32))
    return (out,)


def sigmoid_backward():
    plain_elementwise.sigmoid_backward(normal(300_000), normal(300_000, seed=1), out := np.zeros(300_000, np.float32))
    return (out,)


def relu_backward():
    plain_elementwise.relu_backward(x := normal(300_000), normal(300_000, seed=1), out := np.zeros_like(x))
    return (out,)


def bias_gradient():
    grad_bias = np.zeros(6, np.float32)
    im2col.bias_gradient(normal(3, 40, 30, 6), grad_bias)
    return (grad_bias,)


PLAIN_CASES = {
    im2col: [conv_forward, conv_kernel_gradient, conv_input_gradient, bias_gradient],
    plain_pool: [maxpool_forward, maxpool_backward, avgpool_forward, avgpool_backward]
    + [upsample_forward, upsample_backward],
    plain_norm: [moments, normalize, gradient_sums, norm_input_gradient],
    plain_dense: [dense_forward, dense_backward],
    plain_elementwise: [adam_step, sgd_step, sum_of_squares, scale_u8, dropout_mask_apply]
    + [relu_forward, add, relu_backward, tanh_forward, tanh_backward, sigmoid_forward, sigmoid_backward],
}
