"""How far to trust a result: sensitivity and specificity, intervals, results by group.

Sixty-six test images leave wide margins: 60 of 66 right is 0.91, but anything from 0.82 to 0.96 would be no
surprise.  Every rate here therefore comes with its 95 % interval.  What the scores are worth at other thresholds
is in `tinycnn.scores.roc`, whether the probabilities can be believed in `tinycnn.scores.calibration`.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, function, generator, listed, positive_int
from tinycnn.scores.metrics import class_labels, confusion_matrix, label_vectors


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a rate of `successes` in `n` independent trials.

    With ``p = successes / n`` and z = 1.96 for 95 %::

        (p + z^2/2n  -+  z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)

    Unlike ``p -+ 1.96 sqrt(p(1-p)/n)`` it stays within 0 and 1 and keeps a width when everything, or nothing,
    succeeds.

    Parameters
    ----------
    successes, n : int or float
        ``0 <= successes <= n``; for cases that are not independent, `effective_size` times the rate, and it.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    low, high : float
        (0, 1) for n = 0: nothing is known.

    Raises
    ------
    ValueError
        For counts or a confidence outside those bounds.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927;
    L. D. Brown, T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Stat. Sci. 16, 2001.

    Examples
    --------
    >>> low, high = wilson_interval(60, 66)
    >>> round(low, 3), round(high, 3)
    (0.816, 0.958)
    """
    numbers = all(isinstance(value, int | float | np.number) for value in (n, successes))
    if not numbers or not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n, got {brief(successes)} successes of n = {brief(n)}")
    z = NormalDist().inv_cdf((1 + _confidence(confidence)) / 2)
    if n == 0:
        return 0.0, 1.0
    rate, width = successes / n, z * z / n
    middle = rate + width / 2
    margin = math.sqrt(width * (rate * (1 - rate) + width / 4))
    # The exact ends at 0 and n, which rounding would miss by an epsilon.
    low = 0.0 if successes == 0 else (middle - margin) / (1 + width)
    high = 1.0 if successes == n else (middle + margin) / (1 + width)
    return float(low), float(high)


def effective_size(groups: ArrayLike) -> float:
    """How many independent cases as many cases in `groups` are worth, if those of one group all behave alike.

    ``n_eff = (sum of sizes)^2 / sum of sizes^2``, which is n for groups of one.  With it for n, `wilson_interval`
    keeps its width where several images show one patient.

    Parameters
    ----------
    groups : sequence
        Group of each case.

    Returns
    -------
    float
        0 for no cases.

    References
    ----------
    L. Kish, *Survey Sampling*, 1965, chapter 5 (the design effect, at an intraclass correlation of 1).

    Examples
    --------
    >>> effective_size([1, 2, 3, 4]), effective_size([1, 1, 2, 2])
    (4.0, 2.0)
    """
    sizes = np.unique(groups, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    n: int = 2000,
    seed: int | np.random.Generator = 0,
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval of any statistic.

    Draws the cases anew `n` times, with replacement and the same rows from every array, and returns the central
    share `confidence` of the values that `statistic` takes.  It tells what another test set of this size might
    have given; it knows nothing of another seed or another hospital.

    Parameters
    ----------
    statistic : callable
        ``statistic(*resampled_arrays) -> float``, such as `f1_score`.
    *arrays : arrays of equal length
        For instance true and predicted labels.
    n : int
        Number of resamples.
    seed : int or numpy.random.Generator
    confidence : float
        Between 0 and 1.
    groups : sequence, optional
        Patient (or source) of each case.  Whole groups are then drawn: several images of one patient are not
        independent, and drawing them singly makes the interval too narrow.

    Raises
    ------
    ValueError
        If arrays are missing, empty or of different lengths, or if the statistic is nan (a class without
        images, say) in more than half of the resamples; fewer nan resamples are left out.

    References
    ----------
    B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.

    Examples
    --------
    >>> from tinycnn.scores.metrics import accuracy
    >>> y_true = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    >>> y_pred = [0, 1, 2, 0, 1, 2, 0, 1, 0, 1]
    >>> low, high = bootstrap_interval(accuracy, y_true, y_pred)
    >>> bool(low < 0.8 < high)
    True
    """
    tail = (1 - _confidence(confidence)) / 2
    if not arrays:
        raise ValueError("bootstrap_interval needs at least one array of cases after the statistic")
    function(statistic, "statistic")
    columns = [as_array(array, "each of the arrays") for array in arrays]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(f"the arrays must have the same length, at least 1; got lengths {lengths}")
    n = positive_int(n, "n, the number of resamples,")
    groups = np.arange(lengths[0]) if groups is None else as_array(groups, "groups")
    if groups.shape != (lengths[0],):
        raise ValueError(f"groups must name one group per case: {lengths[0]} cases, groups of shape {groups.shape}")
    code = np.unique(groups, return_inverse=True)[1]
    members = np.split(np.argsort(code, kind="stable"), np.cumsum(np.bincount(code))[:-1])
    rng = generator(seed)
    values = np.empty(n)
    for i in range(n):
        drawn = rng.integers(len(members), size=len(members))
        rows = np.concatenate([members[g] for g in drawn])
        values[i] = statistic(*(column[rows] for column in columns))
    known = values[~np.isnan(values)]
    if 2 * len(known) < n:
        raise ValueError(
            f"the statistic is nan in {n - len(known)} of {n} resamples of {lengths[0]} cases: too few cases for it"
        )
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def sensitivity_specificity(
    y_true: ArrayLike, y_pred: ArrayLike, class_names: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Sensitivity and specificity of each class against the rest, with Wilson 95 % intervals.

    Sensitivity (recall): of the images of this class, the share called so.  Specificity: of the images of all
    other classes, the share not called so.

    Parameters
    ----------
    y_true, y_pred : sequence of int, shape (images,)
    class_names : sequence of str, optional
        ``"0", "1", ...`` up to the largest label by default.

    Returns
    -------
    dict of str -> dict
        Per class ``sensitivity, sensitivity_interval, positives, specificity, specificity_interval, negatives``:
        plain numbers and lists, ready for JSON.  A rate of no images is None, its interval [0, 1].

    Raises
    ------
    ValueError
        See `tinycnn.scores.metrics.label_vectors`.

    Examples
    --------
    >>> table = sensitivity_specificity([0, 0, 0, 1, 1], [0, 0, 1, 1, 1], ["Covid", "Normal"])
    >>> round(table["Covid"]["sensitivity"], 3), table["Covid"]["positives"], table["Covid"]["specificity"]
    (0.667, 3, 1.0)
    """
    matrix = confusion_matrix(y_true, y_pred, None if class_names is None else len(listed(class_names, "class_names")))
    found, called, support = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)  # each (classes,)
    total = matrix.sum()
    table = {}
    for k, name in enumerate(class_labels(class_names, len(matrix))):
        table[name] = {
            **_rate("sensitivity", found[k], support[k]),
            "positives": int(support[k]),
            **_rate("specificity", total - support[k] - (called[k] - found[k]), total - support[k]),
            "negatives": int(total - support[k]),
        }
    return table


def report_by_group(
    y_true: ArrayLike, y_pred: ArrayLike, groups: ArrayLike, class_names: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """The same predictions scored separately for each group: source, hospital, machine, age band.

    A model that reads the source instead of the lungs shows here: it does well over all and badly wherever a
    source holds more than one class.

    Parameters
    ----------
    y_true, y_pred : sequence of int, shape (images,)
    groups : sequence of str or int, shape (images,)
        Group of each image.
    class_names : sequence of str, optional
        ``"0", "1", ...`` up to the largest label by default.

    Returns
    -------
    dict of str -> dict
        Per group, in ascending order: ``images, correct, accuracy, accuracy_interval`` (Wilson, 95 %) and
        ``classes``, for each class that occurs in the group ``sensitivity, sensitivity_interval, positives``.
        Plain numbers and lists, ready for JSON.

    Raises
    ------
    ValueError
        If there is not one group per image; else as in `tinycnn.scores.metrics.label_vectors`.

    Examples
    --------
    >>> table = report_by_group([0, 0, 1, 1], [0, 0, 1, 0], ["A", "A", "A", "B"], ["Covid", "Normal"])
    >>> {group: (row["correct"], row["images"]) for group, row in table.items()}
    {'A': (3, 3), 'B': (0, 1)}
    """
    y_true, y_pred = label_vectors(
        y_true, y_pred, None if class_names is None else len(listed(class_names, "class_names"))
    )
    groups = as_array(groups, "groups")
    if groups.shape != y_true.shape:
        raise ValueError(f"groups must name one group per image: {len(y_true)} images, groups of shape {groups.shape}")
    names = class_labels(class_names, max(y_true.max(), y_pred.max()) + 1 if class_names is None else len(class_names))
    table = {}
    for group in np.unique(groups):
        inside = groups == group
        matrix = confusion_matrix(y_true[inside], y_pred[inside], len(names))
        correct, images = int(np.trace(matrix)), int(matrix.sum())
        table[str(group)] = {"images": images, "correct": correct, **_rate("accuracy", correct, images)}
        table[str(group)]["classes"] = {
            names[k]: {**_rate("sensitivity", matrix[k, k], n), "positives": int(n)}
            for k, n in enumerate(matrix.sum(axis=1))
            if n
        }
    return table


def _rate(name: str, successes: float, n: float) -> dict[str, Any]:
    rate = float(successes / n) if n else None
    return {name: rate, f"{name}_interval": list(wilson_interval(int(successes), int(n)))}


def _confidence(confidence: float) -> float:
    if not isinstance(confidence, int | float | np.number) or not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95, got {brief(confidence)}")
    return float(confidence)
