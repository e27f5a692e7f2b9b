"""A small network for chest films: the architecture of the best recipe in `tinycnn.study.recipe`."""

from tinycnn.layers.activation import ReLU
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import GlobalAveragePool2D, MaxPool2D
from tinycnn.model import Sequential


def film_cnn(classes=3, filters=(16, 32, 64, 128, 128), dropout=0.2, seed=0):
    """One 3x3 convolution a level, batch-normalised, and a global average at the end.

    ::

        for f in filters:   Conv f (3x3, same, no bias), BatchNorm, ReLU, 2x2 max-pool except after the last
        global average, Dropout, Dense softmax

    The first convolution has stride 2: films need breadth of view more than sharpness.  Of 96x96 pixels 3x3 places
    remain, each of which sees 153x153 pixels, nearly the whole film.  Initial weights are He-normal.

    Parameters
    ----------
    classes : int
        At least 2.
    filters : sequence of int
        Filters of each level.
    dropout : float
        Share of the averaged features dropped in training.
    seed : int

    Returns
    -------
    Sequential
        Not yet built; any image of at least ``2 ** len(filters)`` pixels a side, any number of channels.

    Raises
    ------
    ValueError
        For fewer than 2 classes or no filters.

    References
    ----------
    Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015; Lin, Chen
    and Yan, Network in network, ICLR 2014 (the global average); He, Zhang, Ren and Sun, Delving deep into rectifiers,
    ICCV 2015 (the initial weights).

    Examples
    --------
    >>> model = film_cnn()
    >>> model.build((96, 96, 1)), model.count_params
    ((3,), 246227)
    """
    filters = tuple(filters)
    if classes < 2:
        raise ValueError(f"film_cnn needs at least 2 classes, got {classes}")
    if not filters:
        raise ValueError("film_cnn needs filters for at least one level, such as (16, 32, 64)")
    layers = []
    for level, width in enumerate(filters):
        strides = 1 if level else 2
        layers += [
            Conv2D(width, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"),
            # An epoch of 251 films has 16 steps: moving averages of momentum 0.99 would lag six epochs behind.
            BatchNorm(momentum=0.9, epsilon=1e-5),
            ReLU(),
            MaxPool2D(2),
        ]
    layers[-1:] = [GlobalAveragePool2D(), Dropout(dropout), Dense(classes, activation="softmax")]
    return Sequential(layers, seed=seed, name="film_cnn")
