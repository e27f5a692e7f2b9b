"""Several runs side by side: how they differ, what came out, and on which images one is right and another wrong."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from tinycnn.files import read_json
from tinycnn.study.report import tables
from tinycnn.study.report.charts import epochs_chart
from tinycnn.study.report.html import block_html
from tinycnn.study.report.page import write_page
from tinycnn.study.report.scoring import short_names
from tinycnn.study.report.sections import Section
from tinycnn.study.report.tables import Table, decimals

_METRICS = {  # of a history: its heading, and how its values are written
    "loss": ("Loss in training, mean per image", ".4g"),
    "val_loss": ("Loss on the validation images", ".4g"),
    "accuracy": ("Accuracy in training, % of images", "%"),
    "val_accuracy": ("Accuracy on the validation images, %", "%"),
    "learning_rate": ("Learning rate", ".3g"),
}


def read_runs(folders: Sequence[str | os.PathLike[str]]) -> dict[str, dict[str, Any]]:
    """What ``report.json`` of each folder holds, by the shortest names that tell the folders apart.

    Raises
    ------
    FileNotFoundError
        If a folder has none.
    ValueError
        If fewer than two folders are given, or one twice; or naming the file that is no report of a run.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if len(set(paths)) < 2 or len(set(paths)) < len(paths):
        raise ValueError("two or more different folders of runs are needed, such as runs/a runs/b")
    names = short_names([path.as_posix() for path in paths])
    return {name: _read(path / "report.json") for name, path in zip(names, paths, strict=True)}


def comparison(runs: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    """What is said of several runs: results, images that tell them apart, and settings that differ.

    Parameters
    ----------
    runs : mapping of str to dict
        Name of each run, and its report.
    """
    results = {f"{name}: {of}": scores for name, run in runs.items() for of, scores in run["results"].items()}
    pairs, unlike = _pairs(runs), _unlike(runs)
    about = "Intervals tell what another test set of this size might have given."
    same = (
        "How often one run is right where the other is wrong. p: how probable so uneven a split would be if both were "
        "equally good (exact McNemar test); it knows nothing of other seeds."
    )
    return [
        Section("Results", [tables.results_table(results), about]),
        Section("On the same images", [same, pairs] if pairs.rows else ["No two runs were tested on the same images."]),
        Section("Settings that differ", [unlike if unlike.rows else "None."]),
    ]


def write_comparison(path: str | os.PathLike[str], runs: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write `comparison` as a page, with the curves of all runs over each other.

    Raises
    ------
    OSError
        Naming `path`.
    """
    parts = {section.heading: [block_html(block) for block in section.blocks] for section in comparison(runs)}
    charts = []
    for key, (heading, form) in _METRICS.items():
        series = {name: run["history"][key] for name, run in runs.items() if run.get("history", {}).get(key)}
        if series:
            charts.append(epochs_chart(heading, series, form))
    if charts:
        parts["Curves"] = [f'<div class="charts">{"".join(charts)}</div>']
    notices = {run["notice"] for run in runs.values() if run.get("notice")}
    if any(run.get("synthetic") for run in runs.values()):
        notices.add("Synthetic images are among them: drawings, not patients.")
    return write_page(path, f"{len(runs)} runs side by side", sorted(notices), parts)


def mcnemar(first: int, second: int) -> float:
    """Probability of a split at least as uneven as this one, if each image falls to either side by a fair coin.

    ``p = min(1, 2 * sum over k <= min(b, c) of  C(b + c, k) / 2^(b + c))``

    Parameters
    ----------
    first, second : int
        b and c: images on which only the one, and only the other, is right.

    References
    ----------
    Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12, 1947.

    Examples
    --------
    >>> mcnemar(0, 5), mcnemar(3, 3)
    (0.0625, 1.0)
    """
    n = first + second
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(first, second) + 1)) / 2**n)


def _pairs(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for (a, first), (b, second) in combinations(runs.items(), 2):
        images, (ours, theirs) = first.get("predictions") or [], (_right(run) for run in (first, second))
        if not images or [row["path"] for row in images] != [row["path"] for row in second.get("predictions") or []]:
            continue
        if [row["true"] for row in images] != [row["true"] for row in second["predictions"]]:
            continue
        both, neither, only_a, only_b = (
            sum((x, y) == pattern for x, y in zip(ours, theirs, strict=True))
            for pattern in ((True, True), (False, False), (True, False), (False, True))
        )
        p = decimals(mcnemar(only_a, only_b), ".3g")
        rows.append((f"{a} and {b}", len(images), both, only_a, only_b, neither, p))
    return Table(("runs", "images", "both right", "only the first", "only the second", "neither", "p"), rows)


def _right(run: Mapping[str, Any]) -> list[bool]:
    return [row["true"] == row["predicted"] for row in run.get("predictions") or []]


def _unlike(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = []
    alike = len({tuple(map(_kind, run.get("model", {}).get("layers", []))) for run in runs.values()}) == 1
    for run in runs.values():
        # Times differ always, and are no setting.
        known = {key: value for key, value in run.items() if key not in ("timing", "history", "temperature")}
        rows = {str(key): str(value) for key, value in tables.run_table(known).rows}
        data = run.get("data") or {}
        rows |= {f"data: {key}": str(data[key]) for key in ("name", "sha256") if key in data}
        for part in ("train", "validation", "test"):
            if part in data:
                rows[f"data: {part}"] = ", ".join(f"{count} {name}" for name, count in data[part].items())
        rows |= {"class weights": str(run["class_weights"])} if "class_weights" in run else {}
        rows |= _layers(run, alike)
        columns.append(rows)
    keys = dict.fromkeys(key for rows in columns for key in rows)
    table = [(key, *(rows.get(key) for rows in columns)) for key in keys]
    return Table(("setting", *runs), [row for row in table if len(set(row[1:])) > 1])


def _layers(run: Mapping[str, Any], alike: bool) -> dict[str, str]:
    """Each layer, where all runs have the same kinds of them in the same order; else how many there are of a kind."""
    layers = run.get("model", {}).get("layers", [])
    if alike:
        return {f"layer {i}": str(layer) for i, layer in enumerate(layers)}
    kinds = Counter(map(_kind, layers))
    return {"layers": ", ".join(f"{count} {kind}" for kind, count in kinds.items())} if layers else {}


def _kind(layer: Any) -> str:
    return str(layer).split("(")[0]


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is no folder of a run: it holds no {path.name}")
    report = read_json(path)
    try:
        tables.results_table(report["results"])
        tables.run_table(report)
        for row in report.get("predictions") or []:
            row["path"], row["true"], row["predicted"]
        for key in _METRICS:
            [value + 0.0 for value in report.get("history", {}).get(key, []) if value is not None]
        if not report["results"]:
            raise ValueError("it has no results")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is no report of a run: {type(error).__name__}, {error}") from error
    return report
