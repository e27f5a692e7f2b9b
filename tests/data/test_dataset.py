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
def test_indices_keep_order_labels_and_paths(indices):
    data = make()
    part = data[indices]
    np.testing.assert_array_equal(part.images, data.images[[3, 0]])
    assert part.labels.tolist() == [1, 0] and part.paths == ("train/3.png", "train/0.png")
    part.images[:] = 0
    assert data.images[3].any(), "images at indices are copies"


def test_a_mask_and_no_index():
    data = make()
    assert data[data.labels == 1].paths == ("train/1.png", "train/3.png")
    assert len(data[[]]) == 0
    assert data[[]].counts() == {"a": 0, "b": 0}
    with pytest.raises(ValueError, match="mask over 5"):
        data[np.ones(4, bool)]


def test_an_int_gives_an_image_and_its_label_and_a_slice_a_dataset():
    data = make()
    image, label = data[-2]
    np.testing.assert_array_equal(image, data.images[3])
    assert label == 1 and type(label) is int
    assert data[1:4].paths == ("train/1.png", "train/2.png", "train/3.png") and len(data[:0]) == 0
    assert data[::-1].labels.tolist() == [0, 1, 0, 1, 0] and np.shares_memory(data[1:3].images, data.images)
    with pytest.raises(IndexError):
        data[5]
    for wrong in ("a", 1.5, None, True):
        with pytest.raises(ValueError, match="mask"):
            data[wrong]


def test_iterating_gives_every_image_once():
    data = make()
    images, labels = zip(*data, strict=True)
    np.testing.assert_array_equal(images, data.images)
    assert list(labels) == data.labels.tolist()


def test_split_takes_a_share_of_each_class_and_divides_no_group():
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    data = Dataset(images, np.arange(40) % 2, "ab", map(str, range(40)))
    train, held_out = data.split(0.25)
    assert train.counts() == {"a": 15, "b": 15} and held_out.counts() == {"a": 5, "b": 5}
    assert sorted(train.paths + held_out.paths) == sorted(data.paths)
    assert held_out.images.ravel().tolist() == [int(path) for path in held_out.paths]
    assert data.split(0.25)[1].paths == held_out.paths != data.split(0.25, seed=1)[1].paths
    for part in data.split(0.25, seed=np.random.default_rng(3), groups=np.arange(40) // 4):
        assert len(part) % 4 == 0 and {int(path) // 4 for path in part.paths} == set(part.images.ravel() // 4)
    with pytest.raises(ValueError, match="too few"):
        data[:6].split(0.25)


def test_batches_give_every_image_once_in_order_or_by_a_seed():
    data = make()
    batches = list(data.batches(2))
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), data.images)
    shuffled = [np.concatenate([x for x, _ in data.batches(2, seed=seed)])[:, 0, 0, 0].tolist() for seed in (0, 0, 1)]
    assert shuffled[0] == shuffled[1] != shuffled[2] and set(shuffled[0]) == set(data.images[:, 0, 0, 0].tolist())
    with pytest.raises(ValueError, match="size must be"):
        next(data.batches(0))


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
