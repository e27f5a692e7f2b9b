"""Models and checkpoints as one `.npz` file each: arrays by name and one JSON text, never a pickle."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.files import atomic_write
from tinycnn.layers.registry import describe, restore
from tinycnn.walk import weights_of

if TYPE_CHECKING:
    from tinycnn.model import Sequential

Path = str | os.PathLike[str]
HEADER = "tinycnn"  # name of the JSON text inside the file
VERSION = 1


def write_npz(path: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` and the JSON-able dict `header` to `path`, whole or not at all.

    Equal contents give equal bytes: the zip entries carry a fixed date.

    Raises
    ------
    OSError
        Naming `path`, if it cannot be written; an older file there is left as it was.
    ValueError
        If `header` holds something that JSON has no notion of.
    """
    try:
        text = json.dumps({"version": VERSION, **header}, default=_plain)
    except TypeError as error:
        raise ValueError(f"cannot write {path}: {error}; use numbers, texts, lists and dicts of them") from error
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{HEADER: np.array(text), **arrays})  # type: ignore[arg-type]


def read_npz(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The pair ``(header, arrays)`` that `write_npz` stored.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, of a newer version or not one of tinycnn's.
    """
    try:
        if not zipfile.is_zipfile(path) and not os.path.isdir(path):
            open(path, "rb").close()  # says so, if there is no such file or nobody may read it
            raise ValueError("a model is a .npz, which is a zip file, and this is none (or it was cut off)")
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile) or HEADER not in file.files:
                raise ValueError("it has no tinycnn header")
            header = json.loads(file[HEADER].item())
            if header["version"] > VERSION:
                raise ValueError(f"it has format version {header['version']}, this tinycnn reads up to {VERSION}")
            return header, {key: file[key] for key in file.files if key != HEADER}
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OSError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{path} is not a whole tinycnn file: {error}") from error


def describe_model(model: "Sequential") -> dict[str, Any]:
    """What it takes to make a built `Sequential` again, weights aside, as a JSON-able dict."""
    return {
        "name": model.name,
        "seed": model.seed,
        "dtype": model.dtype.name,
        "input_shape": list(model.input_shape),
        "layers": [describe(layer) for layer in model.layers],
        "frozen": [layer.name for layer in model.all_layers() if not layer.trainable],
    }


def load_model(cls: type["Sequential"], path: Path) -> "Sequential":
    """A `cls` (`Sequential`) like the one saved at `path`, with its weights; errors as of `Sequential.load`."""
    header, arrays = read_npz(path)
    try:
        stored = header["architecture"]
        model = cls([restore(layer) for layer in stored["layers"]], seed=stored["seed"], name=stored["name"])
        model.metadata = header["metadata"]
        for layer in model.all_layers():
            layer.initialize = False
        model.build(stored["input_shape"], dtype=stored["dtype"])
        for layer in model.all_layers():
            layer.initialize = True
        for frozen in stored["frozen"]:
            model.get_layer(frozen).trainable = False
    except KeyError as error:
        raise ValueError(f"{path} holds no tinycnn model: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    model.set_weights(weights_of(arrays), source=str(path))
    return model


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays (of a layer's arguments, of a generator's state) as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be stored")
