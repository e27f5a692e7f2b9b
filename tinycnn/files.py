"""Writing files so that a crash or a full disk never leaves a broken one behind."""

import errno
import glob
import json
import math
import os
import platform
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tinycnn.arguments import as_path

try:
    import fcntl
except ImportError:  # Windows, where temporary files of killed processes stay
    fcntl = None  # type: ignore[assignment]

PathLike: TypeAlias = str | os.PathLike[str]


@contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` if the block succeeds, remove it if not.

    Bytes and folder are flushed to the disk, so readers see either the old file or the whole new one, even after a
    power cut.  A file that is replaced keeps its permissions; a new one gets what the umask allows.  What a killed
    process left behind of earlier attempts at `path` is removed.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> (folder / "a.txt").read_text(), len(list(folder.iterdir()))
    ('whole', 1)

    Raises
    ------
    OSError
        With the target's name, if the folder is missing, read-only or full, or the target a device such as
        ``/dev/null``; the old file is untouched.
    """
    path = as_path(path)
    if not path.name:
        raise ValueError(f"{path} names no file to write")
    temporary = handle = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(path)
        temporary, handle = _create_beside(path)
        if path.exists():
            if not path.is_file() and not path.is_dir():  # the rename would put a file in its place
                raise OSError(errno.EEXIST, "it is a device or a pipe, not a file")
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        yield temporary
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, path)
        if os.name != "nt":  # where a folder cannot be opened
            _sync(path.parent, os.O_RDONLY)
    except OSError as error:
        raise OSError(error.errno, f"could not write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _around_a_token(path: Path) -> tuple[str, str]:
    """What stands before and after eight letters in the name of a temporary file for `path`, 255 bytes in all."""
    stem, suffix = path.stem, path.suffix[:20]
    while len(os.fsencode(stem + suffix)) > 245:
        stem = stem[:-1]
    return f".{stem}-", suffix


def _create_beside(path: Path) -> tuple[Path, int | None]:
    """A new empty file beside `path`, and the handle that holds its lock for as long as this process lives."""
    before, after = _around_a_token(path)
    while True:
        temporary = path.with_name(f"{before}{secrets.token_hex(4)}{after}")
        # Created by open, not by tempfile: only the system can apply the umask without a race between threads.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if fcntl is None:
            os.close(handle)
            return temporary, None
        try:
            if _locked(handle) and temporary.exists():
                return temporary, handle
            os.close(handle)  # another process took the file for one that was left behind
        except OSError:  # a file system without locks, where nobody removes anything
            return temporary, handle


def _remove_left_behind(path: Path) -> None:
    """Remove temporary files for `path` of processes that were killed: those whose lock nobody holds."""
    if fcntl is None:
        return
    before, after = map(glob.escape, _around_a_token(path))
    for left in path.parent.glob(f"{before}????????{after}"):
        with suppress(OSError):  # removed meanwhile, or of another user's
            handle = os.open(left, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _locked(handle):
                    left.unlink()
            finally:
                os.close(handle)


def _locked(handle: int) -> bool:
    """Whether this process now holds the file's lock, which the system gives back when the process ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def alone(folder: PathLike, file: str = "") -> Iterator[None]:
    """Keep a folder, or the name of one file in it, to one run for the time of a ``with`` block.

    A second run is refused for as long as the first lives: the system takes a lock back when its process ends, however
    it ends.  Where there are no locks (Windows, some network disks) nothing is kept, and nothing is said.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with alone(folder):
    ...     with alone(folder):  # doctest: +ELLIPSIS
    ...         pass
    Traceback (most recent call last):
        ...
    OSError: ... is in use by process ...; wait until it has ended, or write to another place

    Raises
    ------
    OSError
        Naming the folder or file, and the process that has it.
    """
    folder, handle = Path(folder), None
    lock = folder / (f".{file}.lock" if file else ".lock")
    made = [part for part in (folder, *folder.parents) if not part.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = _hold(lock)
        except BlockingIOError:
            holder = lock.read_text(errors="replace")[:80] or "another process"
            text = f"{folder / file} is in use by {holder}; wait until it has ended, or write to another place"
            raise OSError(errno.EBUSY, text) from None
        except OSError:  # no locks here, or a folder that cannot be made, which the first file to be written says
            pass
        yield
    finally:
        if handle is not None:
            lock.unlink(missing_ok=True)
            os.close(handle)
        for part in made:
            with suppress(OSError):  # it is not empty
                part.rmdir()


def _hold(lock: Path) -> int | None:
    """The handle that holds the file `lock`, new or left behind, in which it says who has it; None without locks.

    Raises BlockingIOError where another handle holds it, and OSError where it cannot be made or held.
    """
    while fcntl is not None:
        handle = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
        try:
            if not _locked(handle):
                raise BlockingIOError
            if lock.exists() and os.path.samestat(os.fstat(handle), lock.stat()):  # else its holder has just removed it
                os.ftruncate(handle, 0)
                with suppress(OSError):  # the disk is full
                    os.write(handle, f"process {os.getpid()} on {platform.node()}".encode())
                return handle
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:  # a file system without locks, to which the file is of no use
            os.close(handle)
            lock.unlink(missing_ok=True)
            raise
        os.close(handle)
    return None


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_file_name(name: Any) -> bool:
    """Whether `name` is text and that of a file that may be written beside others: no path, and not hidden.

    >>> is_file_name("seed-1"), is_file_name("../seed-1")
    (True, False)
    """
    plain = isinstance(name, str) and bool(name) and not name.startswith(".") and "\\" not in name
    return plain and Path(name).name == name


def write_json(path: PathLike, report: Any) -> None:
    """Write a report as indented JSON, whole or not at all; nan becomes null.

    Raises
    ------
    OSError
        Naming `path`.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(plain(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """What `write_json` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Naming `path`, if it is no JSON, is nested too deeply, or holds a number that is not finite.
    """
    path = as_path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"it holds the number {text}")
    return float(text)


def plain(value: Any) -> Any:
    """`value` as JSON knows it: NumPy's numbers and arrays as Python's, tuples as lists, nan and infinity as None.

    >>> plain({"a": np.float64(0.5), "b": (np.int64(1), float("nan"))})
    {'a': 0.5, 'b': [1, None]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
