import numpy as np
import pytest
from seen import small_cnn

from tinycnn.inside.feature_visualization import feature_visualization
from tinycnn.layers.conv import Conv2D
from tinycnn.model import Sequential


def test_a_filter_gets_its_own_pattern_and_grey_around_it():
    model = Sequential([Conv2D(2, 3, padding="same", activation="relu")])
    model.build((7, 9, 1))
    kernel = np.zeros((3, 3, 1, 2))
    kernel[:, 0, 0, 1], kernel[:, 2, 0, 1] = -1, 1  # dark on the left, light on the right
    model.set_weights({"conv2d/kernel": kernel, "conv2d/bias": np.array([0, -50.0])})  # far below the ReLU's step
    image = feature_visualization(model, "conv2d", 1, jitter=0)[..., 0]
    assert (image[2:5, 3] == 0).all() and (image[2:5, 5] == 1).all()
    image[2:5, 3], image[2:5, 5] = 0.5, 0.5
    assert np.abs(image - 0.5).max() < 0.1


@pytest.mark.parametrize("layer, channel", [("conv2d_1", 5), ("dense", 2), ("dense_1", 0)])
def test_the_channel_answers_more_than_to_grey(layer, channel):
    model = small_cnn()
    model.build((12, 20, 3))
    weights = model.get_weights()
    image = feature_visualization(model, layer, channel, steps=20)
    assert image.shape == (12, 20, 3) and image.min() >= 0 and image.max() <= 1
    assert np.array_equal(image, feature_visualization(model, layer, channel, steps=20))
    assert not np.array_equal(image, feature_visualization(model, layer, channel, steps=20, seed=1))
    assert all((weights[key] == value).all() for key, value in model.get_weights().items())

    def answer(x):
        x = x[None]
        for part in model.layers:
            if part.name == layer:
                y = part.forward_linear(x)
                return y[(0, *(n // 2 for n in y.shape[1:-1]), channel)]
            x = part.forward(x)

    assert answer(image) > answer(np.full_like(image, 0.5)) + 0.1


def test_what_is_not_there_is_named():
    model = small_cnn()
    with pytest.raises(ValueError, match="must be built"):
        feature_visualization(model, "conv2d", 0)
    model.build((12, 20, 3))
    with pytest.raises(ValueError, match="no layer 'conv' in model 'sequential'; it has conv2d, max_pooling2d"):
        feature_visualization(model, "conv", 0)
    with pytest.raises(ValueError, match=r"has channels 0\.\.7, got 8"):
        feature_visualization(model, "conv2d", 8)
