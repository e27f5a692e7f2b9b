"""A run's numbers in one place: scores with intervals, and mistakes, as text and as what JSON can hold.

The dict that `score_predictions` returns, and the larger one that `examples/chest_xray.py` writes to ``report.json``,
are what `html` and `model_card` beside this file read: plain numbers, texts, lists and dicts, no nan.
"""

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.data.dataset import Dataset
from tinycnn.files import plain
from tinycnn.model import Sequential
from tinycnn.scores.calibration import brier_score, expected_calibration_error
from tinycnn.scores.intervals import bootstrap_interval, effective_size, sensitivity_specificity, wilson_interval
from tinycnn.scores.metrics import accuracy, balanced_accuracy, classification_report, label_vector
from tinycnn.scores.roc import roc_auc
from tinycnn.study.films.audit import Audit
from tinycnn.study.films.known_sets import chest_class_names


def score_predictions(
    labels: Sequence[int] | np.ndarray,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    groups: Sequence[Hashable] | np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that is said of a set of predictions, with 95 % intervals.

    Parameters
    ----------
    labels : sequence of int, shape (images,)
        True classes.
    probabilities : array of float, shape (images, classes)
        Rows sum to 1; the largest is the prediction.
    class_names : sequence of str
    groups : sequence, shape (images,), optional
        Images of one patient, or copies of one film: the bootstrap draws them together, and the accuracy's interval
        counts `effective_size` images (the intervals by class count every image).
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``images, correct, accuracy, accuracy_interval`` (Wilson), ``balanced_accuracy, macro_f1,
        macro_f1_interval`` (see there), ``brier, calibration_error, confusion_matrix`` (rows: true classes),
        ``report`` (`classification_report`'s dict) and ``classes``: `sensitivity_specificity` and ``auc`` of each.
        A number that cannot be had (the AUC of a class without images) is None.

    Raises
    ------
    ValueError
        If lengths differ, a label has no name, or a row is no distribution.

    Examples
    --------
    >>> scores = score_predictions([0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], ["Covid", "Normal"])
    >>> scores["correct"], scores["confusion_matrix"], scores["classes"]["Covid"]["auc"]
    (2, [[1, 1], [0, 1]], 1.0)
    """
    truth, (rows, *_) = labels_and_runs(labels, [probabilities], class_names)
    groups = np.arange(len(truth)) if groups is None else np.asarray(groups)
    predicted = rows.argmax(axis=1)
    correct = int((predicted == truth).sum())
    classes = sensitivity_specificity(truth, predicted, class_names)
    size = effective_size(groups)
    matrices = confusion_matrices(truth, predicted[None], len(class_names))
    areas = roc_auc(truth, rows, average=None)
    for row, area in zip(classes.values(), areas, strict=True):
        row["auc"] = float(area)
    return plain(
        {
            "images": len(truth),
            "correct": correct,
            "accuracy": accuracy(truth, predicted),
            "accuracy_interval": wilson_interval(correct / len(truth) * size, size),
            "balanced_accuracy": balanced_accuracy(truth, predicted),
            "macro_f1": macro_f1(matrices)[0],
            "macro_f1_interval": macro_f1_interval(truth, predicted[None], len(class_names), groups, seed),
            "brier": brier_score(rows, truth),
            "calibration_error": expected_calibration_error(rows, truth),
            "confusion_matrix": matrices[0],
            "report": classification_report(truth, predicted, class_names, output_dict=True),
            "classes": classes,
        }
    )


def labels_and_runs(
    labels: Sequence[int] | np.ndarray, runs: ArrayLike | Sequence[ArrayLike], class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (images,) and the probabilities (runs, images, classes) of one or several runs, checked.

    Raises
    ------
    ValueError
        If a label has no name, or the shapes do not fit.
    """
    truth, runs = np.asarray(label_vector(labels, "labels", len(class_names))), np.asarray(runs, np.float64)
    runs = runs[None] if runs.ndim == 2 else runs
    if runs.ndim != 3 or runs.shape[1:] != (len(truth), len(class_names)):
        raise ValueError(
            f"{len(truth)} labels and {len(class_names)} classes need probabilities of shape "
            f"({len(truth)}, {len(class_names)}), got {runs.shape[1:]}"
        )
    return truth, runs


def confusion_matrices(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Every run's confusion matrix, in one count, since a bootstrap asks a thousand times.

    Parameters
    ----------
    labels : ndarray of int, (images,)
    predicted : ndarray of int, (runs, images)
    classes : int

    Returns
    -------
    ndarray of int, (runs, classes, classes)
        Rows are true classes.
    """
    runs = len(predicted)
    cells = (np.arange(runs)[:, None] * classes + labels) * classes + predicted
    return np.bincount(cells.ravel(), minlength=runs * classes**2).reshape(runs, classes, classes)


def macro_f1(matrices: np.ndarray) -> np.ndarray:
    """Macro F1 of every confusion matrix, over the classes that occur, as `tinycnn.scores.metrics.f1_score` has it.

    >>> macro_f1(np.array([[[2, 0], [0, 1]], [[1, 1], [0, 1]]])).round(3)
    array([1.   , 0.667])
    """
    found = matrices.diagonal(axis1=1, axis2=2)
    total = matrices.sum(axis=1) + matrices.sum(axis=2)  # called so, and so in truth
    occurs = total > 0
    return (2 * found / np.where(occurs, total, 1)).sum(axis=1) / occurs.sum(axis=1)


def macro_f1_interval(
    labels: np.ndarray, predicted: np.ndarray, classes: int, groups: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the macro F1, mean over the runs: by bootstrap, and honest where a bootstrap knows no doubt.

    Resamples of predictions that are all right (or all wrong, or of a single patient) all give the same F1, and so
    an interval without width.  There, with ``r_k`` the recall of class k of K and ``(l_k, u_k)`` its Wilson interval
    at the `effective_size` of its images::

        F1 - sqrt(sum_k (r_k - l_k)^2) / K    to    F1 + sqrt(sum_k (u_k - r_k)^2) / K    within 0 and 1

    the interval of a mean of K independent rates; to first order errors take as much from the mean F1 as from the
    mean recall.

    Parameters
    ----------
    labels : ndarray of int, (images,)
    predicted : ndarray of int, (runs, images)
    classes : int
    groups : ndarray, (images,)
        Drawn together.
    seed : int

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; Zou and Donner, Construction of
    confidence limits about effect measures: a general approach, Statistics in Medicine 27, 2008.

    Examples
    --------
    >>> labels = np.arange(16) % 2
    >>> low, high = macro_f1_interval(labels, labels[None], 2, np.arange(16))
    >>> round(low, 2), high
    (0.77, 1.0)
    """

    def mean_f1(truth: np.ndarray, by_image: np.ndarray) -> float:  # (images,), (images, runs)
        return macro_f1(confusion_matrices(truth, by_image.T, classes)).mean()

    low, high = bootstrap_interval(mean_f1, labels, predicted.T, n=1000, seed=seed, groups=groups)
    if low < high:
        return low, high
    margins = []
    for k in np.unique(labels):
        recall, size = float(np.mean(predicted[:, labels == k] == k)), effective_size(groups[labels == k])
        margins.append(np.abs(np.subtract(wilson_interval(recall * size, size), recall)))
    below, above = np.sqrt(np.square(margins).sum(axis=0)) / len(margins)
    return float(max(0.0, low - below)), float(min(1.0, high + above))


def score_model(
    model: Sequential, test: Dataset, audit: Audit | None = None, batch_size: int = 16
) -> tuple[dict[str, dict[str, Any]], np.ndarray]:
    """Predict a test set and score it: whole, and without the images that have a near-copy in training.

    Parameters
    ----------
    model : Sequential
        Giving probabilities.
    test : Dataset
    audit : Audit, optional
        What `tinycnn.study.films.audit` found in the training and test images; names the near-copies.
    batch_size : int

    Returns
    -------
    results : dict of str -> dict
        "all N test images", with the number of ``near_copies`` (0 without an audit), and, if some but not all are,
        "N without near-copies": see `score_predictions`.
    probabilities : ndarray, shape (images, classes)

    Raises
    ------
    ValueError
        If the audit is of another number of test images.
    """
    groups = np.arange(len(test)) if audit is None else np.asarray(audit.test_groups)
    if len(groups) != len(test):
        raise ValueError(f"the audit is of {len(groups)} test images, the test set has {len(test)}")
    probabilities = model.predict(test, batch_size=batch_size)
    clean = np.arange(len(test)) if audit is None else audit.leak_free_test
    whole = score_predictions(test.labels, probabilities, test.class_names, groups)
    scored = {f"all {len(test)} test images": whole | {"near_copies": len(test) - len(clean)}}
    if 0 < len(clean) < len(test):
        scored[f"{len(clean)} without near-copies"] = score_predictions(
            test.labels[clean], probabilities[clean], test.class_names, groups[clean]
        )
    return scored, probabilities


def list_predictions(data: Dataset, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """What each image is and was called: ``path, true, predicted, probabilities``, one dict per image.

    Parameters
    ----------
    data : Dataset
    probabilities : array of float, shape (images, classes)
    """
    names = data.class_names
    return [
        {"path": path, "true": names[label], "predicted": names[row.argmax()], "probabilities": plain(row)}
        for path, label, row in zip(data.paths or [""] * len(data), data.labels, probabilities, strict=True)
    ]


def short_names(paths: Sequence[str]) -> list[str]:
    """The paths without the folders that all of them lie in: as short as tells them apart.

    >>> short_names(["test/Covid/01.png", "test/Normal/01.png"])
    ['Covid/01.png', 'Normal/01.png']
    """
    parts = [PurePosixPath(path).parts for path in paths]
    shared = len(os.path.commonprefix([folders[:-1] for folders in parts]))
    return ["/".join(names[shared:]) for names in parts]


def leak_text(scored: Mapping[str, Mapping[str, Any]]) -> str:
    """What near-copies of training images in the test set mean for the results of `score_model`, in a sentence.

    >>> leak_text({"all 20 test images": {"images": 20, "near_copies": 0}})
    'No near-copy of a training image was found among the test images.'
    """
    whole = next(iter(scored.values()))
    if not whole["near_copies"]:
        return "No near-copy of a training image was found among the test images."
    if whole["near_copies"] == whole["images"]:
        return (
            f"All {whole['images']} test images are near-copies of training images. To recognise them proves nothing: "
            "these images can give no accuracy that counts."
        )
    clean = list(scored.values())[1]
    return (
        f"Near-copies of training images among the {whole['images']} test images: {whole['near_copies']}. "
        f"To recognise them proves nothing: the accuracy that counts is {clean['accuracy']:.3f} on the other "
        f"{clean['images']}, not {whole['accuracy']:.3f} on all."
    )


def score_familiar(test: Dataset, probabilities: np.ndarray, marks: np.ndarray) -> dict[str, dict[str, Any]]:
    """`score_predictions` of the images without marks, as "N like the training images"; empty if they are all or none.

    Parameters
    ----------
    test : Dataset
    probabilities : ndarray, (images, classes)
    marks : ndarray of bool, (images,)
        Of `tinycnn.study.novelty`.
    """
    rows = np.flatnonzero(~marks)
    if not 0 < len(rows) < len(test):
        return {}
    scores = score_predictions(test.labels[rows], probabilities[rows], test.class_names)
    return {f"{len(rows)} like the training images": scores}


def novelty_text(told: Mapping[str, Any], images: int) -> str:
    """How many of so many images are unlike the training images, and how many would be expected, in a sentence.

    >>> print(novelty_text({"marked": [3, 7], "expected": 0.04, "held_out": 49}, 20))  # doctest: +NORMALIZE_WHITESPACE
    Unlike the training images are 2 of 20 (10 %); of images like the 49 held out of training it would be about 4 %.
    """
    marked = len(told["marked"])
    return (
        f"Unlike the training images are {marked} of {images} ({100 * marked / images:.0f} %); of images like the "
        f"{told['held_out']} held out of training it would be about {100 * told['expected']:.0f} %."
    )


def mistakes(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Indices of the wrong predictions, the surest ones first.

    >>> mistakes([0, 1, 1], [[0.4, 0.6], [0.9, 0.1], [0.2, 0.8]])
    array([1, 0])
    """
    probabilities = np.asarray(probabilities)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != np.asarray(labels))
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def total_counts(data: Mapping[str, Any]) -> dict[str, int]:
    """Images of each class over all splits, from a report's ``data``.

    >>> total_counts({"class_names": ["a", "b"], "train": {"a": 5, "b": 4}, "test": {"a": 1, "b": 2}})
    {'a': 6, 'b': 6}
    """
    splits = [data[name] for name in ("train", "validation", "test") if name in data]
    return {name: sum(counts.get(name, 0) for counts in splits) for name in data["class_names"]}


def of_chest_films(report: Mapping[str, Any]) -> bool:
    """Whether a run's images are chest films: as its ``data`` says, or else as the names of its classes do.

    >>> of_chest_films({"data": {"class_names": ["cat", "dog"]}})
    False
    """
    data = report.get("data") or {"class_names": next(iter(report["results"].values()))["classes"]}
    return data.get("chest_films", chest_class_names(data["class_names"]))
