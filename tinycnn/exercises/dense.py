"""A dense layer, forward and backward."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


def dense(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, grad_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A dense layer's output, and the gradients of a loss with respect to all that it is made of.

    ::

        y[n, u]           = bias[u] + sum over i of  x[n, i] * kernel[i, u]
        grad_x[n, i]      = sum over u of  grad_y[n, u] * kernel[i, u]
        grad_kernel[i, u] = sum over n of  x[n, i] * grad_y[n, u]
        grad_bias[u]      = sum over n of  grad_y[n, u]

    Parameters
    ----------
    x : ndarray ``(n, inputs)``
    kernel : ndarray ``(inputs, units)``
    bias : ndarray ``(units,)``
    grad_y : ndarray ``(n, units)``
        Gradient of the loss with respect to y.

    Returns
    -------
    y, grad_x, grad_kernel, grad_bias : ndarray

    Examples
    --------
    >>> x, kernel, grad_y = np.array([[1.0, 2.0]]), np.array([[10.0, 20.0], [1.0, 2.0]]), np.array([[1.0, -1.0]])
    >>> [found.tolist() for found in dense(x, kernel, np.array([100.0, 0.0]), grad_y)]
    [[[112.0, 24.0]], [[-10.0, -1.0]], [[1.0, -1.0], [2.0, -2.0]], [1.0, -1.0]]
    """
    y = x @ kernel + bias
    grad_x = grad_y @ kernel.T
    grad_kernel = x.T @ grad_y
    grad_bias = grad_y.sum(axis=0)
    return y, grad_x, grad_kernel, grad_bias


def _oracle(x, kernel, bias, grad_y):
    return reference.dense_forward(x, kernel, bias), *reference.dense_backward(x, kernel, grad_y)


def _case(seed, n, inputs, units):
    return {
        "x": numbers(seed, n, inputs),
        "kernel": numbers(seed + 1, inputs, units),
        "bias": numbers(seed + 2, units),
        "grad_y": numbers(seed + 3, n, units),
    }


EXERCISE = Exercise(
    solution=dense,
    outputs=("y", "grad_x", "grad_kernel", "grad_bias"),
    oracle=_oracle,
    cases={
        "one row, by hand": {
            "x": np.array([[1.0, 2.0]]),
            "kernel": np.array([[10.0, 20.0], [1.0, 2.0]]),
            "bias": np.array([100.0, 0.0]),
            "grad_y": np.array([[1.0, -1.0]]),
        },
        "three rows": _case(0, 3, 2, 4),
        "more inputs than units": _case(10, 4, 5, 2),
        "as many rows as inputs and units": _case(20, 3, 3, 3),
    },
    suspects=[
        Suspect("the bias is left out of y", "x @ kernel + bias", "x @ kernel"),
        Suspect("the bias is subtracted", "x @ kernel + bias", "x @ kernel - bias"),
        Suspect(
            "the bias belongs to y; its gradient has no bias in it", "grad_y @ kernel.T", "(grad_y + bias) @ kernel.T"
        ),
        Suspect("a mean over units where grad_x is a sum", "grad_y @ kernel.T", "grad_y @ kernel.T / len(bias)"),
        Suspect("the kernel is not transposed on the way back", "grad_y @ kernel.T", "grad_y @ kernel"),
        Suspect("factors in the wrong order: grad_y.T @ x is the transpose", "x.T @ grad_y", "grad_y.T @ x"),
        Suspect(
            "the gradient to the kernel is a sum over rows; their number is no divisor",
            "x.T @ grad_y",
            "x.T @ grad_y / len(x)",
        ),
        Suspect("x is not transposed", "x.T @ grad_y", "x @ grad_y"),
        Suspect(
            "the bias belongs to every row: a sum over rows, not their mean",
            "grad_y.sum(axis=0)",
            "grad_y.mean(axis=0)",
        ),
        Suspect(
            "the gradient of the bias is summed over units instead of rows", "grad_y.sum(axis=0)", "grad_y.sum(axis=1)"
        ),
        Suspect("the sum over rows is missing", "grad_y.sum(axis=0)", "grad_y[0]"),
        Suspect("the upstream gradient grad_y is not used", "grad_y.sum(axis=0)", "np.full(len(bias), float(len(x)))"),
        Suspect(
            "the gradient to the kernel is the sum of products, not the product of sums or means",
            "x.T @ grad_y",
            "np.outer(x.mean(axis=0), grad_y.sum(axis=0))",
        ),
        Suspect("the sum over rows is missing", "x.T @ grad_y", "np.outer(x[0], grad_y[0])"),
    ],
    hints=[
        "Write y for one row and one unit as a sum, and ask of each factor in it: with what is it multiplied?",
        "Every equation is one matrix product, or one sum. Shapes tell which side is transposed: "
        "grad_x (n, inputs) from grad_y (n, units) and kernel (inputs, units).",
        "Kernel and bias meet every row, so every row adds to their gradients: x.T @ grad_y and a sum over axis 0.",
    ],
)
