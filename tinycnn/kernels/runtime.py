"""The one thread pool, the tasks it draws, the lock around it and the scratch memory behind it.

Every heavy loop runs in this pool: two pools (ours and a multi-threaded BLAS's) that alternate spin against each
other and cost 5 to 40 times the work.  A kernel is a numba function that releases the GIL; `run` calls it in every
thread that is awake, and the calls draw task numbers from a shared counter, so a core that is interrupted does not
hold up the others.  What a task computes never depends on who computes it, which is why results are bit-identical for
any number of threads.

Why not numba's ``prange``: it compiles and optimises every kernel twice more (16 s against 5 s for the convolution),
its workqueue layer aborts the process when two Python threads enter it, and its OpenMP layer does not survive a fork.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.kernels.aligned import LINE, aligned_empty
from tinycnn.kernels.compile import IN_PYTHON, config

MAX_THREADS = 1024  # a typing error beyond it would cost memory for each thread before the system refused

_LOCK = threading.RLock()  # one kernel at a time: the scratch memory is shared, and two would only share the cores
_arena = np.empty(0, np.uint8)
_helpers: list[SimpleQueue] = []  # what wakes each helper thread; the caller is thread 0
_running = None  # the `_Call` whose helpers may still be at work
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


class _Call:
    """One kernel in all the threads that wake for it.

    Everything a waiting thread asks of it can be asked again: Ctrl-C may strike between any two steps of Python, and
    an answer that was taken but not yet kept would be waited for for ever.
    """

    def __init__(self, kernel, args, helpers):
        self.kernel, self.args, self.helpers = kernel, args, helpers
        self.takers = {}  # worker -> who has its part: an object of the helper's own, or None if the caller gave it up
        self.results = []  # None or an error from every helper that has finished
        self.news: SimpleQueue = SimpleQueue()  # gets something after each new result; Ctrl-C may lose it again

    def take(self, worker):
        """By a helper: run its part, unless that is done, or the caller no longer waits for it."""
        me = object()
        if worker <= self.helpers and self.takers.setdefault(worker, me) is me:  # one step, nobody can come between
            try:
                self.kernel(worker, *self.args)
                result = None
            except BaseException as error:  # handed to the thread that called run()
                result = error
            self.results.append(result)
            self.news.put(None)

    def wait(self):
        """Until every helper that has begun has finished; those still asleep need not begin."""
        begun = [w for w in range(1, self.helpers + 1) if self.takers.setdefault(w, None) is not None]
        while len(self.results) < len(begun):
            self.news.get()


def _help(wake, worker):
    while True:
        wake.get()
        call = _running  # not sent along: calls that a busy machine keeps a helper from would pile up with their arrays
        if call is not None:
            call.take(worker)
        call = None  # a thread that waits for work must not keep the last arrays alive


def _start_helpers(count):
    """See that there are `count` helpers, or as many as the system allows; how many there are."""
    global _num_threads, _shortage_said
    while len(_helpers) < count:
        wake: SimpleQueue = SimpleQueue()
        worker = len(_helpers) + 1
        try:
            threading.Thread(target=_help, args=(wake, worker), daemon=True, name=f"tinycnn-{worker}").start()
        except (RuntimeError, MemoryError) as error:
            _num_threads = len(_helpers) + 1
            if not _shortage_said:
                _shortage_said = True
                reason = f"the system started no more ({error})"
                print(f"tinycnn: {_num_threads} threads instead of {count + 1}: {reason}", file=sys.stderr)
            return len(_helpers)
        _helpers.append(wake)
    return count


def run(kernel: Callable[..., None], *args: object) -> None:
    """Call ``kernel(worker, *args)`` at the same time for worker 0 and those of ``range(get_num_threads())`` that wake.

    Only inside a `locked` function.  `kernel` must draw all its work from a `task_counter`, see `tasks.tasks`: a worker
    whose thread is still asleep when worker 0 has finished is not waited for, since nothing is left to draw and
    waking up takes longer than many a kernel.
    """
    global _running
    if IN_PYTHON:
        _run_in_python(kernel, args)
        return
    helpers = _start_helpers(_num_threads - 1)
    call = _running = _Call(kernel, args, helpers)
    try:
        for wake in _helpers[:helpers]:
            if wake.empty():
                wake.put(None)
        kernel(0, *args)
    finally:
        _settle()
    for error in call.results:
        if error is not None:
            raise error


def _run_in_python(kernel, args):
    """One worker does it all, so that a debugger meets one thread."""
    try:
        with np.errstate(all="ignore"):
            kernel(0, *args)
    except NotImplementedError as error:
        raise NotImplementedError(
            f"NUMBA_DISABLE_JIT=1: the kernel {kernel.__name__} consists of vector instructions, which Python lacks; "
            "unset the variable, or step through the same calculation in tinycnn.reference"
        ) from error


def _settle():
    """Wait for the running call's helpers, through any number of Ctrl-C: they write to memory that comes next in use.

    If an interrupt escapes all the same, the next `locked` function waits before it touches anything.
    """
    global _running
    interrupt = None
    while _running is not None:
        try:
            _running.wait()
            _running = None
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _forget_threads():
    """A forked child has none of its parent's threads, and maybe a lock that one of them held."""
    global _LOCK, _running
    _helpers.clear()
    _running = None
    _LOCK = threading.RLock()


os.register_at_fork(after_in_child=_forget_threads)


_Function = TypeVar("_Function", bound=Callable[..., object])


def locked(function: _Function) -> _Function:
    """One parallel region at a time in this process, whichever Python thread asks for it."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        with _LOCK:
            if _running is not None:
                _settle()
            return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def scratch(dtype: DTypeLike, *sizes: int) -> list[np.ndarray]:
    """Uninitialised 1-D arrays of the given sizes, cut from one arena that all kernels share and that only grows.

    Only valid inside a `locked` function, until it returns.
    """
    global _arena
    itemsize = np.dtype(dtype).itemsize
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += -(-size * itemsize // LINE) * LINE
    if _arena.size < end:
        _arena = np.empty(0, np.uint8)  # frees the old one before the new one is there
        _arena = aligned_empty(end, np.uint8)
    return [_arena[s : s + n * itemsize].view(dtype) for s, n in zip(starts, sizes, strict=True)]


def task_counter() -> np.ndarray:
    """A fresh shared counter from which workers draw their work."""
    return np.zeros(1, np.int64)
