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
from functools import partial

import numpy as np

from tinycnn.data import grouped_kfold
from tinycnn.members import train_members
from tinycnn.scores import plots
from tinycnn.scores.calibration import brier_score, log_loss
from tinycnn.study import cross_validation, recipe
from tinycnn.study.command_line import add_executor, answer, at_least, example_parser
from tinycnn.study.experiment import begin
from tinycnn.study.provenance import dataset_hash
from tinycnn.study.report.tables import Table, as_text, decimals

FOLDS = 5


def run(options):
    """Cross-validate every network, score them and their averages, save; returns the exit code."""
    study = begin(options, "networks compared", options.size * 10 // 3, "L")
    train, names, groups = study.data.train, study.data.train.class_names, study.train_groups
    predicted = cross_validate(study)

    methods = {}  # (runs, images, classes) of each network, and of the averages
    for network, runs in predicted.items():
        methods[network] = runs
        if options.members > 1:
            methods[f"{network}, {options.members} averaged"] = runs.mean(axis=0, keepdims=True)
    if len(predicted) > 1:
        together = np.concatenate(list(predicted.values())).mean(axis=0, keepdims=True)
        methods[f"all {len(predicted)} networks averaged"] = together

    table, losses = {}, {}
    for method, runs in methods.items():
        table[method] = cross_validation.summarise(train.labels, runs, names, groups)
        losses[method] = [
            {"log_loss": log_loss(one, train.labels), "brier": brier_score(one, train.labels)} for one in runs
        ]
    # Of each image, the share of runs that are right.
    right = {method: (runs.argmax(axis=2) == train.labels).mean(axis=0) for method, runs in methods.items()}
    first, *others = right
    differences = {
        method: {
            "mean": float((right[method] - right[first]).mean()),
            "interval": cross_validation.difference_interval(right[method] - right[first], groups),
        }
        for method in others
    }
    line = f"{len(train)} training images, cross-validated in {FOLDS} folds, {options.epochs} epochs, {options.size} px"
    print_results(line, table, losses, first, differences)
    report = {
        "data_sha256": dataset_hash(train),
        "settings": study.settings("networks", "members", "epochs", "size"),
        "folds": FOLDS,
        "class_names": names,
        "table": table,
        "losses": losses,
        "differences": {"from": first, **differences},
        "paths": train.paths,
        "probabilities": predicted,
    }
    study.write_json("networks.json", report)
    last = list(table)[-1]
    matrix = np.sum(table[last]["confusion_matrices"], axis=0)
    title = f"{last}: {line}"
    plots.plot_confusion_matrix(matrix, names, options.out / "confusion.png", title=title, note=study.note)
    study.print_saved()
    return 0


def cross_validate(study):
    """``{network: probabilities (members, images, classes)}`` by networks that saw none of an image's group."""
    options, train = study.options, study.data.train
    folds = grouped_kfold(study.train_groups, train.labels, FOLDS)
    common = study.settings("epochs", "size")
    common |= {"classes": len(train.class_names), "data_sha256": dataset_hash(train)}
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
    films = recipe.prepare(train, options.size)
    plain = recipe.prepare_images(train.images, options.size)
    where = study.members(f"{len(jobs)} trainings of {options.epochs} epochs", len(jobs))
    found = train_members(partial(train_and_predict, films, plain), jobs, **where)
    shape = options.members, len(train), len(train.class_names)
    predicted = {network: np.empty(shape) for network in options.networks}
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
    print("\n+- sd: between members.  Intervals: of their mean, for other images of the same kind.\n")
    means = [
        (method, *(decimals(np.mean([one[key] for one in runs])) for key in ("log_loss", "brier")))
        for method, runs in losses.items()
    ]
    print(as_text(Table(("", "log loss", "Brier score"), means)))
    if differences:
        print(f"\naccuracy less that of {first}, with the 95 % interval for other images of the same kind")
        rows = [
            (method, *(decimals(value, "+.3f") for value in (row["mean"], *row["interval"])))
            for method, row in differences.items()
        ]
        print(as_text(Table(("", "mean", "from", "to"), rows)))


EXAMPLES = """\
  python examples/compare_networks.py --phantoms 12 --size 48 --epochs 2
      synthetic images, a minute: see everything work without any data
  python examples/compare_networks.py --data Covid19-dataset.zip
      all four networks, twenty minutes on two cores
  python examples/compare_networks.py --data FOLDER --networks film_cnn --epochs 24 --members 2
      one setting of one network, twice; compare with another --epochs or --size in another --out
"""


def parse(arguments=None):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES, "runs/compare_networks")
    add, every = parser.add_argument, list(recipe.NETWORKS)
    add("--networks", nargs="+", choices=every, default=every, metavar="NAME", help=f"of {', '.join(every)} (all)")
    add("--members", type=at_least(1), default=1, metavar="N", help="of each network, from different seeds (1)")
    add("--epochs", type=at_least(1), default=12, metavar="N", help="passes over all exposures (12)")
    add("--size", type=at_least(32), default=recipe.SIZE, metavar="N", help=f"pixels a side ({recipe.SIZE})")
    add_executor(parser)
    options = parser.parse_args(arguments)
    options.networks = list(dict.fromkeys(options.networks))
    return options


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    stopped = f"the same command goes on with the folds that {options.out} does not yet hold"
    return answer(run, options, stopped, memory="--executor 1", folder=options.out)


if __name__ == "__main__":
    sys.exit(main())
