"""Arguments of optimizers, schedules and losses: checked, shown by ``repr``, and chosen by Keras's names."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def number(value: Any, what: str, below: float = math.inf) -> float:
    """`value` as a float, if it is a number from 0 on and smaller than `below`; `what` is how an error calls it.

    >>> number(1, "SGD: learning_rate")
    1.0

    Raises
    ------
    ValueError
        If it is no such number.
    """
    try:
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not 0 <= result < below:
        wanted = "finite and not negative" if below == math.inf else f"in [0, {below:g})"
        raise ValueError(f"{what} must be {wanted}, got {value!r}")
    return result


def whole_number(value: Any, what: str, below: float = math.inf) -> int:
    """`value` as an int, if it is a whole number from 1 on and smaller than `below`.

    >>> whole_number(1e3, "CosineDecay: decay_steps")
    1000

    Raises
    ------
    ValueError
        If it is no such number.
    """
    if not isinstance(value, str) and (result := number(value, what, below)) >= 1 and result.is_integer():
        return int(result)
    raise ValueError(f"{what} must be a positive whole number, got {value!r}")


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
        f"got {value!r}"
    )
