"""Train a network on a folder of images and say honestly how well it does.

FOLDER, or a zip, holds train/CLASS/image and test/CLASS/image, or CLASS/image, which is cut into both; without it the
images of $TINYCNN_DATA are taken, or else synthetic ones. DIR receives the model, a model card, a page (report.html),
all numbers (report.json) and pictures.

networks, with their parameters for RGB images in three classes:
  report_cnn    the report's: conv 32, 64, 128, each with ReLU and max-pool; dropout; dense 128, 128, softmax;
                16,887,491 at 256 x 256 pixels, 372,419 at 32 x 32
  film_cnn      five convolutions and a global average; 246,515 at any size from 32 on
  small_vgg     four pairs of convolutions, as in VGG; 295,347 at any size from 16 on
  small_resnet  four residual blocks, as in ResNet; 309,363 at any size
  deep_encoder  five pairs of convolutions, as in a U-Net's first half; 1,182,515 at any size from 16 on
All but the first normalise each batch.

examples:
  tinycnn train
      synthetic images: see everything work without any data
  tinycnn train photos --network small_vgg --size 64 --validation-fraction 0.2 --out runs/photos
      a small network, with a fifth of the training images held out
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tinycnn.data.dataset import Dataset
from tinycnn.kernels.runtime import set_num_threads
from tinycnn.losses import balanced_class_weights
from tinycnn.model import Sequential
from tinycnn.models.report_cnn import report_cnn
from tinycnn.scores.metrics import classification_report
from tinycnn.study import recipe
from tinycnn.study.command_line import answer, at_least, fraction_to_test, phantoms, skip_bad_files
from tinycnn.study.experiment import Experiment, begin, checkpoint_to_resume
from tinycnn.study.films.known_sets import chest_class_names
from tinycnn.study.novelty import Novelty, fit_novelty, novelty_file, save_novelty
from tinycnn.study.report import scoring, tables
from tinycnn.study.report.inside_pages import write_inside_pages
from tinycnn.study.report.run_folder import describe_images, describe_run, write_run_report
from tinycnn.training.callbacks import Checkpoint, CSVLogger

NETWORKS = {"report_cnn": report_cnn, **recipe.NETWORKS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn train [FOLDER]``."""
    add = parser.add_argument
    add("data", nargs="?", metavar="FOLDER", help="folder or zip; else $TINYCNN_DATA; else synthetic images")
    phantoms(add)
    fraction_to_test(add)
    skip_bad_files(add)
    add("--out", type=Path, default=Path("runs/train"), metavar="DIR", help="results (runs/train)")
    add("--network", choices=NETWORKS, default="report_cnn", metavar="NAME", help="of those above (report_cnn)")
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
        "patients stay together (0, as in the report); they give the temperature of the probabilities, and the "
        "distance from which on `tinycnn evaluate` marks an image as unlike the training images",
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


def run(options: argparse.Namespace, network: Callable[..., Sequential] | None = None) -> int:
    """Load, train ``network(classes, seed=seed)``, score, save; returns the exit code.

    Parameters
    ----------
    options : argparse.Namespace
    network : callable, optional
        By default the one that ``options.network`` names.
    """
    network = network or NETWORKS[options.network]
    stopped = f"the same command with --resume goes on from the last checkpoint in {options.out}, if any"
    memory = f"--size {options.size // 2} or --batch-size 8"
    return answer(partial(_train, network=network), options, stopped, memory, options.out)


def _train(options: argparse.Namespace, network: Callable[..., Sequential]) -> int:
    if options.threads:
        set_num_threads(options.threads)
    study = begin(options, "a network is trained", options.size)
    parts = study.split(options.validation_fraction)
    train, validation, test = parts["train"], parts.get("validation"), parts["test"]

    model = network(len(train.class_names), seed=options.seed)
    try:
        model.build(train.images.shape[1:])
    except ValueError as error:
        size = f"{options.size} x {options.size} pixels"
        raise ValueError(f"images of {size} are too small for {model.name}: use a larger --size") from error
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
    novelty = _novelty(options.out / "model.npz", model, train, validation)

    scored, probabilities = scoring.score_model(model, test, study.audit, options.batch_size)
    matrix = next(iter(scored.values()))["confusion_matrix"]
    print(f"\nClassification report, {len(test)} test images{' (SYNTHETIC)' if study.synthetic else ''}\n")
    print(classification_report(test.labels, probabilities.argmax(axis=1), test.class_names))
    print(f"{tables.as_text(tables.matrix_table(matrix, test.class_names))}\n")
    print(f"{tables.as_text(tables.results_table(scored))}\n\n{scoring.leak_text(scored)}")
    unlike = {} if novelty is None else {"novelty": novelty.told(novelty.marks(model, test.images))}
    if unlike:
        print(scoring.novelty_text(unlike["novelty"], len(test)))
    print(study.note)

    print("\nLooking at where it looks ...", flush=True)
    about: dict[str, Any] = {"data": data, "settings": {"epochs": history.epochs, **settings}, "class_weights": weights}
    about |= {"model": model.name, "history": history, "results": scored, "audit": study.audit.to_dict(), **unlike}
    described, maps = describe_run(about, model, parts, probabilities)
    described["timing"] = _timing(study, len(train), history)
    inside = [] if options.no_html else write_inside_pages(options.out, model, test, probabilities)
    described["inside"] = [path.name for path in inside]
    files = write_run_report(options.out, described, test, probabilities, maps, html=not options.no_html) + inside
    files += [novelty_file(options.out / "model.npz")] if novelty else []
    print(f"Saved in {options.out}: model.npz, history.csv, {', '.join(path.name for path in files)}")
    if options.keep_checkpoint:
        print(
            f"{checkpoint.path} ({checkpoint.path.stat().st_size / 1e6:.0f} MB) is there for --resume with more "
            "--epochs; delete it if you will not go on (--no-keep-checkpoint does so by itself)."
        )
    else:
        checkpoint.path.unlink()
    return 0


def _novelty(path: Path, model: Sequential, train: Dataset, validation: Dataset | None) -> Novelty | None:
    """What tells images that are unlike the training images, saved beside the model; None without held-out images."""
    if validation is None:
        novelty_file(path).unlink(missing_ok=True)  # an earlier run's
        return None
    novelty = fit_novelty(model, train, validation)
    save_novelty(path, model, novelty)
    return novelty


def _timing(study: Experiment, images: int, history: Any) -> dict[str, float]:
    seconds = sum(history["seconds"])
    return {
        "load_seconds": study.loaded,
        "train_seconds": seconds,
        "images_per_second": images * history.epochs / seconds,
        "total_seconds": study.seconds,
    }
