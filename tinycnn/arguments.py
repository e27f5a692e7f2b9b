"""What is asked of arguments, in one set of words; how objects are shown by ``repr`` and chosen by Keras's names.

Each check gives the value in the type that its code goes on with, or raises ValueError: `what` the argument is called,
what it must be, and what was given.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
MOST = 2**31 - 1  # that a size or a count may be


def brief(value: Any) -> str:
    """`value` in an error message: its ``repr`` if that is short, else the start of it; of an array its shape.

    >>> brief("same"), brief(np.zeros((2, 3)))
    ("'same'", 'an array of float64 (2, 3)')
    """
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {value.shape}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def number(value: Any, what: str, below: float = math.inf) -> float:
    """`value` as a float, if it is a number from 0 on and smaller than `below`.

    >>> number(1, "SGD: learning_rate")
    1.0
    """
    try:
        result = math.nan if isinstance(value, np.ndarray) and value.ndim else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not 0 <= result < below:
        wanted = "finite and not negative" if below == math.inf else f"in [0, {below:g})"
        raise ValueError(f"{what} must be {wanted}, got {brief(value)}")
    return result


def share(value: Any, what: str, most: float = 1.0) -> float:
    """`value` as a float, if it is a number from 0 to `most`, both included.

    >>> share(1, "BatchNorm: momentum")
    1.0
    """
    try:
        return number(value, what, math.nextafter(most, math.inf))
    except ValueError:
        raise ValueError(f"{what} must be from 0 to {most:g}, got {brief(value)}") from None


def positive(value: Any, what: str, below: float = math.inf) -> float:
    """`value` as a float, if it is a number above 0 and smaller than `below`.

    >>> positive(0.5, "confidence", below=1)
    0.5
    """
    try:
        if (result := number(value, what, below)) > 0:
            return result
    except ValueError:
        pass
    wanted = "positive" if below == math.inf else f"between 0 and {below:g}"
    raise ValueError(f"{what} must be {wanted}, got {brief(value)}")


def whole_number(value: Any, what: str, below: float = math.inf) -> int:
    """`value` as an int, if it is a whole number from 1 on and smaller than `below`.

    >>> whole_number(1e3, "CosineDecay: decay_steps")
    1000
    """
    if not isinstance(value, str) and (result := number(value, what, below)) >= 1 and result.is_integer():
        return int(result)
    raise ValueError(f"{what} must be a positive whole number, got {brief(value)}")


def positive_int(value: Any, what: str, most: float = MOST) -> int:
    """`value` as an int, if it is of such a type, above 0 and at most `most`.

    >>> positive_int(np.int64(3), "Dense: units")
    3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{what} must be a positive int, got {brief(value)}")
    if value > most:
        raise ValueError(f"{what} must be at most {most}, got {brief(value)}")
    return int(value)


def count(value: Any, what: str, most: float = MOST) -> int:
    """`value` as an int, if it is of such a type, 0 or above, and at most `most`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value <= most:
        raise ValueError(f"{what} must be an int from 0 to {most}, got {brief(value)}")
    return int(value)


def pair(value: Any, what: str) -> tuple[int, int]:
    """``3 -> (3, 3)``; a pair of positive ints stays as it is.

    >>> pair((2, 3), "Conv2D: kernel_size")
    (2, 3)
    """
    values = (
        tuple(value)
        if isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim)
        else (value, value)
    )
    try:
        rows, columns = (positive_int(v, what) for v in values)
    except ValueError:
        raise ValueError(f"{what} must be a positive int or a pair of them, got {brief(value)}") from None
    return rows, columns


def listed(value: Any, what: str) -> list[Any]:
    """The parts of a list, a tuple, an array, or whatever else can be gone through.

    >>> listed(("a", "b"), "class_names")
    ['a', 'b']
    """
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{what} must be a list, got {brief(value)}") from None


def flag(value: Any, what: str) -> bool:
    """What Python takes `value` for, true or false.

    >>> flag(1, "verbose")
    True

    Raises
    ------
    ValueError
        For an array of several numbers or none, which is neither.
    """
    try:
        return bool(value)
    except ValueError:
        raise ValueError(f"{what} must be one value, such as True or False, got {brief(value)}") from None


def one_of(value: Any, what: str, options: Sequence[str | None]) -> None:
    """Refuse what is none of the words `options`, of which one may be None.

    Raises
    ------
    ValueError
        Listing them.
    """
    if not isinstance(value, str | None) or value not in options:
        quoted = ["None" if option is None else f'"{option}"' for option in options]
        raise ValueError(f"{what} must be {' or '.join(quoted)}, got {brief(value)}")


def as_path(value: Any, what: str = "path") -> Path:
    """`value` as a Path.

    Raises
    ------
    TypeError
        If it is neither text nor a path.
    ValueError
        If it holds a null byte, which no file's name can.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{what} must be a str or a Path, got {brief(value)}")
    if "\0" in (text := os.fsdecode(value)):
        raise ValueError(f"{what} must not hold a null byte, got {brief(value)}")
    return Path(text)


def at_home(value: Any, what: str = "path") -> Path:
    """The same, with ``~`` or ``~user`` in front replaced by that user's folder, if there is one."""
    return Path(os.path.expanduser(as_path(value, what)))


def as_array(value: Any, what: str) -> np.ndarray:
    """`value` as an array, in whatever type it has.

    Raises
    ------
    ValueError
        For rows of different lengths, and for masked values, which NumPy would take as they are.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{what} holds masked values; leave them out, or put others in their place by filled()")
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{what} must be an array, with rows of one length, got {brief(value)}") from None


def numbers(value: Any, what: str) -> np.ndarray:
    """`value` as an array of numbers, in whatever type it has: no text, dates, objects, nor rows of different lengths.

    >>> numbers([[1, 2]], "images").shape
    (1, 2)
    """
    array = as_array(value, what)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be an array of numbers, got {brief(value)}")
    return array


def function(value: Any, what: str) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise ValueError(f"{what} must be a function, got {brief(value)}")


def float_type(value: Any, what: str) -> np.dtype:
    """`value` as one of the two types that everything is computed in.

    >>> float_type("float32", "Dense")
    dtype('float32')
    """
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError):
        dtype = None
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"{what}: dtype must be float32 or float64, got {brief(value) if dtype is None else dtype}")
    return dtype


def whole_shape(value: Any, what: str) -> tuple[int, ...]:
    """`value` as the shape of one input: ints above 0, one or more, whose product is at most `MOST`.

    >>> whole_shape([8, 8, 1], "Conv2D")
    (8, 8, 1)
    """
    try:
        shape = tuple(int(n) for n in value)
    except (TypeError, ValueError, OverflowError, np.ma.MaskError):
        raise ValueError(f"{what}: input shape must be a tuple of positive ints, got {brief(value)}") from None
    if min(shape, default=0) < 1:
        raise ValueError(f"{what}: input shape {brief(shape)} has an axis smaller than 1, or none")
    if math.prod(shape) > MOST:
        raise ValueError(f"{what}: input shape {brief(shape)} holds more than {MOST} numbers")
    return shape


def of_class(value: Any, kind: type, what: str) -> None:
    """Refuse what is no object of class `kind`."""
    if not isinstance(value, kind):
        raise ValueError(f"{what} must be of class {kind.__name__}, got {brief(value)}")


def generator(seed: Any, what: str = "seed") -> np.random.Generator:
    """NumPy's generator of `seed`: an int from 0 on, a sequence of such, a generator (itself), or None.

    >>> generator(3).integers(10)
    np.int64(8)
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} must be an int from 0 on, or None, got {brief(seed)}") from None


def shown(thing: Any) -> str:
    """The call that makes `thing` again, from its ``config()``: the ``repr`` of optimizers, schedules and losses.

    >>> from tinycnn.schedules import ExponentialDecay
    >>> shown(ExponentialDecay(0.5, 10, 0.25))
    'ExponentialDecay(initial_learning_rate=0.5, decay_steps=10, decay_rate=0.25, staircase=False)'
    """
    return f"{type(thing).__name__}({', '.join(f'{key}={value!r}' for key, value in thing.config().items())})"


def chosen(value: Any, what: str, kind: type[T], by_name: Mapping[str, type[T]]) -> T:
    """The object that the argument called `what` stands for: itself, or a new one of the class with that name.

    Parameters
    ----------
    value : object or str
    what : str
        For errors: "optimizer".
    kind : type
        What the object must be.
    by_name : mapping of str to type
        Classes that need no arguments.

    Raises
    ------
    ValueError
        For anything else, such as a class in place of an object, with what to write instead.

    Examples
    --------
    >>> from tinycnn.losses import Loss, MeanSquaredError
    >>> chosen("mse", "loss", Loss, {"mse": MeanSquaredError})
    MeanSquaredError()
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value in by_name:
        return by_name[value]()
    if isinstance(value, type) and issubclass(value, kind):
        raise ValueError(f"{what} must be an object, not a class: write {what}={value.__name__}()")
    example = next(iter(by_name.values())).__name__
    raise ValueError(
        f"{what} must be of class {kind.__name__}, an object such as {example}(), or one of {', '.join(by_name)}; "
        f"got {brief(value)}"
    )
