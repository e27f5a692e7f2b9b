"""The baselines against scikit-learn and by hand."""

import numpy as np
import pytest

from tinycnn.study.baselines import LogisticRegression, header_numbers, majority_class, thumbnails
from tinycnn.study.films.audit import audit
from tinycnn.study.films.phantoms import chest_phantoms


def clouds(n=90, features=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    x = rng.normal(size=(n, features)) * [1, 10, 0.1, 5, 1][:features] + 3
    x[:, 0] += labels
    x[:, 1] += 20 * (labels == 2)
    return x, labels


@pytest.mark.parametrize("penalty", [1.0, 10.0])
def test_scikit_learn_finds_the_same_minimum(penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = clouds()
    x[:, 4] = x[:, 0] + 0.01 * x[:, 4]  # nearly twice the same: a narrow valley
    ours = LogisticRegression(penalty).fit(x, labels)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = linear_model.LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(z, labels)
    np.testing.assert_allclose(ours.predict(x), theirs.predict_proba(z), atol=1e-6)


def test_a_constant_feature_changes_nothing_and_means_are_those_of_training():
    x, labels = clouds()
    plain = LogisticRegression().fit(x, labels).predict(x[:7])
    wider = np.column_stack([x, np.full(len(x), 640.1)])
    model = LogisticRegression().fit(wider, labels)
    np.testing.assert_allclose(model.predict(wider[:7]), plain, atol=1e-5)
    wider[:, -1] = 7
    np.testing.assert_allclose(model.predict(wider[:7]), plain, atol=1e-5)


def test_classes_that_training_lacks_and_wrong_arguments():
    x, labels = clouds()
    assert LogisticRegression(steps=2).fit(x, labels, classes=5).predict(x).shape == (90, 5)
    with pytest.raises(ValueError, match="penalty"):
        LogisticRegression(-1)
    with pytest.raises(ValueError, match=r"\(90, features\), got \(89, 5\)"):
        LogisticRegression().fit(x[1:], labels)


def test_majority_class():
    assert majority_class([2, 2, 1, 2], 3, 4).tolist() == [[0, 0.25, 0.75, 0]] * 3


def test_thumbnails_of_sizes_that_do_not_divide():
    images = np.zeros((2, 5, 7, 3), np.uint8)
    images[1, :2] = 30  # rows 0 and 1 of 5 are the upper half, rounded down
    images[1, :2, 3:] = [60, 60, 90]
    np.testing.assert_allclose(thumbnails(images, 2), [[0] * 4, [30, 70, 0, 0]])
    with pytest.raises(ValueError, match=r"8 x 8 .*\(2, 5, 7, 3\)"):
        thumbnails(images, 8)


def test_header_numbers_of_files_and_of_images_in_memory(tmp_path):
    from PIL import Image

    for i, name in enumerate(("a", "b")):
        for split in ("train", "test"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (30 + i, 20), 50 * i).save(tmp_path / split / name / "x.png")
    of_files = header_numbers(audit(tmp_path))
    assert of_files[:2].tolist() == [[30, 20, 1.5, 0, 0], [31, 20, 31 / 20, 50, 0]]
    assert header_numbers(audit(chest_phantoms(2, 1, size=32))).shape == (9, 2)
