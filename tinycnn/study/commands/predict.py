"""Say what a saved model calls images, and how surely.

An IMAGE is a file, or a folder whose files are all taken. Images are made as large as the model needs them. The
probabilities are the model's own: of whatever it is shown, it says one of its classes.

If model.novelty.npz lies beside model.npz (`tinycnn train --validation-fraction` writes it), a column says how far each
image is from those that the model was trained on. Above 1 it is marked as unlike them: what it is called then means
little. Of images like those held out in training, about 5 % are marked.

example:
  tinycnn predict runs/photos/model.npz new_photos --format csv --heatmap heat
"""

import argparse
import csv
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np

from tinycnn.inside import grad_cam
from tinycnn.model import Sequential
from tinycnn.study.command_line import model_of_images, skip_bad_files
from tinycnn.study.notices import NOTICE
from tinycnn.study.novelty import Novelty, load_novelty, novelty_file
from tinycnn.study.report.overlays import plot_overlays
from tinycnn.study.report.scoring import novelty_text, short_names
from tinycnn.study.report.tables import Table, as_text, decimals, one_line
from tinycnn.training.image_files import Prediction, files_in, image_facts, predict_files


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
    model, _, _, names = model_of_images(options.model)
    novelty = load_novelty(options.model, model)
    distance = None if novelty is None else partial(novelty.in_thresholds, model)
    predictions, bad = predict_files(model, files_in(options.images), distance=distance)
    left_out = [one_line(f"{path}: {reason}") for path, reason in bad]
    if bad and not (options.skip_bad_files and predictions):
        raise ValueError(f"{'; '.join(left_out)}. --skip-bad-files would leave out what cannot be read")
    for reason in left_out:
        print(f"left out {reason}", file=sys.stderr)
    _print(options.format, predictions, names)
    if options.heatmap:
        _draw(options.heatmap, model, predictions, names)
    print(_told(novelty, predictions, novelty_file(options.model)), file=sys.stderr)
    print(NOTICE, file=sys.stderr)  # apart from what another program may read
    return 0


def _print(form: str, predictions: list[Prediction], names: list[str]) -> None:
    known = predictions[0].distance is not None  # and so of all
    heads = (*names, *["distance"] * known)
    rows = [(one.path, one.predicted, [*one.probabilities.values()], [one.distance] * known) for one in predictions]
    if form == "json":
        print(json.dumps([one._asdict() for one in predictions], indent=1, allow_nan=False))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("path", "predicted", *heads))
        writer.writerows((path, name, *row, *far) for path, name, row, far in rows)
    else:
        shown = [(path, name, *map(decimals, row), *map(_in_words, far)) for path, name, row, far in rows]
        print(as_text(Table(("image", "called", *heads), shown)))


def _in_words(distance: float | None) -> str:
    return "" if distance is None else f"{distance:.1f} {'unlike' if distance > 1 else 'like'}"


def _told(novelty: Novelty | None, predictions: list[Prediction], file: Path) -> str:
    if novelty is None:
        return f"Nothing tells which images are unlike the training images: there is no {file}."
    marks = np.array([one.distance is not None and one.distance > 1 for one in predictions])
    return novelty_text(novelty.told(marks), len(marks))


def _draw(folder: Path, model: Sequential, predictions: list[Prediction], names: list[str]) -> None:
    facts = image_facts(model)
    images = np.stack([facts.load(one.path) for one in predictions])
    maps = grad_cam(model, facts.inputs(images), [names.index(one.predicted) for one in predictions])
    shorts = short_names([Path(one.path).resolve().as_posix() for one in predictions])
    for short, image, heat, one in zip(shorts, images, maps, predictions, strict=True):
        text = f"{short}: called {one.predicted} ({one.probabilities[one.predicted]:.0%})"
        plot_overlays(image[None], heat[None], [text], folder / f"{short}.png", title=None, note=NOTICE)
    print(f"{len(images)} heat maps in {folder}", file=sys.stderr)
