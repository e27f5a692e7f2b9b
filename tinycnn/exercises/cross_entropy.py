"""Softmax and cross-entropy with class weights, and the gradient."""

import numpy as np

from tinycnn import reference_training
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


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
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (n, classes)
    weight = class_weight[labels]  # (n,)
    loss = -np.sum(weight * log_p[rows, labels]) / len(logits)
    grad_logits = np.exp(log_p)
    grad_logits[rows, labels] -= 1
    grad_logits *= weight[:, None] / len(logits)
    return float(loss), grad_logits


def _oracle(logits, labels, class_weight):
    loss, grad = reference_training.softmax_cross_entropy(logits, labels, class_weight)
    if np.isfinite(loss):
        return loss, grad
    rows = np.arange(len(labels))  # where a probability underflows: log p from differences of logits
    log_p = -np.logaddexp.reduce(logits - logits[rows, labels][:, None], axis=1)
    return -float(np.mean(class_weight[labels] * log_p)), grad


def _case(seed, n, classes, weights=None, scale=1.0):
    labels = np.random.default_rng(seed).integers(0, classes, n)
    weight = np.ones(classes) if weights is None else np.array(weights)
    return {"logits": scale * numbers(seed, n, classes), "labels": labels, "class_weight": weight}


GRAD = "grad_logits *= weight[:, None] / len(logits)"
MINUS_1 = "grad_logits[rows, labels] -= 1"
SHIFT = "logits - logits.max(axis=1, keepdims=True)"
LOG_P = "shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))"
P_FIRST = "np.log(np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True))"
LOG_OF_0 = "the logarithm of a p of 0"
OVERFLOW = "exp overflows: subtract each row's maximum first"
OF_ALL = "the largest of the whole batch is subtracted: in another row every exp becomes 0, and 0/0 is nan"
EXERCISE = Exercise(
    solution=cross_entropy,
    outputs=("loss", "grad_logits"),
    oracle=_oracle,
    cases={
        "one row, by hand": {
            "logits": np.log([[1.0, 3.0]]),
            "labels": np.array([0]),
            "class_weight": np.array([1.0, 1.0]),
        },
        "several rows": _case(0, 4, 3),
        "class weights": _case(1, 5, 3, [1.0, 3.0, 0.5]),
        "as many rows as classes": _case(2, 4, 4, [2.0, 0.1, 1.0, 4.0]),
        "large logits": _case(3, 5, 3, [1.0, 2.0, 4.0], 1000.0),
    },
    suspects=[
        Suspect(f"{LOG_OF_0}: take log p as z - log(sum of exp z)", "* log_p[rows", "* np.log(np.exp(log_p))[rows"),
        *(
            Suspect(
                f"{LOG_OF_0}, and p + {small} or a clip hides it", "* log_p[", f"* np.log(np.exp(log_p) + {small})["
            )
            for small in ("1e-7", "1e-8", "1e-10", "1e-12", "1e-15")
        ),
        *(
            Suspect(
                f"{LOG_OF_0}, and a clip of p hides it", "* log_p[", f"* np.log(np.maximum(np.exp(log_p), {small}))["
            )
            for small in ("1e-7", "1e-8")
        ),
        Suspect(OVERFLOW, SHIFT, "logits"),
        Suspect(OVERFLOW, f"{SHIFT}\n    log_p = {LOG_P}", f"logits\n    log_p = {P_FIRST}"),
        Suspect(OF_ALL, SHIFT, "logits - logits.max()"),
        Suspect(OF_ALL, f"{SHIFT}\n    log_p = {LOG_P}", f"logits - logits.max()\n    log_p = {P_FIRST}"),
        Suspect(
            "the softmax runs over rows instead of classes",
            "np.exp(shifted).sum(axis=1, keepdims=True)",
            "np.exp(shifted).sum(axis=0, keepdims=True)",
        ),
        Suspect("the class weights are left out", "weight = class_weight[labels]", "weight = np.ones(len(labels))"),
        Suspect("the weights are left out of the gradient", GRAD, "grad_logits /= len(logits)"),
        Suspect("the weights are left out of the loss", "weight * log_p", "log_p"),
        Suspect(
            "weights belong to rows, by their true class, not to columns",
            GRAD,
            "grad_logits *= class_weight / len(logits)",
        ),
        Suspect(
            "divided by the sum of the weights; the mean is over the rows",
            "/ len(logits)\n    grad_logits =",
            "/ weight.sum()\n    grad_logits =",
        ),
        Suspect(
            "divided by the sum of the weights; the mean is over the rows",
            GRAD,
            GRAD.replace("len(logits)", "weight.sum()"),
        ),
        Suspect(
            "a sum over rows where the mean belongs: 1/n is missing",
            "/ len(logits)\n    grad_logits =",
            "\n    grad_logits =",
        ),
        Suspect("a sum over rows where the mean belongs: 1/n is missing", GRAD, "grad_logits *= weight[:, None]"),
        Suspect(
            "divided by rows times classes; the mean is over the rows",
            "/ len(logits)\n    grad_logits =",
            "/ logits.size\n    grad_logits =",
        ),
        Suspect(
            "divided by rows times classes; the mean is over the rows", GRAD, GRAD.replace("len(logits)", "logits.size")
        ),
        Suspect("the sign is wrong: a loss is minus the logarithm", "-np.sum(", "np.sum("),
        Suspect("the sign is wrong: p - q, not q - p", GRAD, GRAD.replace("weight[", "-weight[")),
        Suspect("the 1 of the true class is not subtracted", MINUS_1, "pass"),
        Suspect(
            "the weight multiplies p alone: it belongs to the 1 of the true class, too",
            f"{MINUS_1}\n    {GRAD}",
            f"grad_logits *= weight[:, None]\n    {MINUS_1}\n    grad_logits /= len(logits)",
        ),
        Suspect(
            "the weight multiplies the 1 of the true class alone: it belongs to p, too",
            f"{MINUS_1}\n    {GRAD}",
            f"{MINUS_1.replace('1', 'weight')}\n    grad_logits /= len(logits)",
        ),
        Suspect(
            "divided by the number of classes; the mean is over the rows",
            "/ len(logits)\n    grad_logits =",
            "/ logits.shape[1]\n    grad_logits =",
        ),
        Suspect(
            "divided by the number of classes; the mean is over the rows",
            GRAD,
            GRAD.replace("len(logits)", "logits.shape[1]"),
        ),
    ],
    hints=[
        "Subtract each row's maximum before exp: the quotient stays the same and nothing overflows. Take log p from "
        "that difference too, as z - log(sum of exp z): the logarithm of a p of 0 would be infinite.",
        "p[rows, labels] with rows = np.arange(n) picks one number of each row.",
        "The gradient is p, minus 1 at the true class of each row, times the row's weight (weight[:, None]), over n.",
    ],
)
