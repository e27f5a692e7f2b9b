"""Compare small networks, and their average, by cross-validation on the training images alone.

This is how anything about the best recipe may be chosen: five folds that divide no near-copies and no known patient,
and test images that nobody looks at.  Each network trains with the recipe's films and augmentation
(`tinycnn.study.recipe`), by default for half as long; "averaged" are the mean probabilities, which is what the report
proposed as an ensemble with VGG- and ResNet-like networks.  All predict the same films, so what tells two apart is the
interval of their difference; and whichever comes out best of many is a little worse than it looks.  For research and
teaching only, never for diagnosis.
``python examples/compare_networks.py --help`` lists the options.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

import tinycnn
from tinycnn import files
from tinycnn.data import grouped_kfold
from tinycnn.ensemble import train_members
from tinycnn.scores import plots
from tinycnn.scores.calibration import brier_score, log_loss
from tinycnn.scores.intervals import bootstrap_interval
from tinycnn.study import cross_validation, notices, provenance, recipe
from tinycnn.study.command_line import add_executor, answer, at_least, example_parser, executor_of, load_audited, teller
from tinycnn.study.notices import SYNTHETIC

FOLDS = 5
EXAMPLES = """\
examples:
  python examples/compare_networks.py --phantoms 12 --size 48 --epochs 2
      synthetic images, a minute: see everything work without any data
  python examples/compare_networks.py --data Covid19-dataset.zip
      all four networks, twenty minutes on two cores
  python examples/compare_networks.py --data FOLDER --networks film_cnn --epochs 24 --members 2
      one setting of one network, twice; compare with another --epochs or --size in another --out

exit codes: 0 done, 2 a wrong option, file or folder, 130 stopped by Ctrl-C"""


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    stopped = f"the same command goes on with the folds that {options.out} does not yet hold"
    return answer(run, options, stopped, memory="--executor 1")


def parse(arguments):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES)
    add = parser.add_argument
    every = list(recipe.NETWORKS)
    add("--networks", nargs="+", choices=every, default=every, metavar="NAME", help=f"of {', '.join(every)} (all)")
    add("--members", type=at_least(1), default=1, metavar="N", help="of each network, from different seeds (1)")
    add("--epochs", type=at_least(1), default=12, metavar="N", help="passes over all exposures (12)")
    add("--size", type=at_least(32), default=recipe.SIZE, metavar="N", help=f"pixels a side ({recipe.SIZE})")
    add("--out", type=Path, default=Path("runs/compare_networks"), metavar="DIR", help="(runs/compare_networks)")
    add_executor(parser)
    options = parser.parse_args(arguments)
    options.networks = list(dict.fromkeys(options.networks))
    return options


def run(options):
    """Cross-validate every network, score them and their averages, save; returns the exit code."""
    began = time.perf_counter()
    executor = executor_of(options.executor)
    print(f"tinycnn {tinycnn.__version__}: networks compared. {notices.NOTICE}")
    data, found, path = load_audited(options, options.size * 10 // 3, "L")
    train, names = data.train, data.train.class_names
    groups = cross_validation.undivided_groups(found)[0][~found.in_test]
    predicted = cross_validate(train, groups, options, executor)

    table, losses, right = {}, {}, {}

    def score(method, runs):
        table[method] = cross_validation.summarise(train.labels, runs, names, groups)
        right[method] = (np.argmax(runs, axis=2) == train.labels).mean(axis=0)  # of each image, the share of runs
        losses[method] = [
            {"log_loss": log_loss(one, train.labels), "brier": brier_score(one, train.labels)} for one in runs
        ]

    for network, runs in predicted.items():
        score(network, runs)
        if options.members > 1:
            score(f"{network}, {options.members} averaged", [runs.mean(axis=0)])
    together = np.concatenate(list(predicted.values())).mean(axis=0)
    if len(predicted) > 1:
        score(f"all {len(predicted)} networks averaged", [together])
    line = f"{len(train)} training images, cross-validated in {FOLDS} folds, {options.epochs} epochs, {options.size} px"
    first = next(iter(right))
    differences = {
        method: {
            "mean": float((ours - right[first]).mean()),
            "interval": bootstrap_interval(np.mean, ours - right[first], groups=groups),
        }
        for method, ours in right.items()
        if method != first
    }
    print_results(line, table, losses, first, differences)
    report = {
        "notice": notices.NOTICE,
        "synthetic": path is None,
        "data_sha256": provenance.dataset_hash(train, None),
        "settings": {key: getattr(options, key) for key in ("networks", "members", "epochs", "size")},
        "folds": FOLDS,
        "class_names": names,
        "table": table,
        "losses": losses,
        "differences": {"from": first, **differences},
        "paths": train.paths,
        "probabilities": predicted,
        **provenance.environment(),
        "seconds": time.perf_counter() - began,
    }
    files.write_json(options.out / "networks.json", report)
    note = SYNTHETIC if path is None else notices.NOTICE
    last = list(table)[-1]
    matrix = np.sum(table[last]["confusion_matrices"], axis=0)
    plots.plot_confusion_matrix(matrix, names, options.out / "confusion.png", title=f"{last}: {line}", note=note)
    print(f"\nSaved in {options.out}: " + ", ".join(sorted(path.name for path in options.out.iterdir())))
    print(f"{time.perf_counter() - began:.0f} s in all. {note}")
    return 0


def cross_validate(train, groups, options, executor):
    """``{network: probabilities (members, images, classes)}`` by networks that saw none of an image's group."""
    folds = grouped_kfold(groups, train.labels, FOLDS)
    common = {
        "epochs": options.epochs,
        "size": options.size,
        "classes": len(train.class_names),
        "data_sha256": provenance.dataset_hash(train, None),
    }
    jobs = {
        f"{network}-{member}-fold-{fold}": {
            "network": network,
            "seed": member,
            "rows": rows.tolist(),
            "held_out": held_out.tolist(),
            **common,
        }
        for network in options.networks
        for member in range(options.members)
        for fold, (rows, held_out) in enumerate(folds)
    }
    print(f"\n{len(jobs)} trainings of {options.epochs} epochs", flush=True)
    films = recipe.prepare(train, options.size)
    plain = recipe.prepare_images(train.images, options.size)
    found = train_members(
        partial(train_and_predict, films, plain), jobs, executor, options.out / "members", on_member=teller(len(jobs))
    )
    predicted = {
        network: np.empty((options.members, len(train), len(train.class_names))) for network in options.networks
    }
    for name, probabilities in found.items():
        job = jobs[name]
        predicted[job["network"]][job["seed"], job["held_out"]] = probabilities
    return predicted


def train_and_predict(films, plain, job):
    """Probabilities for the films that the training did not see."""
    return recipe.predict_with_views(recipe.train_job(films, job), plain[job["held_out"]])


def print_results(line, table, losses, first, differences):
    """Scores and losses of every method, and how its accuracy differs from the first one's."""
    print(f"\n{cross_validation.lines_text({line: table})}")
    print("\n+- sd: between members.  Intervals: of their mean, for other images of the same kind.")
    width = max(map(len, losses))
    print(f"\n{'':{width}}  log loss  Brier score")
    for method, runs in losses.items():
        means = [np.mean([one[key] for one in runs]) for key in ("log_loss", "brier")]
        print(f"{method:{width}}  {means[0]:8.3f}  {means[1]:11.3f}")
    if differences:
        print(f"\naccuracy less that of {first}, with the 95 % interval for other images of the same kind")
    for method, row in differences.items():
        low, high = row["interval"]
        print(f"{method:{width}}  {row['mean']:+.3f}  ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    sys.exit(main())
