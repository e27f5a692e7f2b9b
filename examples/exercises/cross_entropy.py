"""Softmax and cross-entropy with class weights, and the gradient.

Checked by ``python -m tinycnn.exercises cross_entropy``.
"""

import numpy as np


def cross_entropy(logits: np.ndarray, labels: np.ndarray, class_weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean loss of a batch, and its gradient with respect to the logits.

    ::

        p[i, j]           = exp(z[i, j]) / sum over k of exp(z[i, k])        the softmax of row i of the logits z
        loss              = 1/n  sum over i of  -weight[i] * log p[i, labels[i]]
        grad_logits[i, j] = 1/n  weight[i] * (p[i, j] - [j is labels[i]])

    where ``weight[i] = class_weight[labels[i]]`` belongs to the row, and n is the number of rows.  Logits may be 1000
    or -1000: exp must not overflow.

    Parameters
    ----------
    logits : ndarray ``(n, classes)``
    labels : ndarray of int ``(n,)``
    class_weight : ndarray ``(classes,)``

    Returns
    -------
    loss : float
    grad_logits : ndarray ``(n, classes)``

    Examples
    --------
    >>> loss, grad = cross_entropy(np.log([[1.0, 3.0]]), np.array([0]), class_weight=np.array([1.0, 1.0]))
    >>> round(loss, 4), grad.round(4)  # log 4
    (1.3863, array([[-0.75,  0.75]]))
    """
    raise NotImplementedError
