"""tinycnn's layers under Keras's names."""

from typing import Any

from tinycnn.layers import (
    ELU,
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
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    ReLU,
    Rescaling,
    Reshape,
    Residual,
    SeparableConv2D,
    Softmax,
    UpSample2D,
    ZeroPadding2D,
)
from tinycnn.layers.activation import get
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.symbol import Symbol
from tinycnn.lazy import missing

__getattr__ = missing(__name__)

MaxPooling2D = MaxPool2D
AveragePooling2D = AvgPool2D = AveragePool2D
GlobalAveragePooling2D = GlobalAvgPool2D = GlobalAveragePool2D
GlobalMaxPooling2D = GlobalMaxPool2D
BatchNormalization = BatchNorm
LayerNormalization = LayerNorm
UpSampling2D = UpSample2D
Convolution2D = Conv2D

__all__ = [
    "ELU", "Activation", "Augmentation", "AveragePool2D", "AveragePooling2D", "AvgPool2D", "BatchNorm",
    "BatchNormalization", "Conv2D", "Conv2DTranspose", "Convolution2D", "Dense", "DepthwiseConv2D", "Dropout",
    "Flatten", "GlobalAveragePool2D", "GlobalAveragePooling2D", "GlobalAvgPool2D", "GlobalMaxPool2D",
    "GlobalMaxPooling2D", "Input", "Layer", "LayerNorm", "LayerNormalization", "LeakyReLU", "MaxPool2D",
    "MaxPooling2D", "Parallel", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation",
    "RandomZoom", "ReLU", "Rescaling", "Reshape", "Residual", "SeparableConv2D", "Softmax", "UpSample2D",
    "UpSampling2D", "ZeroPadding2D", "add", "concatenate",
]  # fmt: skip


def Input(shape: tuple[int, ...], name: str | None = None) -> Symbol:
    """Where a network begins: first in a `Sequential`, or what the first layer of a functional model is called with."""
    return Symbol("input", shape=tuple(shape))


def add(symbols: list[Symbol]) -> Symbol:
    """The sum of two or more places; `Model` makes a `Residual` or `Parallel` of what lies between."""
    return Symbol("add", symbols)


def concatenate(symbols: list[Symbol]) -> Symbol:
    """Two or more places side by side along the channels; `Model` makes a `Parallel` of what lies between."""
    return Symbol("concatenate", symbols)


def Activation(activation: str | Layer) -> Layer:
    """The layer that an activation's name stands for."""
    found = get(activation)
    return Rescaling(1.0) if found is None else found


def RandomFlip(mode: str = "horizontal_and_vertical") -> Augmentation:
    """Each image mirrored with probability 1/2, "horizontal" (left to right), "vertical", or each of both."""
    modes = ("horizontal", "vertical", "horizontal_and_vertical")
    if mode not in modes:
        raise ValueError(f"RandomFlip: mode must be one of {', '.join(modes)}, got {mode!r}")
    return Augmentation(flip=0.5 * ("horizontal" in mode), vertical_flip=0.5 * ("vertical" in mode))


def RandomRotation(factor: float, fill_mode: str = "reflect", fill_value: float = 0.0) -> Augmentation:
    """Rotated by up to `factor` whole turns either way."""
    return _augmentation("RandomRotation", factor, fill_mode, fill_value, rotation=360)


def RandomZoom(
    height_factor: float, width_factor: float | None = None, fill_mode: str = "reflect", fill_value: float = 0.0
) -> Augmentation:
    """Magnified or made smaller by up to that factor, height and width together."""
    if width_factor not in (None, height_factor):
        raise ValueError("RandomZoom: height_factor and width_factor must be equal; see tinycnn.data.Augment")
    return _augmentation("RandomZoom", height_factor, fill_mode, fill_value, zoom=1)


def RandomTranslation(
    height_factor: float, width_factor: float, fill_mode: str = "reflect", fill_value: float = 0.0
) -> Augmentation:
    """Shifted by up to that share of height and width, which must be one here."""
    if height_factor != width_factor:
        raise ValueError("RandomTranslation: height_factor and width_factor must be equal; see tinycnn.data.Augment")
    return _augmentation("RandomTranslation", height_factor, fill_mode, fill_value, shift=1)


def RandomContrast(factor: float) -> Augmentation:
    """Differences from each channel's mean multiplied by a factor from ``1 - factor`` to ``1 + factor``."""
    return _augmentation("RandomContrast", factor, contrast=1)


def _augmentation(
    name: str, factor: Any, fill_mode: str = "constant", fill_value: float = 0.0, **units: float
) -> Augmentation:
    """`Augmentation` with the one option in `units`, of that many units per `factor`."""
    lower, upper = factor if isinstance(factor, (tuple, list)) else (-factor, factor)
    if lower != -upper:
        raise ValueError(f"{name}: factor must reach as far either way, such as {upper} or (-{upper}, {upper})")
    options: dict[str, Any] = {key: upper * unit for key, unit in units.items()}
    return Augmentation(**options, fill_mode=fill_mode, fill_value=fill_value)
