"""Metrics against scikit-learn, digit for digit, and against cases counted by hand."""

import json

import numpy as np
import pytest

from tinycnn.scores import metrics

NAMES = ["Covid", "Normal", "Viral Pneumonia", "Lungenentzündung – 肺炎", "x", "y"]


def random_labels(seed):
    """Labels of an uneven, seeded case; classes are often missing from one side or from both."""
    rng = np.random.default_rng(seed)
    classes, n = int(rng.integers(2, 7)), int(rng.integers(1, 40))
    pool = rng.choice(classes, size=int(rng.integers(1, classes + 1)), replace=False)
    y_true = rng.choice(pool, n)
    y_pred = np.where(rng.random(n) < 0.6, y_true, rng.integers(0, classes, n))
    return y_true, y_pred, classes


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("zero_division", [0, 1, np.nan])
def test_report_is_sklearns_letter_for_letter(seed, zero_division):
    sklearn = pytest.importorskip("sklearn.metrics")
    y_true, y_pred, classes = random_labels(seed)
    digits = seed % 6
    named = {"target_names": NAMES[:classes], "digits": digits, "zero_division": zero_division}
    assert metrics.classification_report(y_true, y_pred, **named) == sklearn.classification_report(
        y_true, y_pred, labels=range(classes), **named
    )
    bare = {"digits": digits, "zero_division": zero_division}
    assert metrics.classification_report(y_true, y_pred, **bare) == sklearn.classification_report(
        y_true, y_pred, **bare
    )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("zero_division", [0, np.nan])
def test_report_dict_is_sklearns(seed, zero_division):
    sklearn = pytest.importorskip("sklearn.metrics")
    y_true, y_pred, classes = random_labels(seed)
    kwargs = {"target_names": NAMES[:classes], "output_dict": True, "zero_division": zero_division}
    ours = metrics.classification_report(y_true, y_pred, **kwargs)
    theirs = sklearn.classification_report(y_true, y_pred, labels=range(classes), **kwargs)
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        assert ours[name] == pytest.approx(expected, rel=1e-14, nan_ok=True)
    assert json.loads(json.dumps(ours)).keys() == theirs.keys()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_scores_are_sklearns(seed, average, beta):
    sklearn = pytest.importorskip("sklearn.metrics")
    y_true, y_pred, classes = random_labels(seed)
    for labels, num_classes in ((None, None), (range(classes), classes)):
        ours = metrics.precision_recall_fscore_support(
            y_true, y_pred, beta=beta, average=average, num_classes=num_classes
        )
        theirs = sklearn.precision_recall_fscore_support(
            y_true, y_pred, beta=beta, average=average, labels=labels, zero_division=0
        )
        for mine, expected in zip(ours[:3], theirs[:3], strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-14)
        assert (ours[3] is None) if average else np.array_equal(ours[3], theirs[3])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(20))
def test_accuracies_f1_and_matrix_are_sklearns(seed):
    sklearn = pytest.importorskip("sklearn.metrics")
    y_true, y_pred, classes = random_labels(seed)
    assert metrics.accuracy(y_true, y_pred) == sklearn.accuracy_score(y_true, y_pred)
    assert metrics.balanced_accuracy(y_true, y_pred) == pytest.approx(sklearn.balanced_accuracy_score(y_true, y_pred))
    assert metrics.f1_score(y_true, y_pred) == pytest.approx(
        sklearn.f1_score(y_true, y_pred, average="macro", zero_division=0)
    )
    expected = sklearn.confusion_matrix(y_true, y_pred, labels=range(classes))
    np.testing.assert_array_equal(metrics.confusion_matrix(y_true, y_pred, classes), expected)


def test_matrix_by_hand_keeps_the_row_of_an_absent_class():
    matrix = metrics.confusion_matrix([3, 0, 0, 1], [3, 1, 0, 1])
    np.testing.assert_array_equal(matrix, [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    assert metrics.confusion_matrix([0], [1], num_classes=5).shape == (5, 5)
    assert metrics.confusion_matrix(np.array([1, 2], np.uint8), [True, False]).tolist() == [
        [0, 0, 0],
        [0, 1, 0],
        [1, 0, 0],
    ]


def test_scores_by_hand():
    # class 0: 2 of 3 found, called 3 times; class 1: 1 of 2 found, called 2 times; class 2 never called
    y_true, y_pred = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0]
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y_true, y_pred)
    np.testing.assert_allclose(precision, [1 / 2, 1 / 2, 0])
    np.testing.assert_allclose(recall, [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(f1, [4 / 7, 1 / 2, 0])
    assert support.tolist() == [3, 2, 1]
    assert metrics.balanced_accuracy(y_true, y_pred) == pytest.approx(7 / 18)


def test_the_reports_two_numbers():
    """The 66 test images with 60 right: the support and accuracy rows that the report prints."""
    y_true = np.repeat([0, 1, 2], [26, 20, 20])
    y_pred = y_true.copy()
    y_pred[[50, 51, 52, 53, 54, 30]] = [1, 1, 1, 1, 0, 2]
    text = metrics.classification_report(y_true, y_pred, target_names=["Covid", "Normal", "Viral Pneumonia"])
    assert "       accuracy                           0.91        66\n" in text


@pytest.mark.parametrize(
    ("y_true", "y_pred", "num_classes", "message"),
    [
        ([0, 1], [0], None, "y_true has 2 labels but y_pred has 1"),
        ([], [], None, "y_true: empty"),
        ([0, 1, 3], [0, 1, 1], 3, "y_true: label 3 at index 2, but with 3 classes labels go from 0 to 2"),
        ([0, 1], [0, 7], 2, "y_pred: label 7 at index 1"),
        ([0, 1], [-1, 0], None, "y_pred: label -1 at index 0, but labels start at 0"),
        ([0, 1], [[0.1, 0.9], [1.0, 0.0]], None, r"y_pred: .* got shape \(2, 2\); of one-hot .* argmax"),
        ([0.5, 1.0], [0, 1], None, "y_true: must be integer labels, got dtype float64"),
        (["a", "b"], [0, 1], None, "y_true: must be integer labels"),
    ],
)
def test_bad_labels_are_named(y_true, y_pred, num_classes, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(y_true, y_pred, num_classes)
    if num_classes is None:
        for function in (metrics.accuracy, metrics.balanced_accuracy, metrics.f1_score, metrics.classification_report):
            with pytest.raises(ValueError, match=message):
                function(y_true, y_pred)
    else:
        with pytest.raises(ValueError, match=message):
            metrics.classification_report(y_true, y_pred, NAMES[:num_classes])


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="average must be None or \"micro\" .* got 'samples'"):
        metrics.f1_score([0], [0], average="samples")
    with pytest.raises(ValueError, match="beta must be positive, got 0"):
        metrics.precision_recall_fscore_support([0], [0], beta=0)
