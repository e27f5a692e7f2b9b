"""One step of Adam."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


def adam(
    param: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step number t of Adam (Kingma and Ba 2015), in the form of its section 2 that Keras has, too.

    ::

        m     = b1 * m + (1 - b1) * grad             running mean of the gradient
        v     = b2 * v + (1 - b2) * grad**2          and of its square
        rate  = learning_rate * sqrt(1 - b2**t) / (1 - b1**t)
        param = param - rate * m / (sqrt(v) + epsilon)

    with ``b1, b2 = betas``.  m and v begin at 0 and are too small at first; the quotient in `rate` makes up for that.
    The arrays that are given stay as they are.

    Parameters
    ----------
    param, grad, m, v : ndarray of one shape
    t : int
        1 at the first step.
    learning_rate : float
    betas : (b1, b2)
    epsilon : float

    Returns
    -------
    param, m, v : ndarray
        The new ones.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> param, m, v = adam(one, 0.5 * one, 0 * one, 0 * one, t=1, learning_rate=0.1, betas=(0.5, 0.75), epsilon=0.0)
    >>> param.round(6), m, v
    (array([0.9]), array([0.25]), array([0.0625]))
    """
    b1, b2 = betas
    m = b1 * m + (1 - b1) * grad
    v = b2 * v + (1 - b2) * grad**2
    rate = learning_rate * np.sqrt(1 - b2**t) / (1 - b1**t)
    return param - rate * m / (np.sqrt(v) + epsilon), m, v


def _oracle(param, grad, m, v, t, learning_rate, betas, epsilon):
    b1, b2 = betas
    lr_t = learning_rate * (1 - b2**t) ** 0.5 / (1 - b1**t)
    return reference.adam_update(param, grad, m, v, lr_t, b1, b2, epsilon)


def _case(seed, shape, t, learning_rate=0.01, betas=(0.9, 0.999), epsilon=1e-7):
    begun = t > 1
    return {
        "param": numbers(seed, *shape),
        "grad": numbers(seed + 1, *shape),
        "m": 0.5 * numbers(seed + 2, *shape) * begun,
        "v": numbers(seed + 3, *shape) ** 2 * begun,
        "t": t,
        "learning_rate": learning_rate,
        "betas": betas,
        "epsilon": epsilon,
    }


RATE = "learning_rate * np.sqrt(1 - b2**t) / (1 - b1**t)"
EXERCISE = Exercise(
    solution=adam,
    outputs=("param", "m", "v"),
    oracle=_oracle,
    cases={
        "one number, by hand": {
            "param": np.array([1.0]),
            "grad": np.array([0.5]),
            "m": np.array([0.0]),
            "v": np.array([0.0]),
            "t": 1,
            "learning_rate": 0.1,
            "betas": (0.5, 0.75),
            "epsilon": 0.0,
        },
        "the first step": _case(0, (3, 2), 1),
        "the third step": _case(10, (3, 2), 3),
        "a large epsilon": _case(20, (4,), 2, epsilon=0.3),
        "the hundredth step": _case(30, (2, 3), 100, learning_rate=0.5, betas=(0.8, 0.95)),
    },
    suspects=[
        Suspect("the step goes uphill: the sign is wrong", "return param - rate", "return param + rate"),
        Suspect("the bias correction is missing", RATE, "learning_rate"),
        Suspect("the bias correction of m, 1 - b1**t, is missing", RATE, "learning_rate * np.sqrt(1 - b2**t)"),
        Suspect("the bias correction of v, sqrt(1 - b2**t), is missing", RATE, "learning_rate / (1 - b1**t)"),
        Suspect("the root in the bias correction is missing", "np.sqrt(1 - b2**t)", "(1 - b2**t)"),
        Suspect("the bias correction is upside down", RATE, "learning_rate * (1 - b1**t) / np.sqrt(1 - b2**t)"),
        Suspect(
            "t is not used: the correction is always that of the first step",
            RATE,
            "learning_rate * np.sqrt(1 - b2) / (1 - b1)",
        ),
        Suspect(
            "t counts from 1 here, and is one too large",
            RATE,
            "learning_rate * np.sqrt(1 - b2 ** (t + 1)) / (1 - b1 ** (t + 1))",
        ),
        Suspect("epsilon is added inside of the root", "(np.sqrt(v) + epsilon)", "np.sqrt(v + epsilon)"),
        Suspect(
            "epsilon is added to the corrected root (the paper's algorithm 1); here it is added to sqrt(v)",
            "(np.sqrt(v) + epsilon)",
            "(np.sqrt(v) + epsilon * np.sqrt(1 - b2**t))",
        ),
        Suspect("epsilon is left out", "(np.sqrt(v) + epsilon)", "np.sqrt(v)"),
        Suspect("the root of v is missing", "(np.sqrt(v) + epsilon)", "(v + epsilon)"),
        Suspect("the gradient is taken for its running mean m", "rate * m", "rate * grad"),
        Suspect("m is used before it is updated", "rate * m", "rate * ((m - (1 - b1) * grad) / b1)"),
        Suspect("b1 and b2 are exchanged", "b1, b2 = betas", "b2, b1 = betas"),
        Suspect("b1 and 1 - b1 are exchanged", "b1 * m + (1 - b1) * grad", "(1 - b1) * m + b1 * grad"),
        Suspect("the factor 1 - b1 is missing", "b1 * m + (1 - b1) * grad", "b1 * m + grad"),
        Suspect("b2 and 1 - b2 are exchanged", "b2 * v + (1 - b2) * grad**2", "(1 - b2) * v + b2 * grad**2"),
        Suspect("v takes the gradient, not its square", "grad**2", "grad"),
        Suspect("v takes the square of m, not of the gradient", "grad**2", "m**2"),
        Suspect("v takes the absolute value of the gradient, not its square", "grad**2", "abs(grad)"),
        Suspect("v takes the gradient's distance to m; it is no variance", "grad**2", "(grad - m) ** 2"),
        Suspect(
            "the corrected m and v are returned: the running means themselves go on to the next step",
            "+ epsilon), m, v",
            "+ epsilon), m / (1 - b1**t), v / (1 - b2**t)",
        ),
    ],
    hints=[
        "Four lines, one for each equation. Write m = ... and not m *= ..., which would change the caller's array.",
        "rate is a number, not an array. At t = 1 it makes the step learning_rate * sign(grad), nearly.",
        "epsilon is added to sqrt(v), after the root.",
    ],
)
