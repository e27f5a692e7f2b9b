"""Batches: what is refused before training, and rows by index."""

import numpy as np
import pytest
from toys import spots
from toys_training import network

from tinycnn.data.dataset import Dataset
from tinycnn.training.batches import Gatherer, augmented, check_images, check_labels, check_targets, split_pair


def test_pairs_and_datasets_are_split():
    images, labels = spots(5)
    for data in ((images, labels), [images.tolist(), labels.tolist()], Dataset(images, labels, "abc")):
        x, y = split_pair(data, "train")
        np.testing.assert_array_equal(x, images)
        np.testing.assert_array_equal(y, labels)
    for data, message in ((images, "must be a Dataset or a pair"), ((images, labels[:3]), "5 images, but labels")):
        with pytest.raises(ValueError, match=message):
            split_pair(data, "train")


def test_every_batch_shares_one_buffer():
    gather = Gatherer(np.arange(12).reshape(6, 2))
    first = gather(np.array([5, 0, 3]))
    assert first.tolist() == [[10, 11], [0, 1], [6, 7]]
    second = gather([1, 2])
    assert second.tolist() == [[2, 3], [4, 5]] and np.shares_memory(first, second)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.array([0, 3, 1]), r"label 3 of image 1 is outside 0..2.*\(1 of 3 labels are\)"),
        (np.array([[0], [1]]), r"labels.ravel\(\)"),
        (np.eye(3), r"labels.argmax\(axis=1\)"),
        (np.array([0.0, 1.0]), "integer labels"),
    ],
)
def test_labels_that_are_no_classes_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        check_labels(labels, 3, "test")
    check_labels(np.array([0, 2, 1]), 3, "test")


def test_images_and_targets_that_do_not_fit_are_named():
    model, images = network(), spots(3)[0]
    check_images(images, model, "test")
    check_targets(np.zeros((3, 3), np.float32), model, "test")
    for check, array, message in (
        (check_images, images[:, :2], "has images of shape"),
        (check_images, images.astype(int), "use uint8"),
        (check_images, np.where(images == images, np.nan, 0), "image 0 contains NaN"),
        (check_targets, np.zeros((3, 2)), "has targets of shape"),
        (check_targets, np.zeros((3, 3), int), "use float, or uint8"),
        (check_targets, np.full((3, 3), np.inf), "target 0 contains NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            check(array, model, "test")


def test_augmentation_may_not_change_type_or_shape():
    batch = spots(3)[0]
    assert (augmented(lambda x, rng: x + 1, batch, None) == batch + 1).all()
    for change in (lambda x, rng: x / 255, lambda x, rng: x[:2]):
        with pytest.raises(ValueError, match="augment got uint8 images of shape"):
            augmented(change, batch, None)
