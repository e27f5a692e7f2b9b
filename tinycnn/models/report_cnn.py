"""The network of the student report this project starts from."""

from tinycnn.arguments import positive_int
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.model import Sequential


def report_cnn(classes: int = 3, seed: int = 0) -> Sequential:
    """Three convolutions, two dropouts, two dense layers and a softmax: 16,887,491 parameters at 256x256x3.

    ::

        Conv 32, 64, 128 (3x3, same, ReLU), each with a 2x2 max-pool    256x256x3 -> 32x32x128
        Dropout 0.3, Flatten                                           131072
        Dense 128 ReLU, Dropout 0.3, Dense 128 ReLU, Dense softmax     classes

    Parameters
    ----------
    classes : int
        At least 2.
    seed : int
        Of the initial weights and dropout masks.

    Returns
    -------
    Sequential
        Not yet built: the first batch, or ``build((256, 256, 3))``, fixes the image size.

    Examples
    --------
    >>> model = report_cnn()
    >>> model.build((256, 256, 3))
    (3,)
    >>> model.count_params
    16887491
    """
    if positive_int(classes, "report_cnn: classes") < 2:
        raise ValueError(f"report_cnn needs at least 2 classes, got {classes}")
    layers: list[Layer] = []
    for filters in (32, 64, 128):
        layers += [Conv2D(filters, 3, padding="same", activation="relu"), MaxPool2D(2)]
    layers += [Dropout(0.3), Flatten(), Dense(128, activation="relu"), Dropout(0.3), Dense(128, activation="relu")]
    return Sequential([*layers, Dense(classes, activation="softmax")], seed=seed, name="report_cnn")
