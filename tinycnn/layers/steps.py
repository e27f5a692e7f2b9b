"""What a model runs: its layers one by one, but for pairs that one kernel does in one go, and the last one apart."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tinycnn.layers.activation import Sigmoid, Softmax
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.weighted import Weighted


class Step(NamedTuple):
    """One call forward and one backward.

    Attributes
    ----------
    layers : tuple of Layer
        That it runs; parameters and gradients are theirs.
    forward : callable
        ``forward(x, training) -> y``.
    backward : callable
        ``backward(grad_y, input_grad=True) -> grad_x or None``.
    reads_output : bool
        Whether `backward` needs what `forward` returned.
    """

    layers: tuple[Layer, ...]
    forward: Callable[..., np.ndarray]
    backward: Callable[..., np.ndarray | None]
    reads_output: bool


def plan(layers: Sequence[Layer], fuse: bool = True) -> tuple[list[Step], list[Step]]:
    """The steps of built `layers`, and apart from them the softmax or sigmoid at the end, if there is one, as its own.

    Losses on logits want what comes before it; probabilities need it too.  One that the last layer has for its
    activation is taken off that layer.

    Parameters
    ----------
    layers : sequence of Layer
        Of a model, in order.
    fuse : bool
        Whether a convolution and the 2x2 max-pool behind it may be one step (`Conv2D.forward_pooled`).

    >>> from tinycnn.layers import Dense, ReLU
    >>> body, head = plan([Dense(4), ReLU(), Dense(3, activation="softmax")])
    >>> [len(step.layers) for step in body], [type(step.layers[0]).__name__ for step in head]
    ([1, 1, 1], ['Softmax'])
    """
    *body, last = layers
    if isinstance(last, (Sigmoid, Softmax)):
        return _steps(body, fuse), [_step(last)]
    if isinstance(last, (Weighted, Block)) and isinstance(last.activation, (Sigmoid, Softmax)):
        linear = Step((last,), last.forward_linear, last.backward_linear, last.reads_output)
        return [*_steps(body, fuse), linear], [_step(last.activation)]
    return _steps(layers, fuse), []


def _steps(layers: Sequence[Layer], fuse: bool) -> list[Step]:
    steps, rest = [], list(layers)
    while rest:
        first, second = rest[0], rest[1] if len(rest) > 1 else None
        if fuse and isinstance(first, Conv2D) and isinstance(second, MaxPool2D) and first.pools_into(second):
            steps.append(_pooled(first, second))
            rest = rest[2:]
        else:
            steps.append(_step(first))
            rest = rest[1:]
    return steps


def _step(layer: Layer) -> Step:
    # Looked up at each call: a method that somebody puts into the layer's place, to watch it, is then called.
    return Step(
        (layer,),
        lambda x, training=False: layer.forward(x, training),
        lambda grad, **options: layer.backward(grad, **options),
        layer.reads_output,
    )


def _pooled(conv: Conv2D, pool: MaxPool2D) -> Step:
    return Step(
        (conv, pool),
        lambda x, training=False: conv.forward_pooled(x, pool),
        lambda grad, **options: conv.backward_pooled(grad, pool, **options),
        reads_output=False,
    )
