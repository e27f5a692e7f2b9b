"""One result on four lines: the test set as published, without copies, without shared patients, and cross-validated.

An accuracy on a test set that shares films or patients with training measures memory.  So every method, network or
baseline, is reported on smaller and cleaner sets too, and on all images by folds that divide no group.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.data.dataset import Dataset, Splits
from tinycnn.data.splits import first_of_each_group, grouped_kfold, leak_free, merge_groups, patient_groups
from tinycnn.files import plain
from tinycnn.members import train_members
from tinycnn.scores.intervals import bootstrap_interval, effective_size, wilson_interval
from tinycnn.scores.metrics import accuracy, f1_score
from tinycnn.study.films.audit import Audit
from tinycnn.study.films.known_sets import known_patients
from tinycnn.study.report.scoring import confusion_matrices, labels_and_runs, macro_f1, macro_f1_interval
from tinycnn.study.report.tables import Table, as_text, decimals, interval_text


def undivided_groups(audit: Audit) -> tuple[np.ndarray, np.ndarray | None]:
    """Groups that no split may divide: near-copies and patients, of films whose source we know or `audit` has them.

    Parameters
    ----------
    audit : Audit

    Returns
    -------
    groups : ndarray of int, (images,)
        Training images first.
    patients : ndarray of int, (images,), or None
        Groups by patient alone; None if none is known.

    Examples
    --------
    >>> from tinycnn.study.films.audit import audit
    >>> from tinycnn.study.films.phantoms import chest_phantoms
    >>> groups, patients = undivided_groups(audit(chest_phantoms(n_train=2, n_test=1, size=32)))
    >>> len(groups), patients
    (9, None)
    """
    known = known_patients(audit.paths) or audit.patients
    if not known:
        return audit.groups, None
    patients = patient_groups(audit.paths, known)
    return merge_groups(audit.groups, patients), patients


def evaluation_lines(
    copies: ArrayLike, in_test: ArrayLike, patients: Sequence[Hashable] | np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Which test images each line of a table is about.

    Parameters
    ----------
    copies : sequence, (images,)
        Group of each image, near-copies together: ``Audit.groups``.
    in_test : sequence of bool, (images,)
    patients : sequence, (images,), optional
        Group of each image, films of one patient together: `patient_groups`.

    Returns
    -------
    dict of str to ndarray of int
        Indices within the test images: all "as published"; "without near-copies" of training images; and "without
        shared patients", which leaves out the patients that training knows and, of copies within the test set, all
        but one.  Without `patients` the last is called "without repeats".  A line without images is left out.

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    Image 3 copies the training image 0, image 5 copies 4, and image 6 shows the patient of image 1:

    >>> lines = evaluation_lines([0, 1, 2, 0, 4, 4, 6], [0, 0, 0, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5, 1])
    >>> {name: images.tolist() for name, images in lines.items()}
    {'4 as published': [0, 1, 2, 3], '3 without near-copies': [1, 2, 3], '1 without shared patients': [1]}
    """
    copies, in_test = np.asarray(copies), np.asarray(in_test, bool)
    groups = merge_groups(copies, np.arange(len(copies)) if patients is None else patients)
    if in_test.shape != copies.shape:
        raise ValueError(f"{len(copies)} images in copies, but in_test has shape {in_test.shape}")
    clean = leak_free(copies[in_test], copies[~in_test])
    strangers = leak_free(groups[in_test], groups[~in_test])
    single = np.intersect1d(strangers, first_of_each_group(copies[in_test]))
    last = "without repeats" if patients is None else "without shared patients"
    lines = {"as published": np.arange(in_test.sum()), "without near-copies": clean, last: single}
    return {f"{len(images)} {name}": images for name, images in lines.items() if len(images)}


def all_images(splits: Splits) -> Dataset:
    """Training and test images as one Dataset, training first: what cross-validation divides anew."""
    parts = [part for part in (splits.train, splits.test) if part is not None]
    paths = sum((part.paths for part in parts), ()) if all(part.paths for part in parts) else ()
    return Dataset(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        splits.train.class_names,
        paths,
    )


def cross_validate(
    predict: Callable[[np.ndarray, np.ndarray], ArrayLike],
    labels: Sequence[int] | np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    k: int = 5,
    seed: int = 0,
    name: str = "fold",
    **options: Any,
) -> np.ndarray:
    """Predict every image by a model that saw none of its group.

    Parameters
    ----------
    predict : callable
        ``predict(train, test)``, given sorted indices, trains on the first and returns probabilities
        ``(len(test), classes)`` for the second.  For other processes it must be importable.
    labels : sequence of int, (images,)
    groups : sequence, (images,)
        What must not be divided: near-copies and patients, together by `merge_groups`.
    k, seed : int
        As for `grouped_kfold`.
    name : str
        Of the members in the folder: ``fold-0``, ...
    **options
        Of `train_members`: ``executor``, ``folder``, ``retries``, ``threads``, ``on_member``.

    Returns
    -------
    ndarray of float64, (images, classes)

    Raises
    ------
    ValueError
        As `grouped_kfold`, or if `predict` returns another shape.

    References
    ----------
    Stone, Cross-validatory choice and assessment of statistical predictions, JRSS B 36, 1974.

    Examples
    --------
    >>> labels = np.array([0, 0, 1, 1])
    >>> shares = lambda train, test: [[1 - labels[train].mean(), labels[train].mean()]] * len(test)
    >>> cross_validate(shares, labels, groups=[0, 1, 2, 3], k=2)
    array([[0.5, 0.5],
           [0.5, 0.5],
           [0.5, 0.5],
           [0.5, 0.5]])
    """
    folds = grouped_kfold(groups, labels, k, seed)
    jobs = {f"{name}-{i}": {"train": train.tolist(), "test": test.tolist()} for i, (train, test) in enumerate(folds)}
    found = train_members(partial(_fold, predict), jobs, **options)
    probabilities = np.empty((len(labels), 0))
    for job, of_fold in zip(jobs.values(), found.values(), strict=True):
        of_fold = np.asarray(of_fold, np.float64)
        if of_fold.ndim != 2 or len(of_fold) != len(job["test"]):
            raise ValueError(
                f"predict must return one row of probabilities for each of {len(job['test'])} images, got shape "
                f"{of_fold.shape}"
            )
        if not probabilities.size:
            probabilities = np.full((len(labels), of_fold.shape[1]), np.nan)
        probabilities[job["test"]] = of_fold
    return probabilities


def _fold(predict: Callable, job: Mapping[str, list[int]]) -> np.ndarray:
    return np.asarray(predict(np.array(job["train"]), np.array(job["test"])))


def summarise(
    labels: Sequence[int] | np.ndarray,
    runs: ArrayLike | Sequence[ArrayLike],
    class_names: Sequence[str],
    groups: Sequence[Hashable] | np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of one method over its runs (seeds) on one set of images: mean, spread and 95 % intervals.

    The spread is between runs on the same images.  The intervals are about the images: what another test set of this
    size might have given, for the mean over the runs.

    Parameters
    ----------
    labels : sequence of int, (images,)
    runs : sequence of arrays, each (images, classes)
        Probabilities from each run; a single array of that shape is one run.
    class_names : sequence of str
    groups : sequence, (images,), optional
        Of near-copies or patients: the bootstrap draws them together, the others count `effective_size` images.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``images, runs``; ``accuracy`` and ``macro_f1``, each with ``values`` (one a run), ``mean, std, min, max,
        interval``; ``recall``: the same by class; ``confusion_matrices``, one a run.  Accuracy and recall have
        Wilson intervals at the mean number of right answers, macro F1 `macro_f1_interval`.  ``std`` (n - 1) is
        None for a single run, a recall of no images too.

    Raises
    ------
    ValueError
        For shapes that do not fit.

    Examples
    --------
    >>> good, bad = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 1, 1]]
    >>> summary = summarise([0, 0, 1, 1], [good, bad], ["Normal", "Covid"])
    >>> summary["accuracy"]["mean"], summary["recall"]["Normal"]["values"]
    (0.875, [1.0, 0.5])
    """
    labels, runs = labels_and_runs(labels, runs, class_names)
    predicted = runs.argmax(axis=2)  # (runs, images)
    matrices = confusion_matrices(labels, predicted, len(class_names))
    found = matrices.diagonal(axis1=1, axis2=2)  # (runs, classes)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    interval = macro_f1_interval(labels, predicted, len(class_names), groups, seed)
    return plain(
        {
            "images": len(labels),
            "runs": len(runs),
            "accuracy": _share_right(found.sum(axis=1), groups),
            "macro_f1": _spread(macro_f1(matrices)) | {"interval": interval},
            "recall": {name: _share_right(found[:, i], groups[labels == i]) for i, name in enumerate(class_names)},
            "confusion_matrices": matrices,
        }
    )


def shift_scores(labels: np.ndarray, predicted: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Accuracy and macro F1 under each change of the images, means over the runs.

    Parameters
    ----------
    labels : ndarray, (images,)
    predicted : dict of str to ndarray, (images, classes) or (runs, images, classes)
        Probabilities by the change's name, as of `tinycnn.study.films.shifts`.

    Returns
    -------
    dict of str to dict
        ``accuracy`` and ``macro_f1``.

    Examples
    --------
    >>> shift_scores(np.array([0, 1]), {"as they are": np.eye(2), "blurred": np.array([[1.0, 0.0], [1.0, 0.0]])})
    {'as they are': {'accuracy': 1.0, 'macro_f1': 1.0}, 'blurred': {'accuracy': 0.5, 'macro_f1': 0.3333333333333333}}
    """
    scores = {}
    for name, runs in predicted.items():
        called = np.reshape(runs, (-1, *np.shape(runs)[-2:])).argmax(axis=2)
        scores[name] = {
            "accuracy": np.mean([accuracy(labels, row) for row in called]),
            "macro_f1": np.mean([f1_score(labels, row) for row in called]),
        }
    return plain(scores)


def list_mistakes(dataset: Dataset, runs: np.ndarray) -> list[dict[str, Any]]:
    """Images that any run got wrong, those wrong most often first.

    Parameters
    ----------
    dataset : Dataset
    runs : ndarray, (runs, images, classes)
        Probabilities.

    Returns
    -------
    list of dict
        ``index``, ``path``, ``true`` class, ``predicted`` class of each run, and in how many it is ``wrong``.

    Examples
    --------
    >>> films = Dataset(np.zeros((2, 1, 1, 1), np.uint8), [0, 1], ("Covid", "Normal"), ["a.png", "b.png"])
    >>> list_mistakes(films, np.array([[[0.9, 0.1], [0.8, 0.2]]]))
    [{'index': 1, 'path': 'b.png', 'true': 'Normal', 'predicted': ['Covid'], 'wrong': 1}]
    """
    called = np.argmax(runs, axis=2)  # (runs, images)
    errors = (called != dataset.labels).sum(axis=0)
    return [
        {"index": int(i), "path": dataset.paths[i], "true": dataset.class_names[dataset.labels[i]]}
        | {"predicted": [dataset.class_names[k] for k in called[:, i]], "wrong": int(errors[i])}
        for i in np.argsort(-errors, kind="stable")
        if errors[i]
    ]


def difference_interval(differences: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean difference between two methods on the same images, by bootstrap.

    Where no two images differ in it, which a bootstrap takes for certain, it is widened by what Wilson's interval
    allows to a rate of which no case was seen.

    Parameters
    ----------
    differences : ndarray, (images,)
        From -1 to 1: what one method got right less what the other did.
    groups : ndarray, (images,)

    Examples
    --------
    >>> low, high = difference_interval(np.zeros(20), np.arange(20))
    >>> round(low, 2), round(high, 2)
    (-0.16, 0.16)
    """
    low, high = bootstrap_interval(np.mean, differences, groups=groups)
    unseen = wilson_interval(0, effective_size(groups))[1] if low == high else 0.0
    return low - unseen, high + unseen


def _share_right(counts: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    if not len(groups):
        return {"values": [], "mean": None, "std": None, "min": None, "max": None, "interval": (0.0, 1.0)}
    rates, size = counts / len(groups), effective_size(groups)
    return _spread(rates) | {"interval": wilson_interval(float(np.mean(rates)) * size, size)}


def _spread(values: np.ndarray) -> dict[str, Any]:
    std = values.std(ddof=1) if len(values) > 1 else None
    return {"values": values, "mean": values.mean(), "std": std, "min": values.min(), "max": values.max()}


def lines_text(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The table for the terminal: for each line (set of images) every method's scores.

    Parameters
    ----------
    table : mapping of str to mapping of str to dict
        Line, method, and what `summarise` said; a method may lack a line.

    Examples
    --------
    >>> summary = summarise([0, 0, 1, 1], np.eye(2)[[0, 1, 1, 1]], ["Normal", "Covid"])
    >>> print(lines_text({"4 as published": {"network": summary}}))
    4 as published
             runs  accuracy  +- sd  95 % interval  macro F1  +- sd  95 % interval  Normal  Covid
    network     1     0.750      -    0.30 - 0.95     0.733      -    0.20 - 1.00    0.50   1.00
    """
    blocks = []
    for line, methods in table.items():
        names = list(next(iter(methods.values()))["recall"])
        scored = ("accuracy", "+- sd", "95 % interval", "macro F1", "+- sd", "95 % interval")
        rows = []
        for method, scores in methods.items():
            rates = [
                cell
                for part in (scores["accuracy"], scores["macro_f1"])
                for cell in (decimals(part["mean"]), decimals(part["std"]), interval_text(part["interval"]))
            ]
            recalls = [decimals(scores["recall"][name]["mean"], ".2f") for name in names]
            rows.append((method, scores["runs"], *rates, *recalls))
        blocks.append(f"{line}\n{as_text(Table(('', 'runs', *scored, *names), rows))}")
    return "\n\n".join(blocks)
