import numpy as np
import pytest
from seen import brute_score, small_cnn, tiny_network

from tinycnn.data import Dataset
from tinycnn.inside.class_score import batches, score_gradient, score_of
from tinycnn.layers.conv import Conv2D
from tinycnn.model import Sequential


def test_a_score_comes_before_the_softmax_and_its_gradient_is_numeric():
    model = tiny_network()
    x = np.random.default_rng(0).random((2, 6, 4, 2))
    classes = np.array([2, 0])
    assert np.allclose(
        score_of(model, x, classes), [brute_score(model, *pair) for pair in zip(x, classes, strict=True)]
    )
    gradient, step = score_gradient(model, x, classes), 1e-6
    for index in ((0, 1, 2, 1), (1, 5, 3, 0)):
        above, below = x.copy(), x.copy()
        above[index] += step
        below[index] -= step
        numeric = (score_of(model, above, classes) - score_of(model, below, classes))[index[0]] / (2 * step)
        assert np.isclose(gradient[index], numeric, rtol=1e-6)


def test_batches_are_scaled_copies_with_the_classes_to_explain():
    images = np.random.default_rng(5).integers(0, 256, (5, 12, 20, 3), dtype=np.uint8)
    model = small_cnn()
    parts = list(batches(model, Dataset(images, np.zeros(5, int), ("a", "b", "c")), None, 2))
    assert [len(x) for x, _ in parts] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate([x for x, _ in parts]), images / 255, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([k for _, k in parts]), model.predict(images).argmax(axis=1))
    given = np.concatenate([k for _, k in batches(model, images, [0, 1, 2, 1, 0], 2)])
    np.testing.assert_array_equal(given, [0, 1, 2, 1, 0])


def test_what_has_no_score_is_refused():
    images = np.zeros((1, 4, 4, 1), np.uint8)
    with pytest.raises(ValueError, match=r"gives \(2, 2, 3\) per image; end it with Flatten and Dense"):
        next(batches(Sequential([Conv2D(3, 3)]), images, None, 1))
    with pytest.raises(ValueError, match="batch_size must be a positive int, got 0"):
        next(batches(small_cnn(), images, None, 0))
