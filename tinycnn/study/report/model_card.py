"""A model card: what a model is for, what it was trained on, how well it does, and why not to trust it, in Markdown.

After M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinycnn.files import atomic_write
from tinycnn.study.films.known_sets import known_issues
from tinycnn.study.notices import NOTICE
from tinycnn.study.report import tables
from tinycnn.study.report.scoring import leak_text, of_chest_films, total_counts
from tinycnn.study.report.tables import as_markdown, markdown_text


def write_model_card(
    path: str | os.PathLike[str], report: Mapping[str, Any], issues: Sequence[str] | None = None
) -> Path:
    """Write the card of the model of one run.

    Parameters
    ----------
    path : path-like
        The Markdown file to write, whole or not at all.
    report : dict
        What ``report.json`` of `examples/chest_xray.py` holds: ``results, data, settings, model, synthetic, versions``
        and, optional, ``audit, class_weights, attention, temperature, timing``.
    issues : sequence of str, optional
        Known confounds and label errors of the data, a sentence or more each; by default `known_issues` of the
        counts in the report.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        Naming what the report lacks.
    OSError
        Naming `path`.

    Examples
    --------
    >>> import tempfile
    >>> from tinycnn.study.report.scoring import score_predictions
    >>> scores = score_predictions([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], ["Covid", "Normal"])
    >>> data = {"name": "films", "class_names": ["Covid", "Normal"], "image_shape": [64, 64, 1], "sha256": "0" * 64}
    >>> data |= {"train": {"Covid": 5, "Normal": 5}, "test": {"Covid": 1, "Normal": 2}}
    >>> report = {"results": {"all 3 test images": scores}, "data": data, "settings": {"seed": 0}, "synthetic": False}
    >>> report |= {"model": {"name": "report_cnn", "parameters": 1000}, "versions": {"tinycnn": "0.1.0"}}
    >>> card = write_model_card(tempfile.mkdtemp() + "/MODEL_CARD.md", report).read_text()
    >>> "never for diagnosis" in card, "| all 3 test images | 3 | 2 | 0.667 |" in card
    (True, True)
    """
    missing = [key for key in ("results", "data", "settings", "model", "synthetic", "versions") if key not in report]
    if missing:
        raise ValueError(f"the report lacks {', '.join(missing)}, which a model card needs")
    if issues is None:
        issues = known_issues(total_counts(report["data"]))
    parts = [
        f"# Model card: {markdown_text(report['model']['name'])}",
        f"**{NOTICE}**",
        *(["**Trained on synthetic images: drawings, not patients.**"] if report["synthetic"] else []),
        _intended_use(report),
        _model(report),
        _data(report),
        _results(report),
        _problems(report, issues),
        _attention(report),
        _limits(report),
    ]
    with atomic_write(path) as temporary:
        temporary.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return Path(path)


def _intended_use(report: Mapping[str, Any]) -> str:
    names, chest = report["data"]["class_names"], of_chest_films(report)
    use = (
        "## Intended use\n\n- Learning how a convolutional network works, and how its results are checked, on "
        f"{'chest X-rays' if chest else 'images'} in {len(names)} classes: {', '.join(map(markdown_text, names))}.\n"
        "- Out of scope: "
    )
    if not chest:
        return use + "any decision of weight. It cannot refuse an image of something else: every image gets a class."
    return (
        f"{use}diagnosis, triage, screening, or any other decision about a person. It was never tested in a clinical "
        "study, and it cannot refuse an image that is no frontal chest film: every image gets a class."
    )


def _model(report: Mapping[str, Any]) -> str:
    layers = "".join(f"\n- {markdown_text(layer)}" for layer in report["model"].get("layers", ()))
    text = f"## Model and training\n\n{as_markdown(tables.run_table(report))}"
    return f"{text}\n\nLayers:\n{layers}" if layers else text


def _data(report: Mapping[str, Any]) -> str:
    data = report["data"]
    text = f"## Data and splits\n\nSource: {markdown_text(data['name'])}. "
    text += f"SHA-256 of images and labels: {markdown_text(data['sha256'])}."
    if "validation" not in data:
        text += " No validation images were kept."
    if data.get("skipped"):
        text += f" {len(data['skipped'])} unreadable files were left out."
    return f"{text}\n\n{as_markdown(tables.images_table(data, report.get('class_weights')))}"


def _results(report: Mapping[str, Any]) -> str:
    text = f"## Results\n\n{as_markdown(tables.results_table(report['results']))}\n\n"
    text += "Intervals: Wilson for shares, bootstrap for F1. ECE: expected calibration error. "
    if report.get("audit"):
        text += leak_text(report["results"]) + " "
    text += "One run with one seed: another seed gives other numbers, and so would another source of images."
    for name, scores in report["results"].items():
        matrix = tables.matrix_table(scores["confusion_matrix"], scores["classes"])
        text += f"\n\n### {markdown_text(name)}\n\n{as_markdown(tables.class_table(scores))}\n\n{as_markdown(matrix)}"
    return text


def _problems(report: Mapping[str, Any], issues: Sequence[str]) -> str:
    none = "None are on record for these data, which does not mean that there are none."
    text = f"## Known confounds and label errors\n\n{_list(issues or [none])}"
    warnings = (report.get("audit") or {}).get("warnings")
    return f"{text}\n\nFound by the audit of the files:\n\n{_list(warnings)}" if warnings else text


def _attention(report: Mapping[str, Any]) -> str:
    inside = (report.get("attention") or {}).get("inside_lungs")
    if not inside:
        return ""
    text = "## Where it looks\n\nGrad-CAM heat inside a rough outline of the lungs, beside the share of the image that "
    return f"{text}the outline covers:\n\n{as_markdown(tables.lungs_table(inside))}"


def _limits(report: Mapping[str, Any]) -> str:
    smallest = min(row["positives"] for scores in report["results"].values() for row in scores["classes"].values())
    images = max(scores["images"] for scores in report["results"].values())
    limits = [
        f"{images} test images, {smallest} in the smallest class: the intervals above are wide, and no subgroup "
        f"({'age, sex, source, view' if of_chest_films(report) else 'source, view'}) can be judged.",
        f"No images from a {'hospital' if of_chest_films(report) else 'source'} that is absent from the training set "
        "were tested.",
        "Probabilities are not to be read as risks: the share of each class in practice is another than here.",
        "The images were reduced to a small square, which loses fine detail and their aspect ratio.",
        NOTICE,
    ]
    return f"## Limits\n\n{_list(limits)}"


def _list(texts: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(text)}" for text in texts)
