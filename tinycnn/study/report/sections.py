"""What is said of a run, once for its model card and its page: headings, sentences, lists and tables."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinycnn.arguments import listed
from tinycnn.study.films.known_sets import known_issues
from tinycnn.study.notices import NOTICE
from tinycnn.study.report import tables
from tinycnn.study.report.scoring import leak_text, novelty_text, of_chest_films, total_counts
from tinycnn.study.report.tables import Table, decimals


class LongTable(NamedTuple):
    """A table that the page lets scroll under its caption, and the card leaves out."""

    caption: str
    table: Table


class Section(NamedTuple):
    """A heading, and sentences (str), lists of them, and tables under it; nothing is escaped yet."""

    heading: str
    blocks: Sequence[str | list[str] | Table | LongTable]


def sections(report: Mapping[str, Any], issues: Sequence[str] | None = None) -> list[Section]:
    """All that can be said of a run, from its use to its limits.

    Parameters
    ----------
    report : dict
        With ``results``; what else is missing of a ``report.json`` leaves its section out.
    issues : sequence of str, optional
        As for `write_model_card`.
    """
    results = [Section(f"Results: {name}", _scores(scores)) for name, scores in report["results"].items()]
    every = [
        Section("Intended use", _use(report) if "data" in report else []),
        Section("Results", [tables.results_table(report["results"]), *_meaning(report)]),
        *results,
        Section("Where the network looks", _attention(report.get("attention") or {})),
        Section("Known confounds and label errors", _problems(report, issues)),
        Section("Data and splits", _data(report) if "data" in report else []),
        Section("Model and training", _training(report)),
        Section("Limits", [_limits(report)]),
    ]
    return [section for section in every if section.blocks]


def _use(report: Mapping[str, Any]) -> list[Any]:
    names, chest = report["data"]["class_names"], of_chest_films(report)
    use = "Learning how a convolutional network works, and how its results are checked, on "
    use += f"{'chest X-rays' if chest else 'images'} in {len(names)} classes: {', '.join(names)}."
    scope = "any decision of weight. It cannot refuse an image of something else"
    if chest:
        scope = "diagnosis, triage, screening, or any other decision about a person. It was never tested in a clinical "
        scope += "study, and it cannot refuse an image that is no frontal chest film"
    return [[use, f"Out of scope: {scope}: every image gets a class."]]


def _meaning(report: Mapping[str, Any]) -> list[str]:
    intervals = "Intervals tell what another test set of this size might have given (Wilson for shares, bootstrap for "
    intervals += "F1). One run with one seed: another seed gives other numbers, and so would another source of images."
    leaks = [leak_text(report["results"])] if report.get("audit") else []
    images = next(iter(report["results"].values()))["images"]
    novelty = [novelty_text(report["novelty"], images)] if report.get("novelty") else []
    return [*leaks, *novelty, intervals]


def _scores(scores: Mapping[str, Any]) -> list[Any]:
    text = f"Balanced accuracy {decimals(scores['balanced_accuracy'])}. Probabilities: Brier score "
    text += f"{decimals(scores['brier'])} (0 is perfect, 2 the worst), expected calibration error (ECE) "
    text += f"{decimals(scores['calibration_error'])}."
    return [tables.class_table(scores), text, tables.matrix_table(scores["confusion_matrix"], scores["classes"])]


def _attention(attention: Mapping[str, Any]) -> list[Any]:
    blocks: list[Any] = []
    if attention.get("inside_lungs"):
        text = "Share of the Grad-CAM heat within a rough outline of the lungs. About the lungs' share of the area, or "
        text += "less, means that the network looks elsewhere as much as there."
        blocks += [text, tables.lungs_table(attention["inside_lungs"])]
    if attention.get("randomization"):
        text = (
            "Rank correlation of the heat maps with those of a network whose weights are random from the output down "
        )
        text += "to this layer. Heat maps that show what was learnt fall well below 1."
        rows = [(name, decimals(value, ".2f")) for name, value in attention["randomization"].items()]
        blocks += [text, Table(("random down to", "correlation"), rows)]
    return blocks


def _problems(report: Mapping[str, Any], issues: Sequence[str] | None) -> list[Any]:
    audit: Mapping[str, Any] = report.get("audit") or {}
    blocks: list[Any] = []
    if issues is None and "data" in report:
        issues = known_issues(total_counts(report["data"]))
    if issues is not None and (issues := listed(issues, "issues")):
        blocks += ["On record for this public data set:", issues]
    elif issues is not None:
        blocks += ["None are on record for these data, which does not mean that there are none."]
    if audit.get("warnings"):
        blocks += ["Found by the audit of the images:", audit["warnings"]]
    if audit.get("near_copies"):
        rows = [(pair["a"], pair["b"], pair["kind"], decimals(pair["correlation"])) for pair in audit["near_copies"]]
        copies = Table(("image", "the same as", "kind", "correlation"), rows)
        blocks += [LongTable(f"{len(rows)} pairs of near-copies:", copies)]
    return blocks


def _data(report: Mapping[str, Any]) -> list[Any]:
    data = report["data"]
    about = f"Source: {data['name']}. SHA-256 of images and labels: {data['sha256']}."
    about += " No validation images were kept." if "train" in data and "validation" not in data else ""
    blocks = [about, tables.images_table(data, report.get("class_weights"))]
    if data.get("skipped"):
        unread = [": ".join(bad) for bad in data["skipped"]]
        blocks += [f"{len(unread)} unreadable files were left out:", unread]
    return blocks


def _training(report: Mapping[str, Any]) -> list[Any]:
    run, layers = tables.run_table(report), report.get("model", {}).get("layers")
    blocks: list[Any] = [run] if run.rows else []
    blocks += ["Layers:", layers] if layers else []
    history = {key.replace("_", " "): values for key, values in report.get("history", {}).items() if values}
    if history:
        epochs = enumerate(zip(*history.values(), strict=True), 1)
        rows = [(epoch, *(decimals(value, ".4g") for value in row)) for epoch, row in epochs]
        blocks += [LongTable("Every epoch:", Table(("epoch", *history), rows))]
    return blocks


def _limits(report: Mapping[str, Any]) -> list[str]:
    smallest = min(row["positives"] for scores in report["results"].values() for row in scores["classes"].values())
    images = max(scores["images"] for scores in report["results"].values())
    groups, source = ("age, sex, source, view", "hospital") if of_chest_films(report) else ("source, view", "source")
    unseen = f"No images from a {source} that is absent from the training set were tested."
    return [
        f"{images} test images, {smallest} in the smallest class: the intervals above are wide, and no subgroup "
        f"({groups}) can be judged.",
        *([unseen] if "train" in report.get("data", {"train"}) else []),
        "Probabilities are not to be read as risks: the share of each class in practice is another than here.",
        "The images were reduced to a small square, which loses fine detail and their aspect ratio.",
        NOTICE,
    ]
