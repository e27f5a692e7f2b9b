"""Four architectures after the report's network, sized for a few hundred grey or colour images.

All end in global average pooling, so their parameters do not depend on the image size, and none has the 16.8 million
weights that the report's network spends on one dense layer: with 251 images, fewer weights memorise less.
"""

from collections.abc import Sequence

from tinycnn.arguments import brief, listed, positive_int
from tinycnn.layers.activation import ReLU
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.residual import Residual
from tinycnn.model import Sequential


def small_vgg(
    classes: int = 3,
    filters: Sequence[int] = (16, 32, 64, 128),
    dropout: float = 0.3,
    momentum: float = 0.9,
    seed: int = 0,
) -> Sequential:
    """Blocks of two 3x3 convolutions and a max-pool, as in VGG, with batch normalisation after each convolution.

    ::

        for f in filters:   2 x (Conv f (3x3, same), BatchNorm, ReLU), 2x2 max-pool
        global average, Dropout, Dense softmax

    Parameters
    ----------
    classes : int
        At least 2.
    filters : sequence of int
        Filters of each block; every block halves height and width.
    dropout : float
        Share of the averaged features dropped in training.
    momentum : float
        Of the moving averages in `BatchNorm`.  0.9 rather than Keras's 0.99: an epoch of 251 images has 16 steps,
        and moving averages that lag behind make the first epochs' validation meaningless.
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
    Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015.

    Examples
    --------
    >>> model = small_vgg()
    >>> model.build((256, 256, 1)), model.count_params
    ((3,), 295059)
    """
    layers = _pairs_of_convolutions(_checked_widths("small_vgg", classes, filters), momentum)
    return Sequential([*layers, *_averaging_head(classes, dropout)], seed=seed, name="small_vgg")


def small_resnet(
    classes: int = 3,
    filters: Sequence[int] = (16, 32, 64, 128),
    blocks: int = 1,
    dropout: float = 0.3,
    momentum: float = 0.9,
    seed: int = 0,
) -> Sequential:
    """Residual blocks between a stem and a global average.

    ::

        Conv filters[0] (3x3, stride 2, same), BatchNorm, ReLU
        for f in filters:   `blocks` x  y = ReLU(shortcut(x) + BatchNorm(Conv(ReLU(BatchNorm(Conv(x))))))
        global average, Dropout, Dense softmax

    The first block of every stage but the first has stride 2, with a 1x1 convolution of stride 2 and a `BatchNorm`
    in its shortcut.

    Parameters
    ----------
    classes, dropout, momentum, seed
        As of `small_vgg`, and so are result and errors.
    filters : sequence of int
        Filters of each stage.
    blocks : int
        Residual blocks in each stage, at least 1.

    References
    ----------
    He, Zhang, Ren and Sun, Deep residual learning for image recognition, CVPR 2016.

    Examples
    --------
    >>> model = small_resnet()
    >>> model.build((256, 256, 1)), model.count_params
    ((3,), 309075)
    """
    filters = _checked_widths("small_resnet", classes, filters)
    if not isinstance(blocks, int) or blocks < 1:
        raise ValueError(f"small_resnet needs at least 1 block a stage, got {brief(blocks)}")
    layers = _normalized_convolution(filters[0], strides=2, momentum=momentum)
    for stage, width in enumerate(filters):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            branch = _normalized_convolution(width, strides, momentum=momentum)
            branch += _normalized_convolution(width, momentum=momentum)[:-1]
            shortcut: list[Layer] | None = None
            if strides == 2:
                shortcut = [Conv2D(width, 1, strides=2, padding="same", use_bias=False), BatchNorm(momentum)]
            layers.append(Residual(branch, shortcut, activation="relu"))
    return Sequential([*layers, *_averaging_head(classes, dropout)], seed=seed, name="small_resnet")


def deep_encoder(
    classes: int = 3,
    filters: Sequence[int] = (16, 32, 64, 128, 256),
    dropout: float = 0.5,
    momentum: float = 0.9,
    seed: int = 0,
) -> Sequential:
    """The contracting half of a U-Net with batch normalisation, and a classifier where its decoder would begin.

    ::

        for f in filters:   2 x (Conv f (3x3, same), BatchNorm, ReLU), then 2x2 max-pool except after the last
        Dropout after the last block, global average, Dense softmax

    The widest network here: the same idea as `small_vgg`, one level deeper, with heavy dropout on the feature maps
    themselves instead of on their averages.

    Parameters
    ----------
    classes, momentum, seed
        As of `small_vgg`, and so are result and errors.
    filters : sequence of int
        Filters of each level.
    dropout : float
        Share of the deepest feature maps' values dropped in training.

    References
    ----------
    Ronneberger, Fischer and Brox, U-Net: convolutional networks for biomedical image segmentation, MICCAI 2015;
    Ioffe and Szegedy, Batch normalization, ICML 2015.

    Examples
    --------
    >>> model = deep_encoder()
    >>> model.build((256, 256, 1)), model.count_params
    ((3,), 1182227)
    """
    layers = _pairs_of_convolutions(_checked_widths("deep_encoder", classes, filters), momentum)
    layers[-1:] = [Dropout(dropout), GlobalAveragePool2D(), Dense(classes, activation="softmax")]
    return Sequential(layers, seed=seed, name="deep_encoder")


def film_cnn(
    classes: int = 3, filters: Sequence[int] = (16, 32, 64, 128, 128), dropout: float = 0.2, seed: int = 0
) -> Sequential:
    """One 3x3 convolution a level, batch-normalised, and a global average: the network of `tinycnn.study.recipe`.

    ::

        for f in filters:   Conv f (3x3, same, no bias), BatchNorm, ReLU, 2x2 max-pool except after the last
        global average, Dropout, Dense softmax

    The first convolution has stride 2: films need breadth of view more than sharpness.  Of 96x96 pixels 3x3 places
    remain, each of which sees 153x153 pixels, nearly the whole film.  Initial weights are He-normal.

    Parameters
    ----------
    classes, dropout, seed
        As of `small_vgg`, and so are result and errors.
    filters : sequence of int
        Filters of each level.

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
    for level, width in enumerate(_checked_widths("film_cnn", classes, filters)):
        # An epoch of 251 films has 16 steps: moving averages of momentum 0.99 would lag six epochs behind.
        layers += [*_normalized_convolution(width, 1 if level else 2, momentum=0.9, epsilon=1e-5), MaxPool2D(2)]
    return Sequential([*layers[:-1], *_averaging_head(classes, dropout)], seed=seed, name="film_cnn")


def _pairs_of_convolutions(filters: Sequence[int], momentum: float) -> list[Layer]:
    layers: list[Layer] = []
    for width in filters:
        layers += _normalized_convolution(width, momentum=momentum) + _normalized_convolution(width, momentum=momentum)
        layers.append(MaxPool2D(2))
    return layers


def _normalized_convolution(filters: int, strides: int = 1, *, momentum: float, epsilon: float = 1e-3) -> list[Layer]:
    """Convolution 3x3, normalisation, ReLU; no bias, since the normalisation has its own (`beta`)."""
    convolution = Conv2D(filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal")
    return [convolution, BatchNorm(momentum, epsilon), ReLU()]


def _averaging_head(classes: int, dropout: float) -> list[Layer]:
    """Global average, dropout of its features, softmax."""
    return [GlobalAveragePool2D(), Dropout(dropout), Dense(classes, activation="softmax")]


def _checked_widths(name: str, classes: int, filters: Sequence[int]) -> tuple[int, ...]:
    """`filters` as a tuple; ValueError in the network's `name` for none of them, or fewer than 2 classes."""
    if positive_int(classes, f"{name}: classes") < 2:
        raise ValueError(f"{name} needs at least 2 classes, got {classes}")
    if not (filters := tuple(listed(filters, f"{name}: filters"))):
        raise ValueError(f"{name} needs filters for at least one convolution, such as (16, 32, 64)")
    return filters
