"""Test a saved model on labelled images: another hospital's, another camera's, those of a later year.

FOLDER, or a zip, holds CLASS/image, or test/CLASS/image, with the classes named as the model knows them.
Images that the model was trained on prove nothing: keep them out.

Images unlike those that the model was trained on are marked and counted, and the tables given with and without them,
if the model was trained by `tinycnn train --validation-fraction`: model.novelty.npz beside model.npz then holds a
distance between what the layers make of images, and from which distance on 5 % of held-out ones would be marked.

example:
  tinycnn evaluate runs/photos/model.npz other_camera --by cameras.csv --out runs/other
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.data.dataset import Dataset
from tinycnn.data.folder import load_image_folder
from tinycnn.scores.intervals import report_by_group
from tinycnn.scores.metrics import classification_report
from tinycnn.study.command_line import model_of_images, skip_bad_files
from tinycnn.study.notices import NOTICE
from tinycnn.study.novelty import load_novelty, novelty_file
from tinycnn.study.report import tables
from tinycnn.study.report.run_folder import describe_run, run_of, write_run_report
from tinycnn.study.report.scoring import novelty_text, score_familiar, score_model
from tinycnn.study.report.tables import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn evaluate MODEL FOLDER``."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a file written by `tinycnn train` or Sequential.save")
    add("folder", type=Path, metavar="FOLDER", help="folder or zip of class folders, or of test/CLASS")
    add("--by", type=Path, metavar="CSV", help="also score each group alone: a file with a line path,group per image")
    add("--out", type=Path, metavar="DIR", help="also write page, model card, pictures and report.json into DIR")
    skip_bad_files(add)


def run(options: argparse.Namespace) -> int:
    """Load, predict, print the tables, and write what is asked for."""
    model, size, mode, names = model_of_images(options.model)
    novelty = load_novelty(options.model, model)
    keep_aspect = model.metadata["preprocessing"]["keep_aspect"]
    test = _load(options, names, {"size": size, "mode": mode, "keep_aspect": keep_aspect})
    groups = _groups(options.by, test.paths) if options.by else None
    scored, probabilities = score_model(model, test)
    distances = np.zeros(len(test)) if novelty is None else novelty.in_thresholds(model, test.images)
    marks = distances > 1
    told = {} if novelty is None else {"novelty": novelty.told(marks)}

    print(f"Classification report, {len(test)} images\n")
    called = probabilities.argmax(axis=1)
    print(classification_report(test.labels, called, test.class_names))
    matrix = next(iter(scored.values()))["confusion_matrix"]
    scored |= score_familiar(test, probabilities, marks)
    print(f"{tables.as_text(tables.matrix_table(matrix, names))}\n\n{tables.as_text(tables.results_table(scored))}")
    if groups is not None:
        print(f"\n{_by_group(test, called, groups, marks if told else None)}")
    if told:
        print(f"\n{novelty_text(told['novelty'], len(test))}")
        _print_unlike(test, called, distances)
    else:
        print(
            f"\nNothing tells which images are unlike the training images: there is no {novelty_file(options.model)}."
        )
    if options.out:
        run = run_of(model, {"test": test}, scored, options.folder.resolve().name) | told
        described, maps = describe_run(run, model, {"test": test}, probabilities)
        files = write_run_report(options.out, described, test, probabilities, maps)
        print(f"\nSaved in {options.out}: {', '.join(path.name for path in files)}")
    print(f"\n{NOTICE}")
    return 0


def _by_group(test: Dataset, called: np.ndarray, groups: np.ndarray, marks: np.ndarray | None) -> str:
    """The table of all groups and, where `marks` are known and there are any, that of the images without them."""

    def table(rows: np.ndarray, unlike: dict[str, int] | None) -> str:
        scored = report_by_group(test.labels[rows], called[rows], groups[rows], test.class_names)
        return tables.as_text(tables.groups_table(scored, test.class_names, unlike))

    if marks is None:
        return table(np.arange(len(test)), None)
    whole = table(np.arange(len(test)), {str(group): int(marks[groups == group].sum()) for group in np.unique(groups)})
    if not 0 < marks.sum() < len(test):
        return whole
    return f"{whole}\n\nwithout images unlike the training images\n{table(np.flatnonzero(~marks), None)}"


def _print_unlike(test: Dataset, called: np.ndarray, distances: np.ndarray, most: int = 10) -> None:
    """The images that are farthest from the training images, `distances` in thresholds."""
    unlike = np.flatnonzero(distances > 1)
    if len(unlike):
        farthest = unlike[np.argsort(-distances[unlike], kind="stable")][:most]
        names = test.class_names
        rows = [(test.paths[i], names[test.labels[i]], names[called[i]], f"{distances[i]:.1f}") for i in farthest]
        which = "They are called" if len(unlike) <= most else f"The {most} farthest of them are called"
        print(f"{which}, at distances in thresholds:\n")
        print(tables.as_text(Table(("image", "true", "called", "distance"), rows)))


def _load(options: argparse.Namespace, names: list[str], as_trained: dict[str, Any]) -> Dataset:
    """The images, made as large as those of the training were, with labels that count through the model's classes."""
    on_error = "skip" if options.skip_bad_files else "raise"
    found, _, skipped = load_image_folder(options.folder, splits="test", on_error=on_error, **as_trained)
    for path, reason in skipped:
        print(tables.one_line(f"left out {path}: {reason}"))
    unknown = [name for name in found.class_names if name not in names]
    if unknown:
        raise ValueError(f"{options.folder} has the classes {unknown}, which the model does not know: it knows {names}")
    labels = np.array([names.index(name) for name in found.class_names])[found.labels]
    paths = [path.removeprefix("test/") for path in found.paths]
    return Dataset(found.images, labels, names, paths)


def _groups(path: Path, images: tuple[str, ...]) -> np.ndarray:
    """The group of each image, by a file of lines ``path,group`` with paths as of ``CLASS/image``."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            known = {row[0].strip(): row[1].strip() for row in csv.reader(file) if len(row) >= 2}
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file of lines path,group: {error}") from error
    missing = [image for image in images if image not in known]
    if missing:
        raise ValueError(f"{path} names no group for {len(missing)} of {len(images)} images, such as {missing[0]}")
    return np.array([known[image] for image in images])
