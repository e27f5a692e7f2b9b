"""Layers as what JSON can hold, and back."""

import importlib
from typing import Any

from tinycnn.arguments import brief
from tinycnn.layers.base import Layer


def describe(layer: Layer | None) -> Any:
    """A layer's architecture as a JSON-able dict ``{"class": ..., "config": {...}}``; None stays None.

    A name that the layer carries is kept under ``"name"``; weights are not part of it.

    >>> from tinycnn.layers import LeakyReLU
    >>> describe(LeakyReLU(0.1))
    {'class': 'LeakyReLU', 'config': {'negative_slope': 0.1}}
    """
    if layer is None:
        return None
    spec = {"class": type(layer).__name__, "config": layer.config()}
    return spec if layer.name is None else {**spec, "name": layer.name}


def restore(spec: Layer | dict[str, Any]) -> Layer:
    """A new, unbuilt layer from what `describe` returned; a layer is returned as it is.

    Raises
    ------
    ValueError
        If `spec` is neither, or names a class that no imported module defines.

    Examples
    --------
    >>> restore({"class": "LeakyReLU", "config": {"negative_slope": 0.1}})
    LeakyReLU(negative_slope=0.1)
    """
    if isinstance(spec, Layer):
        return spec
    if not isinstance(spec, dict) or not {"class", "config"} <= spec.keys():
        raise ValueError(f'expected a layer or a dict {{"class": ..., "config": {{...}}}}, got {brief(spec)}')
    if spec["class"] not in Layer.registry:
        # A class registers itself when its module is imported, and a saved architecture may name any of them.
        package = importlib.import_module("tinycnn.layers")
        for name in package.__all__:
            getattr(package, name)
    if spec["class"] not in Layer.registry:
        raise ValueError(
            f"unknown layer class {spec['class']!r}: import the module that defines it first; "
            f"known are {', '.join(sorted(Layer.registry))}"
        )
    try:
        layer = Layer.registry[spec["class"]](**spec["config"])
    except TypeError as error:  # arguments missing, or too many
        raise ValueError(f"{spec['class']}: {error}") from error
    if spec.get("name") is not None:
        layer.name, layer.given_name = spec["name"], spec["name"].rpartition("/")[2]
    return layer
