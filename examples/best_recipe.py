"""Train the best recipe on chest X-rays over several seeds, several members each, and say what its numbers are worth.

Five small networks a seed, on equalised grey films with strong augmentation, vote over ten views of each film
(`tinycnn.study.recipe`).  The recipe comes from grouped cross-validation on the training images (as
``examples/compare_networks.py`` does it), and the number of members is decided before the run.  Reported on the test
images as published, without near-copies of training images and without shared patients, by cross-validation, and under
simulated shifts, of which some resemble the augmentation.
For research and teaching only, never for diagnosis.  ``python examples/best_recipe.py --help`` lists the options.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

import tinycnn
from tinycnn import files
from tinycnn.data import grouped_kfold
from tinycnn.ensemble import Ensemble, train_members
from tinycnn.scores import plots
from tinycnn.scores.intervals import effective_size, wilson_interval
from tinycnn.study import cross_validation, notices, provenance, recipe
from tinycnn.study.command_line import add_executor, answer, at_least, example_parser, executor_of, load_audited, teller
from tinycnn.study.films.known_sets import known_patients, known_sources
from tinycnn.study.films.shifts import simulated_shifts
from tinycnn.study.notices import SYNTHETIC

FOLDS = 5
EXAMPLES = """\
examples:
  python examples/best_recipe.py --phantoms 12 --size 48 --epochs 8 --seeds 2 --members 2
      synthetic images, a minute: see everything work without any data
  python examples/best_recipe.py --data Covid19-dataset.zip --cross-validate train all --leave-sources-out
      5 seeds of 5 members, 5 folds, and whole collections left out; the same command after a stop goes on where it was
  python examples/best_recipe.py --data FOLDER --executor mpi4py.futures:MPIPoolExecutor
      members on the machines of an MPI job (mpiexec -n 9 python -m mpi4py.futures examples/best_recipe.py ...)
  python examples/best_recipe.py --data FOLDER --executor my_cluster:executor
      where my_cluster.py says: def executor(): return distributed.Client("scheduler:8786").get_executor()

exit codes: 0 done, 2 a wrong option, file or folder, 130 stopped by Ctrl-C"""


def main(arguments=None):
    """Run the example; returns the exit code."""
    options = parse(arguments)
    stopped = f"the same command goes on with the members that {options.out} does not yet hold"
    return answer(run, options, stopped, memory="--executor 1")


def parse(arguments):
    """The command line as a namespace."""
    parser = example_parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--seeds", type=at_least(1), default=5, metavar="N", help="independent repetitions of the whole (5)")
    add("--members", type=at_least(1), default=5, metavar="N", help="networks that vote, in each repetition (5)")
    add("--epochs", type=at_least(1), default=recipe.EPOCHS, metavar="N", help=f"passes ({recipe.EPOCHS})")
    add("--size", type=at_least(32), default=recipe.SIZE, metavar="N", help=f"pixels a side ({recipe.SIZE})")
    add(
        "--cross-validate",
        nargs="*",
        choices=("train", "all"),
        default=[],
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
    add("--out", type=Path, default=Path("runs/best_recipe"), metavar="DIR", help="results (runs/best_recipe)")
    add_executor(parser)
    options = parser.parse_args(arguments)
    if "--cross-validate" in (sys.argv[1:] if arguments is None else arguments) and not options.cross_validate:
        options.cross_validate = ["train"]
    return options


def run(options):
    """Load, train whatever is missing, score, save; returns the exit code."""
    began = time.perf_counter()
    executor = executor_of(options.executor)
    print(f"tinycnn {tinycnn.__version__}: the best recipe. {notices.NOTICE}")
    # Films at about three times the network's size: resizing them averages.
    data, found, path = load_audited(options, options.size * 10 // 3, "L")
    synthetic = path is None
    names = data.train.class_names
    groups, patients = cross_validation.undivided_groups(found)
    lines = cross_validation.evaluation_lines(found.groups, found.in_test, patients)
    print(f"Test images: {', '.join(lines)}." + ("  Nothing is known of the patients." if patients is None else ""))
    folds = {}  # made before anything is trained, for there may be too few images
    for what in options.cross_validate:
        subset = cross_validation.all_images(data) if what == "all" else data.train
        of_subset = groups if what == "all" else groups[~found.in_test]
        folds[what] = subset, of_subset, grouped_kfold(of_subset, subset.labels, FOLDS)
    without = sources_to_leave(data, found.paths, groups) if options.leave_sources_out else {}
    trainer = partial(train_all, options, executor, provenance.dataset_hash(data.train, data.test))

    films = {"as they are": data.test.images}
    films |= {name: change(data.test.images) for name, change in simulated_shifts().items()}
    prepared = {name: recipe.prepare_images(images, options.size) for name, images in films.items()}
    ensembles = train_seeds(trainer, recipe.prepare(data.train, options.size), len(names), options)
    predicted = {  # (seeds, images, classes) for each shift
        name: np.stack([recipe.predict_with_views(ensemble, images) for ensemble in ensembles])
        for name, images in prepared.items()
    }
    plain, members = prepared["as they are"], [one for ensemble in ensembles for one in ensemble.members]
    single = np.stack([recipe.predict_with_views(one, plain) for one in members])
    ours, alone = f"{options.members} members", "each alone"
    table = {}
    for line, rows in lines.items():
        of_line = partial(score_line, data.test.labels[rows], names, groups[found.in_test][rows])
        table[line] = {ours: of_line(predicted["as they are"][:, rows]), alone: of_line(single[:, rows])}
    shifts = {"test images": cross_validation.shift_scores(data.test.labels, predicted)}

    for what, (subset, of_subset, of_folds) in folds.items():
        crossed = cross_validate(trainer, what, subset, of_folds, options)
        which = "training and test" if what == "all" else "training"
        line = f"{len(subset)} cross-validated: {which} images, {FOLDS} folds"
        table[line] = {ours: score_line(subset.labels, names, of_subset, crossed["as they are"])}
        shifts[line] = cross_validation.shift_scores(subset.labels, crossed)

    foreign = {
        source: leave_out(trainer, source, cross_validation.all_images(data), groups, *rows, options)
        for source, rows in without.items()
    }
    wrong = cross_validation.list_mistakes(data.test, predicted["as they are"])
    print_results(table, shifts, foreign, wrong, lines, names, ours)
    ensembles[0].save(options.out / "ensemble")
    report = {
        "notice": notices.NOTICE,
        "synthetic": synthetic,
        "data_sha256": provenance.dataset_hash(data.train, data.test),
        "settings": {key: getattr(options, key) for key in ("seeds", "members", "epochs", "size")},
        "augmentation": repr(recipe.augmentation()),
        "parameters": ensembles[0].members[0].count_params,
        "lines": {line: [data.test.paths[i] for i in rows] for line, rows in lines.items()},
        "known_patients": known_patients(found.paths),
        "table": table,
        "shifts": shifts,
        "sources_left_out": foreign,
        "mistakes": wrong,
        "class_names": names,
        "paths": data.test.paths,
        "probabilities": predicted["as they are"],
        "audit": found.to_dict(),
        **provenance.environment(),
        "seconds": time.perf_counter() - began,
    }
    files.write_json(options.out / "best_recipe.json", report)
    save_pictures(data, table, ensembles, ours, wrong, predicted["as they are"], options, synthetic)
    print(f"\nSaved in {options.out}: " + ", ".join(sorted(path.name for path in options.out.iterdir())))
    print(f"{time.perf_counter() - began:.0f} s in all. {SYNTHETIC if synthetic else notices.NOTICE}")
    return 0


def train_all(options, executor, data_hash, train, classes, what, jobs):
    """Networks for `jobs`, a dict of name and job, those that `options.out` holds included."""
    common = {"classes": classes, "epochs": options.epochs, "size": options.size, "data_sha256": data_hash}
    jobs = {name: {**job, **common} for name, job in jobs.items()}
    print(f"\n{what}: {len(jobs)} networks, {options.epochs} epochs each", flush=True)
    tell = teller(len(jobs), lambda model: f"loss {model.metadata['history']['loss'][-1]:.3f}, ")
    return train_members(partial(recipe.train_job, train), jobs, executor, options.out / "members", on_member=tell)


def train_seeds(trainer, train, classes, options):
    """One ensemble for each seed; no two members of any share a seed."""
    jobs = {
        f"seed-{seed}-member-{member}": {"seed": 1000 * seed + member}
        for member in range(options.members)
        for seed in range(options.seeds)
    }
    trained = trainer(train, classes, f"{options.seeds} seeds, {options.members} members", jobs)
    return [
        Ensemble(trained[f"seed-{seed}-member-{member}"] for member in range(options.members))
        for seed in range(options.seeds)
    ]


def cross_validate(trainer, what, data, folds, options):
    """Probabilities for every image, plain and shifted, from networks that saw none of its group."""
    jobs = {
        f"{what}-fold-{fold}-member-{member}": {"seed": member, "rows": train.tolist()}
        for fold, (train, _) in enumerate(folds)
        for member in range(options.members)
    }
    classes = len(data.class_names)
    heading = f"Cross-validation ({what}), {FOLDS} folds, {options.members} members"
    trained = trainer(recipe.prepare(data, options.size), classes, heading, jobs)
    changes = {"as they are": lambda images: images, **simulated_shifts()}
    found = {name: np.empty((len(data), classes)) for name in changes}
    for fold, (_, test) in enumerate(folds):
        ensemble = Ensemble(trained[f"{what}-fold-{fold}-member-{member}"] for member in range(options.members))
        for name, change in changes.items():
            images = recipe.prepare_images(change(data.images[test]), options.size)
            found[name][test] = recipe.predict_with_views(ensemble, images)
    return found


def sources_to_leave(data, paths, groups):
    """Collections that can be left out and still leave every class to train on: name and ``(train, test)`` rows.

    `paths` and `groups` are of all images, training first; what shares a group with the collection is left out too.
    """
    known = known_sources(paths)
    if not known:
        raise ValueError("--leave-sources-out: nothing is known of where these films come from")
    sources, labels = np.array([known[path] for path in paths]), cross_validation.all_images(data).labels
    found = {}
    for source in sorted(set(known.values())):
        test = np.flatnonzero(sources == source)
        train = np.flatnonzero(~np.isin(groups, groups[test]))
        if set(labels[train]) == set(labels):
            found[source] = train, test
    return found


def leave_out(trainer, source, everything, groups, train, test, options):
    """How the films of `source`, all of one class or of several, are called by networks that saw none of them."""
    slug = source.lower().replace(" ", "-")
    jobs = {
        f"without-{slug}-member-{member}": {"seed": member, "rows": train.tolist()} for member in range(options.members)
    }
    names = everything.class_names
    films = recipe.prepare(everything, options.size)
    trained = trainer(films, len(names), f"Without {source}, {len(train)} films, {options.members} members", jobs)
    seen = recipe.prepare_images(everything.images[test], options.size)
    called = recipe.predict_with_views(Ensemble(trained.values()), seen).argmax(axis=1)
    labels = everything.labels[test]
    right, size = int((called == labels).sum()), effective_size(groups[test])
    return {
        "trained_on": len(train),
        "films": len(test),
        "right": right,
        "accuracy": right / len(test),
        "interval": wilson_interval(right / len(test) * size, size),
        "class": ", ".join(names[k] for k in np.unique(labels)),
        "called": {names[k]: int((called == k).sum()) for k in range(len(names))},
    }


def score_line(labels, names, groups, runs):
    """`cross_validation.summarise` with its arguments in another order."""
    return cross_validation.summarise(labels, runs, names, groups)


def print_results(table, shifts, foreign, wrong, lines, names, ours):
    """Every seed on every set of test images, the means with intervals, the shifts, the sources, the mistakes."""
    for line in lines:
        scores = table[line][ours]
        print(f"\n{line}, {ours}\nseed  accuracy  macro F1  recall: {'  '.join(names)}")
        for seed in range(scores["runs"]):
            recalls = [scores["recall"][name]["values"] for name in names]
            cells = "  ".join(f"{values[seed] if values else np.nan:5.3f}" for values in recalls)
            print(
                f"{seed:4d}  {scores['accuracy']['values'][seed]:8.4f}"
                f"  {scores['macro_f1']['values'][seed]:8.4f}          {cells}"
            )
        lowest = min(row["min"] for row in scores["recall"].values() if row["values"])
        print(f"lowest recall of a class in any seed: {lowest:.3f}")
    print(f"\n{cross_validation.lines_text(table)}")
    print("\n+- sd: between seeds or, each alone, between networks.  Intervals: of the mean, for other such images.")
    width = max(map(len, next(iter(shifts.values()))))
    print(f"\nSimulated shifts, {ours}: accuracy, macro F1")
    for number, line in enumerate(shifts, 1):
        print(f"  ({number}) {line}")
    for name in next(iter(shifts.values())):
        cells = "   ".join(f"{part[name]['accuracy']:.3f} {part[name]['macro_f1']:.3f}" for part in shifts.values())
        print(f"{name:{width}}  {cells}")
    for source, row in foreign.items():
        low, high = row["interval"]
        called = ", ".join(f"{count} {name}" for name, count in row["called"].items())
        print(
            f"\nTrained without {source}: {row['right']} of its {row['films']} films ({row['class']}) recognised, "
            f"{row['accuracy']:.3f} (95 % interval {low:.2f} to {high:.2f}); called {called}"
        )
    print(f"\nTest images that some seed got wrong: {len(wrong)}")
    for row in wrong:
        print(f"  {row['wrong']} x {row['path']}: {', '.join(sorted(set(row['predicted']) - {row['true']}))}")


def save_pictures(data, table, ensembles, ours, wrong, runs, options, synthetic):
    """Confusion matrix, training curves, what a network sees, and the mistakes of seed 0."""
    note = SYNTHETIC if synthetic else notices.NOTICE
    names, out = data.train.class_names, options.out
    matrix = np.sum(next(iter(table.values()))[ours]["confusion_matrices"], axis=0)
    title = f"The best recipe, {len(ensembles)} seeds of {ours}"
    plots.plot_confusion_matrix(matrix, names, out / "confusion.png", title=title, note=note)
    histories = [one.metadata["history"] for ensemble in ensembles for one in ensemble.members]
    mean = {key: np.mean([one[key] for one in histories], axis=0) for key in ("loss", "accuracy")}
    plots.plot_history(mean, out / "curves.png", title=f"{title}: mean training curves", note=note)
    chosen = np.concatenate([np.flatnonzero(data.train.labels == label)[:2] for label in range(len(names))])[:6]
    seen = recipe.prepare_images(data.train.images[chosen], options.size)
    exposed, _ = recipe.prepare(data.train.subset(chosen), options.size)
    rng, varied = np.random.default_rng(0), recipe.augmentation()
    rows = {"film": data.train.images[chosen]}
    rows |= {
        f"gamma {gamma:g}, equalised": exposed[:, i]
        for i, gamma in enumerate(recipe.EXPOSURES)
        if gamma in (min(recipe.EXPOSURES), 1, max(recipe.EXPOSURES))
    }
    rows |= {f"augmented {i}": shades(varied(seen, rng)) for i in (1, 2, 3)}
    plots.plot_image_rows(rows, out / "augmentation.png", title="What the networks see", note=note)
    shown = [row["index"] for row in wrong][:12]
    if shown:
        plots.plot_sample_grid(
            data.test.images[shown],
            data.test.labels[shown],
            names,
            out / "mistakes.png",
            predictions=runs[0].argmax(axis=1)[shown],
            probabilities=runs[0][shown],
            title="Wrong in some seed; predictions of seed 0",
            note=note,
        )


def shades(prepared):
    """Standardised images as grey levels from 0 to 1."""
    return np.clip(0.5 + prepared / 5, 0, 1)


if __name__ == "__main__":
    sys.exit(main())
