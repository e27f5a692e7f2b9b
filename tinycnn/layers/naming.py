"""Names of layers: Keras's, unique within their owner, with the owner's in front of a sublayer's."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinycnn.summary import keras_class

if TYPE_CHECKING:
    from tinycnn.layers.base import Layer


def name_layers(layers: Sequence["Layer"], owner: "Layer | None" = None) -> None:
    """Give every layer its index in the model and a name: ``conv2d``, ``conv2d_1``; ``residual/conv2d`` of a block.

    Parameters
    ----------
    layers : sequence of Layer
        Those of a model, or the sublayers of `owner`.
    owner : Layer, optional
        Named already, unless it stands alone.

    Raises
    ------
    ValueError
        If two layers have one name, or one has a "/" in it.
    """
    prefix = f"{owner.name}/" if owner is not None and owner.name else ""
    # A layer that moves to another model keeps its name there; within a block, only the name that the user gave it.
    given = [layer.given_name for layer in layers]
    if owner is None:
        given = [layer.given_name or (None if "/" in (layer.name or "") else layer.name) for layer in layers]
    for name, times in Counter(filter(None, given)).items():
        if times > 1:
            raise ValueError(f"{times} layers are called {name!r}; names must differ, since they key the weights")
        if "/" in name:
            raise ValueError(f"layer name {name!r} has a '/', which is what separates a layer from its parameters")
    numbers: Counter[str] = Counter()
    for i, (layer, own) in enumerate(zip(layers, given, strict=True)):
        layer.index = i if owner is None else owner.index
        while not own:
            stem = snake_case(keras_class(layer))
            name = f"{stem}_{numbers[stem]}" if numbers[stem] else stem
            numbers[stem] += 1
            own = None if name in given else name
        layer.name = prefix + own
        name_layers(layer.sublayers(), layer)


def snake_case(class_name: str) -> str:
    """Keras's default layer names: ``Conv2D -> conv2d``, ``MaxPooling2D -> max_pooling2d``.

    >>> snake_case("Conv2D"), snake_case("MaxPooling2D"), snake_case("BatchNormalization")
    ('conv2d', 'max_pooling2d', 'batch_normalization')
    """
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
