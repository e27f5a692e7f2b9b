"""One pass through a model at a time in this process.  Without numba, so that models can take it with any kernels."""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_LOCK = threading.RLock()
Function = TypeVar("Function", bound=Callable[..., Any])


def one_at_a_time(function: Function) -> Function:
    """`function`, entered by one Python thread at a time: a training step or a prediction uses a model's memory alone.

    >>> @one_at_a_time
    ... def pass_through(x):
    ...     return x
    >>> pass_through(3)
    3
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _LOCK:
            return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def _forget() -> None:
    """A forked child may have a lock that another of its parent's threads held."""
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
