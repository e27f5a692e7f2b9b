"""Where images stand in a folder or zip, ``split/class/image``, and reading them all in parallel."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from tinycnn.arguments import brief, listed
from tinycnn.data.dataset import BadFile
from tinycnn.data.source import FolderSource, Parts, ZipSource

Source = FolderSource | ZipSource
T = TypeVar("T")
_MAX_WORKERS = 1024


def find_images(source: Source, splits: str | Sequence[str]) -> tuple[Parts, list[str], list[list[tuple[str, int]]]]:
    """Find the class folders and image files of every split.

    Returns
    -------
    root : tuple of str
        Folders from the top of `source` down to the one that holds the splits.
    classes : list of str
        Class names, sorted.
    files : list of list of (str, int)
        For each split, the path below the root and the class of every file, sorted.

    Raises
    ------
    ValueError
        Naming the folder: a missing split, fewer than two classes, an empty class, a class that the first split
        does not have.
    """
    splits = (splits,) if isinstance(splits, str) else tuple(listed(splits, "splits"))
    named = all(isinstance(name, str) for name in splits)
    if not named or len(splits) not in (1, 2) or len(set(splits)) != len(splits):
        wanted = "splits must name the training folder and optionally another, the test folder"
        raise ValueError(f"{wanted}; got {brief(splits)}")
    root = _find_root(source, splits)
    classes, files = source.listing((*root, splits[0]))
    if len(classes) < 2:
        raise ValueError(
            f"{source.where(*root, splits[0])} needs at least two class folders, it holds {classes or 'none'}"
            f" and {len(files)} files"
        )
    return root, classes, [_files_of(source, root, split, classes) for split in splits]


def _find_root(source: Source, splits: Sequence[str]) -> Parts:
    """Folder parts above the split folders."""
    root: Parts = ()
    while True:
        folders, _ = source.listing(root)
        missing = [split for split in splits if split not in folders]
        if not missing:
            return root
        if len(folders) != 1 or folders[0] in splits:
            raise ValueError(
                f"{source.where(*root)} has no folder {' or '.join(map(repr, missing))}; its folders are {folders}."
                " Expected split/class/image files; name other split folders with splits=(...)"
            )
        root = (*root, folders[0])


def _files_of(source: Source, root: Parts, split: str, classes: list[str]) -> list[tuple[str, int]]:
    """(path under root, label) of every image file of a split, sorted."""
    folders, _ = source.listing((*root, split))
    if not folders:
        raise ValueError(f"{source.where(*root, split)} holds no class folder; training has {classes}")
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise ValueError(f"{source.where(*root, split)} holds the classes {unknown}, training only {classes}")
    found: list[tuple[str, int]] = []
    for name in folders:
        inside = sorted("/".join((split, name, *parts)) for parts in source.walk((*root, split, name)))
        if not inside:
            raise ValueError(f"class folder {source.where(*root, split, name)} is empty")
        found += [(path, classes.index(name)) for path in inside]
    return found


def worker_threads(workers: int | None) -> int:
    """How many threads ``workers=`` asks for: by default one for each core.

    Raises
    ------
    ValueError
        If it is no int from 1 to 1024.
    """
    if workers is not None and not (isinstance(workers, int) and 1 <= workers <= _MAX_WORKERS):
        raise ValueError(f"workers must be an int from 1 to {_MAX_WORKERS}, got {brief(workers)}")
    return workers or available_cores()


def map_files(
    function: Callable[[int, bytes], T], source: Source, root: Parts, names: Sequence[str], workers: int | None = None
) -> list[T | BadFile]:
    """``function(i, bytes)`` for every file i of `names`, in threads: the results, or a `BadFile` where it failed.

    A file fails if it cannot be read or `function` raises ValueError.

    Raises
    ------
    ValueError
        If `workers` is no int from 1 to 1024.
    """
    threads = worker_threads(workers)

    def apply(i: int) -> T | BadFile:
        try:
            return function(i, source.read((*root, *names[i].split("/"))))
        except OSError as error:
            return BadFile(names[i], f"cannot be read: {error.strerror or error}")
        except ValueError as error:
            return BadFile(names[i], str(error))

    with warnings.catch_warnings():  # here, not in the threads: the filters belong to the whole process
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # becomes an error with the file's name
        warnings.filterwarnings("ignore", module="PIL")  # odd metadata, which nobody asked for
        with ThreadPoolExecutor(threads, "tinycnn-files") as pool:
            try:
                return list(pool.map(apply, range(len(names))))
            except BaseException:  # Ctrl-C must not wait for the files still queued
                pool.shutdown(cancel_futures=True)
                raise


def available_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
