import re
from itertools import product

import numpy as np
import pytest

from tinycnn.data.splits import (
    first_of_each_group,
    grouped_holdout,
    grouped_kfold,
    leak_free,
    merge_groups,
    named_patients,
    patient_groups,
)


def test_merging_chains():
    assert merge_groups([5, 5, 7, 8, 9]).tolist() == [0, 0, 1, 2, 3]
    assert merge_groups([0, 1, 1, 2, 3], [0, 0, 1, 2, 2], [9, 8, 7, 6, 5]).tolist() == [0, 0, 0, 1, 1]
    assert merge_groups([]).tolist() == []
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        merge_groups([0, 0], [1, 1, 1])
    with pytest.raises(ValueError):
        merge_groups()


def test_merging_agrees_with_scipy():
    csgraph = pytest.importorskip("scipy.sparse.csgraph")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 60, 90), rng.integers(0, 60, 90)
    linked = (a[:, None] == a) | (b[:, None] == b)
    _, expected = csgraph.connected_components(linked, directed=False)
    got = merge_groups(a, b)
    np.testing.assert_array_equal(got[:, None] == got, expected[:, None] == expected)


def test_leak_free_and_first():
    assert leak_free([0, 5, 5, 2], [0, 1, 2]).tolist() == [1, 2]
    assert leak_free([0, 1], []).tolist() == [0, 1]
    assert first_of_each_group([4, 4, 1, 4, 1, 9]).tolist() == [0, 2, 5]


@pytest.fixture
def problem():
    """251 images in three uneven classes, in groups of 1 to 4."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [111, 71, 69]))
    return rng.integers(0, 130, 251), labels


@pytest.mark.parametrize("k", [2, 5, 7])
def test_folds_divide_no_group_and_cover_all(problem, k):
    groups, labels = problem
    folds = grouped_kfold(groups, labels, k, seed=1)
    assert len(folds) == k
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(251))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(251))
        for label, count in enumerate(np.bincount(labels)):
            assert abs((labels[test] == label).sum() - count / k) <= 2.5


def test_folds_are_seeded(problem):
    one, same, other = (grouped_kfold(*problem, 5, seed)[0][1].tolist() for seed in (3, 3, 4))
    assert one == same != other


def test_folds_as_even_as_sklearns(problem):
    selection = pytest.importorskip("sklearn.model_selection")
    groups, labels = problem

    def unevenness(folds):
        return sum(np.var([np.bincount(labels[test], minlength=3)[c] for _, test in folds]) for c in range(3))

    theirs = selection.StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups)
    assert unevenness(grouped_kfold(groups, labels, 5)) <= unevenness(list(theirs)) + 1


def lacking(folds, labels):
    """How often a test fold lacks a class."""
    return sum(len(set(labels) - set(labels[test])) for _, test in folds)


def test_every_fold_has_every_class_where_dealing_alone_would_leave_one_without():
    groups, labels = np.array([0, 0, 2, 0, 3, 4, 4, 0, 2, 3]), np.array([1, 0, 1, 0, 1, 0, 0, 0, 1, 0])
    assert lacking(grouped_kfold(groups, labels, 3), labels) == 0


def test_every_fold_has_every_class_whenever_that_can_be():
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        has, k = rng.random((rng.integers(4, 8), rng.integers(2, 5))) < 0.4, rng.integers(2, 4)
        has[0, 0] = True
        groups, labels = np.nonzero(has)
        can_be = any(
            len({(fold[group], label) for group, label in zip(groups, labels, strict=True)}) == k * len(set(labels))
            for fold in product(range(k), repeat=len(has))
        )
        try:
            folds = grouped_kfold(groups, labels, k)
        except ValueError as error:
            assert not can_be and re.search("too few|every class", str(error)), error
            refused += "every class" in str(error)
            continue
        assert lacking(folds, labels) == 0
        for train, test in folds:
            assert not set(groups[train]) & set(groups[test]) and len(train) + len(test) == len(labels)
    assert refused


@pytest.mark.parametrize("seed", range(5))
def test_a_split_without_a_group_to_spare_is_found(seed):
    rng = np.random.default_rng(seed)
    fold = [rng.permutation(5)[[0, 1, 2, 3, 4, 0]] for _ in range(30)]  # three groups of two classes make a fold
    groups, labels = np.arange(90).repeat(2), np.ravel(fold)
    assert lacking(grouped_kfold(groups, labels, 30), labels) == 0


def test_holdout(problem):
    groups, labels = problem
    train, validation = grouped_holdout(groups, labels, 0.25, seed=2)
    assert 0.2 < len(validation) / 251 < 0.3
    assert not set(groups[train]) & set(groups[validation])


def test_impossible_splits():
    with pytest.raises(ValueError, match="class 1 is spread over 2 groups"):
        grouped_kfold([0, 1, 2, 3, 4, 4], [0, 0, 0, 1, 1, 1], 3)
    with pytest.raises(ValueError, match="these 3 groups into k=2 folds .* every class: classes share too many groups"):
        grouped_kfold([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 0, 2], 2)
    with pytest.raises(ValueError, match="k must be"):
        grouped_kfold([0, 1], [0, 1], 1)
    with pytest.raises(ValueError, match=r"3 groups.*\(2,\)"):
        grouped_kfold([0, 1, 2], [0, 1], 2)
    with pytest.raises(ValueError, match="no images"):
        grouped_kfold([], [], 2)
    with pytest.raises(ValueError, match="fraction"):
        grouped_holdout([0, 1], [0, 1], 0.9)


def test_patients_that_are_not_there():
    with pytest.raises(ValueError, match=r"names 1 images that are not there, such as 'c'"):
        patient_groups(["a", "b"], {"a": 1, "c": 1})


@pytest.mark.parametrize(
    "path, patient",
    [
        ("VIRUS/person113_virus_2.jpeg", "person 113"),
        ("Covid/patient00012/study1/view1.jpg", "patient 12"),
        ("a/sub-04/ses-01.png", "sub 4"),
        ("a/CASE 7 (2).png", "case 7"),
        ("a/patient_ID_031-left.png", "patient 31"),
        ("person1/0.png", None),
        ("a/staircase7.png", None),
        ("a/pattern3.png", None),
        ("a/0012.png", None),
        ("0012.png", None),
    ],
)
def test_what_names_say_of_patients(path, patient):
    assert named_patients([path]) == ({path: patient} if patient else {})
