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
_running = None  # the `_Call` whose helpers may still be at work
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


class _Call:
    """One kernel in all the threads that wake for it.

    Everything a waiting thread asks of it can be asked again: Ctrl-C may strike between any two steps of Python, and
    an answer that was taken but not yet kept would be waited for for ever.
    """

    def __init__(self, kernel, args):
        self.kernel, self.args = kernel, args
        self.takers = {}  # worker -> whether a helper took the part (True) or the caller gave it up (False)
        self.results = []  # None or an error from every helper that has finished
        self.news = SimpleQueue()  # gets something after each new result; Ctrl-C may lose it again

    def take(self, worker):
        """By a helper: run its part, unless the caller no longer waits for it."""
        if self.takers.setdefault(worker, True):  # one step that no other thread can come between
            try:
                self.kernel(worker, *self.args)
                result = None
            except BaseException as error:  # handed to the thread that called run()
                result = error
            self.results.append(result)
            self.news.put(None)

    def wait(self, helpers):
        """Until every helper that has begun has finished; those still asleep need not begin."""
        begun = [worker for worker in range(1, helpers + 1) if self.takers.setdefault(worker, False)]
        while len(self.results) < len(begun):
            self.news.get()


def _help(queue):
    while True:
        call, worker = queue.get()
        call.take(worker)
        call = None  # a thread that waits for work must not keep the last arrays alive


def run(kernel, *args):
    """Call ``kernel(worker, *args)`` at the same time for worker 0 and those of ``range(get_num_threads())`` that wake.

    Only inside a `locked` function.  `kernel` must draw all its tasks with ``simd.fetch_add`` from a `task_counter`: a
    worker whose thread is still asleep when worker 0 has finished is not waited for, since nothing is left to draw
    and waking up takes longer than many a kernel.
    """
    global _running
    workers = _num_threads
    while len(_helpers) < workers - 1:
        queue = SimpleQueue()
        threading.Thread(target=_help, args=(queue,), daemon=True, name=f"tinycnn-{len(_helpers) + 1}").start()
        _helpers.append(queue)
    call = _running = _Call(kernel, args)
    try:
        for worker in range(1, workers):
            _helpers[worker - 1].put((call, worker))
        kernel(0, *args)
    finally:
        _settle()
    for error in call.results:
        if error is not None:
            raise error


def _settle():
    """Wait for the running call's helpers, through any number of Ctrl-C: they write to memory that comes next in use.

    If an interrupt escapes all the same, the next `locked` function waits before it touches anything.
    """
    global _running
    interrupt = None
    while _running is not None:
        try:
            _running.wait(len(_helpers))
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


def locked(function):
    """One parallel region at a time in this process, whichever Python thread asks for it."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        with _LOCK:
            if _running is not None:
                _settle()
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
