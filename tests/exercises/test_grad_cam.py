import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.grad_cam import EXERCISE, grad_cam
from tinycnn.inside import cam
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.reshape import Flatten
from tinycnn.model import Sequential


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    def loops(features, grad_features, positive=False):
        maps = np.empty(features.shape[:3])
        for n, (image, grad) in enumerate(zip(features, grad_features, strict=True)):
            weight = np.maximum(grad, 0 if positive else -np.inf).sum(axis=(0, 1)) / grad[..., 0].size
            maps[n] = (image @ weight).clip(min=0)
            maps[n] /= maps[n].max() or 1
        return maps

    assert check(EXERCISE, loops).ok
    suspected(EXERCISE, lambda **arguments: loops(**arguments, positive=True), "negative gradients are dropped")


def test_equals_the_package_on_a_network():
    model = Sequential([Conv2D(3, 3), Flatten(), Dense(2)])
    model.build((6, 6, 1))
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype(np.float32)
    features = model.layers[0].forward(images).copy()
    gradient = np.broadcast_to(model.layers[2].params["kernel"][:, 1].reshape(4, 4, 3), features.shape)
    maps = grad_cam(features, gradient)
    assert np.allclose(cam.grad_cam(model, images, 1), cam.resize(maps, (6, 6)), atol=1e-6)
