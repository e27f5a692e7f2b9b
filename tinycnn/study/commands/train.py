"""Train the report's network on a folder of images and say honestly how well it does.

FOLDER, or a zip, holds train/CLASS/image and test/CLASS/image; without it the images of $TINYCNN_DATA are taken, or
else synthetic ones. The network: conv 32, 64, 128, each with ReLU and max-pool; dropout; dense 128, 128, softmax.
DIR receives the model, a model card, a page (report.html), all numbers (report.json) and pictures.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tinycnn.kernels.runtime import set_num_threads
from tinycnn.losses import balanced_class_weights
from tinycnn.model import Sequential
from tinycnn.models.report_cnn import report_cnn
from tinycnn.scores.metrics import classification_report
from tinycnn.study.command_line import answer, at_least, phantoms, skip_bad_files
from tinycnn.study.experiment import Experiment, begin, checkpoint_to_resume
from tinycnn.study.films.known_sets import chest_class_names
from tinycnn.study.report import scoring, tables
from tinycnn.study.report.inside_pages import write_inside_pages
from tinycnn.study.report.run_folder import describe_images, describe_run, write_run_report
from tinycnn.training.callbacks import Checkpoint, CSVLogger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn train [FOLDER]``."""
    add = parser.add_argument
    add("data", nargs="?", metavar="FOLDER", help="folder or zip; else $TINYCNN_DATA; else synthetic images")
    phantoms(add)
    skip_bad_files(add)
    add("--out", type=Path, default=Path("runs/train"), metavar="DIR", help="results (runs/train)")
    add_training(parser)


def add_training(parser: argparse.ArgumentParser) -> None:
    """The options of a training, without those for images and results."""
    add, on_or_off = parser.add_argument, argparse.BooleanOptionalAction
    add("--epochs", type=at_least(1), default=10, metavar="N", help="passes over the training images (10)")
    add("--batch-size", type=at_least(1), default=16, metavar="N", help="images per step (16)")
    add("--size", type=at_least(1), default=256, metavar="N", help="images become N x N pixels (256, as in the report)")
    add("--seed", type=at_least(0), default=0, metavar="N", help="weights, dropout and order follow from it (0)")
    add(
        "--class-weight",
        action=on_or_off,
        default=True,
        help="weight the classes so that each counts the same (default)",
    )
    add(
        "--validation-fraction",
        type=at_least(0, 0.5, float),
        default=0.0,
        metavar="F",
        help="share of the training images kept for validation, to the nearest of 1/2, 1/3, 1/4, ...; copies and known "
        "patients stay together (0, as in the report); the temperature of the probabilities is then fitted on them",
    )
    add(
        "--chest",
        action=on_or_off,
        help="whether the images are chest films, in which to look for lungs (by default if a class is named after "
        "covid, pneumonia, lungs, ...)",
    )
    add("--resume", action="store_true", help="go on from DIR/checkpoint.npz, if there is one")
    add("--checkpoint-every", type=at_least(1), default=1, metavar="N", help="epochs between checkpoints (1)")
    add(
        "--keep-checkpoint",
        action=on_or_off,
        default=True,
        help="keep DIR/checkpoint.npz, three times the model's size, when the run has ended (default)",
    )
    add("--threads", type=at_least(1), metavar="N", help="threads (all cores); the results do not depend on it")
    add("--no-html", action="store_true", help="do not write report.html")


def run(options: argparse.Namespace, network: Callable[[int, int], Sequential] = report_cnn) -> int:
    """Load, train what ``network(classes, seed)`` returns, score, save; returns the exit code."""
    if options.threads:
        set_num_threads(options.threads)
    stopped = f"the same command with --resume goes on from the last checkpoint in {options.out}, if any"
    return answer(
        partial(_train, network=network), options, stopped, memory=f"--size {options.size // 2} or --batch-size 8"
    )


def _train(options: argparse.Namespace, network: Callable[[int, int], Sequential]) -> int:
    study = begin(options, "the report's network", options.size)
    parts = study.split(options.validation_fraction)
    train, validation, test = parts["train"], parts.get("validation"), parts["test"]

    model = network(len(train.class_names), options.seed)
    model.build(train.images.shape[1:])
    weights: Any = balanced_class_weights(train.labels) if options.class_weight else None
    settings = study.settings("batch_size", "size", "seed", "class_weight", "validation_fraction")
    data = {
        "name": "chest_phantoms" if study.path is None else Path(study.path).resolve().name,
        "synthetic": study.synthetic,
        **describe_images(parts),
        "chest_films": chest_class_names(train.class_names) if options.chest is None else options.chest,
        "skipped": study.data.skipped,
    }
    model.metadata = {"class_names": train.class_names, **settings, "data_sha256": data["sha256"]}
    print()
    model.summary()
    print(f"\n{tables.as_text(tables.images_table(data, weights))}\n")

    checkpoint = Checkpoint(options.out / "checkpoint.npz", every=options.checkpoint_every)
    history = model.fit(
        train,
        validation,
        epochs=options.epochs,
        batch_size=options.batch_size,
        class_weight=weights,
        callbacks=[checkpoint, CSVLogger(options.out / "history.csv")],
        resume=checkpoint_to_resume(checkpoint.path, model, options.resume),
    )
    if checkpoint.training.interrupted:
        print(f"stopped by Ctrl-C; the same command with --resume goes on from {checkpoint.path}")
        return 130
    model.save(options.out / "model.npz")

    scored, probabilities = scoring.score_model(model, test, study.audit, options.batch_size)
    matrix = next(iter(scored.values()))["confusion_matrix"]
    print(f"\nClassification report, {len(test)} test images{' (SYNTHETIC)' if study.synthetic else ''}\n")
    print(classification_report(test.labels, probabilities.argmax(axis=1), test.class_names))
    print(f"{tables.as_text(tables.matrix_table(matrix, test.class_names))}\n")
    print(f"{tables.as_text(tables.results_table(scored))}\n\n{scoring.leak_text(scored)}\n{study.note}")

    print("\nLooking at where it looks ...", flush=True)
    about: dict[str, Any] = {"data": data, "settings": {"epochs": history.epochs, **settings}, "class_weights": weights}
    about |= {"model": "report_cnn", "history": history, "results": scored, "audit": study.audit.to_dict()}
    described, maps = describe_run(about, model, parts, probabilities)
    described["timing"] = _timing(study, len(train), history)
    inside = [] if options.no_html else write_inside_pages(options.out, model, test, probabilities)
    described["inside"] = [path.name for path in inside]
    files = write_run_report(options.out, described, test, probabilities, maps, html=not options.no_html) + inside
    print(f"Saved in {options.out}: model.npz, history.csv, {', '.join(path.name for path in files)}")
    if options.keep_checkpoint:
        print(
            f"{checkpoint.path} ({checkpoint.path.stat().st_size / 1e6:.0f} MB) is there for --resume with more "
            "--epochs; delete it if you will not go on (--no-keep-checkpoint does so by itself)."
        )
    else:
        checkpoint.path.unlink()
    return 0


def _timing(study: Experiment, images: int, history: Any) -> dict[str, float]:
    seconds = sum(history["seconds"])
    return {
        "load_seconds": study.loaded,
        "train_seconds": seconds,
        "images_per_second": images * history.epochs / seconds,
        "total_seconds": study.seconds,
    }
