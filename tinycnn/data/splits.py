"""Splits that keep together what belongs together: near copies, or films of one patient."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, generator

_PATIENT = re.compile(
    r"(?<![a-z])(patient|person|participant|subject|sub|case|pat|pid)[ _-]?(?:id)?[ _-]?([0-9]+)", re.IGNORECASE
)
_STATES = 20_000  # after which the search for a split is given up


def merge_groups(*groupings: Sequence | np.ndarray) -> np.ndarray:
    """The finest grouping in which images together in any of `groupings` are together (connected components).

    Parameters
    ----------
    *groupings : sequence of group ids, (images,)
        For example near copies from `audit` and patient numbers; ids may be ints or strings.

    Returns
    -------
    ndarray of int64, (images,)
        0, 1, ... in order of first appearance.

    Raises
    ------
    ValueError
        If the groupings differ in length, or there is none.

    Examples
    --------
    >>> merge_groups([0, 0, 1, 2], ["x", "y", "z", "z"])
    array([0, 0, 1, 1])
    """
    if not all(as_array(grouping, "groups").ndim == 1 for grouping in groupings):
        raise ValueError("groups must be one for each image, in a row")
    lengths = {len(grouping) for grouping in groupings}
    if len(lengths) != 1:
        raise ValueError(f"groupings must all be of one length, got {[len(grouping) for grouping in groupings]}")
    links: list[tuple[int, int]] = []
    for grouping in groupings:
        first: dict = {}
        links += [(first.setdefault(group, i), i) for i, group in enumerate(np.asarray(grouping).tolist())]
    return connected_groups(lengths.pop(), links)


def connected_groups(n: int, links: Iterable[tuple[int, int]]) -> np.ndarray:
    """Connected components of `n` images with the given links: group numbers as from `merge_groups`.

    Examples
    --------
    >>> connected_groups(5, [(1, 3), (4, 3)])
    array([0, 1, 2, 1, 1])
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in links:
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)
    roots = [root(i) for i in range(n)]
    numbers = {r: number for number, r in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[r] for r in roots], np.int64)


def named_patients(paths: Sequence[str]) -> dict[str, str]:
    """Patients, for the images whose names say so: a word and a number, such as ``person113_virus_2.jpg``.

    The words are patient, person, participant, subject, sub, case, pat and pid.  A folder below the class's may have
    them too, and the number may have zeros in front.

    Parameters
    ----------
    paths : sequence of str
        Folders and file name with forward slashes; the first folder, the class, is not looked at.

    Returns
    -------
    dict of str to str
        Path and patient.

    Examples
    --------
    >>> named_patients(["Covid/Patient 007/a.png", "Covid/patient7.png", "Normal/staircase7.png"])
    {'Covid/Patient 007/a.png': 'patient 7', 'Covid/patient7.png': 'patient 7'}
    """
    found = {path: _PATIENT.search(path.partition("/")[2]) for path in paths}
    return {path: f"{match[1].lower()} {int(match[2])}" for path, match in found.items() if match}


def patient_groups(paths: Sequence[str], patients: Mapping[str, object]) -> np.ndarray:
    """A group for each image: its patient's where known, one of its own where not.

    Parameters
    ----------
    paths : sequence of str
    patients : mapping of str to object
        Path and patient, for as many images as are known, such as by `named_patients`.

    Returns
    -------
    ndarray of int64, (images,)

    Raises
    ------
    ValueError
        Naming a path in `patients` that is not among `paths`.

    Examples
    --------
    >>> patient_groups(["a.png", "b.png", "c.png"], {"a.png": 7, "c.png": 7})
    array([0, 1, 0])
    """
    unknown = sorted(set(patients) - set(paths))
    if unknown:
        raise ValueError(f"patients names {len(unknown)} images that are not there, such as {unknown[0]!r}")
    return merge_groups([f"patient {patients[path]}" if path in patients else f"image {path}" for path in paths])


def leak_free(test_groups: ArrayLike, train_groups: ArrayLike) -> np.ndarray:
    """Indices of the test images whose group has no image in training.

    Examples
    --------
    >>> leak_free(test_groups=[3, 1, 4, 4], train_groups=[0, 1, 2])
    array([0, 2, 3])
    """
    return np.flatnonzero(~np.isin(np.asarray(test_groups), np.asarray(train_groups)))


def first_of_each_group(groups: ArrayLike) -> np.ndarray:
    """Indices of one image per group, the first, in ascending order.

    Examples
    --------
    >>> first_of_each_group([3, 1, 3, 4, 1])
    array([0, 1, 3])
    """
    return np.sort(np.unique(np.asarray(groups), return_index=True)[1])


def grouped_kfold(
    groups: Sequence | np.ndarray, labels: ArrayLike, k: int = 5, seed: int | np.random.Generator = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cross-validation folds with each class spread evenly and no group divided.

    Groups are dealt out largest first (in random order among equals), each to the fold that has the smallest share
    of its classes so far; scikit-learn's ``StratifiedGroupKFold`` has the same aim.  Where that leaves a fold without
    a class, a search first gives each fold a few groups that hold every class, and the rest is dealt out as before.

    Parameters
    ----------
    groups : sequence, (images,)
        Group of each image.
    labels : sequence of int, (images,)
        Class of each image.
    k : int
        Number of folds.
    seed : int or Generator
        Decides which of the equally good folds one gets.

    Returns
    -------
    list of k (train, test) pairs
        Sorted index arrays; every image is in exactly one `test`.

    Raises
    ------
    ValueError
        If lengths differ, k is below 2, or no split is found that gives every fold every class: a class may be spread
        over fewer than k groups, or share its groups with another.  Only among hundreds of groups can the search miss
        one that there is.

    Examples
    --------
    >>> folds = grouped_kfold(groups=[0, 0, 1, 2, 3, 3], labels=[0, 0, 0, 1, 1, 1], k=2)
    >>> [(train.tolist(), test.tolist()) for train, test in folds]
    [([2, 4, 5], [0, 1, 3]), ([0, 1, 3], [2, 4, 5])]
    """
    groups, labels = merge_groups(groups), np.asarray(labels)
    if labels.shape != groups.shape:
        raise ValueError(f"{len(groups)} groups, but labels of shape {labels.shape}")
    if k < 2:
        raise ValueError(f"k must be 2 or more, got {k}")
    classes, labels = np.unique(labels, return_inverse=True)
    counts = np.zeros((groups.max(initial=-1) + 1, len(classes)), np.int64)  # images of each class in each group
    np.add.at(counts, (groups, labels), 1)
    for name, spread in zip(classes, (counts > 0).sum(0), strict=True):
        if spread < k:
            raise ValueError(f"class {name} is spread over {spread} groups only, too few for k={k} folds")
    if not len(counts):
        raise ValueError("there are no images to split")

    order = generator(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    fold_of = _dealt(counts, order, k, {})
    if len(np.unique(fold_of[groups] * len(classes) + labels)) < k * len(classes):
        fixed = _every_class_in_every_fold(counts > 0, order, k)
        if fixed is None:
            raise ValueError(
                f"no split of these {len(counts)} groups into k={k} folds was found that gives every fold every class: "
                "classes share too many groups; use fewer folds"
            )
        fold_of = _dealt(counts, order, k, fixed)
    fold_of = fold_of[groups]
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(k)]


def _dealt(counts: np.ndarray, order: np.ndarray, k: int, fixed: dict[int, int]) -> np.ndarray:
    """The fold of each group, dealt out in `order`, those in `fixed` (group: fold) before all others."""
    shares = counts / counts.sum(0)
    filled = np.zeros((k, counts.shape[1]))
    fold_of = np.empty(len(counts), np.int64)
    for group in sorted(order.tolist(), key=lambda group: group not in fixed):
        after = filled + shares[group]
        # what the sum of squares over all folds grows by; equal growth goes to the emptiest fold
        growth = (after**2 - filled**2).sum(1)
        fold = fixed.get(group, np.lexsort((filled.sum(1), growth.round(12)))[0])
        filled[fold] = after[fold]
        fold_of[group] = fold
    return fold_of


def _every_class_in_every_fold(has: np.ndarray, order: np.ndarray, k: int) -> dict[int, int] | None:
    """For each of k folds some groups that hold every class, as {group: fold}; None if there is no such choice.

    Depth first, one fold after the other; each step adds a group for the class that has the fewest to spare.  Groups
    with the same classes are alike, so a state is how many of each kind are left and what the fold still lacks.

    Parameters
    ----------
    has : ndarray of bool, (groups, classes)
    order : ndarray of int, (groups,)
        Of groups that are alike, later ones are taken first.
    """
    classes = range(has.shape[1])
    kind_of = [frozenset(np.flatnonzero(row).tolist()) for row in has]
    kinds = sorted(set(kind_of), key=sorted)
    counted = Counter(kind_of)
    path: tuple[tuple[frozenset[int], int], ...] = ()  # (kind of group, fold) chosen so far
    stack = [(k, frozenset(classes), tuple(counted[kind] for kind in kinds), path)]
    seen: set[tuple[int, frozenset[int], tuple[int, ...]]] = set()
    while stack and len(seen) < _STATES:
        folds, lacks, left, path = stack.pop()
        if not lacks:
            folds, lacks = folds - 1, frozenset(classes)
        if not folds:
            break
        spare = {
            c: sum(n for kind, n in zip(kinds, left, strict=True) if c in kind) - (folds - 1) - (c in lacks)
            for c in classes
        }
        if min(spare.values()) < 0 or (folds, lacks, left) in seen:
            continue
        seen.add((folds, lacks, left))
        scarce = min(lacks, key=spare.__getitem__)
        # The last one pushed is tried first: of those that waste no class on a fold that has it, the largest.
        for i, kind in sorted(enumerate(kinds), key=lambda pair: (-len(pair[1] - lacks), len(pair[1]))):
            if scarce in kind and left[i]:
                fewer = (*left[:i], left[i] - 1, *left[i + 1 :])
                stack.append((folds, lacks - kind, fewer, (*path, (kind, k - folds))))
    else:
        return None
    waiting = {kind: [group for group in order.tolist() if kind_of[group] == kind] for kind in kinds}
    return {waiting[kind].pop(): fold for kind, fold in path}


def grouped_holdout(
    groups: Sequence | np.ndarray, labels: ArrayLike, fraction: float = 0.2, seed: int | np.random.Generator = 0
) -> tuple[np.ndarray, np.ndarray]:
    """One cut into (training, validation) indices that divides no group: the first of ``1/fraction`` grouped folds.

    So `fraction` becomes the nearest of 1/2, 1/3, 1/4, ...

    Examples
    --------
    >>> train, validation = grouped_holdout(np.arange(20) // 2, np.arange(20) // 10, fraction=0.2)
    >>> len(train), len(validation)
    (16, 4)
    """
    if not isinstance(fraction, int | float | np.number) or not 0 < fraction <= 0.5:
        raise ValueError(f"fraction must be above 0 and at most 0.5, got {brief(fraction)}")
    return grouped_kfold(groups, labels, round(1 / fraction), seed)[0]
