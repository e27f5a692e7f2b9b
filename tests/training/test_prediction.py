"""evaluate and predict."""

import warnings

import numpy as np
import pytest
from toys import Affine, batch, small_model, spots
from toys_training import network

from tinycnn.layers import LeakyReLU
from tinycnn.losses import MeanSquaredError
from tinycnn.model import Sequential
from tinycnn.training import evaluate, fit, predict


def test_data_may_be_a_dataset_and_is_left_alone():
    from tinycnn.data.dataset import Dataset

    images, labels = spots(20)
    data = Dataset(images.copy(), labels, ("a", "b", "c"))
    model = network()
    fit(model, data, data, epochs=1, augment=lambda batch, rng: batch.fill(0) or batch, verbose=0)
    np.testing.assert_array_equal(data.images, images)
    assert evaluate(model, data) == evaluate(model, (images, labels))
    np.testing.assert_array_equal(predict(model, data), predict(model, images))
    np.testing.assert_array_equal(model.predict((images, labels)), model.predict(images, batch_size=20))


def test_predict_gives_probabilities_for_odd_batches():
    model, images = network(), spots(11)[0]
    outputs = predict(model, images, batch_size=4)
    np.testing.assert_allclose(outputs, model.forward(images), rtol=1e-5)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_evaluate_remembers_the_loss_of_fit_but_not_its_class_weights(tmp_path):
    images = spots(20)[0].reshape(20, -1)[:, :6]
    model = Sequential([Affine(6)])
    fit(model, (images, images), loss=MeanSquaredError(), epochs=1, verbose=0)
    assert evaluate(model, (images, images)) == evaluate(model, (images, images), loss=MeanSquaredError())
    model, data = network(), spots(20)
    fit(model, data, class_weight=[5, 1, 1], epochs=1, verbose=0)
    model.save(tmp_path / "model.npz")
    again = Sequential.load(tmp_path / "model.npz")
    assert model.evaluate(data) == again.evaluate(data)


@pytest.mark.parametrize("data", [np.zeros((0, 4, 4, 1), np.uint8), np.uint8(1)])
def test_no_images_are_refused(data):
    with pytest.raises(ValueError, match="holds no images"):
        predict(network(), data)


def test_random_weights_are_said_to_be_random():
    model = small_model()
    with pytest.warns(UserWarning, match="weights of model 'sequential' are random"):
        model.predict(batch())
    with pytest.warns(UserWarning, match="neither trained nor loaded"):
        model.evaluate((batch(), np.zeros(len(batch()), int)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_weights(model.get_weights())
        model.predict(batch())
        Sequential([LeakyReLU()]).predict(batch())


def test_numbers_that_are_none_are_refused_with_their_origin():
    model = small_model()
    model.set_weights(model.get_weights() | {"affine_1/bias": np.float32([0, np.nan, 0])})
    with pytest.raises(FloatingPointError, match="NaN or infinity in the outputs: .*bias of layer 4 'affine_1'"):
        model.predict(batch())
    with pytest.raises(FloatingPointError, match="the loss is nan: .*bias of layer 4 'affine_1'"):
        model.evaluate((batch(), np.zeros(len(batch()), int)))
