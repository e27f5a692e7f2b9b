"""A small network for chest films: the architecture of the best recipe in `tinycnn.study.recipe`."""

from collections.abc import Sequence

from tinycnn.layers.base import Layer
from tinycnn.layers.pool import MaxPool2D
from tinycnn.model import Sequential
from tinycnn.models.networks import averaging_head, checked_widths, normalized_convolution


def film_cnn(
    classes: int = 3, filters: Sequence[int] = (16, 32, 64, 128, 128), dropout: float = 0.2, seed: int = 0
) -> Sequential:
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
    layers: list[Layer] = []
    for level, width in enumerate(checked_widths("film_cnn", classes, filters)):
        # An epoch of 251 films has 16 steps: moving averages of momentum 0.99 would lag six epochs behind.
        layers += normalized_convolution(width, 1 if level else 2, momentum=0.9, epsilon=1e-5)
        layers.append(MaxPool2D(2))
    return Sequential([*layers[:-1], *averaging_head(classes, dropout)], seed=seed, name="film_cnn")
