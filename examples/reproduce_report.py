"""Train the report's two models over several seeds and say what their numbers are worth.

Model A: a denoising autoencoder cleans all images, then the report's network learns from them, without class weights.
Model B: the report's network on the images as they are, with class weights (as ``examples/chest_xray.py`` trains it).
Both are scored on the test images as published, without near-copies of training images, without shared patients,
and by grouped cross-validation, beside baselines that look at no lung.  For research and teaching only, never for
diagnosis.  ``python examples/reproduce_report.py --help`` lists the options.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

import tinycnn
from tinycnn import files
from tinycnn.data import grouped_kfold
from tinycnn.data.dataset import Dataset
from tinycnn.ensemble import train_members
from tinycnn.losses import balanced_class_weights
from tinycnn.model import Sequential
from tinycnn.models.autoencoder import add_noise, denoise, denoising_autoencoder, fit_autoencoder
from tinycnn.scores import plots
from tinycnn.scores.metrics import classification_report
from tinycnn.study import cross_validation, notices, provenance
from tinycnn.study.baselines import LogisticRegression, header_numbers, majority_class, thumbnails
from tinycnn.study.command_line import add_executor, answer, at_least, example_parser, executor_of, load_audited, teller
from tinycnn.study.films.known_sets import known_patients
from tinycnn.study.notices import SYNTHETIC

NAMES = {"A": "A: denoised, no class weights", "B": "B: class weights"}
# The student report's own tables, one run on the 66 test images: precision, recall, F1; of A the accuracy only.
REPORTED = {
    "A": {"accuracy": 0.83},
    "B": {
        "accuracy": 0.91,
        "Covid": (1.00, 0.92, 0.96),
        "Normal": (0.90, 0.90, 0.90),
        "Viral Pneumonia": (0.82, 0.90, 0.86),
    },
}
PARTS = ("baselines", "A", "B", "folds")
BATCH = 16
EXAMPLES = """\
examples:
  python examples/reproduce_report.py --size 64 --epochs 3 --seeds 2 --phantoms 20
      synthetic images, a minute or two: see everything work without any data
  python examples/reproduce_report.py --data Covid19-dataset.zip
      both models, 5 seeds and 5 folds at full size; the same command after a stop goes on where it was
  python examples/reproduce_report.py --data FOLDER --only baselines B
      a part of it

exit codes: 0 done, 2 a wrong option, file or folder, 130 stopped by Ctrl-C"""


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    stopped = f"the same command goes on with the members that {options.out} does not yet hold"
    return answer(run, options, stopped, memory=f"--executor 1 or --size {options.size // 2}")


def parse(arguments):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--seeds", type=at_least(1), default=5, metavar="N", help="runs of each model, seeds 0 to N-1 (5)")
    add("--epochs", type=at_least(1), default=10, metavar="N", help="passes of a classifier over the images (10)")
    add("--size", type=at_least(16), default=256, metavar="N", help="images become N x N pixels, a multiple of 4 (256)")
    add("--folds", type=at_least(2), default=5, metavar="K", help="of the grouped cross-validation (5)")
    add("--noise", type=at_least(0, 1, float), default=0.1, metavar="L", help="the autoencoder's noise, 0 to 1 (0.1)")
    add("--denoise-epochs", type=at_least(1), default=5, metavar="N", help="passes of the autoencoder (5)")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (all); folds are of A and B")
    add("--out", type=Path, default=Path("runs/reproduce_report"), metavar="DIR", help="(runs/reproduce_report)")
    add_executor(parser)
    options = parser.parse_args(arguments)
    if options.size % 4:
        parser.error(f"--size must be a multiple of 4, got {options.size}")
    if options.only == ["folds"]:
        parser.error("--only folds: name A, B or both too, for the folds are of these")
    return options


def run(options):
    """Load, train whatever is missing, score, save; returns the exit code."""
    began = time.perf_counter()
    options.executor = executor_of(options.executor)
    print(f"tinycnn {tinycnn.__version__}: the report's two models, reproduced. {notices.NOTICE}")
    data, found, path = load_audited(options, options.size)
    synthetic = path is None
    settings = {key: getattr(options, key) for key in ("epochs", "size", "noise", "denoise_epochs", "folds")}
    settings["data_sha256"] = provenance.dataset_hash(data.train, data.test)
    groups, patients = cross_validation.undivided_groups(found)
    lines = cross_validation.evaluation_lines(found.groups, found.in_test, patients)
    everything = cross_validation.all_images(data)
    if {"baselines", "folds"} & set(options.only):
        grouped_kfold(groups, everything.labels, options.folds)  # refuses too few images, before anything is trained
    keep_settings(options.out, settings)
    crossed = f"{len(everything)} cross-validated, {options.folds} folds that divide no copies and no known patient"
    print(f"\nTest images: {', '.join(lines)}." + ("  Nothing is known of the patients." if patients is None else ""))

    table = {line: {} for line in (*lines, crossed)}

    def score(name, on_test, on_all):
        if on_test is not None:
            for line, rows in lines.items():
                labels, runs = data.test.labels[rows], np.asarray(on_test)[:, rows]
                table[line][name] = cross_validation.summarise(
                    labels, runs, everything.class_names, groups[found.in_test][rows]
                )
        if on_all is not None:
            table[crossed][name] = cross_validation.summarise(everything.labels, on_all, everything.class_names, groups)

    if "baselines" in options.only:
        for name, predict in baselines(everything, found).items():
            train, test = np.flatnonzero(~found.in_test), np.flatnonzero(found.in_test)
            folds = cross_validation.cross_validate(predict, everything.labels, groups, options.folds)
            score(name, [predict(train, test)], folds)
    runs = {}
    for model in [model for model in "BA" if model in options.only]:
        runs[model] = train_seeds(model, data, options)
        folds = train_folds(model, everything, groups, options) if "folds" in options.only else None
        score(NAMES[model], [one["probabilities"] for one in runs[model]], folds)

    table = {line: methods for line, methods in table.items() if methods}
    tables = {model: report_table(data.test, found_runs) for model, found_runs in runs.items()}
    print_results(table, tables, synthetic)
    report = {
        "notice": notices.NOTICE,
        "synthetic": synthetic,
        "settings": settings,
        "seeds": options.seeds,
        "lines": {line: [data.test.paths[i] for i in rows] for line, rows in lines.items()} if data.test.paths else {},
        "known_patients": known_patients(found.paths),
        "table": table,
        "reported": None if synthetic else REPORTED,
        "tables": tables,
        "runs": runs,
        "audit": found.to_dict(),
        **provenance.environment(),
        "seconds": time.perf_counter() - began,
    }
    save_pictures(table, lines, runs, data.test, options, synthetic)
    files.write_json(options.out / "reproduction.json", report)
    print(f"\nSaved in {options.out}: " + ", ".join(sorted(path.name for path in options.out.iterdir())))
    print(f"{time.perf_counter() - began:.0f} s in all")
    return 0


def keep_settings(out, settings):
    """Write the settings to the folder, or see that what it holds was made with the same."""
    path = out / "settings.json"
    settings = files.plain(settings)
    if path.exists():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        for key, ours in settings.items():
            if theirs.get(key) != ours:
                raise ValueError(
                    f"{out} holds results for {key} {theirs.get(key)!r}, this run has {ours!r}; use another --out"
                )
    else:
        files.write_json(path, settings)


def baselines(everything, found):
    """Name and ``predict(train, test)`` of each baseline."""
    labels, classes = everything.labels, len(everything.class_names)

    def regression(features):
        return lambda train, test: (
            LogisticRegression().fit(features[train], labels[train], classes).predict(features[test])
        )

    numbers = header_numbers(found)
    return {
        "majority class": lambda train, test: majority_class(labels[train], len(test), classes),
        f"{numbers.shape[1]} header numbers": regression(numbers),
        "16x16 thumbnail": regression(thumbnails(everything.images)),
    }


def train_seeds(model, data, options):
    """What each seed of `model` gave on the test images."""
    jobs = {f"{model}-seed-{seed}": {"model": model, "seed": seed} for seed in range(options.seeds)}
    train = partial(one_seed, data.train, data.test, recipe(options), options.out)
    return list(train_members(train, jobs, **where(options, jobs, model, "seeds")).values())


def train_folds(model, everything, groups, options):
    """Probabilities for every image, from a model that saw none of its group."""
    predict = partial(one_fold, everything, recipe(options), model)
    where_to = where(options, range(options.folds), model, "folds")
    return cross_validation.cross_validate(
        predict, everything.labels, groups, options.folds, name=f"{model}-fold", **where_to
    )


def recipe(options):
    """What a worker must know."""
    return {key: getattr(options, key) for key in ("epochs", "noise", "denoise_epochs")}


def where(options, jobs, model, what):
    """Options of `train_members`: executor, folder, and a line for each member."""
    print(f"\nModel {NAMES[model]}: {len(jobs)} {what} of {options.epochs} epochs", flush=True)

    return {
        "executor": options.executor,
        "folder": options.out / "members",
        "on_member": teller(len(jobs)),
    }


def one_seed(train, test, recipe, out, job):
    """A member: the model and seed of `job`, trained on `train`, and its probabilities for `test`."""
    keep = out / "autoencoder.npz" if job["seed"] == 0 else None
    return train_and_predict(job["model"], train, test, recipe, job["seed"], keep)


def one_fold(everything, recipe, model, train, test):
    """A fold's probabilities, seed 0."""
    return train_and_predict(model, everything.subset(train), everything.subset(test), recipe)["probabilities"]


def train_and_predict(model, train, test, recipe, seed=0, keep=None):
    """Train model "A" or "B" by the report's recipe; `keep` is a file for A's autoencoder."""
    began = time.perf_counter()
    cleaning = None
    if model == "A":
        autoencoder = denoising_autoencoder(train.images.shape[3], seed=seed)
        cleaning = fit_autoencoder(
            autoencoder, train, level=recipe["noise"], epochs=recipe["denoise_epochs"], batch_size=BATCH, verbose=0
        )
        complete(cleaning, recipe["denoise_epochs"])
        if keep:
            autoencoder.save(keep)
        train, test = denoise(autoencoder, train, BATCH), denoise(autoencoder, test, BATCH)
        del autoencoder  # its buffers are larger than the classifier's
    network = tinycnn.report_cnn(classes=len(train.class_names), seed=seed)
    network.build(train.images.shape[1:])
    weights = balanced_class_weights(train.labels) if model == "B" else None
    history = network.fit(train, epochs=recipe["epochs"], batch_size=BATCH, class_weight=weights, verbose=0)
    complete(history, recipe["epochs"])
    return {
        "probabilities": network.predict(test, BATCH),
        "history": history,
        "autoencoder_history": cleaning,
        "seconds": time.perf_counter() - began,
    }


def complete(history, epochs):
    """`fit` returns quietly after Ctrl-C; half a training must not pass for a whole one."""
    if history.epochs < epochs:
        raise KeyboardInterrupt


def report_table(test, runs):
    """The report's table, each number the mean over the seeds."""
    names = test.class_names
    each = [
        classification_report(test.labels, np.asarray(one["probabilities"]).argmax(axis=1), names, output_dict=True)
        for one in runs
    ]
    table = {"accuracy": float(np.mean([one["accuracy"] for one in each]))}
    for row in (*names, "macro avg", "weighted avg"):
        table[row] = {key: float(np.mean([one[row][key] for one in each])) for key in each[0][row]}
    return table


def print_results(table, tables, synthetic):
    """The report's tables beside ours, and the four lines."""
    for model, ours in tables.items():
        print(f"\nModel {NAMES[model]}: the report's table, mean over the seeds, test images as published")
        width = max(map(len, ours))
        reported = {} if synthetic else REPORTED[model]
        print(f"{'':>{width}}  precision    recall  f1-score   support" + "   the report" * bool(reported))
        for row, values in ours.items():
            if row != "accuracy":
                cells = "  ".join(f"{values[key]:9.2f}"[1:] for key in ("precision", "recall", "f1-score"))
                theirs = "   " + " / ".join(f"{value:.2f}" for value in reported[row]) if row in reported else ""
                print(f"{row:>{width}}  {cells.rjust(29)}  {values['support']:8.0f}{theirs}")
        beside = f"; the report: {reported['accuracy']:.2f}, one run" if reported else ""
        print(f"{'accuracy':>{width}}  {ours['accuracy']:.3f}{beside}")
    print(f"\n{cross_validation.lines_text(table)}")
    print("\n+- sd: between seeds; the folds have one.  Intervals: of the mean, for other images of the same kind.")


def save_pictures(table, lines, runs, test, options, synthetic):
    """Confusion matrices, mean curves, and what the autoencoder does."""
    note = SYNTHETIC if synthetic else notices.NOTICE
    published = next(iter(lines))
    for model, found in runs.items():
        who = f"Model {model}, {len(found)} seeds"
        matrix = np.sum(table[published][NAMES[model]]["confusion_matrices"], axis=0)
        plots.plot_confusion_matrix(
            matrix, test.class_names, options.out / f"confusion_{model}.png", title=who, note=note
        )
        mean = {key: np.mean([one["history"][key] for one in found], axis=0) for key in ("loss", "accuracy")}
        plots.plot_history(mean, options.out / f"curves_{model}.png", title=f"{who}: mean training curves", note=note)
    if (options.out / "autoencoder.npz").exists():
        autoencoder = Sequential.load(options.out / "autoencoder.npz")
        shown = test.subset(np.unique(np.linspace(0, len(test) - 1, 6).astype(int)))
        noisy = add_noise(shown.images, options.noise, np.random.default_rng(0))
        rows = {"original": shown.images, f"noise {options.noise:g}": noisy}
        rows["noisy, denoised"] = denoise(autoencoder, Dataset(noisy, shown.labels, shown.class_names)).images
        rows["original, denoised: what A learns from"] = denoise(autoencoder, shown).images
        plots.plot_image_rows(rows, options.out / "denoising.png", title="The denoising autoencoder", note=note)


if __name__ == "__main__":
    sys.exit(main())
