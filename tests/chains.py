"""Networks with every layer that converts, with weights that are all different, and inputs for them."""

import numpy as np

from tinycnn.layers import (
    ELU,
    GELU,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    GlobalMaxPool2D,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    ReLU6,
    Rescaling,
    Reshape,
    Residual,
    SeparableConv2D,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    UpSample2D,
    ZeroPadding2D,
)
from tinycnn.model import Sequential

SHAPE = (9, 7, 4)
CHAINS = {
    "plain": lambda: [Conv2D(6, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(5, activation="softmax")],
    "convolutions": lambda: [
        Conv2D(8, (3, 2), strides=2, padding="same", groups=2, use_bias=False),
        BatchNorm(0.9, 1e-4),
        LeakyReLU(0.1),
        Conv2D(16, 3, padding=((2, 0), (1, 1)), dilation_rate=2, groups=8, activation="tanh"),
    ],
    "transposed": lambda: [
        Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu"),
        Conv2DTranspose(4, 2, strides=3),
        Conv2DTranspose(2, (3, 4), strides=2, padding="valid", activation="sigmoid"),
    ],
    "pools": lambda: [
        MaxPool2D(3, strides=2, padding="same"),
        AveragePool2D(2, strides=1, padding="valid"),
        UpSample2D((2, 3)),
        UpSample2D(2, "bilinear"),
        MaxPool2D(2, padding="same"),
        GlobalAveragePool2D(),
        Dense(3),
    ],
    "flattened": lambda: [
        Flatten(),
        BatchNorm(),
        Dropout(0.3),
        Dense(12, activation="relu"),
        Dense(24),
        LeakyReLU(),
        Reshape((2, 4, 3)),
        Conv2D(2, 3, padding="same"),
    ],
    "parallel": lambda: [
        Parallel([[Conv2D(2, 1)], [Conv2D(3, 3, padding="same", activation="relu"), BatchNorm()], []]),
        Parallel([[], [Conv2D(9, 1)], [Sigmoid()]], "add", "relu"),
        Parallel([[], [BatchNorm(), LeakyReLU(), Conv2D(4, 3, padding="same")]]),
        Conv2D(1, 1),
    ],
    "smooth": lambda: [
        Rescaling(0.5, 0.25),
        Conv2D(4, 3, padding="same", activation="gelu"),
        ELU(0.5),
        LayerNorm(1e-4),
        DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, activation="silu"),
        Softplus(),
        ZeroPadding2D(((1, 0), (0, 2))),
        MaxPool2D(2, strides=1),
        SeparableConv2D(6, 3, padding="same", activation="tanh"),
        Tanh(),
        GlobalMaxPool2D(),
        Dense(7),
        LayerNorm(),
        SiLU(),
        GELU(),
        Rescaling(9.0),
        ReLU6(),
        Dense(5, activation="elu"),
    ],
    "ends": lambda: [ZeroPadding2D(1), GlobalMaxPool2D(keepdims=True), Flatten(), LayerNorm(), Dense(3, "softplus")],
    "residual": lambda: [
        Conv2D(4, 1),
        Residual([Conv2D(4, 3, padding="same"), BatchNorm(), Sigmoid()]),
        Residual([Residual([Conv2D(4, 3, padding=1)], activation="relu"), Conv2D(6, 1)], [Conv2D(6, 1)], "relu"),
        GlobalAveragePool2D(keepdims=True),
        Flatten(),
        Residual([Dense(6)]),
    ],
}


def network(name, dtype=np.float64, shape=SHAPE):
    """The built model; no two of its numbers are equal, and none is at its initial value."""
    model = Sequential(CHAINS[name](), name=name)
    model.build(shape, dtype)
    rng = np.random.default_rng(5)
    weights = {key: rng.normal(size=a.shape) * 0.4 for key, a in model.get_weights().items()}
    model.set_weights({key: abs(a) + 0.5 if "variance" in key else a for key, a in weights.items()})
    return model


def images(dtype=np.float64, shape=SHAPE):
    return np.random.default_rng(6).normal(size=(3, *shape)).astype(dtype)


def differ(ours, theirs):
    """The largest difference, relative to the largest number."""
    assert ours.shape == theirs.shape
    return abs(ours - theirs).max() / abs(theirs).max()
