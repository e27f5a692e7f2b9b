"""Splits that keep together what belongs together: near copies, or films of one patient."""

import numpy as np


def merge_groups(*groupings):
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
    lengths = {len(grouping) for grouping in groupings}
    if len(lengths) != 1:
        raise ValueError(f"groupings must all be of one length, got {[len(grouping) for grouping in groupings]}")
    links = []
    for grouping in groupings:
        first = {}
        links += [(first.setdefault(group, i), i) for i, group in enumerate(np.asarray(grouping).tolist())]
    return connected_groups(lengths.pop(), links)


def connected_groups(n, links):
    """Connected components of `n` images with the given links: group numbers as from `merge_groups`.

    Examples
    --------
    >>> connected_groups(5, [(1, 3), (4, 3)])
    array([0, 1, 2, 1, 1])
    """
    parent = list(range(n))

    def root(i):
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


def leak_free(test_groups, train_groups):
    """Indices of the test images whose group has no image in training.

    Examples
    --------
    >>> leak_free(test_groups=[3, 1, 4, 4], train_groups=[0, 1, 2])
    array([0, 2, 3])
    """
    return np.flatnonzero(~np.isin(np.asarray(test_groups), np.asarray(train_groups)))


def first_of_each_group(groups):
    """Indices of one image per group, the first, in ascending order.

    Examples
    --------
    >>> first_of_each_group([3, 1, 3, 4, 1])
    array([0, 1, 3])
    """
    return np.sort(np.unique(np.asarray(groups), return_index=True)[1])


def grouped_kfold(groups, labels, k=5, seed=0):
    """Cross-validation folds with each class spread evenly and no group divided.

    Groups are dealt out largest first (in random order among equals), each to the fold that has the smallest share
    of its classes so far; scikit-learn's ``StratifiedGroupKFold`` has the same aim.

    Parameters
    ----------
    groups : sequence, (images,)
        Group of each image.
    labels : sequence of int, (images,)
        Class of each image.
    k : int
        Number of folds.
    seed : int
        Decides which of the equally good folds one gets.

    Returns
    -------
    list of k (train, test) pairs
        Sorted index arrays; every image is in exactly one `test`.

    Raises
    ------
    ValueError
        If lengths differ, k is below 2, or a class is spread over fewer than k groups, so that a fold would lack it.

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

    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    shares = counts / counts.sum(0)
    filled = np.zeros((k, len(classes)))
    fold_of = np.empty(len(counts), np.int64)
    for group in order:
        after = filled + shares[group]
        # what the sum of squares over all folds grows by; equal growth goes to the emptiest fold
        growth = (after**2 - filled**2).sum(1)
        fold = np.lexsort((filled.sum(1), growth.round(12)))[0]
        filled[fold] = after[fold]
        fold_of[group] = fold
    fold_of = fold_of[groups]
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(k)]


def grouped_holdout(groups, labels, fraction=0.2, seed=0):
    """One cut into (training, validation) indices that divides no group: the first of ``1/fraction`` grouped folds.

    So `fraction` becomes the nearest of 1/2, 1/3, 1/4, ...

    Examples
    --------
    >>> train, validation = grouped_holdout(np.arange(20) // 2, np.arange(20) // 10, fraction=0.2)
    >>> len(train), len(validation)
    (16, 4)
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"fraction must be above 0 and at most 0.5, got {fraction}")
    return grouped_kfold(groups, labels, round(1 / fraction), seed)[0]
