"""Say what a saved model calls images, and how surely.

An IMAGE is a file, or a folder whose files are all taken. Images are made as large as the model needs them. The
probabilities are the model's own: of whatever it is shown, it says one of its classes.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from tinycnn.data.decode import load_image
from tinycnn.data.source import FolderSource
from tinycnn.files import plain
from tinycnn.inside import grad_cam
from tinycnn.model import Sequential
from tinycnn.study.command_line import in_words, model_of_images, skip_bad_files
from tinycnn.study.notices import NOTICE
from tinycnn.study.report.overlays import plot_overlays
from tinycnn.study.report.scoring import short_names
from tinycnn.study.report.tables import Table, as_text, decimals, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn predict MODEL IMAGE...``."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a file written by `tinycnn train` or Sequential.save")
    add("images", nargs="+", type=Path, metavar="IMAGE", help="image files, or folders of them")
    add("--format", choices=("table", "csv", "json"), default="table", help="of what is printed (table)")
    add("--heatmap", type=Path, metavar="DIR", help="also write each image beside its Grad-CAM heat map into DIR")
    skip_bad_files(add)


def run(options: argparse.Namespace) -> int:
    """Read, predict, print."""
    model, size, mode, names = model_of_images(options.model)
    paths, images = _read(options, size, mode)
    probabilities = model.predict(images)
    _print(options.format, paths, names, probabilities)
    if options.heatmap:
        _draw(options.heatmap, model, paths, images, probabilities, names)
    print(NOTICE, file=sys.stderr)  # apart from what another program may read
    return 0


def _read(options: argparse.Namespace, size: tuple[int, int], mode: str) -> tuple[list[str], np.ndarray]:
    files: list[Path] = []
    for path in options.images:
        inside = sorted(path.joinpath(*parts) for parts in FolderSource(path).walk()) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path} holds no file")
        files += inside
    paths, images, bad = [], [], []
    for file in dict.fromkeys(files):
        try:
            images.append(load_image(file, size, mode))
            paths.append(str(file))
        except (ValueError, OSError) as error:
            bad.append(one_line(in_words(error)))
    if bad and not (options.skip_bad_files and images):
        raise ValueError(f"{'; '.join(bad)}. --skip-bad-files would leave out what cannot be read")
    for reason in bad:
        print(f"left out {reason}", file=sys.stderr)
    return paths, np.stack(images)


def _print(form: str, paths: list[str], names: list[str], probabilities: np.ndarray) -> None:
    called = [names[k] for k in probabilities.argmax(axis=1)]
    rows = list(zip(paths, called, plain(probabilities), strict=True))
    if form == "json":
        told = [
            {"path": path, "predicted": name, "probabilities": dict(zip(names, row, strict=True))}
            for path, name, row in rows
        ]
        print(json.dumps(told, indent=1, allow_nan=False))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("path", "predicted", *names))
        writer.writerows((path, name, *row) for path, name, row in rows)
    else:
        shown = [(path, name, *map(decimals, row)) for path, name, row in rows]
        print(as_text(Table(("image", "called", *names), shown)))


def _draw(
    folder: Path,
    model: Sequential,
    paths: list[str],
    images: np.ndarray,
    probabilities: np.ndarray,
    names: list[str],
) -> None:
    called = probabilities.argmax(axis=1)
    maps = grad_cam(model, images, called)
    shorts = short_names([Path(path).resolve().as_posix() for path in paths])
    for short, image, heat, k, row in zip(shorts, images, maps, called, probabilities, strict=True):
        text = f"{short}: called {names[k]} ({row[k]:.0%})"
        plot_overlays(image[None], heat[None], [text], folder / f"{short}.png", title=None, note=NOTICE)
    print(f"{len(paths)} heat maps in {folder}", file=sys.stderr)
