"""Where images stand in a folder or zip, ``split/class/image`` or ``class/image``; reading them all in parallel."""

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
Member = tuple[str, int]  # path below the root, class
T = TypeVar("T")
_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation")  # names that no class is taken to have
_MAX_WORKERS = 1024


def find_images(source: Source, splits: str | Sequence[str]) -> tuple[Parts, list[str], list[list[Member]]]:
    """Find the class folders and image files of every split.

    Returns
    -------
    root : tuple of str
        Folders from the top of `source` down to the one that holds the splits.
    classes : list of str
        Class names, sorted.
    files : list of list of (str, int)
        For each split, the path below the root and the class of every file, sorted.  One list of all files, whatever
        was asked for, where the root holds the class folders themselves.

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
    tops = [(split,) for split in splits] if splits[0] in source.listing(root)[0] else [()]
    classes, files = source.listing((*root, *tops[0]))
    if len(classes) < 2:
        raise ValueError(
            f"{source.where(*root, *tops[0])} needs at least two class folders, it holds {classes or 'none'}"
            f" and {len(files)} files"
        )
    return root, classes, [_files_of(source, root, top, classes) for top in tops]


def _find_root(source: Source, splits: Sequence[str]) -> Parts:
    """Folder parts above the split folders, or above class folders that are in none."""
    root: Parts = ()
    while True:
        folders, _ = source.listing(root)
        missing = [split for split in splits if split not in folders]
        if not missing:
            return root
        # A folder "Test" that was not asked for is more likely a split by another name than a class.
        are_splits = any(name in splits or name.lower() in _SPLITS for name in (*root, *folders))
        if len(folders) > 1 and not are_splits:
            return root
        if len(folders) != 1 or folders[0] in splits:
            raise ValueError(
                f"{source.where(*root)} has no folder {' or '.join(map(repr, missing))}; its folders are {folders}."
                " Expected split/class/image files, or class/image files alone in the folder that is given; name other"
                " split folders with splits=(...)"
            )
        root = (*root, folders[0])


def _files_of(source: Source, root: Parts, top: Parts, classes: list[str]) -> list[Member]:
    """(path under root, label) of every image file in the class folders of `top`, sorted."""
    folders, _ = source.listing((*root, *top))
    if not folders:
        raise ValueError(f"{source.where(*root, *top)} holds no class folder; training has {classes}")
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise ValueError(f"{source.where(*root, *top)} holds the classes {unknown}, training only {classes}")
    found: list[Member] = []
    for name in folders:
        inside = sorted("/".join((*top, name, *parts)) for parts in source.walk((*root, *top, name)))
        if not inside:
            raise ValueError(f"class folder {source.where(*root, *top, name)} is empty")
        found += [(path, classes.index(name)) for path in inside]
    return found


def worker_threads(workers: int | None) -> int:
    """How many threads ``workers=`` asks for: by default one for each core.

    Raises
    ------
    ValueError
        If it is no int from 1 to 1024.
    """
    if workers is None:  # cores that this process may use, which can be fewer than the machine has
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not (isinstance(workers, int) and 1 <= workers <= _MAX_WORKERS):
        raise ValueError(f"workers must be an int from 1 to {_MAX_WORKERS}, got {brief(workers)}")
    return workers


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
