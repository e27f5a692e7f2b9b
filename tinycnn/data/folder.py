"""Class folders, or a zip of them, as labelled uint8 images."""

from collections.abc import Sequence

import numpy as np

from tinycnn.arguments import of_class, one_of, share
from tinycnn.data.dataset import BadFile, Dataset, Splits
from tinycnn.data.decode import check_size_and_mode, decode_image
from tinycnn.data.layout import Member, Source, find_images, map_files
from tinycnn.data.source import Parts, open_source
from tinycnn.data.splits import connected_groups, grouped_holdout, merge_groups, named_patients, patient_groups
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
    validation_split: float = 0.2,
) -> Splits:
    """Load ``split/class/image`` files from a folder or zip, or ``class/image`` files, which are cut into two parts.

    `path` is the folder (or zip) that holds the split or class folders, or one above it that holds nothing but that
    folder (as in a zip from Kaggle). Class folders are sorted by name and give the labels 0, 1, ...; images are sorted
    by path, found also in sub-folders of a class. The test folder may lack classes, but not add any. Hidden files,
    ``__MACOSX``, ``Thumbs.db`` and ``desktop.ini`` are passed over; every other file must be an image. A zip is
    read in memory, never extracted. Links to folders inside a class are not followed; they, and folders that cannot
    be read, count as files that cannot be read, and so do files of more than 512 MB.

    Where class folders stand in no split folder, `validation_split` of the images of each class become ``test``, the
    rest ``train``, the same at every call. What belongs together stays together: near copies (see
    `tinycnn.data.near_copies`), which are sought in every pair of images, so among n in time ``n**2``, and images of
    one patient, where their names say so (`named_patients`).

    Parameters
    ----------
    path : str or Path
        Folder or zip file.
    size : int or (int, int)
        Height and width of the result in pixels; see `decode_image` for how images are resized and converted.
    mode : "RGB" or "L"
        Three channels or one.
    splits : tuple of one or two str
        Names of the training and, optionally, of the test folder; with one name class folders are not cut.
    on_error : "raise" or "skip"
        What to do about files that cannot be read or decoded: one ValueError that names them all, or leave them
        out and list them in ``Splits.skipped``.
    workers : int, optional
        Decoding threads; as many as the process may use cores if absent. The result does not depend on it.
    keep_aspect : bool
        False squashes images to `size`; True keeps their aspect ratio and pads with black.
    validation_split : float
        Share of class folders without split folders that becomes ``test``, to the nearest of 1/2, 1/3, 1/4, ...; 0
        keeps all images in ``train``, so that ``train.split()`` may cut them. Split folders stay as they are.

    Returns
    -------
    Splits
        ``train``, ``test`` (None if one split was asked for, or nothing was cut) and ``skipped``. Paths are relative
        to the folder that holds the splits or classes, with forward slashes.

    Raises
    ------
    FileNotFoundError
        If there is no such path.
    ValueError
        Naming the folder or file: neither folder nor zip, a damaged zip or one with unsafe paths, a missing split,
        fewer than two classes, an empty class, a test class that training does not have, unreadable images, too few
        images to cut.

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

    Without folders train and test:

    >>> rng, root = np.random.default_rng(0), pathlib.Path(tempfile.mkdtemp())
    >>> for i in range(10):
    ...     (root / "cat dog".split()[i % 2]).mkdir(exist_ok=True)
    ...     Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).save(root / "cat dog".split()[i % 2] / f"{i}.png")
    >>> load_image_folder(root, size=8, mode="L")[:2]
    (Dataset of 8 images 8x8x1 uint8: 4 cat, 4 dog, Dataset of 2 images 8x8x1 uint8: 1 cat, 1 dog)
    """
    size = check_size_and_mode(size, mode)
    of_class(keep_aspect, bool, "keep_aspect")
    held_out = share(validation_split, "validation_split", most=0.5)
    one_of(on_error, "on_error", ("raise", "skip"))

    with open_source(path) as source:
        root, classes, files = find_images(source, splits)
        if held_out and len(files) == 1 and len(splits) == 2 and not isinstance(splits, str):
            files = _cut(source, root, files[0], held_out, workers)
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
            first = next(name for name, k in members if k == label)
            where = source.where(*root)
            raise ValueError(f"no image left in class '{classes[label]}' of {where}: all were bad, such as {first}")
        kept = images[here] if keep.all() else images[here][keep]
        paths = [name for name in names[here] if name not in unreadable]
        datasets.append(Dataset(kept, labels[keep], classes, paths, keep_aspect))
        start += len(members)
    return Splits(datasets[0], datasets[1] if len(datasets) == 2 else None, bad)


def _cut(source: Source, root: Parts, members: list[Member], part: float, workers: int | None) -> list[list[Member]]:
    """`members` in two lists, the second with that `part` of each class, near copies and patients undivided."""
    from tinycnn.data.near_copies import find_pairs, fingerprint  # loads numba, which nothing else here needs

    names = [name for name, _ in members]
    found = map_files(lambda i, data: fingerprint(decode_image(data, 256), data), source, root, names, workers)
    seen = {name: one for name, one in zip(names, found, strict=True) if not isinstance(one, BadFile)}
    if not seen:
        return [members]
    paths, classes = list(seen), [name.split("/")[0] for name in seen]
    copies = connected_groups(len(seen), [(pair.a, pair.b) for pair in find_pairs(list(seen.values()))])
    groups = merge_groups(copies, patient_groups(paths, named_patients(paths)))
    try:
        chosen = {paths[i] for i in grouped_holdout(groups, classes, part)[1]}
    except ValueError as error:
        raise ValueError(
            f"{source.where(*root)} has no folders for training and testing, and cannot be cut into them: {error}. "
            "Near copies, and images of one patient by their names, stay together; a larger share to test on, up to "
            "0.5, may do"
        ) from error
    # What cannot be decoded stays in training, where loading it says so.
    return [[member for member in members if (member[0] in chosen) == test] for test in (False, True)]
