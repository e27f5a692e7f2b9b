"""The one thread pool, the lock around it, the scratch memory behind it, and the "compiling" line.

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
from pathlib import Path
from queue import SimpleQueue

import numba
import numpy as np
from numba.core import event

from tinycnn.kernels.aligned import LINE, aligned_empty
from tinycnn.kernels.simd import LANES, MR, NR

_SOURCES = (LANES, MR, NR, *((f.name, f.stat().st_mtime_ns) for f in sorted(Path(__file__).parent.glob("*.py"))))


def jit(function):
    """`numba.njit` for kernels: no GIL, and machine code cached until any file of this package changes.

    numba alone compares the file of `function`: after a change to an inlined helper in another file, which is
    most of this package, it would go on running the old code.
    """
    kernel = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    cache_file = getattr(kernel._cache, "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, _SOURCES)
    return kernel


inlined = functools.partial(numba.njit, inline="always")  # into the caller, before types: compiled once, not twice

_LOCK = threading.RLock()  # one kernel at a time: the scratch memory is shared, and two would only share the cores
_arena = np.empty(0, np.uint8)
_helpers = []  # one queue of work per helper thread; the caller is thread 0
_num_threads = numba.config.NUMBA_NUM_THREADS


def set_num_threads(n):
    """Use `n` threads in every kernel; at first it is ``NUMBA_NUM_THREADS``, by default one per core.

    >>> import tinycnn
    >>> tinycnn.set_num_threads(1)
    >>> tinycnn.get_num_threads()
    1
    """
    global _num_threads
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"set_num_threads({n!r}): the number of threads must be a positive int")
    with _LOCK:  # a running kernel has cut its scratch memory for the old number
        _num_threads = int(n)


def get_num_threads():
    """How many threads the kernels use."""
    return _num_threads


def _help(queue):
    while True:
        kernel, args, worker, claim, done = queue.get()
        if claim.acquire(blocking=False):
            try:
                kernel(worker, *args)
                done.put(None)
            except BaseException as error:  # handed to the thread that called run()
                done.put(error)
        kernel = args = claim = done = None  # a thread that waits for work must not keep the last arrays alive


def run(kernel, *args):
    """Call ``kernel(worker, *args)`` at the same time for worker 0 and those of ``range(get_num_threads())`` that wake.

    Only inside a `locked` function.  `kernel` must draw all its tasks with ``simd.fetch_add`` from a `task_counter`: a
    worker whose thread is still asleep when worker 0 has finished is not waited for, since nothing is left to draw
    and waking up takes longer than many a kernel.
    """
    workers = _num_threads
    while len(_helpers) < workers - 1:
        queue = SimpleQueue()
        threading.Thread(target=_help, args=(queue,), daemon=True, name=f"tinycnn-{len(_helpers) + 1}").start()
        _helpers.append(queue)
    done = SimpleQueue()
    claims = [threading.Lock() for _ in range(1, workers)]
    try:
        for worker, claim in enumerate(claims, 1):
            _helpers[worker - 1].put((kernel, args, worker, claim, done))
        kernel(0, *args)
    finally:
        begun = [claim for claim in claims if not claim.acquire(blocking=False)]
        errors = _answers(done, len(begun))
    for error in errors:
        if error is not None:
            raise error


def _answers(done, n):
    """What `n` helpers put into `done`; Ctrl-C waits for them, since they write to memory that the next kernel uses."""
    answers, interrupt = [], None
    while len(answers) < n:
        try:
            answers.append(done.get())
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt:
        raise interrupt
    return answers


def _forget_threads():
    """A forked child has none of its parent's threads, and maybe a lock that one of them held."""
    global _LOCK
    _helpers.clear()
    _LOCK = threading.RLock()


os.register_at_fork(after_in_child=_forget_threads)


def locked(function):
    """One parallel region at a time in this process, whichever Python thread asks for it."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        with _LOCK:
            return function(*args, **kwargs)

    return call


def scratch(dtype, *sizes):
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


def task_counter():
    """A fresh shared counter from which workers draw task numbers."""
    return np.zeros(1, np.int64)


class _CompilingLine(event.Listener):
    """Says once per process that numba is compiling: a first run is silent for seconds otherwise."""

    said = False

    def on_start(self, compilation):
        function = compilation.data["dispatcher"].py_func
        if not self.said and function.__module__.startswith("tinycnn") and not os.environ.get("TINYCNN_QUIET"):
            _CompilingLine.said = True
            print("tinycnn: compiling its kernels, once; later runs load them from the cache", file=sys.stderr)

    def on_end(self, compilation):
        pass


event.register("numba:compile", _CompilingLine())
