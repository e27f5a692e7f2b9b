import numpy as np
import pytest
from toys import small_model, spots

from tinycnn.inside.landscape import filter_normalised, loss_slice
from tinycnn.losses import MeanSquaredError
from tinycnn.training import evaluate

DATA = spots(12, (2, 3, 1), classes=2)


def test_the_centre_is_what_evaluate_gives_and_the_model_stays():
    model = small_model()
    before = model.get_weights()
    for options in ({}, {"batch_size": 5}, {"span": 0.3}):
        found = loss_slice(model, DATA, steps=3, **options)
        assert found.centre == evaluate(model, DATA, options.get("batch_size", 16))["loss"]
    assert all((before[key] == value).all() for key, value in model.get_weights().items())
    model.loss = MeanSquaredError()
    targets = np.eye(3)[DATA[1]]
    found = loss_slice(model, (DATA[0], targets), steps=3)  # the loss that it was trained with
    assert found.centre == evaluate(model, (DATA[0], targets), loss=MeanSquaredError())["loss"]


def test_every_point_is_the_loss_of_moved_weights():
    model = small_model()
    found = loss_slice(model, DATA, span=0.5, steps=5, seed=4)
    assert np.allclose(found.at, [-0.5, -0.25, 0, 0.25, 0.5]) and found.losses.shape == (5, 5)
    weights, rng = model.get_weights(), np.random.default_rng(4)
    first, second = filter_normalised(weights, rng), filter_normalised(weights, rng)
    model.set_weights(weights | {key: weights[key] + 0.5 * first[key] - 0.25 * second[key] for key in first})
    assert found.losses[4, 1] == evaluate(model, DATA)["loss"] != found.centre


def test_directions_have_each_filters_length_and_leave_biases_alone():
    rng = np.random.default_rng(0)
    weights = {"conv/kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float32), "conv/bias": np.ones(4)}
    direction = filter_normalised(weights, rng)
    assert list(direction) == ["conv/kernel"]
    lengths = [np.linalg.norm(of["conv/kernel"].reshape(18, 4), axis=0) for of in (direction, weights)]
    np.testing.assert_allclose(*lengths, rtol=1e-6)


def test_impossible_planes():
    for options, words in (
        ({"steps": 4}, "steps must be odd"),
        ({"span": 0}, "span must"),
        ({"span": np.inf}, "span must"),
    ):
        with pytest.raises(ValueError, match=words):
            loss_slice(small_model(), DATA, **options)
