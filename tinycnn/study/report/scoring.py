"""A run's numbers in one place: scores with intervals, and mistakes, as text and as what JSON can hold.

The dict that `score_predictions` returns, and the larger one that `examples/chest_xray.py` writes to ``report.json``,
are what `html` and `model_card` beside this file read: plain numbers, texts, lists and dicts, no nan.
"""

import numpy as np

from tinycnn.files import plain
from tinycnn.scores.calibration import brier_score, expected_calibration_error
from tinycnn.scores.intervals import bootstrap_interval, effective_size, sensitivity_specificity, wilson_interval
from tinycnn.scores.metrics import accuracy, balanced_accuracy, classification_report, confusion_matrix, f1_score
from tinycnn.scores.roc import roc_auc


def score_predictions(labels, probabilities, class_names, groups=None, seed=0):
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
        macro_f1_interval`` (bootstrap), ``brier, calibration_error, confusion_matrix`` (rows: true classes),
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
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if probabilities.shape != (len(labels), len(class_names)):
        raise ValueError(
            f"{len(labels)} labels and {len(class_names)} classes need probabilities of shape "
            f"({len(labels)}, {len(class_names)}), got {probabilities.shape}"
        )
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == labels).sum())
    classes = sensitivity_specificity(labels, predicted, class_names)
    size = effective_size(np.arange(len(labels)) if groups is None else groups)
    areas = roc_auc(labels, probabilities, average=None)
    for row, area in zip(classes.values(), areas, strict=True):
        row["auc"] = float(area)
    return plain(
        {
            "images": len(labels),
            "correct": correct,
            "accuracy": accuracy(labels, predicted),
            "accuracy_interval": wilson_interval(correct / len(labels) * size, size),
            "balanced_accuracy": balanced_accuracy(labels, predicted),
            "macro_f1": f1_score(labels, predicted),
            "macro_f1_interval": bootstrap_interval(f1_score, labels, predicted, n=1000, seed=seed, groups=groups),
            "brier": brier_score(probabilities, labels),
            "calibration_error": expected_calibration_error(probabilities, labels),
            "confusion_matrix": confusion_matrix(labels, predicted, len(class_names)),
            "report": classification_report(labels, predicted, class_names, output_dict=True),
            "classes": classes,
        }
    )


def score_model(model, test, audit=None, batch_size=16):
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
    groups = None if audit is None else np.asarray(audit.test_groups)
    if groups is not None and len(groups) != len(test):
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


def list_predictions(data, probabilities):
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


def leak_text(scored):
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


def scores_text(results):
    """The main numbers of several results as a table for the terminal.

    Parameters
    ----------
    results : mapping of str to dict
        Name of the set of images, and what `score_predictions` said of it.

    Examples
    --------
    >>> scores = score_predictions([0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], ["Covid", "Normal"])
    >>> print(scores_text({"all": scores}))
         images  correct  accuracy  95 % interval  macro F1  95 % interval
    all       3        2     0.667    0.21 - 0.94     0.667    0.00 - 1.00
    """
    width = max(map(len, results))
    lines = [f"{'':{width}}  images  correct  accuracy  95 % interval  macro F1  95 % interval"]
    for name, scores in results.items():
        lines.append(
            f"{name:{width}}  {scores['images']:6d}  {scores['correct']:7d}  {scores['accuracy']:8.3f}"
            f"  {interval_text(scores['accuracy_interval']):>13}  {scores['macro_f1']:8.3f}"
            f"  {interval_text(scores['macro_f1_interval']):>13}"
        )
    return "\n".join(lines)


def matrix_text(matrix, class_names):
    """A confusion matrix for the terminal: rows are true classes, columns predicted ones.

    >>> print(matrix_text([[26, 0], [2, 18]], ["Covid", "Normal"]))
    true \\ predicted  Covid  Normal
               Covid     26       0
              Normal      2      18
    """
    corner = "true \\ predicted"
    width = max(len(corner), *map(len, class_names))
    lines = [f"{corner:>{width}}  " + "  ".join(f"{name:>5}" for name in class_names)]
    for name, row in zip(class_names, matrix, strict=True):
        cells = "  ".join(f"{count:{max(5, len(column))}d}" for count, column in zip(row, class_names, strict=True))
        lines.append(f"{name:>{width}}  {cells}")
    return "\n".join(lines)


def interval_text(interval):
    """``(0.816, 0.958)`` as ``0.82 - 0.96``."""
    return f"{interval[0]:.2f} - {interval[1]:.2f}"


def mistakes(labels, probabilities):
    """Indices of the wrong predictions, the surest ones first.

    >>> mistakes([0, 1, 1], [[0.4, 0.6], [0.9, 0.1], [0.2, 0.8]])
    array([1, 0])
    """
    probabilities = np.asarray(probabilities)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != np.asarray(labels))
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def total_counts(data):
    """Images of each class over all splits, from a report's ``data``.

    >>> total_counts({"class_names": ["a", "b"], "train": {"a": 5, "b": 4}, "test": {"a": 1, "b": 2}})
    {'a': 6, 'b': 6}
    """
    splits = [data[name] for name in ("train", "validation", "test") if name in data]
    return {name: sum(counts.get(name, 0) for counts in splits) for name in data["class_names"]}
