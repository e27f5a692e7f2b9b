import numpy as np
import pytest

from tinycnn.data.dataset import Dataset
from tinycnn.losses import balanced_class_weights


def make(n=5):
    images = np.arange(n * 2 * 3 * 1, dtype=np.uint8).reshape(n, 2, 3, 1)
    return Dataset(images, np.arange(n) % 2, ["a", "b"], [f"train/{i}.png" for i in range(n)])


def test_length_counts_and_types():
    data = make()
    assert len(data) == 5
    assert data.counts() == {"a": 3, "b": 2}
    assert data.labels.dtype == np.int64 and data.class_names == ("a", "b")


@pytest.mark.parametrize("indices", [[3, 0], np.array([3, 0], np.uint8)])
def test_subset_keeps_order_labels_and_paths(indices):
    data = make()
    part = data.subset(indices)
    np.testing.assert_array_equal(part.images, data.images[[3, 0]])
    assert part.labels.tolist() == [1, 0] and part.paths == ("train/3.png", "train/0.png")
    part.images[:] = 0
    assert data.images[3].any(), "a subset owns its images"


def test_subset_by_mask_and_empty():
    data = make()
    assert data.subset(data.labels == 1).paths == ("train/1.png", "train/3.png")
    assert len(data.subset([])) == 0
    assert data.subset([]).counts() == {"a": 0, "b": 0}
    with pytest.raises(ValueError, match="mask over 5"):
        data.subset(np.ones(4, bool))


@pytest.mark.parametrize(
    "images, labels, paths, text",
    [
        (np.zeros((2, 4, 4), np.uint8), [0, 1], (), "uint8 of shape"),
        (np.zeros((2, 4, 4, 1), np.float32), [0, 1], (), "float32"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, 1, 1], (), r"\(3,\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, 2], (), "2 classes"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, -1], (), "from -1"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0.0, 1.0], (), "integers"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, 1], ("x",), "1 paths"),
    ],
)
def test_what_does_not_fit_is_refused(images, labels, paths, text):
    with pytest.raises(ValueError, match=text):
        Dataset(images, labels, ("a", "b"), paths)


def test_weights_of_the_report():
    weights = balanced_class_weights(np.repeat([0, 1, 2], [111, 70, 70]))
    np.testing.assert_allclose(weights, [0.7537, 1.1952, 1.1952], atol=1e-4)


def test_weights_agree_with_sklearn():
    class_weight = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.random.default_rng(0).integers(0, 5, 97)
    expected = class_weight.compute_class_weight("balanced", classes=np.arange(5), y=labels)
    np.testing.assert_allclose(balanced_class_weights(labels), expected)


@pytest.mark.parametrize("labels", [[], [0, 2], [-1, 0], [0.5, 1.0], [[0, 1]]])
def test_weights_of_impossible_labels(labels):
    with pytest.raises(ValueError):
        balanced_class_weights(labels)
