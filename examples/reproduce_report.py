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

import numpy as np

import tinycnn
from tinycnn import files
from tinycnn.data import grouped_kfold
from tinycnn.data.dataset import Dataset
from tinycnn.losses import balanced_class_weights
from tinycnn.members import train_members
from tinycnn.model import Sequential
from tinycnn.models.autoencoder import add_noise, denoise, denoising_autoencoder, fit_autoencoder
from tinycnn.scores import image_grids, plots
from tinycnn.scores.metrics import classification_report
from tinycnn.study import cross_validation
from tinycnn.study.baselines import LogisticRegression, header_numbers, majority_class, thumbnails
from tinycnn.study.command_line import add_executor, answer, at_least, example_parser
from tinycnn.study.experiment import begin
from tinycnn.study.films.known_sets import known_patients
from tinycnn.study.provenance import dataset_hash
from tinycnn.study.report.tables import Table, as_text, decimals

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


def run(options):
    """Load, train whatever is missing, score, save; returns the exit code."""
    study = begin(options, "the report's two models, reproduced", options.size)
    data, everything, groups = study.data, cross_validation.all_images(study.data), study.groups
    settings = study.settings("epochs", "size", "noise", "denoise_epochs", "folds")
    settings["data_sha256"] = dataset_hash(data.train, data.test)
    if {"baselines", "folds"} & set(options.only):
        grouped_kfold(groups, everything.labels, options.folds)  # refuses too few images, before anything is trained
    keep_settings(options.out, settings)
    print()
    study.print_lines()

    crossed = f"{len(everything)} cross-validated, {options.folds} folds that divide no copies and no known patient"
    table = {line: {} for line in (*study.lines, crossed)}

    def score(name, on_test, on_all):
        for line, scores in study.score_lines(on_test).items():
            table[line][name] = scores
        if on_all is not None:
            table[crossed][name] = cross_validation.summarise(everything.labels, on_all, everything.class_names, groups)

    if "baselines" in options.only:
        train, test = np.flatnonzero(~study.audit.in_test), np.flatnonzero(study.audit.in_test)
        for name, predict in baselines(everything, study.audit).items():
            folds = cross_validation.cross_validate(predict, everything.labels, groups, options.folds)
            score(name, [predict(train, test)], folds)
    runs = {}
    for model in [model for model in "BA" if model in options.only]:
        runs[model] = train_seeds(model, study)
        folds = train_folds(model, everything, study) if "folds" in options.only else None
        score(NAMES[model], [one["probabilities"] for one in runs[model]], folds)

    table = {line: methods for line, methods in table.items() if methods}
    tables = {model: report_table(data.test, found_runs) for model, found_runs in runs.items()}
    print_results(table, tables, study.synthetic)
    report = {
        "settings": settings,
        "seeds": options.seeds,
        "lines": {line: [data.test.paths[i] for i in rows] for line, rows in study.lines.items()},
        "known_patients": known_patients(study.audit.paths),
        "table": table,
        "reported": None if study.synthetic else REPORTED,
        "tables": tables,
        "runs": runs,
    }
    study.write_json("reproduction.json", report)
    save_pictures(study, next(iter(table.values())), runs)
    study.print_saved()
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


def train_seeds(model, study):
    """What each seed of `model` gave on the test images."""
    options, (train, test, _) = study.options, study.data
    jobs = {f"{model}-seed-{seed}": {"model": model, "seed": seed} for seed in range(options.seeds)}
    where = study.members(f"Model {NAMES[model]}: {len(jobs)} seeds of {options.epochs} epochs", len(jobs))
    return list(train_members(partial(one_seed, train, test, recipe(study), options.out), jobs, **where).values())


def train_folds(model, everything, study):
    """Probabilities for every image, from a model that saw none of its group."""
    options, predict = study.options, partial(one_fold, everything, recipe(study), model)
    where = study.members(f"Model {NAMES[model]}: {options.folds} folds of {options.epochs} epochs", options.folds)
    return cross_validation.cross_validate(
        predict, everything.labels, study.groups, options.folds, name=f"{model}-fold", **where
    )


def recipe(study):
    """What a worker must know."""
    return study.settings("epochs", "noise", "denoise_epochs")


def one_seed(train, test, recipe, out, job):
    """A member: the model and seed of `job`, trained on `train`, and its probabilities for `test`."""
    keep = out / "autoencoder.npz" if job["seed"] == 0 else None
    return train_and_predict(job["model"], train, test, recipe, job["seed"], keep)


def one_fold(everything, recipe, model, train, test):
    """A fold's probabilities, seed 0."""
    return train_and_predict(model, everything[train], everything[test], recipe)["probabilities"]


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
        reported = {} if synthetic else REPORTED[model]
        rows = []
        for name, values in ours.items():
            if name != "accuracy":
                scores = [decimals(values[key], ".2f") for key in ("precision", "recall", "f1-score")]
                theirs = " / ".join(f"{value:.2f}" for value in reported.get(name, ()))
                rows.append((name, *scores, round(values["support"]), *([theirs] if reported else [])))
        heads = ("", "precision", "recall", "f1-score", "support", *(["the report"] if reported else []))
        print(as_text(Table(heads, rows)))
        beside = f"; the report: {reported['accuracy']:.2f}, one run" if reported else ""
        print(f"accuracy {ours['accuracy']:.3f}{beside}")
    print(f"\n{cross_validation.lines_text(table)}")
    print("\n+- sd: between seeds; the folds have one.  Intervals: of the mean, for other images of the same kind.")


def save_pictures(study, published, runs):
    """Confusion matrices, mean curves, and what the autoencoder does."""
    out, test, note = study.options.out, study.data.test, study.note
    for model, found in runs.items():
        who = f"Model {model}, {len(found)} seeds"
        matrix = np.sum(published[NAMES[model]]["confusion_matrices"], axis=0)
        plots.plot_confusion_matrix(matrix, test.class_names, out / f"confusion_{model}.png", title=who, note=note)
        mean = {key: np.mean([one["history"][key] for one in found], axis=0) for key in ("loss", "accuracy")}
        plots.plot_history(mean, out / f"curves_{model}.png", title=f"{who}: mean training curves", note=note)
    if (out / "autoencoder.npz").exists():
        autoencoder = Sequential.load(out / "autoencoder.npz")
        shown = test[np.unique(np.linspace(0, len(test) - 1, 6).astype(int))]
        noisy = add_noise(shown.images, study.options.noise, np.random.default_rng(0))
        rows = {"original": shown.images, f"noise {study.options.noise:g}": noisy}
        rows["noisy, denoised"] = denoise(autoencoder, Dataset(noisy, shown.labels, shown.class_names)).images
        rows["original, denoised: what A learns from"] = denoise(autoencoder, shown).images
        image_grids.plot_image_rows(rows, out / "denoising.png", title="The denoising autoencoder", note=note)


EXAMPLES = """\
  python examples/reproduce_report.py --size 64 --epochs 3 --seeds 2 --phantoms 20
      synthetic images, a minute or two: see everything work without any data
  python examples/reproduce_report.py --data Covid19-dataset.zip
      both models, 5 seeds and 5 folds at full size; the same command after a stop goes on where it was
  python examples/reproduce_report.py --data FOLDER --only baselines B
      a part of it
"""


def parse(arguments=None):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES, "runs/reproduce_report")
    add = parser.add_argument
    add("--seeds", type=at_least(1), default=5, metavar="N", help="runs of each model, seeds 0 to N-1 (5)")
    add("--epochs", type=at_least(1), default=10, metavar="N", help="passes of a classifier over the images (10)")
    add("--size", type=at_least(16), default=256, metavar="N", help="images become N x N pixels, a multiple of 4 (256)")
    add("--folds", type=at_least(2), default=5, metavar="K", help="of the grouped cross-validation (5)")
    add("--noise", type=at_least(0, 1, float), default=0.1, metavar="L", help="the autoencoder's noise, 0 to 1 (0.1)")
    add("--denoise-epochs", type=at_least(1), default=5, metavar="N", help="passes of the autoencoder (5)")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (all); folds are of A and B")
    add_executor(parser)
    options = parser.parse_args(arguments)
    if options.size % 4:
        parser.error(f"--size must be a multiple of 4, got {options.size}")
    if options.only == ["folds"]:
        parser.error("--only folds: name A, B or both too, for the folds are of these")
    return options


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    stopped = f"the same command goes on with the members that {options.out} does not yet hold"
    memory = f"--executor 1 or --size {options.size // 2}"
    return answer(run, options, stopped, memory, options.out)


if __name__ == "__main__":
    sys.exit(main())
