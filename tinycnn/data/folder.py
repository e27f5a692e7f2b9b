"""Class folders, or a zip of them, as labelled uint8 images."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from tinycnn.data.dataset import BadFile, Dataset, Splits
from tinycnn.data.decode import check_size_and_mode, decode_image
from tinycnn.data.source import open_source


def load_image_folder(
    path, size=256, mode="RGB", *, splits=("train", "test"), on_error="raise", workers=None, keep_aspect=False
):
    """Load ``split/class/image`` files from a folder or zip.

    `path` is the folder (or zip) that holds the split folders, or one above it that holds nothing but that folder
    (as in a zip from Kaggle). Class folders are sorted by name and give the labels 0, 1, ...; images are sorted by
    path, found also in sub-folders of a class. Hidden files, ``__MACOSX``, ``Thumbs.db`` and ``desktop.ini`` are
    passed over; every other file must be an image. A zip is read in memory, never extracted.

    Parameters
    ----------
    path : str or Path
        Folder or zip file.
    size : int or (int, int)
        Height and width of the result in pixels; see `decode_image` for how images are resized and converted.
    mode : "RGB" or "L"
        Three channels or one.
    splits : tuple of one or two str
        Names of the training and, optionally, of the test folder.
    on_error : "raise" or "skip"
        What to do about files that cannot be read or decoded: one ValueError that names them all, or leave them
        out and list them in ``Splits.skipped``.
    workers : int, optional
        Decoding threads; as many as the process may use cores if absent. The result does not depend on it.
    keep_aspect : bool
        False squashes images to `size`; True keeps their aspect ratio and pads with black.

    Returns
    -------
    Splits
        ``train``, ``test`` (None if one split was asked for) and ``skipped``. Paths are relative to the folder
        that holds the splits, with forward slashes.

    Raises
    ------
    FileNotFoundError
        If there is no such path.
    ValueError
        Naming the folder or file: neither folder nor zip, a damaged zip or one with unsafe paths, a missing split,
        fewer than two classes, an empty class, a test class that training does not have, unreadable images.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for i, name in enumerate(["train/Normal/a.png", "train/Covid/b.png", "test/Covid/c.png"]):
    ...     (root / name).parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("L", (50, 40), 60 * i).save(root / name)
    >>> train, test, skipped = load_image_folder(root, size=(4, 5), mode="L")
    >>> train
    Dataset of 2 images 4x5x1 uint8: 1 Covid, 1 Normal
    >>> test.paths, test.labels
    (('test/Covid/c.png',), array([0]))
    """
    size = check_size_and_mode(size, mode)
    splits = (splits,) if isinstance(splits, str) else tuple(splits)
    if len(splits) not in (1, 2) or len(set(splits)) != len(splits):
        raise ValueError(f"splits must name the training folder and optionally another, the test folder; got {splits}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}")

    with open_source(path) as source:
        root = _find_root(source, splits)
        classes = _classes_of(source, root, splits[0])
        files = [_files_of(source, root, split, classes) for split in splits]
        images, bad = _decode_all(source, root, sum(files, []), size, mode, keep_aspect, workers)
    if bad and on_error == "raise":
        listing = "\n".join(f"  {name}: {reason}" for name, reason in bad)
        raise ValueError(
            f"{len(bad)} of {len(images)} files in {source.where(*root)} cannot be loaded:\n{listing}\n"
            'Repair or remove them, or leave them out with on_error="skip".'
        )

    broken = {name for name, _ in bad}
    datasets, start = [], 0
    for split, members in zip(splits, files, strict=True):
        keep = np.array([name not in broken for name, _ in members])
        labels = np.array([label for _, label in members])
        for label in set(labels) - set(labels[keep]):
            raise ValueError(f"no image left in class '{classes[label]}' of {source.where(*root, split)}: all were bad")
        split_images = images[start : start + len(members)]
        datasets.append(
            Dataset(
                split_images if keep.all() else split_images[keep],
                labels[keep],
                classes,
                [name for (name, _), kept in zip(members, keep, strict=True) if kept],
            )
        )
        start += len(members)
    return Splits(datasets[0], datasets[1] if len(datasets) == 2 else None, bad)


def _find_root(source, splits):
    """Folder parts above the split folders."""
    root = ()
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


def _classes_of(source, root, split):
    folders, files = source.listing((*root, split))
    if len(folders) < 2:
        raise ValueError(
            f"{source.where(*root, split)} needs at least two class folders, it holds {folders or 'none'}"
            f" and {len(files)} files"
        )
    return folders


def _files_of(source, root, split, classes):
    """(path under root, label) of every image file of a split, sorted."""
    folders, _ = source.listing((*root, split))
    if not folders:
        raise ValueError(f"{source.where(*root, split)} holds no class folder; training has {classes}")
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise ValueError(f"{source.where(*root, split)} holds the classes {unknown}, training only {classes}")
    found = []
    for name in folders:
        inside = sorted("/".join((split, name, *parts)) for parts in source.walk((*root, split, name)))
        if not inside:
            raise ValueError(f"class folder {source.where(*root, split, name)} is empty")
        found += [(path, classes.index(name)) for path in inside]
    return found


def _decode_all(source, root, files, size, mode, keep_aspect, workers):
    """Images of all files, in order (garbage where bad), and the bad ones."""
    images = np.empty((len(files), *size, 3 if mode == "RGB" else 1), np.uint8)

    def decode(index):
        name = files[index][0]
        try:
            images[index] = decode_image(source.read((*root, *name.split("/"))), size, mode, keep_aspect=keep_aspect)
        except OSError as error:
            return BadFile(name, f"cannot be read: {error.strerror or error}")
        except ValueError as error:
            return BadFile(name, str(error))

    with warnings.catch_warnings():  # here, not in the threads: the filters belong to the whole process
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # becomes an error with the file's name
        warnings.filterwarnings("ignore", module="PIL")  # odd metadata, which nobody asked for
        with ThreadPoolExecutor(workers or available_cores(), "tinycnn-decode") as pool:
            try:
                results = list(pool.map(decode, range(len(files))))
            except BaseException:  # Ctrl-C must not wait for the files still queued
                pool.shutdown(cancel_futures=True)
                raise
    return images, [result for result in results if result is not None]


def available_cores():
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
