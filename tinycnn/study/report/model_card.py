"""A model card: what a model is for, what it was trained on, how well it does, and why not to trust it, in Markdown.

After M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from pathlib import Path

from tinycnn.files import atomic_write
from tinycnn.study.films.known_sets import known_issues
from tinycnn.study.notices import NOTICE
from tinycnn.study.report.scoring import interval_text, leak_text, total_counts


def write_model_card(path, report, issues=None):
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
    >>> "never for diagnosis" in card, "| all 3 test images | 3 | 0.667 |" in card
    (True, True)
    """
    missing = [key for key in ("results", "data", "settings", "model", "synthetic", "versions") if key not in report]
    if missing:
        raise ValueError(f"the report lacks {', '.join(missing)}, which a model card needs")
    if issues is None:
        issues = known_issues(total_counts(report["data"]))
    parts = [
        f"# Model card: {_text(report['model']['name'])}",
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


def _intended_use(report):
    classes = ", ".join(map(_text, report["data"]["class_names"]))
    return (
        "## Intended use\n\n"
        f"- Learning how a convolutional network works, and how its results are checked, on chest X-rays in "
        f"{len(report['data']['class_names'])} classes: {classes}.\n"
        "- Out of scope: diagnosis, triage, screening, or any other decision about a person. It was never tested in a "
        "clinical study, and it cannot refuse an image that is no frontal chest film: every image gets a class."
    )


def _model(report):
    model, settings = report["model"], report["settings"]
    rows = [("parameters", f"{model['parameters']:,}")]
    rows += [("input", " x ".join(map(str, report["data"]["image_shape"])))]
    rows += [(key.replace("_", " "), value) for key, value in settings.items()]
    if "temperature" in report:
        rows.append(("temperature, fitted on the validation images", f"{report['temperature']:.3f}"))
    if report.get("timing"):
        rows.append(("training time (s)", f"{report['timing']['train_seconds']:.0f}"))
    rows += [(f"version of {key}", value) for key, value in report["versions"].items()]
    layers = "".join(f"- `{layer}`\n" for layer in model.get("layers", ()))
    text = f"## Model and training\n\n{_table(('', ''), rows)}"
    return f"{text}\n\nLayers:\n\n{layers.rstrip()}" if layers else text


def _data(report):
    data, weights = report["data"], report.get("class_weights")
    splits = [name for name in ("train", "validation", "test") if name in data]
    head = ("class", *splits, *(("weight in the loss",) if weights else ()))
    rows = []
    for i, name in enumerate(data["class_names"]):
        rows.append((name, *(data[s].get(name, 0) for s in splits), *((f"{weights[i]:.4f}",) if weights else ())))
    text = f"## Data and splits\n\nSource: {_text(data['name'])}. SHA-256 of images and labels: `{data['sha256']}`."
    if "validation" not in data:
        text += " No validation images were kept."
    if data.get("skipped"):
        text += f" {len(data['skipped'])} unreadable files were left out."
    return f"{text}\n\n{_table(head, rows)}"


def _results(report):
    head = ("test images", "n", "accuracy", "95 % (Wilson)", "macro F1", "95 % (bootstrap)", "Brier", "ECE")
    rows = [
        (
            name,
            scores["images"],
            f"{scores['accuracy']:.3f}",
            interval_text(scores["accuracy_interval"]),
            f"{scores['macro_f1']:.3f}",
            interval_text(scores["macro_f1_interval"]),
            f"{scores['brier']:.3f}",
            f"{scores['calibration_error']:.3f}",
        )
        for name, scores in report["results"].items()
    ]
    text = f"## Results\n\n{_table(head, rows)}\n\nECE: expected calibration error. "
    if report.get("audit"):
        text += leak_text(report["results"]) + " "
    text += "One run with one seed: another seed gives other numbers, and so would another hospital."
    for name, scores in report["results"].items():
        lines = [
            (k, row["positives"], *_rate(row, "sensitivity"), *_rate(row, "specificity"), _number(row["auc"]))
            for k, row in scores["classes"].items()
        ]
        head = ("class", "n", "sensitivity", "95 %", "specificity", "95 %", "AUC")
        text += f"\n\n### {_text(name)}\n\n{_table(head, lines)}\n\n"
        matrix = zip(scores["classes"], scores["confusion_matrix"], strict=True)
        text += _table(("true class", *(f"called {k}" for k in scores["classes"])), [(k, *row) for k, row in matrix])
    return text


def _problems(report, issues):
    warnings = (report.get("audit") or {}).get("warnings", [])
    text = "## Known confounds and label errors\n\n"
    if issues:
        text += "".join(f"- {issue}\n" for issue in issues)
    else:
        text += "- None are on record for these data, which does not mean that there are none.\n"
    if warnings:
        text += "\nFound by the audit of the files:\n\n" + "".join(f"- {_text(warning)}\n" for warning in warnings)
    return text.rstrip()


def _attention(report):
    attention = report.get("attention") or {}
    if not attention.get("inside_lungs"):
        return ""
    rows = [(name, _percent(row["share"]), _percent(row["area"])) for name, row in attention["inside_lungs"].items()]
    text = "## Where it looks\n\nGrad-CAM heat inside a rough outline of the lungs, beside the share of the image that "
    return text + "the outline covers:\n\n" + _table(("class", "heat inside", "area of the outline"), rows)


def _limits(report):
    smallest = min(row["positives"] for scores in report["results"].values() for row in scores["classes"].values())
    images = max(scores["images"] for scores in report["results"].values())
    return (
        "## Limits\n\n"
        f"- {images} test images, {smallest} in the smallest class: the intervals above are wide, and no subgroup "
        "(age, sex, source, view) can be judged.\n"
        "- No images from a hospital that is absent from the training set were tested.\n"
        "- Probabilities are not to be read as risks: the share of each class in practice is another than here.\n"
        "- The images were reduced to a small square, which loses fine detail and their aspect ratio.\n"
        f"- {NOTICE}"
    )


def _rate(row, name):
    return _number(row[name]), interval_text(row[f"{name}_interval"])


def _number(value):
    return "–" if value is None else f"{value:.3f}"


def _percent(value):
    return "–" if value is None else f"{value:.0%}"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines)


def _text(value):
    """Text from file and folder names, with what Markdown would take as its own made harmless."""
    text = " ".join(str(value).split())
    for mark in "\\|*_`<>[]":
        text = text.replace(mark, f"\\{mark}")
    return text
