"""How good are the predictions: confusion matrix, accuracy, precision, recall, F1 and the table of them all.

Everything is counted from one matrix, ``matrix[i, j]`` = images of true class ``i`` predicted as class ``j``::

    precision_k = matrix[k, k] / sum_i matrix[i, k]      of those called k, how many are k
    recall_k    = matrix[k, k] / sum_j matrix[k, j]      of those that are k, how many were found (sensitivity)
    F1_k        = 2 matrix[k, k] / (column sum + row sum)

Labels are integers from 0.  The functions with a scikit-learn name return the same numbers, and
`classification_report` the same text, as scikit-learn does.

Source: C. J. van Rijsbergen, *Information Retrieval*, 2nd ed., 1979, chapter 7; M. Sokolova and G. Lapalme,
"A systematic analysis of performance measures for classification tasks", 2009.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, count, flag, listed, number, one_of, positive, positive_int
from tinycnn.notebook import html_table

MOST_CLASSES = 10_000  # a confusion matrix of them takes 800 MB
AVERAGES = (None, "micro", "macro", "weighted")


def label_vector(labels: ArrayLike, what: str = "labels", num_classes: int | None = None) -> np.ndarray:
    """Return `labels` as an int64 array of shape (images,); `what` is their name in error messages.

    Raises
    ------
    ValueError
        If they are none, not one-dimensional, not integers, negative, or not below `num_classes`.

    >>> label_vector([0, 2], num_classes=2)
    Traceback (most recent call last):
    ...
    ValueError: labels: label 2 at index 1, but with 2 classes labels go from 0 to 1
    """
    labels = as_array(labels, what)
    if labels.ndim != 1:
        hint = "; of one-hot rows or probabilities take argmax(axis=1) first" if labels.ndim == 2 else ""
        raise ValueError(f"{what}: must be one label per image, shape (images,), got shape {labels.shape}{hint}")
    if labels.size == 0:
        raise ValueError(f"{what}: empty, at least one label is needed")
    if labels.dtype.kind not in "biu":
        raise ValueError(f"{what}: must be integer labels, got dtype {labels.dtype} (first value {labels[0]!r})")
    labels = labels.astype(np.int64)
    limit, rule = MOST_CLASSES, f"labels start at 0 and end below {MOST_CLASSES}"
    if num_classes is not None:
        limit = positive_int(num_classes, "num_classes", most=MOST_CLASSES)
        rule = f"with {limit} classes labels go from 0 to {limit - 1}"
    wrong = np.flatnonzero((labels < 0) | (labels >= limit))
    if wrong.size:
        raise ValueError(f"{what}: label {labels[wrong[0]]} at index {wrong[0]}, but {rule}")
    return labels


def label_vectors(
    y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both label vectors as int64 arrays of shape ``(images,)``.

    Raises
    ------
    ValueError
        If the lengths differ, or for either as in `label_vector`.

    >>> label_vectors([0, 2], [1])
    Traceback (most recent call last):
    ...
    ValueError: y_true has 2 labels but y_pred has 1; give one prediction for each true label
    """
    y_true, y_pred = label_vector(y_true, "y_true", num_classes), label_vector(y_pred, "y_pred", num_classes)
    if len(y_true) != len(y_pred):
        raise ValueError(
            f"y_true has {len(y_true)} labels but y_pred has {len(y_pred)}; give one prediction for each true label"
        )
    return y_true, y_pred


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Count how often each true class was predicted as each class; errors as of `label_vectors`.

    Parameters
    ----------
    y_true, y_pred : sequence of int, shape (images,)
    num_classes : int, optional
        Rows and columns of the result.  By default one more than the largest label, so that a class that does
        not occur keeps its (empty) row and ``matrix[i]`` always belongs to class ``i``; scikit-learn drops such
        rows instead.

    Returns
    -------
    ndarray of int64, shape (num_classes, num_classes)
        Rows are true classes, columns predicted ones.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, 2, 2], [0, 1, 1, 2, 0])
    array([[1, 1, 0],
           [0, 1, 0],
           [1, 0, 1]])
    """
    y_true, y_pred = label_vectors(y_true, y_pred, num_classes)
    if num_classes is None:
        num_classes = int(max(y_true.max(), y_pred.max())) + 1
    cells = np.bincount(y_true * num_classes + y_pred, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Share of correct predictions, from 0 to 1; errors as of `label_vectors`.

    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    """
    y_true, y_pred = label_vectors(y_true, y_pred)
    return float(np.mean(y_true == y_pred))


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean recall of the classes that occur in `y_true`: each class counts the same, however rare it is.

    Errors as of `label_vectors`.  Calling everything class 0 is right 9 times in 10 here, yet no better than a coin:

    >>> balanced_accuracy([0] * 9 + [1], [0] * 10)
    0.5
    """
    matrix = confusion_matrix(y_true, y_pred)
    present = matrix.sum(axis=1) > 0
    return float(np.mean(matrix.diagonal()[present] / matrix.sum(axis=1)[present]))


def precision_recall_fscore_support(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    beta: float = 1.0,
    average: str | None = None,
    num_classes: int | None = None,
    zero_division: float = 0,
) -> tuple[Any, Any, Any, np.ndarray | None]:
    """Precision, recall, F-score and number of images of each class, or their average.

    ``F_beta = (1 + beta^2) precision * recall / (beta^2 * precision + recall)``: `beta` says how many times
    more recall matters than precision.

    Parameters
    ----------
    y_true, y_pred : sequence of int, shape (images,)
    beta : float
        Positive.
    average : None, "micro", "macro" or "weighted"
        None gives one value per class; "macro" their plain mean; "weighted" their mean weighted by support;
        "micro" counts all classes together, which for single labels is the accuracy.
    num_classes : int, optional
        Score classes ``0 .. num_classes - 1``, present or not.  By default only classes that occur in `y_true`
        or `y_pred`, in ascending order, as scikit-learn does.
    zero_division : float
        Stands for 0/0, such as the precision of a class never predicted: 0, 1, or nan.  Averages skip nan.

    Returns
    -------
    precision, recall, fscore : ndarray of float64, shape (classes,), or float
    support : ndarray of int64, shape (classes,), or None when averaged
        How often each class occurs in `y_true`.

    Raises
    ------
    ValueError
        For labels as in `label_vectors`, an unknown `average`, or a `beta` that is not positive.

    Examples
    --------
    >>> precision, recall, f1, support = precision_recall_fscore_support([0, 0, 1, 1], [0, 1, 1, 1])
    >>> recall, support
    (array([0.5, 1. ]), array([2, 2]))
    """
    one_of(average, "average", AVERAGES)
    beta = number(positive(beta, "beta"), "beta", below=1e9)
    matrix = confusion_matrix(y_true, y_pred, num_classes)
    found, called, support = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)  # each (classes,)
    if num_classes is None:
        occurs = (called + support) > 0
        found, called, support = found[occurs], called[occurs], support[occurs]
    if average == "micro":
        found, called, support = (counts.sum(keepdims=True) for counts in (found, called, support))
    scores = (
        _divide(found, called, zero_division),
        _divide(found, support, zero_division),
        _divide((1 + beta**2) * found, beta**2 * support + called, zero_division),
    )
    if average is None:
        return *scores, support
    weights = support if average == "weighted" else None
    return *(_mean(score, weights) for score in scores), None


def f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    average: str | None = "macro",
    num_classes: int | None = None,
    zero_division: float = 0,
) -> Any:
    """F1, the harmonic mean of precision and recall; by default macro F1, the plain mean over classes.

    A float, or an array of shape (classes,) for an `average` of None.  Arguments and errors as in
    `precision_recall_fscore_support`.

    Examples
    --------
    >>> round(f1_score([0, 0, 1, 1], [0, 1, 1, 1]), 4)
    0.7333
    >>> f1_score([0, 0, 1, 1], [0, 1, 1, 1], average=None).round(4)
    array([0.6667, 0.8   ])
    """
    return precision_recall_fscore_support(y_true, y_pred, 1.0, average, num_classes, zero_division)[2]


def classification_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    target_names: Sequence[str] | None = None,
    digits: int = 2,
    output_dict: bool = False,
    zero_division: float = 0,
) -> Any:
    """The table of precision, recall, F1 and support, laid out as scikit-learn's; in a notebook, one of HTML.

    Parameters
    ----------
    y_true, y_pred : sequence of int, shape (images,)
    target_names : sequence of str, optional
        Name of class 0, 1, ...  Every named class gets a row, also one that does not occur.  (scikit-learn
        needs ``labels=range(len(target_names))`` for that.)  Without names, the classes that occur get a row.
    digits : int
        Decimals in the text.
    output_dict : bool
        Return ``{name: {"precision", "recall", "f1-score", "support"}, ..., "accuracy": float, "macro avg":
        {...}, "weighted avg": {...}}`` of plain floats, unrounded and ready for JSON, instead of the text.
    zero_division : float
        Stands for 0/0: 0, 1, or nan.

    Raises
    ------
    ValueError
        See `label_vectors`; a label beyond the last of `target_names` is one of these errors.

    Examples
    --------
    >>> print(classification_report([0, 1, 2, 2, 2], [0, 0, 2, 2, 1], ["Covid", "Normal", "Viral Pneumonia"]))
                     precision    recall  f1-score   support
    <BLANKLINE>
              Covid       0.50      1.00      0.67         1
             Normal       0.00      0.00      0.00         1
    Viral Pneumonia       1.00      0.67      0.80         3
    <BLANKLINE>
           accuracy                           0.60         5
          macro avg       0.50      0.56      0.49         5
       weighted avg       0.70      0.60      0.61         5
    <BLANKLINE>
    """
    num_classes = None if target_names is None else len(listed(target_names, "target_names"))
    y_true, y_pred = label_vectors(y_true, y_pred, num_classes)
    names = list(map(str, np.union1d(y_true, y_pred) if target_names is None else target_names))

    def scores(average: str | None) -> tuple[Any, ...]:
        return precision_recall_fscore_support(y_true, y_pred, 1.0, average, num_classes, zero_division)

    rows = list(zip(names, *scores(None), strict=True))
    averages = [(f"{kind} avg", *scores(kind)[:3], len(y_true)) for kind in ("macro", "weighted")]
    share_correct = accuracy(y_true, y_pred)
    columns = ("precision", "recall", "f1-score", "support")
    if flag(output_dict, "output_dict"):
        classes, means = (
            {name: dict(zip(columns, map(float, values), strict=True)) for name, *values in table}
            for table in (rows, averages)
        )
        return classes | {"accuracy": share_correct} | means

    digits = count(digits, "digits", most=17)
    width = max(max(map(len, names)), len("weighted avg"), digits)
    line = "{:>{width}s}  {:>9} {:>9} {:>9} {:>9}\n"
    each, below = (
        [[name, *(f"{value:.{digits}f}" for value in values), n] for name, *values, n in table]
        for table in (rows, averages)
    )
    below.insert(0, ["accuracy", "", "", f"{share_correct:.{digits}f}", len(y_true)])
    parts = ["".join(line.format(*cells, width=width) for cells in part) for part in ([["", *columns]], each, below)]
    table = ReportTable("\n".join(parts))
    table.html = html_table(["", *columns], each + below, numbers=range(1, 5))
    return table


class ReportTable(str):
    """The text that `classification_report` gives; a notebook shows it as a table."""

    html = ""

    def _repr_html_(self) -> str:
        return self.html


def _divide(numerator, denominator, zero_division):
    if not isinstance(zero_division, int | float | np.number):
        raise ValueError(f"zero_division must be a number or nan, got {brief(zero_division)}")
    empty = denominator == 0
    return np.where(empty, zero_division, numerator / np.where(empty, 1, denominator))


def _mean(values, weights):
    known = ~np.isnan(values)
    if not known.any():
        return float("nan")
    if weights is None or not weights[known].any():
        return float(np.mean(values[known]))
    return float(np.average(values[known], weights=weights[known]))


def check_scores(y_true: ArrayLike, scores: ArrayLike, name: str = "y_true") -> tuple[np.ndarray, np.ndarray]:
    """Return labels as int64 of shape (images,) and scores as float64 of shape (images, classes).

    `name` is what error messages call the labels.

    Raises
    ------
    ValueError
        If shapes do not fit, a score is not a number, or a label has no column.
    """
    scores = as_array(scores, "scores")
    if scores.ndim != 2 or scores.shape[1] < 2 or scores.dtype.kind not in "fiu":
        raise ValueError(
            f"scores must be numbers of shape (images, classes) with at least 2 classes, got {scores.dtype} of "
            f"shape {scores.shape}"
        )
    y_true = label_vector(y_true, name, scores.shape[1])
    if len(y_true) != len(scores):
        raise ValueError(f"one row of scores per label is needed: {len(y_true)} labels, scores of {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"scores hold nan, first in row {int(np.isnan(scores).any(axis=1).argmax())}")
    return y_true, scores.astype(np.float64)


def class_labels(class_names: Sequence[str] | None, classes: int) -> list[str]:
    """Return one distinct name for each of `classes` classes; their numbers if `class_names` is None.

    Raises
    ------
    ValueError
        If there are not as many names as classes or two are the same: a table keyed by name would lose a class.

    >>> class_labels(None, 3)
    ['0', '1', '2']
    """
    names = [str(name) for name in (range(classes) if class_names is None else listed(class_names, "class_names"))]
    if len(names) != classes:
        raise ValueError(f"{classes} classes but {len(names)} class names: {names}")
    if len(set(names)) < len(names):
        raise ValueError(f"class names must differ from one another, got {names}")
    return names
