"""Batches from outside: the same training as from arrays, and what is no batch."""

import numpy as np
import pytest
from toys import spots
from toys_training import network

from tinycnn.training import evaluate, fit
from tinycnn.training.stream import Stream, batch_of, is_stream

IMAGES, LABELS = spots(30)
PIECES = [(IMAGES[i : i + 8], LABELS[i : i + 8]) for i in range(0, 30, 8)]


def weights(train, **options):
    model = network()
    history = fit(model, train, epochs=3, batch_size=8, shuffle=False, seed=1, verbose=0, **options)
    return model.get_weights(), history


def endless():
    while True:
        yield from PIECES


class Loader:
    """A length and items, and no end of its own, as Keras's `PyDataset`."""

    def __len__(self):
        return len(PIECES)

    def __getitem__(self, i):
        return list(PIECES[i % len(PIECES)])


@pytest.mark.parametrize(
    ("make", "options"), [(lambda: PIECES, {}), (endless, {"steps_per_epoch": 4}), (lambda: Loader(), {})]
)
def test_batches_train_to_the_same_bits_as_arrays(make, options):
    expected, rows = weights((IMAGES, LABELS))
    got, history = weights(make(), **options)
    assert all(np.array_equal(got[key], expected[key]) for key in expected)
    assert history["loss"] == rows["loss"] and history["accuracy"] == rows["accuracy"]


def test_weights_come_with_arrays_or_with_batches():
    ones = np.ones(30)
    ones[3] = 5
    expected, _ = weights((IMAGES, LABELS), sample_weight=ones)
    got, _ = weights([(x, y, ones[8 * i : 8 * i + len(x)]) for i, (x, y) in enumerate(PIECES)])
    plain, _ = weights((IMAGES, LABELS))
    assert all(np.array_equal(got[key], expected[key]) for key in expected)
    assert not np.array_equal(plain["affine/kernel"], expected["affine/kernel"])


def test_validation_and_evaluation_take_batches_too():
    model = network()
    history = fit(model, (IMAGES, LABELS), PIECES, epochs=1, verbose=0)
    assert history["val_loss"][0] == pytest.approx(evaluate(model, (IMAGES, LABELS))["loss"])


def test_a_generator_that_ends_is_one_epoch():
    assert weights((piece for piece in [*PIECES] * 3), steps_per_epoch=4)[1].epochs == 3
    with pytest.raises(ValueError, match="no batches left.*steps_per_epoch"):
        weights(piece for piece in PIECES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weight": "balanced"}, "neither be resumed nor"),
        ({"sample_weight": np.ones(8)}, "goes with arrays"),
        ({"resume": "x.npz"}, "neither be resumed"),
    ],
)
def test_what_needs_all_images_at_once_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        weights(PIECES, **options)


def test_bad_arguments_beside_arrays():
    with pytest.raises(ValueError, match="steps_per_epoch is for an iterable"):
        weights((IMAGES, LABELS), steps_per_epoch=2)
    for bad in (np.ones(29), np.full(30, -1.0), np.full(30, "a")):
        with pytest.raises(ValueError, match="sample_weight must be one number of at least 0 for each of the 30"):
            weights((IMAGES, LABELS), sample_weight=bad)
    with pytest.raises(ValueError, match="every sample_weight is 0, so nothing would be learned"):
        weights((IMAGES, LABELS), sample_weight=np.zeros(30))


def test_what_is_no_batch():
    for bad, message in ((IMAGES, "got ndarray"), ((IMAGES, LABELS[:3]), "as many labels"), ((IMAGES,), "a pair")):
        with pytest.raises(ValueError, match=message):
            batch_of(bad)
    later = [PIECES[0], (IMAGES[:3, :2], LABELS[:3])]
    with pytest.raises(ValueError, match="the batch has images of shape"):
        weights(later)


def test_the_first_batch_can_be_seen_before():
    stream = Stream(iter(PIECES), 2)
    assert stream.first() is stream.first() and len(list(stream)) == 2 and stream.images == 16
    assert not any(map(is_stream, ((IMAGES, LABELS), [IMAGES, LABELS], IMAGES, {}, "x", 3)))
