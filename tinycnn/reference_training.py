"""What training adds to `tinycnn.reference`, as slow and as plain: the loss, what acts otherwise in training, the
optimizers' steps, and the gradient by finite differences, with which every backward pass must agree.

Images are NHWC ``(n, h, w, c)``; parameters and their gradients have any shape.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def numerical_gradient(f: Callable[[Array], float], x: Array, h: float = 1e-5) -> Array:
    """Gradient of the number ``f(x)`` with respect to every element of `x`, by central differences, in float64.

    ``grad[j] = (f(x + h e_j) - f(x - h e_j)) / 2h``, off by ``h^2 / 6`` times the third derivative, and by rounding.
    `tinycnn.gradcheck` does the same for whole networks, and tells kinks and rounding from errors.

    >>> numerical_gradient(lambda x: float(np.sum(x**2)), np.array([[1.0, -2.0]])).round(6)
    array([[ 2., -4.]])
    """
    grad = np.empty(x.shape)
    for j in np.ndindex(x.shape):
        ahead, behind = x.astype(np.float64), x.astype(np.float64)
        ahead[j] += h
        behind[j] -= h
        grad[j] = (f(ahead) - f(behind)) / (2 * h)
    return grad


def softmax_cross_entropy(
    logits: Array, labels: Array, class_weight: Array | None = None, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Mean loss of rows of logits ``(n, classes)`` with the true classes `labels` ``(n,)``, and its gradient.

    ::

        p[j]        = exp(z[j]) / sum over k of exp(z[k])               the softmax of a row z
        q[j]        = (1 - s) [j is the label] + s / classes            with s the label smoothing
        loss        = 1/n  sum over rows of  (weight of the label)  sum over j of  -q[j] log p[j]
        dloss/dz[j] = 1/n  (weight of the label) (p[j] - q[j])

    >>> loss, grad = softmax_cross_entropy(np.log([[1.0, 3.0]]), np.array([0]))
    >>> round(loss, 4), grad  # log 4
    (1.3863, array([[-0.75,  0.75]]))
    """
    n, classes = logits.shape
    loss, grad = 0.0, np.zeros_like(logits)
    for i in range(n):
        p = np.exp(logits[i] - logits[i].max())
        p /= p.sum()
        q = np.full(classes, label_smoothing / classes)
        q[labels[i]] += 1 - label_smoothing
        weight = 1.0 if class_weight is None else class_weight[labels[i]]
        loss -= weight * float(np.sum(q * np.log(p))) / n
        grad[i] = weight * (p - q) / n
    return loss, grad


def dropout(x: Array, key: int, rate: float) -> Array:
    """Inverted dropout: ``x / (1 - rate)`` where an element is kept, 0 where it is dropped.

    Element i is dropped if the upper 32 bits of a hash of `key` and i, read as a number in [0, 1), are below
    `rate`.  The hash is SplitMix64 (Steele, Lea and Flood 2014).  The same call on the output gradient is the
    backward pass.

    >>> dropout(np.ones(6), key=7, rate=0.5)
    array([0., 0., 2., 2., 0., 0.])
    """
    z = np.uint64(key) + np.arange(1, x.size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # wraps at 2**64
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    kept = (z >> np.uint64(32)) >= np.uint64(round(rate * 2**32))
    return np.where(kept.reshape(x.shape), x * x.dtype.type(1 / (1 - rate)), x * x.dtype.type(0))


def batchnorm_forward(x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """``y = gamma * xhat + beta`` with ``xhat = (x - mean) / sqrt(variance + epsilon)``, channel by channel.

    Mean and variance are taken over images, rows and columns.

    Returns
    -------
    y, mean, variance : ndarray
        The variance is the biased one, divided by the number of values (Ioffe and Szegedy 2015).

    Examples
    --------
    >>> y, mean, variance = batchnorm_forward(np.array([[1.0], [3.0]]), gamma=10.0, beta=0.5, epsilon=0.0)
    >>> y.ravel(), mean, variance
    (array([-9.5, 10.5]), array([2.]), array([1.]))
    """
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta, mean, variance


def batchnorm_backward(x: Array, gamma: Array, grad_y: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Gradients of `batchnorm_forward`; mean and variance depend on x too, hence the two subtracted means.

    ``grad_x = gamma / sqrt(variance + epsilon) * (grad_y - mean(grad_y) - xhat * mean(grad_y * xhat))``

    Returns
    -------
    grad_x, grad_gamma, grad_beta : ndarray

    Examples
    --------
    >>> x, grad_y = np.array([[-1.0], [-1.0], [2.0]]), np.array([[4.0], [0.0], [2.0]])
    >>> [gradient.ravel().round(3).tolist() for gradient in batchnorm_backward(x, 2.0**0.5, grad_y, epsilon=0.0)]
    [[2.0, -2.0, 0.0], [0.0], [6.0]]
    """
    axes = tuple(range(x.ndim - 1))
    inverse_std = 1 / np.sqrt(x.var(axis=axes) + epsilon)
    xhat = (x - x.mean(axis=axes)) * inverse_std
    mean_grad, mean_grad_xhat = grad_y.mean(axis=axes), (grad_y * xhat).mean(axis=axes)
    grad_x = gamma * inverse_std * (grad_y - mean_grad - xhat * mean_grad_xhat)
    return grad_x, (grad_y * xhat).sum(axis=axes), grad_y.sum(axis=axes)


def adam_update(
    param: Array, grad: Array, m: Array, v: Array, lr_t: float, beta_1: float, beta_2: float, epsilon: float
) -> tuple[Array, Array, Array]:
    """One Adam step (Kingma and Ba 2015); returns the new ``(param, m, v)``.

    `m` and `v` are running means of the gradient and of its square; `lr_t` is the rate with their bias correction,
    ``learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)`` at step t = 1, 2, ...

    >>> param, m, v = adam_update(1.0, 0.5, 0.0, 0.0, lr_t=0.125, beta_1=0.5, beta_2=0.75, epsilon=0.0)
    >>> float(param), m, v  # 1 - 0.125 * 0.25 / sqrt(0.0625)
    (0.875, 0.25, 0.0625)
    """
    m = m + (1 - beta_1) * (grad - m)
    v = v + (1 - beta_2) * (grad * grad - v)
    return param - lr_t * m / (np.sqrt(v) + epsilon), m, v


def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    decay: float = 0.0,
    grad_scale: float = 1.0,
) -> tuple[Array, Array]:
    """One step of gradient descent with momentum, in Keras's form; returns the new ``(param, velocity)``.

    >>> sgd_update(1.0, 0.5, 0.25, lr=0.5, momentum=0.5)
    (0.875, -0.125)
    >>> sgd_update(1.0, 0.5, 0.25, lr=0.5, momentum=0.5, nesterov=True)
    (0.6875, -0.125)
    """
    grad = grad_scale * grad
    velocity = momentum * velocity - lr * grad
    step = momentum * velocity - lr * grad if nesterov else velocity
    return param + step - decay * param, velocity
