"""A model as what a file holds, and back: architecture as JSON, weights as arrays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinycnn.arguments import flag
from tinycnn.files import PathLike
from tinycnn.layers.registry import describe, restore
from tinycnn.npz import field, read_npz
from tinycnn.walk import weights_of

if TYPE_CHECKING:
    from tinycnn.model import Sequential
    from tinycnn.stack import Stack

Model = TypeVar("Model", bound="Sequential")


def describe_model(model: "Stack") -> dict[str, Any]:
    """What it takes to make a built `Sequential` again, weights aside, as a JSON-able dict."""
    return {
        "name": model.name,
        "seed": model.seed,
        "dtype": model.dtype.name,
        "input_shape": list(model.input_shape),
        "layers": [describe(layer) for layer in model.layers],
        "frozen": [layer.name for layer in model.all_layers() if not layer.trainable],
    }


def load_model(cls: type[Model], path: PathLike, allow_nonfinite: bool = False) -> Model:
    """A `cls` (`Sequential`) like the one saved at `path`, with its weights; errors as of `Sequential.load`."""
    header, arrays = read_npz(path)
    metadata = field(header, "metadata", dict, str(path))
    model = _build(cls, field(header, "architecture", dict, f"{path} holds no tinycnn model"), path)
    model.metadata = metadata
    load_weights(model, arrays, path, allow_nonfinite)
    return model


def load_weights(
    model: "Stack", arrays: Mapping[str, np.ndarray], path: PathLike, allow_nonfinite: bool = False
) -> None:
    """Copy the weights among the `arrays` of the file at `path` into `model`, all or none.

    Raises
    ------
    ValueError
        As of `Sequential.set_weights`; and for NaN and infinity, unless `allow_nonfinite`.
    """
    weights = weights_of(arrays)
    for key, array in weights.items() if not flag(allow_nonfinite, "allow_nonfinite") else ():
        with np.errstate(over="ignore"):  # of float64 that float32 cannot hold
            if array.dtype.kind == "f" and not np.isfinite(array.astype(model.dtype, copy=False)).all():
                layer, _, what = key.rpartition("/")
                hint = "Sequential.load(path, allow_nonfinite=True) takes it"
                raise ValueError(f"{path}: layer '{layer}' has NaN or infinity in its {what}; {hint}")
    model.set_weights(weights, source=str(path))


def _build(cls: type[Model], stored: dict[str, Any], path: PathLike) -> Model:
    """The model that a file describes, weights at zero.  Zeros nobody has touched take no memory, so that a file which
    claims a layer larger than its weights is refused, when shapes are compared, at no cost."""
    where = f"{path}: architecture"
    layers = []
    for i, spec in enumerate(field(stored, "layers", list, where)):
        field(spec, "config", dict, f"{where}: layer {i}")
        try:
            layers.append(restore(spec))
        except Exception as error:  # a constructor, maybe of a class of the user's: it can raise anything
            raise ValueError(f"{path}: {_said(error)} (layer {i})") from error
    seed, name = field(stored, "seed", int, where, least=0), field(stored, "name", str, where)
    shape, dtype = field(stored, "input_shape", list, where), field(stored, "dtype", str, where)
    frozen = field(stored, "frozen", list, where)
    try:
        model = cls(layers, seed=seed, name=name)
        for layer in model.all_layers():
            layer.initialize = False
        model.build(shape, dtype=dtype)
        for layer in model.all_layers():
            layer.initialize = True
        for layer_name in frozen:
            model.get_layer(layer_name).trainable = False
    except Exception as error:  # likewise
        raise ValueError(f"{path}: {_said(error)}") from error
    return model


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
