"""The one thread pool, the tasks it draws, the lock around it and the scratch memory behind it.

Every heavy loop runs in this pool: two pools (ours and a multi-threaded BLAS's) that alternate spin against each
other and cost 5 to 40 times the work.  A kernel is a numba function that releases the GIL; `run` calls it, the helper
threads that are awake join in (see `team`), and all draw task numbers from a shared counter, so a core that is
interrupted does not hold up the others.  What a task computes never depends on who computes it, which is why results
are bit-identical for any number of threads.

Why not numba's ``prange``: it compiles and optimises every kernel twice more (16 s against 5 s for the convolution),
its workqueue layer aborts the process when two Python threads enter it, and its OpenMP layer does not survive a fork.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.kernels.aligned import LINE, aligned_empty
from tinycnn.kernels.compile import IN_PYTHON, config
from tinycnn.kernels.team import FAILED, HELPERS, OPEN, add_helper, close, help_out, new_team

MAX_THREADS = 1024  # a typing error beyond it would cost memory for each thread before the system refused

_LOCK = threading.RLock()  # one kernel at a time: the scratch memory is shared, and two would only share the cores
_arena = np.empty(0, np.uint8)
_helpers = 0  # threads started; the caller is worker 0
_team = new_team(MAX_THREADS)
_words, _address = _team.data, _team.ctypes.data  # a third of the time of an array's numbers
_num_threads = min(config.NUMBA_NUM_THREADS, MAX_THREADS)
_shortage_said = False


def set_num_threads(n: int) -> None:
    """Use `n` threads in every kernel, at most 1024; at first it is ``NUMBA_NUM_THREADS``, by default one per core.

    If the system refuses to start so many, fewer are used, which is said once.

    >>> import tinycnn
    >>> tinycnn.set_num_threads(1)
    >>> tinycnn.get_num_threads()
    1
    """
    global _num_threads
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= MAX_THREADS:
        raise ValueError(f"set_num_threads({n!r}): the number of threads must be a positive int up to {MAX_THREADS}")
    with _LOCK:  # a running kernel has cut its scratch memory for the old number
        _num_threads = int(n)


def get_num_threads() -> int:
    """How many threads the kernels use."""
    return _num_threads


def _start_helpers(count):
    """See that there are `count` helpers, or as many as the system allows; how many there are."""
    global _helpers, _num_threads, _shortage_said
    while _helpers < count:
        _helpers = worker = _helpers + 1  # first of all: Ctrl-C must not leave two threads with one number
        try:
            add_helper(_team, worker)
            help_out(_team, worker, -1)  # compiled here: a short program would end before its helper has
            threading.Thread(target=help_out, args=(_team, worker, 0), daemon=True, name=f"tinycnn-{worker}").start()
        except (RuntimeError, MemoryError) as error:
            _helpers = worker - 1
            _num_threads = worker
            if not _shortage_said:
                _shortage_said = True
                reason = f"the system started no more ({error})"
                print(f"tinycnn: {_num_threads} threads instead of {count + 1}: {reason}", file=sys.stderr)
            return _helpers
    return count


def run(kernel: Callable[..., None], *args: object) -> None:
    """Call ``kernel(worker, *args)`` at the same time for worker 0 and those of ``range(get_num_threads())`` awake.

    Only inside a `locked` function.  `kernel`, compiled by `jit`, must draw all its work from a `task_counter`, see
    `tasks.tasks`: a worker whose thread is still asleep when worker 0 has finished is not waited for, since nothing is
    left to draw and waking up takes longer than many a kernel.

    A NamedTuple arrives as a plain tuple, from which the kernel makes it again: numba would look up its class at
    every call.
    """
    args = tuple([tuple(arg) if isinstance(arg, tuple) else arg for arg in args])
    if IN_PYTHON:
        _run_in_python(kernel, args)
        return
    _words[HELPERS] = _num_threads - 1 if _helpers >= _num_threads - 1 else _start_helpers(_num_threads - 1)
    try:
        kernel(0, *args)
    except BaseException:
        if _words[OPEN]:
            close(_team)
        _words[FAILED] = 0
        raise
    if _words[FAILED]:
        _words[FAILED] = 0
        raise RuntimeError(f"the kernel {kernel.__name__} failed in a helper thread; that may be for lack of memory")


def _run_in_python(kernel, args):
    """One worker does it all, so that a debugger meets one thread."""
    try:
        with np.errstate(all="ignore"):
            kernel(0, *args)
    except NotImplementedError as error:
        raise NotImplementedError(
            f"NUMBA_DISABLE_JIT=1: the kernel {kernel.__name__} consists of vector instructions, which Python lacks; "
            "unset the variable, or step through the same calculation in NumPy with TINYCNN_KERNELS=reference"
        ) from error


def _forget_threads():
    """A forked child has none of its parent's threads, and maybe a lock that one of them held."""
    global _LOCK, _team, _words, _address, _helpers
    _team, _helpers, _LOCK = new_team(MAX_THREADS), 0, threading.RLock()
    _words, _address = _team.data, _team.ctypes.data


os.register_at_fork(after_in_child=_forget_threads)


_Function = TypeVar("_Function", bound=Callable[..., object])


def locked(function: _Function) -> _Function:
    """One parallel region at a time in this process, whichever Python thread asks for it."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        with _LOCK:
            return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def scratch(dtype: DTypeLike, *sizes: int) -> tuple[np.ndarray, ...]:
    """Uninitialised 1-D arrays of the given sizes, cut from one arena that all kernels share and that only grows.

    Only valid inside a `locked` function, until it returns.
    """
    return _cut(np.dtype(dtype), sizes)


@functools.lru_cache(maxsize=256)
def _cut(dtype, sizes):
    global _arena
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += -(-size * dtype.itemsize // LINE) * LINE
    if _arena.size < end:
        _cut.cache_clear()
        _arena = np.empty(0, np.uint8)  # frees the old one before the new one is there
        _arena = aligned_empty(end, np.uint8)
    return tuple(_arena[s : s + n * dtype.itemsize].view(dtype) for s, n in zip(starts, sizes, strict=True))


def task_counter() -> np.ndarray:
    """A fresh shared counter from which workers draw their work, and the address of the team that may do so."""
    return np.array([0, _address if _num_threads > 1 else 0])
