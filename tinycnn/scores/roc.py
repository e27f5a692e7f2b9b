"""ROC curves: how well the scores rank images of a class above all others, whatever the threshold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import numbers, one_of
from tinycnn.scores.metrics import check_scores, class_labels, label_vector


class RocCurve(NamedTuple):
    """One ROC curve, from (0, 0) to (1, 1).

    ``false_positive_rate[i]`` and ``true_positive_rate[i]`` are reached by calling positive every score of at
    least ``thresholds[i]``; the first threshold is infinite.  `auc` is the area under the curve.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray
    auc: float


def roc_curve(y_true: ArrayLike, scores: ArrayLike) -> RocCurve:
    """ROC curve of one yes-or-no question: what a lower threshold finds, against what it gets wrong.

    Cases of equal score move together, so a tie is one sloped segment, and the area under the curve equals the
    Mann-Whitney statistic ``P(score of a positive > score of a negative) + P(equal) / 2`` exactly.

    Parameters
    ----------
    y_true : sequence of bool or 0/1, shape (images,)
        1 for a positive.
    scores : sequence of float, shape (images,)
        Larger means more likely positive; any scale.

    Raises
    ------
    ValueError
        If the lengths differ, a score is nan, or positives or negatives are missing: the curve is then undefined.

    References
    ----------
    T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006, algorithms 1 and 2.

    Examples
    --------
    >>> curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> curve.false_positive_rate, curve.true_positive_rate, curve.auc
    (array([0. , 0. , 0.5, 0.5, 1. ]), array([0. , 0.5, 0.5, 1. , 1. ]), 0.75)
    """
    y_true = label_vector(y_true, "y_true", num_classes=2)
    scores = np.asarray(numbers(scores, "scores"), np.float64)
    if scores.shape != y_true.shape:
        raise ValueError(f"scores must have one value per label: {len(y_true)} labels, scores of shape {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"scores hold nan, first at index {int(np.isnan(scores).argmax())}")
    positives = int(y_true.sum())
    negatives = len(y_true) - positives
    if not positives or not negatives:
        raise ValueError(f"a ROC curve needs both kinds: got {positives} positives and {negatives} negatives")
    order = np.argsort(-scores, kind="stable")
    scores, y_true = scores[order], y_true[order]
    last_of_tie = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    true_positives = np.concatenate([[0], np.cumsum(y_true)[last_of_tie]])  # (thresholds + 1,)
    false_positives = np.concatenate([[0], last_of_tie + 1]) - true_positives
    # Whole numbers up to the last division, so that the area is exact.
    twice_area = np.sum(np.diff(false_positives) * (true_positives[1:] + true_positives[:-1]))
    return RocCurve(
        false_positives / negatives,
        true_positives / positives,
        np.concatenate([[np.inf], scores[last_of_tie]]),
        float(twice_area / (2 * positives * negatives)),
    )


def roc_curves(
    y_true: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str] | None = None
) -> dict[str, RocCurve]:
    """One-vs-rest ROC curve of each class: is it this class, or any other?

    Parameters
    ----------
    y_true : sequence of int, shape (images,)
    probabilities : array of float, shape (images, classes)
        Column k ranks the images for class k; probabilities, or any score.
    class_names : sequence of str, optional
        ``"0", "1", ...`` by default.

    Raises
    ------
    ValueError
        Naming the class, if it has no positives or no negatives; for sizes that do not fit.

    Examples
    --------
    >>> curves = roc_curves([0, 1, 1], [[0.9, 0.1], [0.3, 0.7], [0.4, 0.6]], ["Covid", "Normal"])
    >>> {name: curve.auc for name, curve in curves.items()}
    {'Covid': 1.0, 'Normal': 1.0}
    """
    y_true, probabilities = check_scores(y_true, probabilities)
    names = class_labels(class_names, probabilities.shape[1])
    curves = {}
    for k, name in enumerate(names):
        try:
            curves[name] = roc_curve(y_true == k, probabilities[:, k])
        except ValueError as error:
            raise ValueError(f"class '{name}': {error}") from None
    return curves


def roc_auc(y_true: ArrayLike, probabilities: ArrayLike, average: str | None = "macro") -> Any:
    """Area under each class's one-vs-rest ROC curve, or the mean over classes.

    1 ranks every image of the class above all others, 0.5 is a coin.  Arguments as in `roc_curves`; `average` is
    "macro" (a float) or None (an array of shape (classes,)).  A class that has no positives or no negatives has
    no area: it is nan, and so is the mean.  (`bootstrap_interval` leaves such resamples out.)

    Raises
    ------
    ValueError
        For sizes that do not fit, nan scores or an unknown `average`.

    Examples
    --------
    >>> roc_auc([0, 1, 2], [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], average=None)
    array([1.  , 1.  , 0.75])
    """
    one_of(average, "average", ("macro", None))
    y_true, probabilities = check_scores(y_true, probabilities)
    classes = probabilities.shape[1]
    counts = np.bincount(y_true, minlength=classes)
    defined = (counts > 0) & (counts < len(y_true))
    areas = [roc_curve(y_true == k, probabilities[:, k]).auc if defined[k] else np.nan for k in range(classes)]
    return float(np.mean(areas)) if average else np.array(areas)
