"""What a model runs: the steps of its layers, and the softmax or sigmoid at its end apart."""

from collections.abc import Sequence

from tinycnn.layers.activation import Sigmoid, Softmax
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.fused import Step, step_of, steps_of
from tinycnn.layers.weighted import Weighted


def plan(layers: Sequence[Layer], fuse: bool = True, predicts: bool = False) -> tuple[list[Step], list[Step]]:
    """The steps of built `layers`, and apart from them the softmax or sigmoid at the end, if there is one, as its own.

    Losses on logits want what comes before it; probabilities need it too.  One that the last layer has for its
    activation is taken off that layer.

    Parameters
    ----------
    layers : sequence of Layer
        Of a model, in order.
    fuse, predicts : bool
        As in `fused.steps_of`.

    >>> from tinycnn.layers import Dense, ReLU
    >>> body, head = plan([Dense(4), ReLU(), Dense(3, activation="softmax")])
    >>> [len(step.layers) for step in body], [type(step.layers[0]).__name__ for step in head]
    ([1, 1, 1], ['Softmax'])
    """
    *body, last = layers
    if isinstance(last, (Sigmoid, Softmax)):
        return steps_of(body, fuse, predicts), [step_of(last)]
    if isinstance(last, (Weighted, Block)) and isinstance(last.activation, (Sigmoid, Softmax)):
        linear = Step((last,), last.forward_linear, last.backward_linear, last.reads_output)
        return [*steps_of(body, fuse, predicts), linear], [step_of(last.activation)]
    return steps_of(layers, fuse, predicts), []
