"""All of a training run in one file, so that a killed run continues to the very bits of an uninterrupted one."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.serialization import Path, read_npz, write_npz
from tinycnn.training.objective import Totals
from tinycnn.walk import weights_of

if TYPE_CHECKING:
    from tinycnn.training.callbacks import Callback
    from tinycnn.training.loop import Training


def save_checkpoint(path: Path, training: "Training") -> None:
    """Write model, optimizer, generator states, callbacks, history and position of `training` to `path`, atomically.

    `Sequential.load` and `load_weights` read the model out of such a file too.

    Parameters
    ----------
    path : path-like
        A ``.npz``.
    training : Training
        Between two batches.

    Raises
    ------
    OSError
        Naming `path`; an older checkpoint there stays whole.
    """
    header, arrays = training.model.contents()
    states = {f"callbacks/{key}": callback.state_dict() for key, callback in _keyed(training.callbacks)}
    states["optimizer"] = training.optimizer.state_dict()
    scalars = {}
    for owner, state in states.items():
        for key, value in state.items():
            if isinstance(value, np.ndarray | np.generic):
                arrays[f"{owner}/{key}"] = np.asarray(value)
            else:
                scalars[f"{owner}/{key}"] = value
    if training.order is not None:
        arrays["order"] = training.order
    header["training"] = {
        **_same_run(training),
        "epoch": training.epoch,
        "batch": training.batch,
        "totals": vars(training.totals),
        "history": dict(training.history),
        "generators": {name: rng.bit_generator.state for name, rng in _generators(training).items()},
        "state": scalars,
    }
    write_npz(path, header, arrays)


def load_checkpoint(path: Path, training: "Training") -> Callable[[], None]:
    """Bring `training` to the point at which `path` was written.

    Returns
    -------
    callable
        To be called once the callbacks have begun: gives them their states.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged or no checkpoint, or if the run differs from this one in its layers, number of
        images, batch size, shuffling, loss or optimizer class.
    """
    header, arrays = read_npz(path)
    if "training" not in header:
        raise ValueError(f"{path} holds a model but no training run, so there is nothing to resume; use load_weights")
    stored = header["training"]
    _compare_architectures(path, header["architecture"], training.model.architecture())
    for key, now in _same_run(training).items():
        if stored[key] != now:
            raise ValueError(f"cannot resume {path}: it was written with {key} {stored[key]!r}, this run has {now!r}")
    generators = _generators(training)
    if generators.keys() != stored["generators"].keys():
        raise ValueError(
            f"cannot resume {path}: it has random generators {sorted(stored['generators'])}, "
            f"this run has {sorted(generators)}"
        )
    training.model.set_weights(weights_of(arrays), source=str(path))
    training.optimizer.load_state_dict(_state("optimizer", stored["state"], arrays))
    for name, rng in generators.items():
        rng.bit_generator.state = stored["generators"][name]
    training.history.update(stored["history"])
    training.epoch, training.batch = stored["epoch"], stored["batch"]
    training.totals, training.order = Totals(**stored["totals"]), arrays.get("order")

    def restore_callbacks() -> None:
        for key, callback in _keyed(training.callbacks):
            state = _state(f"callbacks/{key}", stored["state"], arrays)
            if state:
                callback.load_state_dict(state)

    return restore_callbacks


def _same_run(training: "Training") -> dict[str, Any]:
    """What must not change between a run and its continuation, besides the layers."""
    return {
        "number of images": training.images,
        "batch size": training.batch_size,
        "shuffle": training.shuffle,
        "loss": type(training.loss).__name__,
        "optimizer": type(training.optimizer).__name__,
    }


def _generators(training: "Training") -> dict[str, np.random.Generator]:
    return {"training": training.rng, **training.model.generators()}


def _keyed(callbacks: Sequence["Callback"]) -> Iterator[tuple[str, "Callback"]]:
    """Callbacks with keys that survive adding one of another class: class name and number within the class."""
    seen: dict[str, int] = {}
    for callback in callbacks:
        name = type(callback).__name__
        seen[name] = seen.get(name, -1) + 1
        yield f"{name}{seen[name]}", callback


def _state(owner: str, scalars: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    prefix = f"{owner}/"
    found = {key.removeprefix(prefix): value for key, value in scalars.items() if key.startswith(prefix)}
    for key, array in arrays.items():
        if key.startswith(prefix):
            found[key.removeprefix(prefix)] = array if array.ndim else array[()]
    return found


def _compare_architectures(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    ours = json.loads(json.dumps(ours))  # tuples become lists, as in the file
    for key in ("input_shape", "dtype", "frozen"):
        if theirs[key] != ours[key]:
            raise ValueError(f"cannot resume {path}: its model has {key} {theirs[key]}, this one {ours[key]}")
    if len(theirs["layers"]) != len(ours["layers"]):
        raise ValueError(
            f"cannot resume {path}: its model has {len(theirs['layers'])} layers, this one {len(ours['layers'])}"
        )
    for i, (their, our) in enumerate(zip(theirs["layers"], ours["layers"], strict=True)):
        if their != our:
            raise ValueError(f"cannot resume {path}: layer {i} of its model is {their}, of this one {our}")
