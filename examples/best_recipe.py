"""Train the best recipe on chest X-rays over several seeds, several members each, and say what its numbers are worth.

Five small networks a seed, on equalised grey films with strong augmentation, vote over ten views of each film
(`tinycnn.study.recipe`).  The recipe comes from grouped cross-validation on the training images (as
``examples/compare_networks.py`` does it), and the number of members is decided before the run.  Reported on the test
images as published, without near-copies of training images and without shared patients, by cross-validation, and under
simulated shifts, of which some resemble the augmentation.
For research and teaching only, never for diagnosis.  ``python examples/best_recipe.py --help`` lists the options.
"""

import sys
from functools import partial

import numpy as np

from tinycnn.data import grouped_kfold
from tinycnn.ensemble import Ensemble
from tinycnn.members import train_members
from tinycnn.scores import image_grids, plots
from tinycnn.scores.intervals import effective_size, wilson_interval
from tinycnn.study import cross_validation, recipe
from tinycnn.study.command_line import add_executor, answer, at_least, example_parser
from tinycnn.study.experiment import begin
from tinycnn.study.films.known_sets import known_patients, known_sources
from tinycnn.study.films.shifts import simulated_shifts
from tinycnn.study.provenance import dataset_hash
from tinycnn.study.report.tables import Table, as_text, decimals, interval_text

FOLDS = 5


def run(options):
    """Load, train whatever is missing, score, save; returns the exit code."""
    # Films at about three times the network's size: resizing them averages.
    study = begin(options, "the best recipe", options.size * 10 // 3, "L")
    data, everything = study.data, cross_validation.all_images(study.data)
    study.print_lines()
    folds = {}  # made before anything is trained, for there may be too few images
    for what in options.cross_validate:
        subset, groups = (everything, study.groups) if what == "all" else (data.train, study.train_groups)
        folds[what] = subset, groups, grouped_kfold(groups, subset.labels, FOLDS)
    without = sources_to_leave(everything, study.groups) if options.leave_sources_out else {}

    heading = f"{options.seeds} seeds, {options.members} members"
    # No two members of any share a seed.
    seeds = {f"seed-{seed}": (1000 * seed, None) for seed in range(options.seeds)}
    ensembles = list(train_ensembles(study, data.train, heading, seeds).values())
    predicted = predict_shifted(ensembles, data.test.images, options.size)
    members = [one for ensemble in ensembles for one in ensemble.members]
    films = recipe.prepare_images(data.test.images, options.size)
    alone = study.score_lines([recipe.predict_with_views(one, films) for one in members])
    ours = f"{options.members} members"
    together = study.score_lines(predicted["as they are"])
    table = {line: {ours: together[line], "each alone": alone[line]} for line in study.lines}
    shifts = {"test images": cross_validation.shift_scores(data.test.labels, predicted)}

    for what, (subset, groups, of_subset) in folds.items():
        crossed = cross_validate(study, what, subset, of_subset)
        which = "training and test" if what == "all" else "training"
        line = f"{len(subset)} cross-validated: {which} images, {FOLDS} folds"
        scores = cross_validation.summarise(subset.labels, crossed["as they are"], subset.class_names, groups)
        table[line] = {ours: scores}
        shifts[line] = cross_validation.shift_scores(subset.labels, crossed)
    foreign = {source: leave_out(study, source, everything, *rows) for source, rows in without.items()}

    wrong = cross_validation.list_mistakes(data.test, predicted["as they are"])
    print_results(study, table, shifts, foreign, wrong, ours)
    ensembles[0].save(options.out / "ensemble")
    report = {
        "settings": study.settings("seeds", "members", "epochs", "size"),
        "augmentation": repr(recipe.augmentation()),
        "parameters": members[0].count_params,
        "lines": {line: [data.test.paths[i] for i in rows] for line, rows in study.lines.items()},
        "known_patients": known_patients(study.audit.paths),
        "table": table,
        "shifts": shifts,
        "sources_left_out": foreign,
        "mistakes": wrong,
        "class_names": data.train.class_names,
        "paths": data.test.paths,
        "probabilities": predicted["as they are"],
    }
    study.write_json("best_recipe.json", report)
    title = f"The best recipe, {options.seeds} seeds of {ours}"
    save_scores(study, title, next(iter(table.values()))[ours], members)
    save_films(study, wrong, predicted["as they are"][0])
    study.print_saved()
    return 0


def train_ensembles(study, dataset, heading, wanted):
    """An ensemble for each name in `wanted`, which gives its first seed and the rows to learn from (None: all)."""
    options, data = study.options, study.data
    common = study.settings("epochs", "size")
    common |= {"classes": len(dataset.class_names), "data_sha256": dataset_hash(data.train, data.test)}
    jobs = {
        f"{name}-member-{member}": {
            "seed": seed + member,
            **({} if rows is None else {"rows": rows.tolist()}),
            **common,
        }
        for member in range(options.members)
        for name, (seed, rows) in wanted.items()
    }
    where = study.members(
        f"{heading}: {len(jobs)} networks, {options.epochs} epochs each",
        len(jobs),
        lambda model: f"loss {model.metadata['history']['loss'][-1]:.3f}, ",
    )
    trained = train_members(partial(recipe.train_job, recipe.prepare(dataset, options.size)), jobs, **where)
    return {name: Ensemble(trained[f"{name}-member-{member}"] for member in range(options.members)) for name in wanted}


def predict_shifted(ensembles, images, size):
    """``{shift: probabilities (ensembles, images, classes)}``, first of the images as they are."""
    found = {}
    for name, change in {"as they are": lambda images: images, **simulated_shifts()}.items():
        films = recipe.prepare_images(change(images), size)
        found[name] = np.stack([recipe.predict_with_views(ensemble, films) for ensemble in ensembles])
    return found


def cross_validate(study, what, data, folds):
    """Probabilities for every image, plain and shifted, from networks that saw none of its group."""
    options = study.options
    heading = f"Cross-validation ({what}), {FOLDS} folds, {options.members} members"
    wanted = {f"{what}-fold-{fold}": (0, train) for fold, (train, _) in enumerate(folds)}
    found = {}
    for ensemble, (_, test) in zip(train_ensembles(study, data, heading, wanted).values(), folds, strict=True):
        for name, of_fold in predict_shifted([ensemble], data.images[test], options.size).items():
            found.setdefault(name, np.empty((len(data), len(data.class_names))))[test] = of_fold[0]
    return found


def sources_to_leave(everything, groups):
    """Collections that can be left out and still leave every class to train on: name and ``(train, test)`` rows.

    What shares one of the `groups` with the collection is left out too.
    """
    known = known_sources(everything.paths)
    if not known:
        raise ValueError("--leave-sources-out: nothing is known of where these films come from")
    sources, labels = np.array([known[path] for path in everything.paths]), everything.labels
    found = {}
    for source in sorted(set(known.values())):
        test = np.flatnonzero(sources == source)
        train = np.flatnonzero(~np.isin(groups, groups[test]))
        if set(labels[train]) == set(labels):
            found[source] = train, test
    return found


def leave_out(study, source, everything, train, test):
    """How the films of `source`, all of one class or of several, are called by networks that saw none of them."""
    options, names = study.options, everything.class_names
    name = f"without-{source.lower().replace(' ', '-')}"
    heading = f"Without {source}, {len(train)} films, {options.members} members"
    ensemble = train_ensembles(study, everything, heading, {name: (0, train)})[name]
    films = recipe.prepare_images(everything.images[test], options.size)
    called, labels = recipe.predict_with_views(ensemble, films).argmax(axis=1), everything.labels[test]
    right, size = int((called == labels).sum()), effective_size(study.groups[test])
    return {
        "trained_on": len(train),
        "films": len(test),
        "right": right,
        "accuracy": right / len(test),
        "interval": wilson_interval(right / len(test) * size, size),
        "class": ", ".join(names[k] for k in np.unique(labels)),
        "called": {names[k]: int((called == k).sum()) for k in range(len(names))},
    }


def print_results(study, table, shifts, foreign, wrong, ours):
    """Every seed on every set of test images, the means with intervals, the shifts, the sources, the mistakes."""
    for line in study.lines:
        scores = table[line][ours]
        recalls = {f"recall {name}": row["values"] for name, row in scores["recall"].items() if row["values"]}
        columns = [scores["accuracy"]["values"], scores["macro_f1"]["values"], *recalls.values()]
        rows = [(seed, *(decimals(column[seed], ".4f") for column in columns)) for seed in range(scores["runs"])]
        print(f"\n{line}, {ours}\n{as_text(Table(('seed', 'accuracy', 'macro F1', *recalls), rows))}")
        print(f"lowest recall of a class in any seed: {min(map(min, recalls.values())):.3f}")
    print(f"\n{cross_validation.lines_text(table)}")
    print("\n+- sd: between seeds or, each alone, between networks.  Intervals: of the mean, for other such images.")
    print(f"\nSimulated shifts, {ours}")
    for number, line in enumerate(shifts, 1):
        print(f"  ({number}) {line}")
    heads = [f"({number}) {key}" for number in range(1, len(shifts) + 1) for key in ("accuracy", "macro F1")]
    rows = [
        (name, *(decimals(part[name][key]) for part in shifts.values() for key in ("accuracy", "macro_f1")))
        for name in shifts["test images"]
    ]
    print(as_text(Table(("", *heads), rows)))
    for source, row in foreign.items():
        called = ", ".join(f"{count} {name}" for name, count in row["called"].items())
        print(
            f"\nTrained without {source}: {row['right']} of its {row['films']} films ({row['class']}) recognised, "
            f"{row['accuracy']:.3f} (95 % interval {interval_text(row['interval'])}); called {called}"
        )
    print(f"\nTest images that some seed got wrong: {len(wrong)}")
    for row in wrong:
        print(f"  {row['wrong']} x {row['path']}: {', '.join(sorted(set(row['predicted']) - {row['true']}))}")


def save_scores(study, title, scores, members):
    """Confusion matrix over all seeds, and mean training curves."""
    out, matrix = study.options.out, np.sum(scores["confusion_matrices"], axis=0)
    names = study.data.train.class_names
    plots.plot_confusion_matrix(matrix, names, out / "confusion.png", title=title, note=study.note)
    histories = [one.metadata["history"] for one in members]
    mean = {key: np.mean([one[key] for one in histories], axis=0) for key in ("loss", "accuracy")}
    plots.plot_history(mean, out / "curves.png", title=f"{title}: mean training curves", note=study.note)


def save_films(study, wrong, probabilities):
    """What a network sees of two films of each class, and the mistakes of seed 0."""
    (train, test, _), size, out = study.data, study.options.size, study.options.out
    names = train.class_names
    chosen = np.concatenate([np.flatnonzero(train.labels == label)[:2] for label in range(len(names))])[:6]
    seen = recipe.prepare_images(train.images[chosen], size)
    exposed, _ = recipe.prepare(train[chosen], size)
    rng, varied = np.random.default_rng(0), recipe.augmentation()
    rows = {"film": train.images[chosen]}
    for i, gamma in enumerate(recipe.EXPOSURES):
        if gamma in (min(recipe.EXPOSURES), 1, max(recipe.EXPOSURES)):
            rows[f"gamma {gamma:g}, equalised"] = exposed[:, i]
    for i in (1, 2, 3):
        rows[f"augmented {i}"] = np.clip(0.5 + varied(seen, rng) / 5, 0, 1)  # standardised, as grey levels
    image_grids.plot_image_rows(rows, out / "augmentation.png", title="What the networks see", note=study.note)
    shown = [row["index"] for row in wrong][:12]
    if shown:
        image_grids.plot_sample_grid(
            test.images[shown],
            test.labels[shown],
            names,
            out / "mistakes.png",
            probabilities=probabilities[shown],
            title="Wrong in some seed; predictions of seed 0",
            note=study.note,
        )


EXAMPLES = """\
  python examples/best_recipe.py --phantoms 12 --size 48 --epochs 8 --seeds 2 --members 2
      synthetic images, a minute: see everything work without any data
  python examples/best_recipe.py --data Covid19-dataset.zip --cross-validate train all --leave-sources-out
      5 seeds of 5 members, 5 folds, and whole collections left out; the same command after a stop goes on where it was
  python examples/best_recipe.py --data FOLDER --executor mpi4py.futures:MPIPoolExecutor
      members on the machines of an MPI job (mpiexec -n 9 python -m mpi4py.futures examples/best_recipe.py ...)
  python examples/best_recipe.py --data FOLDER --executor my_cluster:executor
      where my_cluster.py says: def executor(): return distributed.Client("scheduler:8786").get_executor()
"""


def parse(arguments=None):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES, "runs/best_recipe")
    add = parser.add_argument
    add("--seeds", type=at_least(1), default=5, metavar="N", help="independent repetitions of the whole (5)")
    add("--members", type=at_least(1), default=5, metavar="N", help="networks that vote, in each repetition (5)")
    add("--epochs", type=at_least(1), default=recipe.EPOCHS, metavar="N", help=f"passes ({recipe.EPOCHS})")
    add("--size", type=at_least(32), default=recipe.SIZE, metavar="N", help=f"pixels a side ({recipe.SIZE})")
    add(
        "--cross-validate",
        nargs="*",
        choices=("train", "all"),
        metavar="WHAT",
        help="also 5 folds that divide no copies and no known patient: of the training images (train), of training "
        "and test images together (all), or both; train if nothing is said",
    )
    add(
        "--leave-sources-out",
        action="store_true",
        help="also train without each collection of films whose classes have films from elsewhere too, and see how "
        "many of its films are recognised: the nearest thing to another hospital",
    )
    add_executor(parser)
    options = parser.parse_args(arguments)
    if options.cross_validate is None:
        options.cross_validate = []
    elif not options.cross_validate:  # the option without a word
        options.cross_validate = ["train"]
    return options


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    stopped = f"the same command goes on with the members that {options.out} does not yet hold"
    return answer(run, options, stopped, memory="--executor 1", folder=options.out)


if __name__ == "__main__":
    sys.exit(main())
