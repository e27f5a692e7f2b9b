"""Train the report's network on chest X-rays and say honestly how well it does.

For research and teaching only, never for diagnosis.  ``python examples/chest_xray.py --help`` lists the options.
"""

import argparse
import errno
import shutil
import sys
import time
from pathlib import Path

import numpy as np

import tinycnn
from tinycnn import files
from tinycnn.data import grouped_holdout
from tinycnn.losses import balanced_class_weights
from tinycnn.scores.calibration import fit_temperature
from tinycnn.scores.metrics import classification_report
from tinycnn.serialization import read_npz
from tinycnn.study import notices, provenance
from tinycnn.study.command_line import answer, at_least, example_parser, load_audited
from tinycnn.study.cross_validation import undivided_groups
from tinycnn.study.notices import SYNTHETIC
from tinycnn.study.report import scoring
from tinycnn.study.report.run_folder import attention_maps, write_run_report
from tinycnn.training.callbacks import Checkpoint, CSVLogger

EXAMPLES = """\
examples:
  python examples/chest_xray.py
      synthetic images, 10 epochs: see everything work without any data
  python examples/chest_xray.py --data Covid19-dataset.zip
      the report's run on real images: a folder or zip with train/CLASS/image and test/CLASS/image
  python examples/chest_xray.py --data FOLDER --epochs 30 --out runs/long --resume
      go on where runs/long stopped (Ctrl-C, a crash), to the same bits as without the stop
  python examples/chest_xray.py --data FOLDER --size 128 --validation-fraction 0.2
      smaller and four times as fast, with a fifth of the training images kept for validation

exit codes: 0 done, 2 a wrong option, file or folder, 130 stopped by Ctrl-C"""


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    stopped = f"the same command with --resume goes on from the last checkpoint in {options.out}, if any"
    return answer(run, options, stopped, memory=f"--size {options.size // 2} or --batch-size 8")


def parse(arguments):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--epochs", type=at_least(1), default=10, metavar="N", help="passes over the training images (10)")
    add("--batch-size", type=at_least(1), default=16, metavar="N", help="images per step (16)")
    add("--size", type=at_least(1), default=256, metavar="N", help="images become N x N pixels (256, as in the report)")
    add("--seed", type=at_least(0), default=0, metavar="N", help="weights, dropout and order follow from it (0)")
    add(
        "--class-weight",
        action=argparse.BooleanOptionalAction,
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
    add("--out", type=Path, default=Path("runs/chest_xray"), metavar="DIR", help="results (runs/chest_xray)")
    add("--resume", action="store_true", help="go on from DIR/checkpoint.npz, if there is one")
    add("--checkpoint-every", type=at_least(1), default=1, metavar="N", help="epochs between checkpoints (1)")
    add("--threads", type=at_least(1), metavar="N", help="threads (all cores); the results do not depend on it")
    add("--no-html", action="store_true", help="do not write report.html")
    return parser.parse_args(arguments)


def run(options):
    """Load, train, score, save; returns the exit code."""
    began = time.perf_counter()
    if options.threads:
        tinycnn.set_num_threads(options.threads)
    print(f"tinycnn {tinycnn.__version__}: the report's network on chest X-rays. {notices.NOTICE}")
    data, found, path = load_audited(options, options.size)
    synthetic = path is None
    train, validation, test = split(data, found, options.validation_fraction)
    load_seconds = time.perf_counter() - began

    weights = balanced_class_weights(train.labels) if options.class_weight else None
    model = tinycnn.report_cnn(classes=len(train.class_names), seed=options.seed)
    model.build(train.images.shape[1:])
    settings = {
        key: getattr(options, key) for key in ("batch_size", "size", "seed", "class_weight", "validation_fraction")
    }
    data_hash = provenance.dataset_hash(train, validation, test)
    model.metadata = {"class_names": train.class_names, **settings, "data_sha256": data_hash}
    print()
    model.summary()
    print_classes(train, validation, test, weights)

    checkpoint = Checkpoint(options.out / "checkpoint.npz", every=options.checkpoint_every)
    resume = prepare(options, checkpoint.path, model)
    history = model.fit(
        train,
        validation,
        epochs=options.epochs,
        batch_size=options.batch_size,
        class_weight=weights,
        callbacks=[checkpoint, CSVLogger(options.out / "history.csv")],
        resume=resume,
    )
    if checkpoint.training.interrupted:
        print(f"stopped by Ctrl-C; the same command with --resume goes on from {checkpoint.path}")
        return 130
    model.save(options.out / "model.npz")

    report = {
        "notice": notices.NOTICE,
        "synthetic": synthetic,
        "data": {"name": "chest_phantoms" if synthetic else Path(path).resolve().name, "synthetic": synthetic}
        | {"sha256": data_hash, "image_shape": train.images.shape[1:]}
        | {"class_names": train.class_names, "skipped": data.skipped}
        | {name: part.counts() for name, part in parts(train, validation, test)},
        "settings": {"epochs": history.epochs, **settings},
        "class_weights": weights,
        "model": {"name": "report_cnn", "parameters": model.count_params, "layers": [repr(i) for i in model.layers]},
        "history": history,
        **provenance.environment(),
        "audit": found.to_dict(),
    }
    scored, probabilities = scoring.score_model(model, test, found, options.batch_size)
    predictions = probabilities.argmax(axis=1)
    print_results(scored, test, predictions, synthetic)
    print("\nLooking at where it looks ...", flush=True)
    maps, attention = attention_maps(model, test, predictions)
    report |= {"results": scored, "attention": attention, "predictions": scoring.list_predictions(test, probabilities)}
    if validation is not None:
        logits = np.log(np.maximum(model.predict(validation), 1e-30))  # softmax turns these back into probabilities
        report["temperature"] = fit_temperature(logits, validation.labels)
    report["timing"] = {
        "load_seconds": load_seconds,
        "train_seconds": sum(history["seconds"]),
        "images_per_second": len(train) * history.epochs / sum(history["seconds"]),
        "total_seconds": time.perf_counter() - began,
    }
    files = write_run_report(options.out, report, test, probabilities, maps, html=not options.no_html)
    print(f"Saved in {options.out}: model.npz, history.csv, {', '.join(path.name for path in files)}")
    return 0


def split(data, found, validation_fraction):
    """Training, validation (or None) and test images; near-copies and known patients stay on one side."""
    if not validation_fraction:
        return data.train, None, data.test
    groups = undivided_groups(found)[0][~found.in_test]
    chosen, held_out = grouped_holdout(groups, data.train.labels, validation_fraction)
    return data.train.subset(chosen), data.train.subset(held_out), data.test


def parts(train, validation, test):
    """Names and sets of images that there are."""
    named = {"train": train, "validation": validation, "test": test}
    return [(name, part) for name, part in named.items() if part is not None]


def prepare(options, checkpoint, model):
    """Make the folder, see that everything fits, and find the checkpoint to go on from (None for a new run)."""
    options.out.mkdir(parents=True, exist_ok=True)
    # Model, checkpoint (weights and Adam's two moments), and the next checkpoint before it replaces the last.
    needed = 7 * 4 * model.count_params + 20_000_000
    free = shutil.disk_usage(options.out).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{options.out} needs {needed / 1e6:.0f} MB, the disk has {free / 1e6:.0f} MB free")
    if not checkpoint.exists():
        if options.resume:
            print(f"\nNo checkpoint in {options.out} yet: starting from the beginning.")
        return None
    if not options.resume:
        print(f"\nThe earlier run in {options.out} will be replaced (--resume would go on from it).")
        return None
    theirs = read_npz(checkpoint)[0].get("metadata", {})
    for key, ours in files.plain(model.metadata).items():
        if theirs.get(key) != ours:
            raise ValueError(
                f"cannot resume {checkpoint}: it was written with {key} {theirs.get(key)!r}, this run has {ours!r}; "
                "use the same options and data, or another --out"
            )
    return checkpoint


def print_classes(train, validation, test, weights):
    """Images and loss weight of each class."""
    named = parts(train, validation, test)
    width = max(map(len, train.class_names))
    print(f"\n{'':{width}}" + "".join(f"{name:>12}" for name, _ in named) + f"{'weight':>12}")
    for i, name in enumerate(train.class_names):
        counts = "".join(f"{part.counts()[name]:12d}" for _, part in named)
        print(f"{name:{width}}{counts}{1.0 if weights is None else weights[i]:12.4f}")
    print()


def print_results(scored, test, predictions, synthetic):
    """The report's table, the confusion matrix, and what to make of them."""
    print(f"\nClassification report, {len(test)} test images{' (SYNTHETIC)' if synthetic else ''}\n")
    print(classification_report(test.labels, predictions, test.class_names))
    print(scoring.matrix_text(next(iter(scored.values()))["confusion_matrix"], test.class_names))
    print(f"\n{scoring.scores_text(scored)}\n\n{scoring.leak_text(scored)}\n{notices.NOTICE}")
    if synthetic:
        print(SYNTHETIC)


if __name__ == "__main__":
    sys.exit(main())
