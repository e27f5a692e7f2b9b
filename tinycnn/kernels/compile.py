"""How kernels are compiled: by numba, for the processor at hand, kept on disk, and said once.

With ``NUMBA_DISABLE_JIT=1`` nothing is: kernels are plain Python then, for a debugger, as far as they have no vectors.
"""

import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock

from tinycnn.kernels.tiles import LANES, MR, NR

config: Any = numba.config  # filled from the environment when numba is imported
IN_PYTHON = bool(config.DISABLE_JIT)
_OPTIONS: Any = {"nogil": True, "error_model": "numpy"}
_SOURCES = (LANES, MR, NR, *((f.name, f.stat().st_mtime_ns) for f in sorted(Path(__file__).parent.glob("*.py"))))
_cached = True  # whether machine code is kept on disk


_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Cache(FunctionCache):
    """numba's files of machine code, none of which stops a run: what is damaged or finds no room is compiled anew."""

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # pickle raises anything at a file that was cut off
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say(f"tinycnn: compiled kernels cannot be kept in {self.cache_path}: {error.strerror or error}")


@functools.cache
def _say(line: str) -> None:
    """Print a line to stderr, the first time that it comes up."""
    print(line, file=sys.stderr)


def jit(function: _Function) -> _Function:
    """`numba.njit` for kernels: no GIL, and machine code cached until any file of this package changes.

    numba alone compares the file of `function`: after a change to an inlined helper in another file, which is
    most of this package, it would go on running the old code.  Without a folder to write to, code stays in memory.
    """
    global _cached
    kernel: Any = numba.njit(**_OPTIONS)(function)
    if IN_PYTHON:
        return kernel
    try:
        kernel._cache = _Cache(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _cached = False
        return kernel
    cache_file: Any = getattr(kernel._cache, "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, _SOURCES)
    return kernel


def inlined(function: _Function) -> _Function:
    """A function that becomes part of its caller before types are known: compiled once, not twice."""
    as_it_is: Any = numba.njit(inline="always")
    return as_it_is(function)


class _CompilingLine(event.Listener):
    """Says once per process that numba is compiling: a first run is silent for seconds otherwise."""

    said = False

    def on_start(self, compilation):
        module = compilation.data["dispatcher"].py_func.__module__ or ""  # code made by exec() has none
        if self.said or not module.startswith("tinycnn.") or os.environ.get("TINYCNN_QUIET"):
            return
        _CompilingLine.said = True
        later = "later runs load it from numba's cache" if _cached else "no folder to keep it in, see NUMBA_CACHE_DIR"
        print(f"tinycnn: compiling each kernel when it is first needed; {later}", file=sys.stderr)

    def on_end(self, compilation):
        pass


event.register("numba:compile", _CompilingLine())

if hasattr(os, "register_at_fork"):  # a child forked while another thread compiles would wait for that thread for ever
    release = global_compiler_lock.release
    os.register_at_fork(before=global_compiler_lock.acquire, after_in_parent=release, after_in_child=release)
