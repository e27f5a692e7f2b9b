"""Batch normalisation backward: why two means are subtracted."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


def batchnorm_backward(
    x: np.ndarray, gamma: np.ndarray, grad_y: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of batch normalisation in training, channel by channel.

    The forward pass, with m and v the mean and the variance of x over images, rows and columns::

        xhat = (x - m) / sqrt(v + epsilon)            v = mean((x - m)**2)
        y    = gamma * xhat + beta

    m and v depend on every x, so that each x has three ways to the loss: directly, through m and through v.  With means
    over images, rows and columns, they add up to::

        grad_x     = gamma / sqrt(v + epsilon) * (grad_y - mean(grad_y) - xhat * mean(grad_y * xhat))
        grad_gamma = sum of  grad_y * xhat
        grad_beta  = sum of  grad_y

    Parameters
    ----------
    x, grad_y : ndarray ``(n, h, w, c)``
    gamma : ndarray ``(c,)``
    epsilon : float

    Returns
    -------
    grad_x ``(n, h, w, c)``, grad_gamma ``(c,)``, grad_beta ``(c,)`` : ndarray

    Examples
    --------
    >>> x, grad_y = (np.array(row).reshape(3, 1, 1, 1) for row in ([-1.0, -1.0, 2.0], [4.0, 0.0, 2.0]))
    >>> found = batchnorm_backward(x, np.array([2.0**0.5]), grad_y, epsilon=0.0)
    >>> [(gradient.ravel().round(3) + 0.0).tolist() for gradient in found]
    [[2.0, -2.0, 0.0], [0.0], [6.0]]
    """
    axes = (0, 1, 2)
    inverse_std = 1 / np.sqrt(x.var(axis=axes) + epsilon)  # (c,)
    xhat = (x - x.mean(axis=axes)) * inverse_std
    mean_grad = grad_y.mean(axis=axes)  # (c,)
    mean_grad_xhat = (grad_y * xhat).mean(axis=axes)  # (c,)
    grad_x = gamma * inverse_std * (grad_y - mean_grad - xhat * mean_grad_xhat)
    return grad_x, (grad_y * xhat).sum(axis=axes), grad_y.sum(axis=axes)


def _case(seed, shape, epsilon=1e-3, offset=0.0):
    channels = shape[-1]
    return {
        "x": numbers(seed, *shape) * (1 + np.arange(channels)) + offset,
        "gamma": 1 + 0.5 * numbers(seed + 1, channels),
        "grad_y": numbers(seed + 2, *shape) + 0.3,
        "epsilon": epsilon,
    }


ALONE = """axes = (0, 1, 2)
    if len(x) > 1:
        alone = [batchnorm_backward(x[[i]], gamma, grad_y[[i]], epsilon) for i in range(len(x))]
        grad_x, grad_gamma, grad_beta = zip(*alone)
        return np.concatenate(grad_x), np.sum(grad_gamma, axis=0), np.sum(grad_beta, axis=0)"""
LAST = "(grad_y * xhat).sum(axis=axes), grad_y.sum(axis=axes)"
EXERCISE = Exercise(
    solution=batchnorm_backward,
    outputs=("grad_x", "grad_gamma", "grad_beta"),
    oracle=reference.batchnorm_backward,
    cases={
        "three numbers, by hand": {
            "x": np.array([-1.0, -1.0, 2.0]).reshape(3, 1, 1, 1),
            "gamma": np.array([2.0**0.5]),
            "grad_y": np.array([4.0, 0.0, 2.0]).reshape(3, 1, 1, 1),
            "epsilon": 0.0,
        },
        "one pixel, several images": _case(0, (6, 1, 1, 3)),
        "one image": _case(10, (1, 3, 4, 2)),
        "images and pixels": _case(20, (3, 2, 4, 3)),
        "a large epsilon": _case(30, (2, 3, 2, 2), epsilon=0.5),
        "x far from 0": _case(40, (2, 2, 3, 2), offset=5.0),
    },
    suspects=[
        Suspect(
            "the mean is taken for a constant: mean(grad_y) is not subtracted",
            "grad_y - mean_grad - xhat",
            "grad_y - xhat",
        ),
        Suspect(
            "the variance is taken for a constant: xhat * mean(grad_y * xhat) is not subtracted",
            " - xhat * mean_grad_xhat",
            "",
        ),
        Suspect(
            "mean and variance are taken for constants: neither mean is subtracted",
            " - mean_grad - xhat * mean_grad_xhat",
            "",
        ),
        Suspect(
            "the gradient of the mean misses its 1/n: the sum of grad_y is subtracted",
            "grad_y.mean(axis=axes)",
            "grad_y.sum(axis=axes)",
        ),
        Suspect(
            "the gradient of the variance misses its 1/n: a sum where mean(grad_y * xhat) belongs",
            "(grad_y * xhat).mean(axis=axes)",
            "(grad_y * xhat).sum(axis=axes)",
        ),
        Suspect(
            "both subtracted means miss their 1/n",
            "mean_grad = grad_y.mean(axis=axes)  # (c,)\n    mean_grad_xhat = (grad_y * xhat).mean(axis=axes)",
            "mean_grad = grad_y.sum(axis=axes)\n    mean_grad_xhat = (grad_y * xhat).sum(axis=axes)",
        ),
        Suspect(
            "the means run over the channels, too: each channel has its own",
            "mean_grad = grad_y.mean(axis=axes)  # (c,)\n    mean_grad_xhat = (grad_y * xhat).mean(axis=axes)",
            "mean_grad = grad_y.mean()\n    mean_grad_xhat = (grad_y * xhat).mean()",
        ),
        Suspect("the sum runs over the channels, too: each has its own", LAST, "(grad_y * xhat).sum(), grad_y.sum()"),
        Suspect("gamma is missing", "grad_x = gamma * inverse_std", "grad_x = inverse_std"),
        Suspect("1 / sqrt(v + epsilon) is missing", "gamma * inverse_std * (grad_y", "gamma * (grad_y"),
        Suspect("epsilon is left out", "x.var(axis=axes) + epsilon", "x.var(axis=axes)"),
        Suspect(
            "epsilon is added outside of the root",
            "1 / np.sqrt(x.var(axis=axes) + epsilon)",
            "1 / (np.sqrt(x.var(axis=axes)) + epsilon)",
        ),
        Suspect(
            "the variance is divided by n - 1; batch normalisation divides by n",
            "x.var(axis=axes)",
            "x.var(axis=axes, ddof=1)",
        ),
        Suspect("multiplied by x where xhat belongs", LAST, LAST.replace("(grad_y * xhat)", "(grad_y * x)")),
        Suspect("means over images alone, not over rows and columns", "axes = (0, 1, 2)", "axes = (0,)"),
        Suspect("a mean where the parameter's gradient is a sum", LAST, LAST.replace("xhat).sum", "xhat).mean")),
        Suspect("a mean where the parameter's gradient is a sum", LAST, LAST.replace("grad_y.sum", "grad_y.mean")),
        Suspect("gamma stands in its own gradient", LAST, LAST.replace("(grad_y * xhat)", "(gamma * grad_y * xhat)")),
        Suspect("x stands in grad_x where xhat belongs", "xhat * mean_grad_xhat", "x * (grad_y * x).mean(axis=axes)"),
        Suspect(
            "each image is normalised by its own mean and variance: they are taken over all images",
            "axes = (0, 1, 2)",
            ALONE,
        ),
    ],
    hints=[
        "Compute xhat anew first. x.mean(axis=(0, 1, 2)) has shape (c,) and goes with (n, h, w, c) as it is.",
        "gamma and beta meet every pixel of every image: their gradients are sums over axes (0, 1, 2).",
        "grad_x needs two numbers per channel: the mean of grad_y and the mean of grad_y * xhat. Both are subtracted, "
        "the second times xhat.",
    ],
)
