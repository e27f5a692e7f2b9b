"""Small classifiers with everything in them that can go wrong on the way from a score back to the image."""

import numpy as np

from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.model import Sequential


def small_cnn(seed=0):
    """With a convolution and a pooling that the model fuses, and dropout, which must be off."""
    return Sequential(
        [
            Conv2D(8, 3, padding="same", activation="relu"),
            MaxPool2D(2),
            Conv2D(16, 3, padding="same", activation="relu"),
            MaxPool2D(2),
            Dropout(0.5),
            Flatten(),
            Dense(7, activation="relu"),
            Dense(3, activation="softmax"),
        ],
        seed=seed,
    )


def tiny_network(activation="tanh", channels=2):
    """In float64, small enough for loops and finite differences over every pixel; with a residual block."""
    model = Sequential(
        [
            Conv2D(3, 3, padding="same", activation=activation),
            MaxPool2D(2),
            Residual([Conv2D(3, 3, padding="same", activation=activation)], activation=activation),
            Flatten(),
            Dense(4, activation=activation),
            Dense(3, activation="softmax"),
        ],
        seed=3,
    )
    model.build((6, 4, channels), dtype=np.float64)
    return model


def brute_score(model, image, k):
    """Score of class `k` before the softmax, layer by layer."""
    x = image[None]
    for layer in model.layers[:-1]:
        x = layer.forward(x)
    return float(model.layers[-1].forward_linear(x)[0, k])
