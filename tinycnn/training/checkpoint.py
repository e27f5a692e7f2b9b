"""All of a training run in one file, so that a killed run continues to the very bits of an uninterrupted one."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.files import PathLike
from tinycnn.npz import field, read_npz, write_npz
from tinycnn.serialization import load_weights
from tinycnn.training.objective import Totals

if TYPE_CHECKING:
    from tinycnn.training.callbacks import Callback
    from tinycnn.training.loop import Training


def save_checkpoint(path: PathLike, training: "Training") -> None:
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


def load_checkpoint(path: PathLike, training: "Training") -> Callable[[], None]:
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
    where = f"{path}: training"
    stored = field(header, "training", dict, str(path))
    _compare_architectures(path, field(header, "architecture", dict, str(path)), training.model.architecture())
    for key, now in _same_run(training).items():
        if (theirs := field(stored, key, (str, int, bool), where)) != now:
            raise ValueError(f"cannot resume {path}: it was written with {key} {theirs!r}, this run has {now!r}")
    totals, order = _totals(field(stored, "totals", dict, where), f"{where}: totals"), arrays.get("order")
    history, epoch = field(stored, "history", dict, where), field(stored, "epoch", int, where, least=0)
    for key in history:
        if any(type(value) not in (int, float) for value in field(history, key, list, f"{where}: history")):
            raise ValueError(f"{where}: history: {key!r} must be a list of numbers, got {str(history[key])[:80]}")
    batch = field(stored, "batch", int, where, least=0)
    if order is not None and not np.array_equal(np.sort(order, axis=None), np.arange(training.images)):
        raise ValueError(f"{path}: 'order' must have each of the {training.images} images once")
    if batch > 0 and order is None or batch * training.batch_size >= training.images + training.batch_size:
        raise ValueError(f"{where}: batch {batch} is none of an epoch of {training.images} images")
    states = field(stored, "generators", dict, where)
    generators = _generators(training)
    if generators.keys() != states.keys():
        raise ValueError(
            f"cannot resume {path}: it has random generators {sorted(states)}, this run has {sorted(generators)}"
        )
    for name, rng in generators.items():
        try:  # on another one, so that nothing is changed by what is refused
            type(rng.bit_generator)().state = states[name]
        except Exception as error:  # NumPy raises much: TypeError, KeyError, OverflowError, ...
            raise ValueError(f"{where}: generator {name!r}: {type(error).__name__}: {error}") from error
    scalars = field(stored, "state", dict, where)
    load_weights(training.model, arrays, path)
    try:
        training.optimizer.load_state_dict(_state("optimizer", scalars, arrays))
    except Exception as error:  # it may be of a class of the user's, which can raise anything
        raise ValueError(f"cannot resume {path}: the state of its optimizer: {error}") from error
    for name, rng in generators.items():
        rng.bit_generator.state = states[name]
    training.history.update(history)
    training.epoch, training.batch, training.totals, training.order = epoch, batch, totals, order

    def restore_callbacks() -> None:
        for key, callback in _keyed(training.callbacks):
            state = _state(f"callbacks/{key}", scalars, arrays)
            try:
                if state:
                    callback.load_state_dict(state)
            except Exception as error:  # likewise
                said = f"{type(error).__name__}: {error}"
                raise ValueError(f"cannot resume {path}: the state of its callback {key}: {said}") from error

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


def _totals(stored: dict[str, Any], where: str) -> Totals:
    stored = {**vars(Totals()), **stored}  # files of 0.1.0 lack one
    right = field(stored, "right", (float, type(None)), where)
    seen, loss = field(stored, "seen", int, where, least=0), field(stored, "loss", float, where)
    return Totals(seen, loss, right, field(stored, "seconds", float, where, least=0))


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


def _compare_architectures(path: PathLike, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    ours = json.loads(json.dumps(ours))  # tuples become lists, as in the file
    where = f"{path}: architecture"
    for key in ("input_shape", "dtype", "frozen"):
        if field(theirs, key, (list, str), where) != ours[key]:
            raise ValueError(f"cannot resume {path}: its model has {key} {theirs[key]}, this one {ours[key]}")
    if len(field(theirs, "layers", list, where)) != len(ours["layers"]):
        raise ValueError(
            f"cannot resume {path}: its model has {len(theirs['layers'])} layers, this one {len(ours['layers'])}"
        )
    for i, (their, our) in enumerate(zip(theirs["layers"], ours["layers"], strict=True)):
        if their != our:
            raise ValueError(f"cannot resume {path}: layer {i} of its model is {their}, of this one {our}")
