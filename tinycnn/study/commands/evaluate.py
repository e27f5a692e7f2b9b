"""Test a saved model on labelled images: another hospital's, another camera's, those of a later year.

FOLDER, or a zip, holds CLASS/image, or test/CLASS/image, with the classes named as the model knows them.
Images that the model was trained on prove nothing: keep them out.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from tinycnn.data.dataset import Dataset
from tinycnn.data.folder import load_image_folder
from tinycnn.scores.intervals import report_by_group
from tinycnn.scores.metrics import classification_report
from tinycnn.study.command_line import model_of_images, skip_bad_files
from tinycnn.study.notices import NOTICE
from tinycnn.study.report import tables
from tinycnn.study.report.run_folder import report
from tinycnn.study.report.scoring import score_model


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
    test = _load(options, size, mode, names)
    groups = _groups(options.by, test.paths) if options.by else None
    scored, probabilities = score_model(model, test)
    called = probabilities.argmax(axis=1)
    print(f"Classification report, {len(test)} images\n")
    print(classification_report(test.labels, called, test.class_names))
    matrix = next(iter(scored.values()))["confusion_matrix"]
    print(f"{tables.as_text(tables.matrix_table(matrix, names))}\n\n{tables.as_text(tables.results_table(scored))}")
    if groups is not None:
        by_group = report_by_group(test.labels, called, groups, test.class_names)
        print(f"\n{tables.as_text(tables.groups_table(by_group, names))}")
    if options.out:
        files = report(model, None, test, options.out, name=options.folder.resolve().name)
        print(f"\nSaved in {options.out}: {', '.join(path.name for path in files)}")
    print(f"\n{NOTICE}")
    return 0


def _load(options: argparse.Namespace, size: tuple[int, int], mode: str, names: list[str]) -> Dataset:
    """The images, with labels that count through the model's classes."""
    on_error = "skip" if options.skip_bad_files else "raise"
    found, _, skipped = load_image_folder(options.folder, size, mode, splits="test", on_error=on_error)
    for path, reason in skipped:
        print(tables.one_line(f"left out {path}: {reason}"))
    unknown = [name for name in found.class_names if name not in names]
    if unknown:
        raise ValueError(f"{options.folder} has the classes {unknown}, which the model does not know: it knows {names}")
    labels = np.array([names.index(name) for name in found.class_names])[found.labels]
    paths = [path.removeprefix("test/") for path in found.paths]
    return Dataset(found.images, labels, names, paths)


def _groups(path: Path, images: tuple[str, ...]) -> list[str]:
    """The group of each image, by a file of lines ``path,group`` with paths as of ``CLASS/image``."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        known = {row[0].strip(): row[1].strip() for row in csv.reader(file) if len(row) >= 2}
    missing = [image for image in images if image not in known]
    if missing:
        raise ValueError(f"{path} names no group for {len(missing)} of {len(images)} images, such as {missing[0]}")
    return [known[image] for image in images]
