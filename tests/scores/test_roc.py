"""ROC curves against scikit-learn, with many ties, and against curves drawn by hand."""

import numpy as np
import pytest

from tinycnn.scores import roc


def random_scores(seed):
    """Three uneven classes; few distinct scores, so that ties abound."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 90))
    y_true = np.concatenate([[0, 1, 2], rng.choice(3, n, p=[0.6, 0.3, 0.1])])
    scores = rng.integers(0, 8, (n + 3, 3)) + 3 * np.eye(3, dtype=int)[y_true] + 1
    return y_true, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(20))
def test_curve_and_area_are_sklearns(seed):
    sklearn = pytest.importorskip("sklearn.metrics")
    y_true, probabilities = random_scores(seed)
    column = np.round(probabilities[:, 1], 1)
    ours = roc.roc_curve(y_true == 1, column)
    theirs = sklearn.roc_curve(y_true == 1, column, drop_intermediate=False)
    for mine, expected in zip(ours[:3], theirs, strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert ours.auc == pytest.approx(sklearn.roc_auc_score(y_true == 1, column), rel=1e-13)
    for average in ("macro", None):
        np.testing.assert_allclose(
            roc.roc_auc(y_true, probabilities, average),
            sklearn.roc_auc_score(y_true, probabilities, multi_class="ovr", average=average),
            rtol=1e-13,
        )


def test_area_is_the_share_of_pairs_in_the_right_order_ties_counting_half():
    rng = np.random.default_rng(5)
    y_true, scores = np.tile([1, 0, 0], 11), rng.integers(0, 5, 33).astype(float)
    pairs = [(p > q) + (p == q) / 2 for p in scores[y_true == 1] for q in scores[y_true == 0]]
    assert roc.roc_curve(y_true, scores).auc == sum(pairs) / len(pairs)


def test_all_scores_equal_is_one_diagonal():
    curve = roc.roc_curve([0, 1, 1, 0, 0], [0.3] * 5)
    assert curve.false_positive_rate.tolist() == [0, 1] and curve.true_positive_rate.tolist() == [0, 1]
    assert curve.auc == 0.5
    assert curve.thresholds.tolist() == [np.inf, 0.3]


def test_curves_are_one_per_class_and_keyed_by_name():
    y_true, probabilities = random_scores(3)
    curves = roc.roc_curves(y_true, probabilities, ["Covid", "Normal", "Viral Pneumonia"])
    assert list(curves) == ["Covid", "Normal", "Viral Pneumonia"]
    areas = [curve.auc for curve in curves.values()]
    np.testing.assert_array_equal(areas, roc.roc_auc(y_true, probabilities, average=None))
    assert list(roc.roc_curves(y_true, probabilities)) == ["0", "1", "2"]


def test_a_class_without_images_has_no_area_and_no_curve():
    probabilities = [[0.5, 0.3, 0.2], [0.2, 0.7, 0.1]]
    np.testing.assert_array_equal(roc.roc_auc([0, 1], probabilities, average=None), [1, 1, np.nan])
    assert np.isnan(roc.roc_auc([0, 1], probabilities))
    with pytest.raises(ValueError, match="class 'Viral': .* got 0 positives and 2 negatives"):
        roc.roc_curves([0, 1], probabilities, ["Covid", "Normal", "Viral"])
    with pytest.raises(ValueError, match="2 positives and 0 negatives"):
        roc.roc_curve([1, 1], [0.5, 0.4])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"2 labels, scores of shape \(3,\)"):
        roc.roc_curve([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="nan, first at index 1"):
        roc.roc_curve([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="nan, first in row 1"):
        roc.roc_auc([0, 1], [[0.5, 0.5], [np.nan, 0.5]])
    with pytest.raises(ValueError, match="y_true: label 2 at index 0"):
        roc.roc_curve([2, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"at least 2 classes, got float64 of shape \(2,\)"):
        roc.roc_auc([0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"3 labels, scores of \(2, 2\)"):
        roc.roc_auc([0, 1, 1], [[0.5, 0.5], [0.1, 0.9]])
    with pytest.raises(ValueError, match="2 classes but 3 class names"):
        roc.roc_curves([0, 1], [[0.5, 0.5], [0.1, 0.9]], ["a", "b", "c"])
    with pytest.raises(ValueError, match="must differ"):
        roc.roc_curves([0, 1], [[0.5, 0.5], [0.1, 0.9]], ["a", "a"])
    with pytest.raises(ValueError, match="\"macro\" or None, got 'micro'"):
        roc.roc_auc([0, 1], [[0.5, 0.5], [0.1, 0.9]], average="micro")
