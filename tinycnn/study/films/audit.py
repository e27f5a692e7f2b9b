"""What is wrong with a set of images before a network sees it: copies, leaks, shortcuts, odd files, private data."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import ExifTags

from tinycnn.arguments import count, listed, share
from tinycnn.data.dataset import BadFile, Splits
from tinycnn.data.decode import decode_image, exif_of, open_image
from tinycnn.data.layout import find_images, map_files, worker_threads
from tinycnn.data.near_copies import Pair, find_pairs, fingerprint
from tinycnn.data.source import open_source
from tinycnn.data.splits import connected_groups, leak_free, named_patients
from tinycnn.scores.roc import roc_curve
from tinycnn.study.films.contact_sheet import draw_contact_sheet, small_picture

STRONG_AUC = 0.75  # a number that ranks one class above the rest this often is a shortcut for a network
STRONG_SHARE = 0.3  # so is a property that differs by this share of the images
_EXTENSIONS = {"JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"), "MPO": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
_EXTENSIONS |= {"JPEG2000": (".jp2", ".j2k", ".jpx"), "PPM": (".ppm", ".pgm", ".pbm", ".pnm")}
_TEXT_KEYS = ("comment", "xmp", "XML:com.adobe.xmp", "photoshop", "parameters")


@dataclass
class Audit:
    """What `audit` found; ``print`` it for the report.

    Attributes
    ----------
    paths : list of str
        All images, training first.
    labels : ndarray of int64, (images,)
    class_names : tuple of str
    in_test : ndarray of bool, (images,)
    pairs : list of Pair
        Near copies; `a` and `b` count through `paths`.
    groups : ndarray of int64, (images,)
        Images connected by near copies share a number: ready for `grouped_kfold`.
    patients : dict of str to str
        Path and patient, where names say so (`named_patients`) and nobody else has split the images: they lie in class
        folders alone.
    numbers : dict of str -> ndarray of float64, (images,)
        What can be measured without looking at the lungs: size, brightness, ... NaN where unknown.
    traits : dict of str -> ndarray of bool, (images,)
        Properties of files: "extension .png", "stored grey", "coloured", ...
    metadata : dict of str -> list of str
        Names of the metadata fields of each path that has any. Never their contents, which may name a patient.
    warnings : list of str
    skipped : list of BadFile
    pictures : ndarray of uint8, (images, 96, 96)
        For the contact sheet.
    """

    paths: list[str]
    labels: np.ndarray
    class_names: tuple[str, ...]
    in_test: np.ndarray
    pairs: list[Pair]
    groups: np.ndarray
    patients: dict[str, str]
    numbers: dict[str, np.ndarray]
    traits: dict[str, np.ndarray]
    metadata: dict[str, list[str]]
    skipped: list[BadFile]
    pictures: np.ndarray = field(repr=False)
    warnings: list[str] = field(default_factory=list)

    @property
    def train_groups(self) -> np.ndarray:
        """Groups of the training images alone."""
        return self.groups[~self.in_test]

    @property
    def test_groups(self) -> np.ndarray:
        """Groups of the test images alone."""
        return self.groups[self.in_test]

    @property
    def leak_free_test(self) -> np.ndarray:
        """Indices, within the test set, of the images without a near copy in training."""
        return leak_free(self.test_groups, self.train_groups)

    def contact_sheet(self, path: str | os.PathLike[str], max_groups: int = 60) -> None:
        """Save a PNG: every group of near copies in a row (at most `max_groups`), then a sample of each class."""
        draw_contact_sheet(path, self, max_groups)

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain lists, dicts and numbers, for JSON."""
        return {
            "images": {"train": int((~self.in_test).sum()), "test": int(self.in_test.sum())},
            "near_copies": [
                {"a": self.paths[p.a], "b": self.paths[p.b], "kind": p.kind, "correlation": round(p.correlation, 4)}
                | {"dhash": p.dhash, "phash": p.phash}
                for p in self.pairs
            ],
            "leak_free_test_images": len(self.leak_free_test),
            "warnings": list(self.warnings),
            "metadata": dict(self.metadata),
            "skipped": [list(bad) for bad in self.skipped],
        }

    def __str__(self) -> str:
        n_test = int(self.in_test.sum())
        lines = [f"Audit of {len(self.paths)} images: {len(self.paths) - n_test} for training, {n_test} for testing"]
        copies = len(np.unique(self.groups[[i for p in self.pairs for i in (p.a, p.b)]])) if self.pairs else 0
        lines.append(f"\nNear copies: {len(self.pairs)} pairs in {copies} groups")
        for p in self.pairs[:100]:
            hashes = f"r {p.correlation:.3f}  dHash {p.dhash:3d}/256  pHash {p.phash:2d}/63"
            lines.append(f"  {p.kind:13s}  {hashes}  {self.paths[p.a]} ~ {self.paths[p.b]}")
        if len(self.pairs) > 100:
            lines.append(f"  ... and {len(self.pairs) - 100} more")
        if n_test:
            lines.append(f"Test images without a near copy in training: {len(self.leak_free_test)} of {n_test}")
        lines.append("\nMedians of the training images")
        lines += self._medians()
        lines.append("\nWarnings" if self.warnings else "\nNo warnings")
        lines += [f"  - {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def _medians(self):
        known = [key for key, values in self.numbers.items() if not np.isnan(values).all()]
        width = max(map(len, self.class_names))
        rows = ["  " + " " * width + "".join(f"{key:>{len(key) + 3}}" for key in ["images", *known])]
        for label, name in enumerate(self.class_names):
            chosen = (self.labels == label) & ~self.in_test
            row = f"  {name:{width}}{chosen.sum():9d}"
            for key in known:
                row += f"{np.median(self.numbers[key][chosen]) if chosen.any() else np.nan:{len(key) + 3}.4g}"
            rows.append(row)
        return rows


def audit(
    data: Splits | str | os.PathLike[str],
    *,
    splits: tuple[str, ...] = ("train", "test"),
    held_out: Sequence[str] = (),
    min_correlation: float = 0.96,
    max_dhash: int = 32,
    workers: int | None = None,
) -> Audit:
    """Look for what makes results on a data set untrue.

    * near copies within and across splits and classes (`find_pairs`: file hash, then correlation of equalised
      64x64 thumbnails and difference hash, also mirrored);
    * shortcuts: image size, brightness or border that alone tell a class from the rest. Each is judged by its AUC,
      the chance that an image of the class has a larger value than one of the others (Mann and Whitney 1947);
    * odd files: extensions that belie the format, grey and colour mixed, rotation by EXIF;
    * metadata: EXIF, comments, text chunks, by name only.

    See Roberts et al., "Common pitfalls ... COVID-19", Nature Machine Intelligence 2021, for what such things did.

    Parameters
    ----------
    data : Splits, str or Path
        Loaded images, or, to see the files too, the folder or zip that they come from.
    splits : tuple of str
        Names of the training and test folders, as for `load_image_folder`.
    held_out : sequence of str
        Paths of the test images that `load_image_folder` cut from a folder of class folders; without them all images
        of such a folder count as training images.
    min_correlation, max_dhash : float, int
        What counts as a near copy.
    workers : int, optional

    Returns
    -------
    Audit

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_image_folder`; single unreadable files are listed in ``Audit.skipped`` instead.

    Examples
    --------
    >>> from tinycnn.study.films.phantoms import chest_phantoms
    >>> train, test, _ = chest_phantoms(n_train=2, n_test=1, size=64, mode="L")
    >>> test.images[0] = train.images[0]
    >>> result = audit(Splits(train, test))
    >>> [(result.paths[p.a], result.paths[p.b], p.kind) for p in result.pairs]
    [('synthetic/train/covid-like/0', 'synthetic/test/covid-like/0', 'identical')]
    >>> result.leak_free_test
    array([1, 2])
    """
    held_out = [str(name) for name in listed(held_out, "held_out")]
    read = _read_splits if isinstance(data, Splits) else _read_files
    paths, labels, class_names, in_test, records, skipped, patients = read(data, splits, held_out, workers)
    limits = share(min_correlation, "min_correlation"), count(max_dhash, "max_dhash")
    pairs = find_pairs([record["fingerprint"] for record in records], *limits)
    result = Audit(
        paths=paths,
        labels=labels,
        class_names=class_names,
        in_test=in_test,
        pairs=pairs,
        groups=connected_groups(len(paths), [(pair.a, pair.b) for pair in pairs]),
        patients=patients,
        numbers={key: np.array([record["numbers"][key] for record in records]) for key in records[0]["numbers"]},
        traits={
            key: np.array([key in record["traits"] for record in records])
            for key in sorted(set().union(*(record["traits"] for record in records)))
        },
        metadata={path: record["metadata"] for path, record in zip(paths, records, strict=True) if record["metadata"]},
        skipped=skipped,
        pictures=np.stack([record["picture"] for record in records]),
    )
    result.warnings = [
        *_cut_warning(held_out),
        *_copy_warnings(result),
        *_shortcut_warnings(result),
        *_file_warnings(result, records),
        *_privacy_warnings(result),
    ]
    return result


def _read_splits(splits, _, __, workers):
    datasets = [data for data in (splits.train, splits.test) if data is not None]
    images = [image for data in datasets for image in data.images]
    if not images:
        raise ValueError("there are no images to audit")
    paths: list[str] = []
    for data, name in zip(datasets, ("train", "test"), strict=False):
        paths += data.paths or [f"{name}[{i}]" for i in range(len(data))]
    with ThreadPoolExecutor(worker_threads(workers), "tinycnn-audit") as pool:
        records = list(pool.map(_examined, images))
    labels = np.concatenate([data.labels for data in datasets])
    in_test = np.repeat([False, True][: len(datasets)], [len(data) for data in datasets])
    return list(paths), labels, splits.train.class_names, in_test, records, list(splits.skipped), {}


def _read_files(path, splits, held_out, workers):
    with open_source(path) as source:
        root, classes, files = find_images(source, splits)
        whole = files[0][0][0].split("/")[0] not in splits  # class folders alone
        if whole and held_out:
            files = [[member for member in files[0] if (member[0] in held_out) == test] for test in (False, True)]
        names = [name for members in files for name, _ in members]
        records = map_files(
            lambda i, data: _examined(decode_image(data, 256), data, PurePosixPath(names[i]).suffix.lower()),
            source,
            root,
            names,
            workers,
        )
    labels = np.array([label for members in files for _, label in members])
    in_test = np.repeat([False, True][: len(files)], [len(members) for members in files])
    good = np.array([not isinstance(record, BadFile) for record in records])
    if not good.any():
        raise ValueError(f"none of the {len(names)} files in {path} can be decoded; the first: {records[0].reason}")
    skipped = [record for record in records if isinstance(record, BadFile)]
    records = [record for record in records if not isinstance(record, BadFile)]
    paths = [name for name, keep in zip(names, good, strict=True) if keep]
    patients = named_patients(paths) if whole else {}
    return paths, labels[good], tuple(classes), in_test[good], records, skipped, patients


def _examined(image, data=None, extension=None):
    """All that is looked at in one image, (height, width, 1 or 3) uint8, and in the bytes of its file."""
    grey = image.mean(2)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    height, width = grey.shape
    numbers = {"width": np.nan, "height": np.nan, "aspect": np.nan}
    numbers |= {"mean": grey.mean(), "spread": grey.std(), "border": border.mean()}
    record: dict[str, Any] = {
        "fingerprint": fingerprint(image, data),
        "numbers": numbers,
        "traits": set(),
        "metadata": [],
    }
    record |= {"picture": small_picture(image), "format": None, "extension": extension}
    if (image.max(2) - image.min(2)).mean() > 1:
        record["traits"].add("coloured")
    if (border < 8).mean() > 0.5:
        record["traits"].add("black border")
    if data is not None:
        with open_image(data) as file:
            width, height = file.size
            record["metadata"] = _metadata_names(file)
            record["format"] = file.format
            kind = "grey" if file.mode in ("1", "L", "LA") or file.mode.startswith("I") else f"as {file.mode}"
            record["traits"] |= {f"extension {extension or 'none'}", f"stored {kind}"}
            if exif_of(file).get(ExifTags.Base.Orientation, 1) != 1:
                record["traits"].add("rotated by EXIF")
        numbers |= {"width": width, "height": height, "aspect": width / height, "kilobytes": len(data) / 1000}
    return record


def _metadata_names(file):
    names = [f"EXIF {ExifTags.TAGS.get(tag, hex(tag))}" for tag in exif_of(file)] if file.format != "TIFF" else []
    if "exif" in file.info and not names:
        names.append("EXIF")
    names += [key for key in _TEXT_KEYS if key in file.info]
    if file.format == "PNG":
        file.load()  # text chunks may stand behind the pixels
        names += [f"text {key}" for key in file.text if key not in names]
    if file.format == "TIFF":
        private = ("ImageDescription", "Make", "Model", "DateTime", "Artist", "HostComputer", "Copyright")
        names += [f"TIFF {name}" for tag, name in ExifTags.TAGS.items() if name in private and tag in file.tag_v2]
    return sorted(names)


def _cut_warning(held_out):
    if held_out:
        yield (
            "the test images were cut from the same folder as the training images: they say nothing of images from "
            "another source"
        )


def _copy_warnings(result: Audit) -> Iterator[str]:
    leaked = int(result.in_test.sum()) - len(result.leak_free_test)
    if leaked:
        yield f"{leaked} of {int(result.in_test.sum())} test images have a near copy in training: only the others count"
    for name, of_split in (("training", ~result.in_test), ("test", result.in_test)):
        repeated = int(of_split.sum()) - len(np.unique(result.groups[of_split]))
        if repeated:
            yield f"{repeated} {name} images repeat others of the same split"
    for pair in result.pairs:
        if result.labels[pair.a] != result.labels[pair.b]:
            yield f"the same image in two classes: {result.paths[pair.a]} and {result.paths[pair.b]}"


def _shortcut_warnings(result: Audit) -> Iterator[str]:
    """On the training images: that is where a network would learn them."""
    train = ~result.in_test
    for label, name in enumerate(result.class_names):
        inside, outside = train & (result.labels == label), train & (result.labels != label)
        if inside.sum() < 5 or outside.sum() < 5:
            continue
        for key, values in result.numbers.items():
            auc = 0.5 if np.isnan(values[train]).any() else roc_curve(inside[train], values[train]).auc
            if max(auc, 1 - auc) >= STRONG_AUC:
                side = "larger" if auc > 0.5 else "smaller"
                yield f"{key} is {side} in '{name}' than in the rest (AUC {max(auc, 1 - auc):.2f}): a shortcut"
        for key, has in result.traits.items():
            share, rest = has[inside].mean(), has[outside].mean()
            if abs(share - rest) >= STRONG_SHARE:
                yield f"{key}: {share:.0%} of '{name}', {rest:.0%} of the rest: a shortcut"


def _file_warnings(result, records):
    for record, path in zip(records, result.paths, strict=True):
        form = record["format"]
        if form and record["extension"] not in _EXTENSIONS.get(form, (f".{form.lower()}",)):
            yield f"{path} is in truth a {form} file"
    for key in ("coloured", "rotated by EXIF"):
        having = np.flatnonzero(result.traits.get(key, np.zeros(len(records), bool)))
        if 0 < len(having) < len(records):
            names = ", ".join(result.paths[i] for i in having[:10]) + (", ..." if len(having) > 10 else "")
            yield f"{len(having)} images are {key}: {names}"
    stored = {key: int(has.sum()) for key, has in result.traits.items() if key.startswith("stored")}
    if len(stored) > 1:
        yield "images are stored in several ways: " + ", ".join(f"{n} {key}" for key, n in stored.items())
    if result.skipped:
        yield f"{len(result.skipped)} files cannot be read: " + ", ".join(bad.path for bad in result.skipped[:10])


def _privacy_warnings(result: Audit) -> Iterator[str]:
    fields: dict[str, int] = {}
    for names in result.metadata.values():
        for name in names:
            fields[name] = fields.get(name, 0) + 1
    if fields:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(fields.items()))
        yield f"{len(result.metadata)} files carry metadata, which may name patients: {listed}; see tinycnn strip"
