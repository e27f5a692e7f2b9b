"""Inverted dropout, forward and backward."""

import numpy as np

from tinycnn.exercises.exercise import Exercise, Suspect, numbers


def dropout(
    x: np.ndarray, grad_y: np.ndarray, uniform: np.ndarray, rate: float, training: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Set a share `rate` of the elements to zero in training; leave all as they are in prediction.

    ::

        training:    y = x / (1 - rate)  where uniform >= rate,  0 elsewhere
        prediction:  y = x

    Dividing by the share that is kept leaves the mean of y equal to that of x, so that prediction needs no correction.
    The gradient goes the same way: through the same mask, with the same factor.

    Parameters
    ----------
    x, grad_y : ndarray of any shape
        Input, and the gradient of the loss with respect to y.
    uniform : ndarray of the same shape
        Random numbers from 0 to 1, 1 excluded, one for each element.
    rate : float
        From 0 to 1, 1 excluded.
    training : bool

    Returns
    -------
    y, grad_x : ndarray

    Examples
    --------
    >>> x, grad_y, uniform = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([0.1, 0.8])
    >>> [found.tolist() for found in dropout(x, grad_y, uniform, rate=0.5, training=True)]
    [[0.0, 4.0], [0.0, 10.0]]
    """
    if not training:
        return x.copy(), grad_y.copy()
    factor = (uniform >= rate) / (1 - rate)
    return x * factor, grad_y * factor


def _oracle(x, grad_y, uniform, rate, training):
    y, grad_x = x.copy(), grad_y.copy()
    for index in np.ndindex(x.shape) if training else ():
        kept = uniform[index] >= rate
        y[index], grad_x[index] = (a[index] / (1 - rate) if kept else 0 for a in (x, grad_y))
    return y, grad_x


def _case(seed, shape, rate, training=True):
    uniform = np.random.default_rng(seed).random(shape)
    return {
        "x": numbers(seed + 1, *shape),
        "grad_y": numbers(seed + 2, *shape),
        "uniform": uniform,
        "rate": rate,
        "training": training,
    }


BOTH = "x * factor, grad_y * factor"
FACTOR = "(uniform >= rate) / (1 - rate)"
EXERCISE = Exercise(
    solution=dropout,
    outputs=("y", "grad_x"),
    oracle=_oracle,
    cases={
        "two numbers, by hand": {
            "x": np.array([1.0, 2.0]),
            "grad_y": np.array([3.0, 5.0]),
            "uniform": np.array([0.1, 0.8]),
            "rate": 0.5,
            "training": True,
        },
        "a quarter dropped": _case(0, (4, 6), 0.25),
        "most dropped": _case(10, (2, 3, 4, 2), 0.8),
        "a number that equals the rate is kept": _case(20, (3, 4), 0.5)
        | {"uniform": np.arange(12.0).reshape(3, 4) / 12},
        "zeros in x, as after a ReLU": _case(50, (3, 4), 0.25) | {"x": np.maximum(numbers(51, 3, 4), 0)},
        "rate 0": _case(30, (3, 3), 0.0),
        "prediction": _case(40, (3, 4), 0.5, training=False),
    },
    suspects=[
        Suspect("kept elements are not divided by 1 - rate", FACTOR, "(uniform >= rate) * 1.0"),
        Suspect("divided by the rate instead of 1 - rate", FACTOR, "(uniform >= rate) / max(rate, 1e-30)"),
        Suspect("multiplied by 1 - rate instead of divided", FACTOR, "(uniform >= rate) * (1 - rate)"),
        Suspect("the share `rate` is kept instead of dropped", FACTOR, "(uniform < rate) / (1 - rate)"),
        Suspect("a number equal to the rate is to be kept: >=, not >", FACTOR, "(uniform > rate) / (1 - rate)"),
        Suspect("elements are dropped in prediction, too", "if not training", "if False"),
        Suspect("nothing is dropped in training", "if not training", "if True"),
        Suspect(
            "prediction is scaled by 1 - rate; inverted dropout scales in training",
            "x.copy(), grad_y.copy()",
            "x * (1 - rate), grad_y * (1 - rate)",
        ),
        Suspect("the gradient does not go through the mask", BOTH, "x * factor, grad_y"),
        Suspect("the gradient misses the factor 1 / (1 - rate)", BOTH, "x * factor, grad_y * (factor > 0)"),
        Suspect("the upstream gradient is not used", BOTH, "x * factor, factor"),
        Suspect(
            "the gradient goes where y is not 0: mask and factor are missing", BOTH, "x * factor, grad_y * (x > 0)"
        ),
        Suspect(
            "whole rows are dropped: each element has a number of its own",
            FACTOR,
            "np.broadcast_to((uniform[:1] >= rate) / (1 - rate), x.shape)",
        ),
        Suspect(
            "the mask is read off y: an x of 0 that was kept has a gradient, too",
            BOTH,
            "x * factor, np.where(x * factor != 0, grad_y / (1 - rate), 0)",
        ),
    ],
    hints=[
        "Build one array: 1 / (1 - rate) where an element is kept, 0 where it is dropped.",
        "y is x times that array. A constant factor is its own derivative: grad_x is grad_y times it.",
        "Do not forget prediction, where both pass unchanged.",
    ],
)
