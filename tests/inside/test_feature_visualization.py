import numpy as np
import pytest
from seen import small_cnn

from tinycnn.inside.feature_visualization import feature_visualization
from tinycnn.layers.conv import Conv2D
from tinycnn.model import Sequential


def test_a_filter_that_looks_for_an_edge_gets_one():
    model = Sequential([Conv2D(2, 3, activation="relu")])
    model.build((7, 9, 1))
    kernel = np.zeros((3, 3, 1, 2))
    kernel[:, 0, 0, 1], kernel[:, 2, 0, 1] = -1, 1  # dark on the left, light on the right
    model.set_weights({"conv2d/kernel": kernel, "conv2d/bias": np.array([0, -50.0])})  # far below the ReLU's step
    image = feature_visualization(model, "conv2d", 1, jitter=0)[..., 0]
    # The mean output grows with the right border's pixels and falls with the left border's; those between cancel.
    assert (image[:, -2:] == 1).all() and (image[:, :2] == 0).all()


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
                return part.forward_linear(x)[..., channel].mean()
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
