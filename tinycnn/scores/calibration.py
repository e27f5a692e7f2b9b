"""Whether a probability means what it says: of the images called "90 % Covid", are nine in ten Covid?

Brier score, reliability curve, expected calibration error, and temperature scaling to repair a network that is
too sure of itself.
"""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import brief, numbers, positive, positive_int
from tinycnn.scores.metrics import check_scores


class ReliabilityCurve(NamedTuple):
    """Mean confidence against accuracy, per bin of confidence; arrays of shape (bins,), `edges` (bins + 1,).

    `confidence` and `accuracy` are nan where `count`, the number of images in the bin, is 0.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # hides tuple.count


def log_loss(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean of ``-log p(true class)``: what training minimises, without smoothing or weights.

    Parameters
    ----------
    probabilities : array of float, shape (images, classes)
        A probability of 0 counts as the smallest float32, 1e-38.
    labels : sequence of int, shape (images,)

    Raises
    ------
    ValueError
        For labels or rows that do not fit.

    Examples
    --------
    >>> round(log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 4)
    0.4904
    """
    labels, probabilities = _check_probabilities(probabilities, labels)
    of_truth = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean squared distance between the probabilities and the truth: 0 is perfect, 2 the worst.

    ``mean over images of  sum_k (probability_k - [k is the true class])^2``, Brier's own form for several
    classes.  With two classes that is twice the one-column form which some libraries use.

    Parameters
    ----------
    probabilities : array of float, shape (images, classes)
        Rows sum to 1.
    labels : sequence of int, shape (images,)

    Raises
    ------
    ValueError
        If shapes do not fit, a label has no column, or a row is not a probability distribution.

    References
    ----------
    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Examples
    --------
    >>> round(brier_score([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]], [0, 1]), 3)
    0.22
    """
    labels, probabilities = _check_probabilities(probabilities, labels)
    truth = np.eye(probabilities.shape[1])[labels]  # (images, classes)
    return float(np.mean(np.sum((probabilities - truth) ** 2, axis=1)))


def reliability_curve(probabilities: ArrayLike, labels: ArrayLike, bins: int = 10) -> ReliabilityCurve:
    """Accuracy of the predictions, sorted into equal-width bins of the probability given to them.

    Bin b holds the images whose largest probability lies in ``(b / bins, (b + 1) / bins]``.

    Parameters
    ----------
    probabilities : array of float, shape (images, classes)
        Rows sum to 1.
    labels : sequence of int, shape (images,)
    bins : int
        At least 1.

    Returns
    -------
    ReliabilityCurve
        On the diagonal confidence = accuracy; below it the network is too sure.

    Raises
    ------
    ValueError
        As `brier_score`; for `bins` below 1.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.

    Examples
    --------
    >>> curve = reliability_curve([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1], bins=2)
    >>> curve.count, curve.confidence.round(3), curve.accuracy.round(3)
    (array([0, 3]), array([nan, 0.8]), array([  nan, 0.667]))
    """
    bins = positive_int(bins, "bins", most=10**6)
    labels, probabilities = _check_probabilities(probabilities, labels)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Inner edges only: a probability that rounding lifts over 1 still belongs to the last bin.
    where = np.searchsorted(edges[1:-1], confidence, side="left")  # (images,)
    count = np.bincount(where, minlength=bins)
    divisor = np.where(count, count, np.nan)
    return ReliabilityCurve(
        edges,
        np.bincount(where, confidence, minlength=bins) / divisor,
        np.bincount(where, right, minlength=bins) / divisor,
        count,
    )


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over the bins of `reliability_curve`, weighted by their images.

    ``sum_b count_b / images * |accuracy_b - confidence_b|``, from 0 to 1.  Arguments and errors as there.  With
    few images the gap is never 0, even for perfect probabilities: compare only numbers from equally many images
    and equally many bins.

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015; C. Guo et al., ICML 2017, equation 3.

    Examples
    --------
    >>> round(expected_calibration_error([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1]), 3)
    0.4
    """
    curve = reliability_curve(probabilities, labels, bins)
    gaps = np.abs(curve.accuracy - curve.confidence)
    return float(np.nansum(curve.count * gaps) / curve.count.sum())


def fit_temperature(logits: ArrayLike, labels: ArrayLike, limits: tuple[float, float] = (0.05, 20.0)) -> float:
    """The number T that makes ``softmax(logits / T)`` fit the labels best, to be used on other images.

    Minimises the negative log-likelihood.  In ``b = 1 / T`` it is convex, with slope
    ``g(b) = mean_i(sum_k p_ik z_ik - z_i,label)`` under ``p = softmax(b z)``; halving the interval between the limits
    finds ``g(b) = 0`` to the last digit.  T > 1 softens a network that is too sure, T < 1 sharpens a timid one; the
    predicted class never changes.

    Parameters
    ----------
    logits : array of float, shape (images, classes)
        Before the softmax, of *validation* images: on the training images the network looks too sure for good
        reason, and on the test images the fit would flatter the result.
    labels : sequence of int, shape (images,)
    limits : pair of float
        Smallest and largest temperature to return.

    Returns
    -------
    float
        1.0 with a RuntimeWarning if every image is classified correctly: the likelihood then rises for ever as
        T goes to 0, and the data say nothing about how sure the network may be.

    Raises
    ------
    ValueError
        If shapes do not fit, a label has no column, a logit is not finite, or `limits` are not
        0 < low < high.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.

    Examples
    --------
    Three of four right, all with odds of e^4 to 1, where odds of 3 to 1 would be honest:

    >>> round(fit_temperature([[4, 0], [4, 0], [0, 4], [4, 0]], [0, 0, 1, 1]), 4)
    3.641
    """
    found = numbers(limits, "limits")
    if found.shape != (2,) or not 0 < found[0] < found[1] < np.inf:
        raise ValueError(f"limits must be 0 < low < high, two numbers, got {brief(limits)}")
    low, high = map(float, found)
    labels, logits = check_scores(labels, logits, "labels")
    if not np.isfinite(logits).all():
        raise ValueError(f"logits are not finite, first in row {int((~np.isfinite(logits)).any(axis=1).argmax())}")
    true_logit = logits[np.arange(len(labels)), labels]  # (images,)
    if (true_logit == logits.max(axis=1)).all():
        text = f"all {len(labels)} images are classified correctly, so no temperature can be fitted; returning 1.0"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return 1.0

    def slope(b: float) -> float:
        p = apply_temperature(logits, 1 / b)  # (images, classes)
        return np.mean(np.sum(p * logits, axis=1) - true_logit)

    left, right = 1 / high, 1 / low
    if slope(left) >= 0:
        return float(high)
    if slope(right) <= 0:
        return float(low)
    for _ in range(100):
        middle = (left + right) / 2
        left, right = (left, middle) if slope(middle) > 0 else (middle, right)
    return float(2 / (left + right))


def apply_temperature(logits: ArrayLike, temperature: float) -> np.ndarray:
    """Probabilities ``softmax(logits / temperature)`` of shape (images, classes), computed in float64.

    Raises
    ------
    ValueError
        If `temperature` is not positive.

    Examples
    --------
    >>> apply_temperature([[4.0, 0.0]], 3.641).round(3)
    array([[0.75, 0.25]])
    """
    scaled = numbers(logits, "logits").astype(np.float64) / positive(temperature, "temperature")
    if not scaled.size:
        raise ValueError("there are no logits")
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _check_probabilities(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = check_scores(labels, probabilities, "labels")
    # Float32 softmax rows miss 1 by about 1e-6.
    wrong = (probabilities < 0).any(axis=1) | ~(np.abs(probabilities.sum(axis=1) - 1) < 1e-3)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"row {row} of the probabilities, {probabilities[row].tolist()}, is not a distribution: values must not "
            "be negative and must sum to 1 (of logits take the softmax first)"
        )
    return labels, probabilities
