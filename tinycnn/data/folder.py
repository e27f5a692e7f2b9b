"""Class folders, or a zip of them, as labelled uint8 images."""

from collections.abc import Sequence

import numpy as np

from tinycnn.arguments import of_class
from tinycnn.data.dataset import Dataset, Splits
from tinycnn.data.decode import check_size_and_mode, decode_image
from tinycnn.data.layout import find_images, map_files
from tinycnn.data.source import open_source
from tinycnn.files import PathLike


def load_image_folder(
    path: PathLike,
    size: int | tuple[int, int] = 256,
    mode: str = "RGB",
    *,
    splits: str | Sequence[str] = ("train", "test"),
    on_error: str = "raise",
    workers: int | None = None,
    keep_aspect: bool = False,
) -> Splits:
    """Load ``split/class/image`` files from a folder or zip.

    `path` is the folder (or zip) that holds the split folders, or one above it that holds nothing but that folder
    (as in a zip from Kaggle). Class folders are sorted by name and give the labels 0, 1, ...; images are sorted by
    path, found also in sub-folders of a class. The test folder may lack classes, but not add any. Hidden files,
    ``__MACOSX``, ``Thumbs.db`` and ``desktop.ini`` are passed over; every other file must be an image. A zip is
    read in memory, never extracted. Links to folders inside a class are not followed; they, and folders that cannot
    be read, count as files that cannot be read, and so do files of more than 512 MB.

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
    >>> from PIL import Image
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
    of_class(keep_aspect, bool, "keep_aspect")
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')

    with open_source(path) as source:
        root, classes, files = find_images(source, splits)
        names = [name for members in files for name, _ in members]
        images = np.empty((len(names), *size, 3 if mode == "RGB" else 1), np.uint8)

        def decode(i, data):
            images[i] = decode_image(data, size, mode, keep_aspect=keep_aspect)

        bad = [result for result in map_files(decode, source, root, names, workers) if result is not None]
    if bad and on_error == "raise":
        listing = "\n".join(f"  {name}: {reason}" for name, reason in bad)
        raise ValueError(
            f"{len(bad)} of {len(images)} files in {source.where(*root)} cannot be loaded:\n{listing}\n"
            'Repair or remove them, or leave them out with on_error="skip".'
        )

    unreadable = {name for name, _ in bad}
    datasets, start = [], 0
    for members in files:
        here = slice(start, start + len(members))
        keep = np.array([name not in unreadable for name, _ in members])
        labels = np.array([label for _, label in members])
        for label in set(labels) - set(labels[keep]):
            split = members[0][0].split("/")[0]
            raise ValueError(f"no image left in class '{classes[label]}' of {source.where(*root, split)}: all were bad")
        kept = images[here] if keep.all() else images[here][keep]
        paths = [name for name in names[here] if name not in unreadable]
        datasets.append(Dataset(kept, labels[keep], classes, paths))
        start += len(members)
    return Splits(datasets[0], datasets[1] if len(datasets) == 2 else None, bad)
