"""Three ways to compute a network, one contract: the table of functions that layers and optimizers call.

    fast       register tiles that read the image in place, Winograd, fused ReLU and max-pool         to use
    im2col     numba, but as the textbook has it: im2col, one matrix product, plain loops             to learn from
    reference  NumPy alone, step by step; numba is not even imported, and a debugger stops anywhere   to debug

``set_kernels("im2col")``, ``with set_kernels("reference"): ...`` or the environment's ``TINYCNN_KERNELS`` choose one,
at any time between two passes.  In float64 their results agree to 1e-10 of the largest number, in float32 to 1e-5;
max-pool codes, dropout masks, and what becomes of NaN are the same.  The choice is a plain global of the process, read
anew at every call: threads cannot have different sets at one time.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

import numpy as np

Function = Callable[..., None]  # fills the arrays it is given, C-contiguous and of one dtype, float32 or float64


class Kernels(NamedTuple):
    """The contract.  Images are NHWC, kernels HWIO; `geometry` is a `geometry.Geometry`, or for pooling six ints
    ``(window rows, window columns, stride y, stride x, rows of padding above, columns of padding on the left)``.
    `bias`, and `grad_x` and `grad_bias` of what fills other gradients too, may be None: not there, not wanted."""

    conv_forward: Function  # (x, kernel, bias, geometry, y, relu, codes): y = x * kernel + bias, cut at 0 with `relu`
    conv_backward: Function  # (x, kernel, grad, geometry, grad_x, grad_kernel, grad_bias, codes): the next two at once
    conv_input_gradient: Function  # (grad, kernel, geometry, grad_x, bias): also a transposed convolution's forward
    conv_kernel_gradient: Function  # (x, grad, geometry, grad_kernel, grad_bias)
    bias_gradient: Function  # (grad, grad_bias): the sum over images, rows and columns, in float64
    maxpool_forward: Function  # (x, geometry, y, codes): byte r * window columns + s; first of equals, NaN over all
    maxpool_backward: Function  # (grad, codes, geometry, grad_x): a code outside the window passes nothing on
    avgpool_forward: Function  # (x, geometry, y): mean of the cells inside the image, summed in float64
    avgpool_backward: Function  # (grad, geometry, grad_x)
    upsample_forward: Function  # (x, size, y): each pixel size[0] * size[1] times
    upsample_backward: Function  # (grad, size, grad_x): the sum of each such block
    moments: Callable[[np.ndarray], tuple]  # x (rows, channels) -> mean, biased variance, float64
    normalize: Function  # (x, mean, scale, beta, y, relu): y = (x - mean) * scale + beta, cut at 0 with `relu`
    gradient_sums: Callable[..., tuple]  # (x, grad_y, mean, inverse_std, scale, beta) -> grad_gamma, grad_beta, float64
    norm_input_gradient: Function  # (x, grad_y, mean, scale, mean_grad, slope, grad_x, beta); `beta` after a ReLU only
    dense_forward: Function  # (x, kernel, bias, y): y = x @ kernel + bias
    dense_backward: Function  # (x, kernel, grad, grad_x, grad_kernel)
    relu_forward: Function  # (x, out): max(x, 0); a NaN stays one
    relu_backward: Function  # (grad, y, out): grad where y > 0, else 0
    tanh_forward: Function  # (x, out)
    tanh_backward: Function  # (grad, y, out): grad * (1 - y**2)
    sigmoid_forward: Function  # (x, out): 1 / (1 + exp(-x))
    sigmoid_backward: Function  # (grad, y, out): grad * y * (1 - y)
    add: Function  # (a, b, out, relu): a + b, cut at 0 with `relu`
    dropout_mask_apply: Function  # (x, out, key, rate): x / (1 - rate), or 0 by a hash of key and position
    scale_u8: Function  # (images, out, scale): out = images * scale
    adam_step: Function  # ([(param, grad, m, v), ...], [decay, ...], lr_t, beta_1, beta_2, epsilon, grad_scale)
    sgd_step: Function  # ([(param, grad, velocity), ...], [decay, ...], lr, momentum, nesterov, grad_scale)
    sum_of_squares: Callable[[np.ndarray], float]  # summed in float64
    pool_width: int  # conv_* fuse a 2x2 max-pool, given its `codes`, for so many filters of a group or multiples; or 0
    reuses_outputs: bool  # whether a training step lays gradients over outputs that it is done with
    fuses: bool  # whether a ReLU runs in one pass with the normalisation or sum before it, see `layers.fused`


def _fast() -> Kernels:
    from tinycnn.kernels import activation, conv, dense, dropout, images, norm, pool, simd, updates, upsample

    return Kernels(
        conv.forward, conv.backward, conv.input_gradient, conv.kernel_gradient, conv.bias_gradient,
        pool.maxpool_forward, pool.maxpool_backward, pool.avgpool_forward, pool.avgpool_backward,
        upsample.upsample_forward, upsample.upsample_backward,
        norm.moments, norm.normalize, norm.gradient_sums, norm.input_gradient,
        dense.dense_forward, dense.dense_backward,
        activation.relu_forward, activation.relu_backward, activation.tanh_forward, activation.tanh_backward,
        activation.sigmoid_forward, activation.sigmoid_backward, activation.add,
        dropout.dropout_mask_apply, images.scale_u8,
        updates.adam_step, updates.sgd_step, updates.sum_of_squares,
        pool_width=simd.LANES, reuses_outputs=True, fuses=True,
    )  # fmt: skip


def _im2col() -> Kernels:
    from tinycnn.kernels import im2col, plain_dense, plain_norm, plain_pool
    from tinycnn.kernels import plain_elementwise as plain

    return Kernels(
        im2col.conv_forward, im2col.conv_backward, im2col.conv_input_gradient, im2col.conv_kernel_gradient,
        im2col.bias_gradient,
        plain_pool.maxpool_forward, plain_pool.maxpool_backward,
        plain_pool.avgpool_forward, plain_pool.avgpool_backward,
        plain_pool.upsample_forward, plain_pool.upsample_backward,
        plain_norm.moments, plain_norm.normalize, plain_norm.gradient_sums, plain_norm.norm_input_gradient,
        plain_dense.dense_forward, plain_dense.dense_backward,
        plain.relu_forward, plain.relu_backward, plain.tanh_forward, plain.tanh_backward,
        plain.sigmoid_forward, plain.sigmoid_backward, plain.add, plain.dropout_mask_apply, plain.scale_u8,
        plain.adam_step, plain.sgd_step, plain.sum_of_squares,
        pool_width=0, reuses_outputs=True, fuses=False,
    )  # fmt: skip


def _reference() -> Kernels:
    from tinycnn.kernels import numpy_set as numpy_

    return Kernels(
        numpy_.conv_forward, numpy_.conv_backward, numpy_.conv_input_gradient, numpy_.conv_kernel_gradient,
        numpy_.bias_gradient,
        numpy_.maxpool_forward, numpy_.maxpool_backward, numpy_.avgpool_forward, numpy_.avgpool_backward,
        numpy_.upsample_forward, numpy_.upsample_backward,
        numpy_.moments, numpy_.normalize, numpy_.gradient_sums, numpy_.norm_input_gradient,
        numpy_.dense_forward, numpy_.dense_backward,
        numpy_.relu_forward, numpy_.relu_backward, numpy_.tanh_forward, numpy_.tanh_backward,
        numpy_.sigmoid_forward, numpy_.sigmoid_backward, numpy_.add, numpy_.dropout_mask_apply, numpy_.scale_u8,
        numpy_.adam_step, numpy_.sgd_step, numpy_.sum_of_squares,
        pool_width=0, reuses_outputs=False, fuses=False,
    )  # fmt: skip


SETS = {"fast": _fast, "im2col": _im2col, "reference": _reference}
_chosen: tuple[str, Kernels] | None = None  # None: whatever the environment says, when it is first asked


def set_kernels(name: str) -> AbstractContextManager:
    """Compute everything with the kernels called `name` from now on, or within a ``with`` block only.

    Parameters
    ----------
    name : "fast", "im2col" or "reference"
        At first it is what the environment's ``TINYCNN_KERNELS`` says, else "fast".

    Raises
    ------
    ValueError
        For any other name.

    Examples
    --------
    >>> from tinycnn.kernels.sets import get_kernels, set_kernels
    >>> with set_kernels("reference"):
    ...     get_kernels()
    'reference'
    """
    global _chosen
    before = ExitStack()
    before.callback(_put_back, _chosen)
    if not isinstance(name, str) or name not in SETS:
        raise ValueError(f"set_kernels({name!r}): choose one of {_names()}")
    _chosen = name, SETS[name]()
    return before


def get_kernels() -> str:
    """The name of the kernels in use; see `set_kernels`."""
    return _chosen[0] if _chosen else _from_environment()


def active() -> Kernels:
    """The kernels in use: ``active().conv_forward(...)``."""
    if _chosen is None:
        set_kernels(_from_environment())
    assert _chosen is not None
    return _chosen[1]


def _put_back(chosen):
    global _chosen
    _chosen = chosen


def _from_environment():
    name = os.environ.get("TINYCNN_KERNELS", "fast")
    if name not in SETS:
        raise ValueError(f"TINYCNN_KERNELS={name}: set the environment variable to one of {_names()}, or not at all")
    return name


def _names():
    return ", ".join(f'"{name}"' for name in SETS)
