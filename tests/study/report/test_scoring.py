"""A run's numbers: against scikit-learn, counted by hand, and through JSON and back."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tinycnn.data import Dataset
from tinycnn.scores.intervals import bootstrap_interval
from tinycnn.scores.metrics import f1_score
from tinycnn.study.report import scoring

NAMES = ("Covid", "Normal", "Viral Pneumonia")


def predictions(n=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    scores = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    powers = np.exp(scores)
    return labels, powers / powers.sum(axis=1, keepdims=True)


def dataset(n=6, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 4, 5, 1), dtype=np.uint8)
    return Dataset(images, np.arange(n) % 3, NAMES, [f"test/{i}.png" for i in range(n)])


def test_scores_agree_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    labels, probabilities = predictions()
    scores = scoring.score_predictions(labels, probabilities, NAMES)
    predicted = probabilities.argmax(axis=1)
    assert scores["accuracy"] == pytest.approx(sklearn.accuracy_score(labels, predicted))
    assert scores["balanced_accuracy"] == pytest.approx(sklearn.balanced_accuracy_score(labels, predicted))
    assert scores["macro_f1"] == pytest.approx(sklearn.f1_score(labels, predicted, average="macro"))
    assert scores["confusion_matrix"] == sklearn.confusion_matrix(labels, predicted).tolist()
    for k, name in enumerate(NAMES):
        assert scores["classes"][name]["auc"] == pytest.approx(sklearn.roc_auc_score(labels == k, probabilities[:, k]))
    low, high = scores["accuracy_interval"]
    assert low < scores["accuracy"] < high
    assert scores["macro_f1_interval"][0] < scores["macro_f1"] < scores["macro_f1_interval"][1]


def test_perfect_predictions_leave_doubt():
    labels = np.arange(16) % 2
    scores = scoring.score_predictions(labels, np.eye(2)[labels], NAMES[:2])
    assert scores["macro_f1"] == 1
    low, high = scores["macro_f1_interval"]
    assert 0.7 < low < scores["accuracy_interval"][0] < 0.81 and high == 1
    copies = scoring.score_predictions(labels, np.eye(2)[labels], NAMES[:2], groups=np.arange(16) // 4)
    assert copies["macro_f1_interval"][0] < low, "eight cases' worth of images know less than sixteen"
    many = np.arange(1600) % 2
    assert 0.99 < scoring.score_predictions(many, np.eye(2)[many], NAMES[:2])["macro_f1_interval"][0] < 1


def test_bootstraps_without_spread_leave_doubt_on_every_side():
    labels = np.arange(16) % 2
    wrong = scoring.score_predictions(labels, np.eye(2)[1 - labels], NAMES[:2])
    assert wrong["macro_f1_interval"][0] == 0 and 0.19 < wrong["macro_f1_interval"][1] < 0.3
    one_patient = scoring.score_predictions(labels, np.eye(2)[[*labels[:12], 0, 0, 0, 0]], NAMES[:2], groups=[7] * 16)
    low, high = one_patient["macro_f1_interval"]
    assert high - low > 0.5


def test_bootstrap_of_a_mixed_result_is_as_it_was():
    labels, probabilities = predictions()
    predicted = probabilities.argmax(axis=1)
    expected = bootstrap_interval(f1_score, labels, predicted, n=1000)
    assert scoring.score_predictions(labels, probabilities, NAMES)["macro_f1_interval"] == pytest.approx(expected)


def test_a_class_without_images_gives_no_nan():
    scores = scoring.score_predictions([0, 0, 1], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]], NAMES)
    assert scores["classes"]["Viral Pneumonia"]["auc"] is None
    assert scores["classes"]["Viral Pneumonia"]["sensitivity"] is None
    json.dumps(scores, allow_nan=False)


def test_copies_widen_the_bootstrap():
    labels, probabilities = predictions(30)
    labels, probabilities = np.repeat(labels, 4), np.repeat(probabilities, 4, axis=0)
    apart = scoring.score_predictions(labels, probabilities, NAMES)["macro_f1_interval"]
    together = scoring.score_predictions(labels, probabilities, NAMES, groups=np.arange(120) // 4)["macro_f1_interval"]
    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


def test_scores_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"shape \(2, 3\), got \(2, 2\)"):
        scoring.score_predictions([0, 1], [[0.5, 0.5], [0.5, 0.5]], NAMES)


class Fixed:
    """A model that gives the probabilities it was made with."""

    def __init__(self, probabilities):
        self.probabilities = np.asarray(probabilities, np.float32)

    def predict(self, data, batch_size):
        return self.probabilities[: len(data)]


def test_near_copies_are_left_out():
    test = dataset()
    model = Fixed(np.eye(3)[[0, 1, 2, 1, 1, 0]] * 0.9 + 0.1 / 3)  # wrong about images 3 and 5
    groups = np.array([0, 1, 2, 7, 8, 9])
    audit = SimpleNamespace(test_groups=groups, leak_free_test=np.array([3, 4, 5]))
    scored, probabilities = scoring.score_model(model, test, audit)
    assert list(scored) == ["all 6 test images", "3 without near-copies"]
    assert [scores["correct"] for scores in scored.values()] == [4, 1]
    assert probabilities.shape == (6, 3)
    text = scoring.leak_text(scored)
    assert "the 6 test images: 3." in text and "0.333 on the other 3, not 0.667" in text
    assert list(scoring.score_model(model, test)[0]) == ["all 6 test images"]
    assert "No near-copy" in scoring.leak_text(scoring.score_model(model, test)[0])
    audit.leak_free_test = np.array([], int)
    scored, _ = scoring.score_model(model, test, audit)
    assert list(scored) == ["all 6 test images"]
    assert "All 6 test images are near-copies of training images." in scoring.leak_text(scored)
    with pytest.raises(ValueError, match="audit is of 2 test images, the test set has 6"):
        scoring.score_model(model, test, SimpleNamespace(test_groups=np.arange(2), leak_free_test=[]))


def test_predictions_by_path():
    test = dataset()
    listed = scoring.list_predictions(test, np.eye(3)[[0, 1, 2, 1, 1, 0]])
    assert listed[3] == {"path": "test/3.png", "true": "Covid", "predicted": "Normal", "probabilities": [0.0, 1.0, 0.0]}
    assert len(scoring.list_predictions(Dataset(test.images, test.labels, NAMES), np.eye(3)[[0] * 6])) == 6
