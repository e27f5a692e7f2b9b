"""Intervals against published values and their own coverage; rates and groups against cases counted by hand."""

import json

import numpy as np
import pytest

from tinycnn.scores import intervals
from tinycnn.scores.metrics import accuracy, f1_score, precision_recall_fscore_support
from tinycnn.scores.roc import roc_auc


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [  # R. G. Newcombe, Statistics in Medicine 17, 1998, table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_is_newcombes_table(successes, n, expected):
    assert intervals.wilson_interval(successes, n) == pytest.approx(expected, abs=5e-5)


def test_wilson_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for successes, n, confidence in ((65, 66, 0.95), (0, 7, 0.9), (7, 7, 0.99), (1, 2, 0.5), (60, 66, 0.95)):
        expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
        assert intervals.wilson_interval(successes, n, confidence) == pytest.approx(tuple(expected), abs=1e-12)


def test_wilson_ends_are_exact_and_no_trials_say_nothing():
    assert intervals.wilson_interval(0, 9)[0] == 0.0 and intervals.wilson_interval(9, 9)[1] == 1.0
    assert intervals.wilson_interval(0, 0) == (0.0, 1.0)
    for successes, n in ((-1, 5), (6, 5)):
        with pytest.raises(ValueError, match=f"got {successes} successes of n = 5"):
            intervals.wilson_interval(successes, n)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, such as 0.95, got 95"):
        intervals.wilson_interval(1, 5, confidence=95)


def test_bootstrap_of_a_mean_has_its_textbook_width():
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = intervals.bootstrap_interval(np.mean, values)
    standard_error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.15 * standard_error)
    assert high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.15 * standard_error)


def test_bootstrap_keeps_rows_together_and_follows_the_seed():
    y = np.arange(50) % 3
    assert intervals.bootstrap_interval(accuracy, y, y, n=50) == (1.0, 1.0)
    pred = np.where(np.arange(50) % 7 == 0, 0, y)
    first = intervals.bootstrap_interval(f1_score, y, pred, n=200, seed=4)
    assert first == intervals.bootstrap_interval(f1_score, y, pred, n=200, seed=4)
    assert first != intervals.bootstrap_interval(f1_score, y, pred, n=200, seed=5)
    narrow = intervals.bootstrap_interval(f1_score, y, pred, n=200, seed=4, confidence=0.5)
    assert first[0] < narrow[0] < narrow[1] < first[1]


def test_drawing_whole_patients_widens_the_interval():
    patients = np.repeat(np.arange(20), 10)
    values = np.random.default_rng(2).normal(size=20)[patients]
    alone = np.subtract(*intervals.bootstrap_interval(np.mean, values)[::-1])
    grouped = np.subtract(*intervals.bootstrap_interval(np.mean, values, groups=patients)[::-1])
    assert grouped / alone == pytest.approx(np.sqrt(10), rel=0.15)
    sizes = intervals.bootstrap_interval(len, values, groups=np.repeat([0, 1], [1, 199]), confidence=0.99)
    assert sizes == (2, 398)


def test_bootstrap_leaves_out_undefined_resamples_but_not_most_of_them():
    y_true = [0] * 12 + [1, 1]
    probabilities = np.random.default_rng(3).dirichlet([1, 1], 14)
    low, high = intervals.bootstrap_interval(roc_auc, y_true, probabilities, n=300)
    assert 0 <= low < high <= 1
    with pytest.raises(ValueError, match="nan in 100 of 100 resamples of 14 cases"):
        intervals.bootstrap_interval(roc_auc, [0] * 14, probabilities, n=100)


def test_bootstrap_names_bad_arrays():
    with pytest.raises(ValueError, match=r"got lengths \[3, 2\]"):
        intervals.bootstrap_interval(accuracy, [0, 1, 1], [0, 1])
    with pytest.raises(ValueError, match=r"got lengths \[0\]"):
        intervals.bootstrap_interval(np.mean, [])
    with pytest.raises(ValueError, match="at least one array"):
        intervals.bootstrap_interval(np.mean)
    with pytest.raises(ValueError, match="must be a positive int, got 0"):
        intervals.bootstrap_interval(np.mean, [1, 2], n=0)
    with pytest.raises(ValueError, match=r"2 cases, groups of shape \(3,\)"):
        intervals.bootstrap_interval(np.mean, [1, 2], groups=[1, 2, 3])


def test_sensitivity_and_specificity_by_hand():
    # true 0: three, two found; true 1: two, both found; true 2: one, called 1
    y_true, y_pred = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 1]
    table = intervals.sensitivity_specificity(y_true, y_pred, ["Covid", "Normal", "Viral Pneumonia", "Other"])
    assert [row["sensitivity"] for row in table.values()] == pytest.approx([2 / 3, 1, 0, None])
    assert [row["specificity"] for row in table.values()] == pytest.approx([1, 2 / 4, 1, 1])
    assert [(row["positives"], row["negatives"]) for row in table.values()] == [(3, 3), (2, 4), (1, 5), (0, 6)]
    assert table["Normal"]["specificity_interval"] == pytest.approx(intervals.wilson_interval(2, 4))
    assert table["Other"]["sensitivity_interval"] == [0, 1]
    assert json.loads(json.dumps(table)) == table
    assert list(intervals.sensitivity_specificity(y_true, y_pred)) == ["0", "1", "2"]


def test_sensitivity_is_recall():
    rng = np.random.default_rng(6)
    y_true, y_pred = rng.integers(0, 4, (2, 70))
    recall = precision_recall_fscore_support(y_true, y_pred)[1]
    table = intervals.sensitivity_specificity(y_true, y_pred)
    np.testing.assert_allclose([row["sensitivity"] for row in table.values()], recall)


def test_groups_by_hand():
    y_true, y_pred = [0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 2, 0, 2]
    groups = ["Cohen", "Cohen", "Kermany", "Kermany", "Kermany", "Kermany", "Cohen"]
    table = intervals.report_by_group(y_true, y_pred, groups, ["Covid", "Normal", "Viral"])
    assert list(table) == ["Cohen", "Kermany"]
    assert (table["Cohen"]["correct"], table["Cohen"]["images"], table["Kermany"]["accuracy"]) == (2, 3, 0.75)
    assert table["Kermany"]["accuracy_interval"] == list(intervals.wilson_interval(3, 4))
    assert list(table["Cohen"]["classes"]) == ["Covid", "Viral"]
    assert table["Kermany"]["classes"]["Viral"] == {
        "sensitivity": 0.5,
        "sensitivity_interval": list(intervals.wilson_interval(1, 2)),
        "positives": 2,
    }
    assert json.loads(json.dumps(table)) == table
    assert list(intervals.report_by_group([0, 1], [0, 1], [20, 3])) == ["3", "20"]


def test_groups_must_fit():
    with pytest.raises(ValueError, match=r"2 images, groups of shape \(3,\)"):
        intervals.report_by_group([0, 1], [0, 1], ["a", "b", "c"])
    with pytest.raises(ValueError, match="label 2 at index 1"):
        intervals.report_by_group([0, 2], [0, 1], ["a", "b"], ["Covid", "Normal"])
