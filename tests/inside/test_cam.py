"""Grad-CAM against numeric gradients, hand-computed maps and PyTorch."""

import numpy as np
import pytest
from seen import small_cnn

from tinycnn.inside.cam import feature_maps, grad_cam, resize
from tinycnn.layers.activation import ReLU, Tanh
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import GlobalAveragePool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.model import Sequential
from tinycnn.study.report.overlays import overlay


@pytest.fixture
def images():
    return np.random.default_rng(5).integers(0, 256, (5, 12, 20, 3), dtype=np.uint8)


def picked_pixels(kernel):
    """One channel that passes the image on, and a class score that is a given sum of its pixels."""
    model = Sequential([Conv2D(1, 1, use_bias=False), Flatten(), Dense(2, use_bias=False)])
    model.build((2, 3, 1))
    model.set_weights({"conv2d/kernel": np.ones((1, 1, 1, 1)), "dense/kernel": np.asarray(kernel, float)})
    return model


def test_map_by_hand():
    model = picked_pixels(np.stack([[1, 2, 3, 0, 0, 0], [-1, -1, -1, -1, -1, -1]], axis=1))
    image = np.float32([[[0.0, 1.0, 2.0], [4.0, 3.0, 8.0]]])[..., None]
    # The score grows by 1 per unit of the channel's mean, so the map is the image itself, scaled to 1.
    assert np.allclose(grad_cam(model, image, 0)[0], [[0, 0.125, 0.25], [0.5, 0.375, 1]])
    assert not grad_cam(model, image, 1).any()  # every pixel speaks against class 1


def test_weights_of_two_channels_by_hand():
    model = Sequential([Conv2D(2, 1, use_bias=False), GlobalAveragePool2D(), Dense(1, use_bias=False)])
    model.build((1, 3, 2))
    model.set_weights({"conv2d/kernel": np.eye(2)[None, None], "dense/kernel": np.array([[3.0], [-1.0]])})
    image = np.float32([[[[1, 1], [2, 2], [0, 5]]]])
    # 3 * first channel - second channel: 2, 4 and -5, of which the last is cut off.
    assert np.allclose(grad_cam(model, image, 0), [[[0.5, 1, 0]]])


def test_weights_are_numeric_gradients():
    model = Sequential(
        [Conv2D(3, 3, padding="same"), Tanh(), Conv2D(4, 2, strides=2), BatchNorm(), Flatten(), Dense(3, "softmax")]
    )
    model.build((3, 5, 2), dtype=np.float64)
    image = np.random.default_rng(0).normal(size=(1, 3, 5, 2))
    features = feature_maps(model, image, "conv2d")  # (1, 3, 5, 3)
    step, weights = 1e-5, np.zeros(3)

    def score(features):
        for layer in model.layers[1:-1]:
            features = layer.forward(features)
        return model.layers[-1].forward_linear(features)[0, 2]

    for index in np.ndindex(features.shape):
        above, below = features.copy(), features.copy()
        above[index] += step
        below[index] -= step
        weights[index[-1]] += (score(above) - score(below)) / (2 * step) / 15
    expected = (features[0] @ weights).clip(0)
    assert expected.max() > 0
    assert np.allclose(grad_cam(model, image, 2, layer="conv2d")[0], expected / expected.max(), atol=1e-6)


def test_agrees_with_pytorch(images):
    torch = pytest.importorskip("torch")
    model = small_cnn()
    model.build(images.shape[1:])
    w = {key: torch.tensor(value) for key, value in model.get_weights().items()}
    functional = torch.nn.functional
    x = torch.tensor(images.transpose(0, 3, 1, 2) / 255, dtype=torch.float32)
    x = functional.conv2d(x, w["conv2d/kernel"].permute(3, 2, 0, 1), w["conv2d/bias"], padding=1).relu()
    x = functional.max_pool2d(x, 2)
    x = functional.conv2d(x, w["conv2d_1/kernel"].permute(3, 2, 0, 1), w["conv2d_1/bias"], padding=1).relu()
    features = x.requires_grad_()
    x = functional.max_pool2d(features, 2).permute(0, 2, 3, 1).flatten(1)
    scores = (x @ w["dense/kernel"] + w["dense/bias"]).relu() @ w["dense_1/kernel"] + w["dense_1/bias"]
    scores.max(dim=1).values.sum().backward()
    maps = (features.grad.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1, keepdim=True).relu()
    maps = maps / maps.amax(dim=(2, 3), keepdim=True).clamp(min=1e-30)
    maps = functional.interpolate(maps, size=images.shape[1:3], mode="bilinear").detach().numpy()[:, 0]
    assert np.allclose(grad_cam(model, images), maps, atol=2e-5)


def test_maps_do_not_depend_on_batches_or_the_scale_of_scores(images):
    model = small_cnn()
    maps = grad_cam(model, images, [0, 1, 2, 0, 1])
    assert maps.shape == images.shape[:3] and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() <= 1
    assert np.allclose(grad_cam(model, images, [0, 1, 2, 0, 1], batch_size=2), maps, atol=1e-6)
    with pytest.raises(ValueError, match="batch_size must be a positive int, got -1"):
        grad_cam(model, images, batch_size=-1)
    assert np.allclose(grad_cam(model, (images / 255).astype(np.float32), [0, 1, 2, 0, 1]), maps, atol=1e-5)
    weights = model.get_weights()
    model.set_weights(weights | {"dense_1/kernel": 3 * weights["dense_1/kernel"], "dense_1/bias": np.full(3, 7.0)})
    assert np.allclose(grad_cam(model, images, [0, 1, 2, 0, 1]), maps, atol=1e-5)


def test_mirrored_image_gives_the_mirrored_map(images):
    model = Sequential([Conv2D(4, (3, 1), padding="same"), ReLU(), GlobalAveragePool2D(), Dense(3, "softmax")])
    assert np.allclose(grad_cam(model, images[:, :, ::-1], 1), grad_cam(model, images, 1)[:, :, ::-1], atol=1e-6)


def test_explains_the_predicted_class_by_default_and_leaves_predictions_alone(images):
    model = small_cnn()
    before = model.predict(images)
    maps = grad_cam(model, images)
    assert np.array_equal(maps, grad_cam(model, images, before.argmax(axis=1)))
    assert np.array_equal(model.predict(images), before)


def test_layers_by_name_index_object_and_inside_a_block(images):
    model = small_cnn()
    maps = grad_cam(model, images, 0)
    for layer in ("conv2d_1", 2, -6, model.layers[2]):
        assert np.array_equal(grad_cam(model, images, 0, layer=layer), maps)
    block = Sequential([Residual([Conv2D(3, 3, padding="same")]), Flatten(), Dense(2, "softmax")])
    assert grad_cam(block, images).shape == images.shape[:3]


def test_feature_maps_are_what_the_layer_gives(images):
    model = small_cnn()
    model.build(images.shape[1:])
    x = images.astype(np.float32) / 255
    expected = model.layers[0].forward(x).copy()
    assert np.allclose(feature_maps(model, images, 0), expected, atol=1e-5)
    assert np.allclose(feature_maps(model, images[1], "conv2d"), expected[1], atol=1e-5)
    assert feature_maps(model, images).shape == (5, 6, 10, 16)


def test_errors_name_what_there_is(images):
    model = small_cnn()
    with pytest.raises(ValueError, match=r"'nonsense' is no layer .* choose one of: conv2d, max_pooling2d"):
        grad_cam(model, images, layer="nonsense")
    with pytest.raises(ValueError, match="image-like output"):
        grad_cam(model, images, layer="dense")
    with pytest.raises(ValueError, match=r"images of shape \(10, 20, 3\), but model 'sequential' takes"):
        grad_cam(model, images[:, :10])
    with pytest.raises(ValueError, match=r"0\.\.2"):
        grad_cam(model, images, class_index=3)
    with pytest.raises(ValueError, match="one per image"):
        grad_cam(model, images, class_index=[0, 1])
    with pytest.raises(ValueError, match=r"got \(12, 20, 3\)"):
        grad_cam(model, images[0])
    with pytest.raises(ValueError, match="no Conv2D"):
        grad_cam(Sequential([Flatten(), Dense(2)]), images)


def test_resize_is_the_bilinear_layer():
    maps = np.random.default_rng(3).random((2, 3, 5))
    layer = UpSample2D((4, 2), interpolation="bilinear")
    assert np.allclose(resize(maps, (12, 10)), layer.forward(maps[..., None])[..., 0])
    assert np.array_equal(resize(maps, (3, 5)), maps)
    assert np.allclose(resize(np.full((1, 1, 1), 0.5), (7, 3)), 0.5)
    assert np.allclose(resize(np.arange(4.0).reshape(1, 1, 4), (1, 2)), [[[0.5, 2.5]]])


def test_overlay_shows_the_image_where_there_is_no_heat(images):
    grey = overlay(images, np.zeros(images.shape[:3]))
    assert np.abs(grey.astype(float) - images.mean(axis=3, keepdims=True)).max() <= 0.5
    assert (grey[..., 0] == grey[..., 2]).all()
    assert np.array_equal(overlay(images / 255, np.zeros(images.shape[:3])), grey)
    hot = overlay(images, np.ones(images.shape[:3]), strength=1.0)
    assert len(np.unique(hot.reshape(-1, 3), axis=0)) == 1
    with pytest.raises(ValueError, match="maps"):
        overlay(images, np.zeros((5, 12)))
