"""Calibration against scikit-learn, hand-computed bins, and simulated networks of known over-confidence."""

import numpy as np
import pytest

from tinycnn.scores import calibration


def simulated(n, temperature, seed=0, classes=3):
    """Labels drawn from softmax(z); the 'network' reports logits z * temperature, too sure by that factor."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, (n, classes))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return z * temperature, labels


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_brier_is_sklearns(classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    logits, labels = simulated(37, 1.5, seed=classes, classes=classes)
    p = calibration.apply_temperature(logits, 1.0)
    scale = 2 if classes == 2 else 1
    target = p[:, 1] if classes == 2 else p
    expected = scale * sklearn.brier_score_loss(labels, target, labels=range(classes))
    assert calibration.brier_score(p, labels) == pytest.approx(expected, rel=1e-12)


def test_brier_ends():
    assert calibration.brier_score(np.eye(3), [0, 1, 2]) == 0
    assert calibration.brier_score(np.eye(3), [1, 2, 0]) == 2


def test_bins_by_hand():
    # Top probabilities 0.5, 0.6, 0.75, 0.75, 1: an edge belongs to the bin below it.
    probabilities = [[0.5, 0.5], [0.6, 0.4], [0.25, 0.75], [0.75, 0.25], [1, 0]]
    curve = calibration.reliability_curve(probabilities, [0, 1, 1, 1, 0], bins=4)
    np.testing.assert_array_equal(curve.edges, [0, 0.25, 0.5, 0.75, 1])
    assert curve.count.tolist() == [0, 1, 3, 1]
    np.testing.assert_allclose(curve.confidence, [np.nan, 0.5, 0.7, 1])
    np.testing.assert_allclose(curve.accuracy, [np.nan, 1, 1 / 3, 1])
    error = calibration.expected_calibration_error(probabilities, [0, 1, 1, 1, 0], bins=4)
    assert error == pytest.approx(1 / 5 * 0.5 + 3 / 5 * (0.7 - 1 / 3))


@pytest.mark.parametrize("bins", [1, 7, 10])
def test_curve_is_sklearns(bins):
    sklearn = pytest.importorskip("sklearn.calibration")
    logits, labels = simulated(91, 2.0, seed=bins)
    p = calibration.apply_temperature(logits, 1.0)
    accuracy, confidence = sklearn.calibration_curve(p.argmax(axis=1) == labels, p.max(axis=1), n_bins=bins)
    curve = calibration.reliability_curve(p, labels, bins)
    filled = curve.count > 0
    np.testing.assert_allclose(curve.accuracy[filled], accuracy)
    np.testing.assert_allclose(curve.confidence[filled], confidence)
    assert curve.count.sum() == 91 and len(curve.count) == bins and len(curve.edges) == bins + 1


def test_float32_softmax_that_rounds_above_one_is_taken():
    p = np.array([[1 + 1e-7, 0], [0.3, 0.7]], np.float32)
    assert calibration.reliability_curve(p, [0, 1]).count[-1] == 1


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_temperature_of_a_simulated_network_is_recovered(true_temperature):
    logits, labels = simulated(20000, true_temperature)
    fitted = calibration.fit_temperature(logits, labels)
    assert fitted == pytest.approx(true_temperature, rel=0.03)
    before = calibration.expected_calibration_error(calibration.apply_temperature(logits, 1.0), labels)
    after = calibration.expected_calibration_error(calibration.apply_temperature(logits, fitted), labels)
    assert after < 0.01
    assert after < before or true_temperature == 1.0


@pytest.mark.parametrize("seed", range(8))
def test_temperature_is_the_minimum_of_the_likelihood(seed):
    sklearn = pytest.importorskip("sklearn.metrics")
    logits, labels = simulated(29, 4.0 if seed % 2 else 0.3, seed)
    fitted = calibration.fit_temperature(logits.astype(np.float32), labels)

    def nll(temperature):
        p = calibration.apply_temperature(logits.astype(np.float32), temperature)
        return sklearn.log_loss(labels, p, labels=range(3))

    assert nll(fitted) < min(nll(fitted * 1.001), nll(fitted / 1.001))


def test_temperature_of_huge_logits_is_exact():
    logits, labels = simulated(200, 2.0)
    assert calibration.fit_temperature(logits * 1e3, labels, limits=(1e-6, 1e6)) == pytest.approx(
        1e3 * calibration.fit_temperature(logits, labels), rel=1e-9
    )


def test_temperature_without_an_answer():
    perfect = np.eye(3) * 2
    with pytest.warns(RuntimeWarning, match="all 3 images are classified correctly"):
        assert calibration.fit_temperature(perfect, [0, 1, 2]) == 1.0
    assert calibration.fit_temperature(perfect, [1, 2, 0]) == 20.0
    nearly = np.array([[90.0, 0], [0, 90], [0, 0.001]])
    assert calibration.fit_temperature(nearly / 1e4, [0, 1, 0]) == 0.05


def test_bad_input_is_named():
    good = [[0.5, 0.5], [0.1, 0.9]]
    with pytest.raises(ValueError, match=r"row 1 of the probabilities, \[3.0, -2.0\], is not a distribution"):
        calibration.brier_score([[0.5, 0.5], [3, -2]], [0, 1])
    with pytest.raises(ValueError, match="row 0 .*of logits take the softmax first"):
        calibration.expected_calibration_error([[2.0, 1.0], [0.5, 0.5]], [0, 1])
    with pytest.raises(ValueError, match="labels: label 2 at index 1, but with 2 classes"):
        calibration.brier_score(good, [0, 2])
    with pytest.raises(ValueError, match="labels: empty"):
        calibration.brier_score(np.empty((0, 2)), np.empty(0, int))
    with pytest.raises(ValueError, match="bins must be a positive int, got 0"):
        calibration.reliability_curve(good, [0, 1], bins=0)
    with pytest.raises(ValueError, match="limits must be 0 < low < high"):
        calibration.fit_temperature(good, [0, 1], limits=(2, 1))
    with pytest.raises(ValueError, match="not finite, first in row 1"):
        calibration.fit_temperature([[1, 0], [np.inf, 0]], [0, 1])
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        calibration.apply_temperature(good, 0)
