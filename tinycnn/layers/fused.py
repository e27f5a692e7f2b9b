"""Which layers in a row run as one step, in one pass over memory instead of several.

    training     convolution + 2x2 max-pool; batch normalisation + ReLU
    prediction   the same, and convolution + batch normalisation (+ ReLU) (+ max-pool)

The first line gives the same bits as one layer after the other.  A prediction puts the normalisation into the
convolution's kernel and bias, which rounds elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tinycnn.kernels.sets import active
from tinycnn.layers.activation import ReLU
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import MaxPool2D


class Step(NamedTuple):
    """One call forward and one backward.

    Attributes
    ----------
    layers : tuple of Layer
        That it runs; parameters and gradients are theirs.
    forward : callable
        ``forward(x, training) -> y``.
    backward : callable
        ``backward(grad_y, input_grad=True) -> grad_x or None``; not after a step of a prediction.
    reads_output : bool
        Whether `backward` needs what `forward` returned.
    """

    layers: tuple[Layer, ...]
    forward: Callable[..., np.ndarray]
    backward: Callable[..., np.ndarray | None]
    reads_output: bool


def steps_of(layers: Sequence[Layer], fuse: bool = True, predicts: bool = False) -> list[Step]:
    """The steps of built `layers`.

    Parameters
    ----------
    layers : sequence of Layer
        In order.
    fuse : bool
        Whether a step may be of several layers, where the kernels in use can do that.
    predicts : bool
        Whether no backward pass will follow, and batch normalisation takes its moving moments.

    >>> from tinycnn.layers import Conv2D, BatchNorm, ReLU
    >>> layers = [Conv2D(4, 3), BatchNorm(), ReLU()]
    >>> [len(step.layers) for step in steps_of(layers)], [len(step.layers) for step in steps_of(layers, predicts=True)]
    ([1, 2], [3])
    """
    steps, rest = [], list(layers)
    while rest:
        step = (_fused(rest, predicts) if fuse else None) or step_of(rest[0])
        steps.append(step)
        rest = rest[len(step.layers) :]
    return steps


def step_of(layer: Layer) -> Step:
    """A step of one layer."""
    # Looked up at each call: a method that somebody puts into the layer's place, to watch it, is then called.
    return Step(
        (layer,),
        lambda x, training=False: layer.forward(x, training),
        lambda grad, **options: layer.backward(grad, **options),
        layer.reads_output,
    )


def _fused(rest, predicts):
    """A step of the first of the layers `rest` and others after it, if there is one."""
    first, *after = rest[:4]
    if isinstance(first, BatchNorm) and active().fuses and after and isinstance(after[0], ReLU):
        return _rectified(first, after[0])
    if not isinstance(first, Conv2D):
        return None
    norm = relu = pool = None
    if predicts and active().fuses and first.activation is None and after and isinstance(after[0], BatchNorm):
        norm = after.pop(0)
        relu = after.pop(0) if after and isinstance(after[0], ReLU) else None
    if after and first.pools_into(after[0]):
        pool = after[0]
    if norm is not None:
        return _folded(first, norm, relu, pool)
    return None if pool is None else _pooled(first, pool)


def _pooled(conv: Conv2D, pool: MaxPool2D) -> Step:
    return Step(
        (conv, pool),
        lambda x, training=False: conv.forward_pooled(x, pool),
        lambda grad, **options: conv.backward_pooled(grad, pool, **options),
        reads_output=False,
    )


def _rectified(norm: BatchNorm, relu: ReLU) -> Step:
    return Step(
        (norm, relu),
        lambda x, training=False: norm.forward_rectified(x, relu, training),
        lambda grad, **options: norm.backward_rectified(grad, **options),
        reads_output=False,
    )


def _folded(conv: Conv2D, norm: BatchNorm, relu: ReLU | None, pool: MaxPool2D | None) -> Step:
    layers: list[Layer | None] = [conv, norm, relu, pool]
    return Step(
        tuple(layer for layer in layers if layer is not None),
        lambda x, training=False: conv.forward_folded(x, norm, relu is not None, pool),
        conv.backward,
        reads_output=False,
    )
