"""Train the report's network on chest X-rays and say honestly how well it does.

For research and teaching only, never for diagnosis.  ``python examples/chest_xray.py --help`` lists the options.
"""

import argparse
import sys

import tinycnn
from tinycnn.losses import balanced_class_weights
from tinycnn.scores.metrics import classification_report
from tinycnn.study.command_line import answer, at_least, example_parser
from tinycnn.study.experiment import begin, checkpoint_to_resume
from tinycnn.study.films.known_sets import chest_class_names
from tinycnn.study.report import scoring, tables
from tinycnn.study.report.inside_pages import write_inside_pages
from tinycnn.study.report.run_folder import describe_images, report_run
from tinycnn.training.callbacks import Checkpoint, CSVLogger


def run(options):
    """Load, train, score, save; returns the exit code."""
    study = begin(options, "the report's network", options.size)
    parts = study.split(options.validation_fraction)
    train, validation, test = parts["train"], parts.get("validation"), parts["test"]

    # Conv 32, 64, 128, each with ReLU and max-pool; dropout; dense 128, 128, softmax (tinycnn/models/report_cnn.py).
    model = tinycnn.report_cnn(classes=len(train.class_names), seed=options.seed)
    model.build(train.images.shape[1:])
    weights = balanced_class_weights(train.labels) if options.class_weight else None
    settings = study.settings("batch_size", "size", "seed", "class_weight", "validation_fraction")
    chest = chest_class_names(train.class_names) if options.chest is None else options.chest
    data = describe_images(study, parts, chest)
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

    report = {"data": data, "settings": {"epochs": history.epochs, **settings}, "class_weights": weights}
    report |= {"model": "report_cnn", "history": history, "results": scored}
    files = report_run(study, report, model, parts, probabilities, html=not options.no_html)
    if not options.no_html:
        files += write_inside_pages(options.out, model, test, probabilities)
    print(f"Saved in {options.out}: model.npz, history.csv, {', '.join(path.name for path in files)}")
    if options.keep_checkpoint:
        print(
            f"{checkpoint.path} ({checkpoint.path.stat().st_size / 1e6:.0f} MB) is there for --resume with more "
            "--epochs; delete it if you will not go on (--no-keep-checkpoint does so by itself)."
        )
    else:
        checkpoint.path.unlink()
    return 0


EXAMPLES = """\
  python examples/chest_xray.py
      synthetic images, 10 epochs: see everything work without any data
  python examples/chest_xray.py --data Covid19-dataset.zip
      the report's run on real images: a folder or zip with train/CLASS/image and test/CLASS/image
  python examples/chest_xray.py --data FOLDER --epochs 30 --out runs/long --resume
      go on where runs/long stopped (Ctrl-C, a crash), to the same bits as without the stop
  python examples/chest_xray.py --data FOLDER --size 128 --validation-fraction 0.2
      smaller and four times as fast, with a fifth of the training images kept for validation
"""


def parse(arguments=None):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES, "runs/chest_xray")
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
    add("--no-html", action="store_true", help="do not write report.html, inside.html and inside_wrong.html")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    if options.threads:
        tinycnn.set_num_threads(options.threads)
    stopped = f"the same command with --resume goes on from the last checkpoint in {options.out}, if any"
    return answer(run, options, stopped, memory=f"--size {options.size // 2} or --batch-size 8")


if __name__ == "__main__":
    sys.exit(main())
