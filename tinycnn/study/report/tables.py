"""A run's numbers as tables: each is built once, and written as text, Markdown or HTML."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple


class Table(NamedTuple):
    """Headings and rows of cells, none of them escaped yet.

    Attributes
    ----------
    heads : sequence of str
    rows : sequence of sequences
        As many cells each as there are headings: texts and numbers; None shows as a dash.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Count(NamedTuple):
    """A cell of a confusion matrix, which the page colours by its share of the row."""

    number: int
    share: float | None  # None in a row without images

    def __str__(self) -> str:
        return str(self.number)


_LONG = 24  # letters of a cell: no number, but a path or a sentence


def results_table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """The main numbers of several sets of images.

    Parameters
    ----------
    results : mapping of str to dict
        Name of the set, and what `scoring.score_predictions` said of it.
    """
    heads = ("", "images", "correct", "accuracy", "95 % interval", "macro F1", "95 % interval", "Brier", "ECE")
    return Table(
        heads,
        [
            (name, scores["images"], scores["correct"])
            + (decimals(scores["accuracy"]), interval_text(scores["accuracy_interval"]))
            + (decimals(scores["macro_f1"]), interval_text(scores["macro_f1_interval"]))
            + (decimals(scores["brier"]), decimals(scores["calibration_error"]))
            for name, scores in results.items()
        ],
    )


def class_table(scores: Mapping[str, Any]) -> Table:
    """Each class against the rest, from the dict of `scoring.score_predictions`."""
    heads = ("class", "images", "precision", "sensitivity", "95 %", "specificity", "95 %", "F1", "AUC")
    return Table(
        heads,
        [
            (name, row["positives"], decimals(scores["report"][name]["precision"]))
            + (decimals(row["sensitivity"]), interval_text(row["sensitivity_interval"]))
            + (decimals(row["specificity"]), interval_text(row["specificity_interval"]))
            + (decimals(scores["report"][name]["f1-score"]), decimals(row["auc"]))
            for name, row in scores["classes"].items()
        ],
    )


def groups_table(
    groups: Mapping[str, Mapping[str, Any]], class_names: Sequence[str], unlike: Mapping[str, int] | None = None
) -> Table:
    """The same predictions for each group of images, from `tinycnn.scores.intervals.report_by_group`.

    With `unlike`, also how many images of each group are unlike the training images.
    """
    heads = ("images", "correct", "accuracy", "95 % interval", *(f"sensitivity {name}" for name in class_names))
    return Table(
        ("group", *(["unlike training"] if unlike is not None else []), *heads),
        [
            (name, *([unlike[name]] if unlike is not None else []), row["images"], row["correct"])
            + (decimals(row["accuracy"]), interval_text(row["accuracy_interval"]))
            + tuple(decimals(row["classes"].get(k, {}).get("sensitivity")) for k in class_names)
            for name, row in groups.items()
        ],
    )


def matrix_table(matrix: Sequence[Sequence[int]], class_names: Iterable[str]) -> Table:
    """A confusion matrix: rows are true classes, columns predicted ones.

    >>> print(as_text(matrix_table([[26, 0], [2, 18]], ["Covid", "Normal"])))
    true \\ predicted  Covid  Normal
    Covid                26       0
    Normal                2      18
    """
    names = list(class_names)
    rows = [
        (name, *(Count(count, count / sum(row) if sum(row) else None) for count in row))
        for name, row in zip(names, matrix, strict=True)
    ]
    return Table(("true \\ predicted", *names), rows)


def images_table(data: Mapping[str, Any], weights: Sequence[float] | None) -> Table:
    """Images of each class in each split of a report's ``data``, and the class's weight in the loss.

    >>> print(as_text(images_table({"class_names": ["a", "b"], "train": {"a": 5, "b": 4}, "test": {"b": 2}}, None)))
    class  train  test
    a          5     0
    b          4     2
    """
    splits = [name for name in ("train", "validation", "test") if name in data]
    rows = [[name, *(data[split].get(name, 0) for split in splits)] for name in data["class_names"]]
    if weights is not None:
        rows = [[*row, decimals(weight, ".4f")] for row, weight in zip(rows, weights, strict=True)]
    return Table(("class", *splits, *(["weight in the loss"] if weights is not None else [])), rows)


def lungs_table(inside_lungs: Mapping[str, Mapping[str, Any]]) -> Table:
    """How much of the heat lies in the lungs, from `tinycnn.inside.inside_by_class`."""
    return Table(
        ("class", "heat inside the lungs", "area of the lungs", "images"),
        [
            (name, decimals(row["share"], ".0%"), decimals(row["area"], ".0%"), row["images"])
            for name, row in inside_lungs.items()
        ],
    )


def run_table(report: Mapping[str, Any]) -> Table:
    """Settings, model, times, versions and machine, as far as a run's dict has them."""
    rows: list[tuple[str, Any]] = [(key.replace("_", " "), value) for key, value in report.get("settings", {}).items()]
    if "model" in report:
        rows.append(("model", f"{report['model']['name']}, {report['model']['parameters']:,} parameters"))
    if "data" in report:
        rows.append(("input", " x ".join(map(str, report["data"]["image_shape"]))))
    best = best_epoch(report.get("history") or {})
    if best:
        rows.append(("epoch of the lowest validation loss", best))
    if "temperature" in report:
        rows.append(("temperature, fitted on the validation images", decimals(report["temperature"])))
    rows += [(key.replace("_", " "), decimals(value, ".1f")) for key, value in report.get("timing", {}).items()]
    rows += [(f"version of {key}", value) for key, value in report.get("versions", {}).items()]
    rows += report.get("machine", {}).items()
    rows += [(key, report[key]) for key in ("kernels", "tile", "threads") if report.get(key)]
    return Table(("setting", "value"), rows)


def best_epoch(history: Mapping[str, Sequence[float | None]]) -> int | None:
    """The epoch (from 1) of the lowest validation loss; None without validation images.

    >>> best_epoch({"loss": [2, 1, 0.5], "val_loss": [2, 1.5, 1.8]}), best_epoch({"loss": [2, 1]})
    (2, None)
    """
    known = [(loss, epoch) for epoch, loss in enumerate(history.get("val_loss") or (), 1) if loss is not None]
    return min(known)[1] if known else None


def decimals(value: float | None, form: str = ".3f") -> str | None:
    """The number in that format; None, which tables show as a dash, stays None."""
    return None if value is None else format(value, form)


def interval_text(interval: Sequence[float]) -> str:
    """``(0.816, 0.958)`` as ``0.82 - 0.96``."""
    return f"{interval[0]:.2f} - {interval[1]:.2f}"


def one_line(value: Any) -> str:
    """The cell as a line of text; names of files and folders may hold line breaks and control characters.

    >>> one_line("two\\nlines"), one_line(None)
    ('two lines', '-')
    """
    text = "-" if value is None else str(value)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def as_text(table: Table) -> str:
    """For the terminal: the first column to the left, the others to the right."""
    lines = [list(map(one_line, line)) for line in (table.heads, *table.rows)]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join(
        "  ".join([f"{name:{first}}", *(f"{cell:>{width}}" for cell, width in zip(cells, others, strict=True))])
        for name, *cells in lines
    )


def as_markdown(table: Table) -> str:
    """A table of GitHub's Markdown.

    >>> print(as_markdown(Table(("", "n"), [("a|b", 1)])))
    |  | n |
    | --- | --- |
    | a\\|b | 1 |
    """
    lines = [table.heads, ["---"] * len(table.heads), *table.rows]
    return "\n".join(f"| {' | '.join(map(markdown_text, line))} |" for line in lines)


def markdown_text(value: Any) -> str:
    """`one_line`, with what Markdown would take as its own made harmless.

    >>> print(markdown_text("<b>\\n# *not* bold"))
    \\<b\\> \\# \\*not\\* bold
    """
    return "".join(f"\\{c}" if c in "\\|*_`<>[]&#~$" else c for c in one_line(value))


def markdown_line(value: Any) -> str:
    """`markdown_text` that stands at the start of a line, where it could begin a list or a rule.

    >>> print(markdown_line("1. no list"), markdown_line("--- no rule"))
    1\\. no list \\--- no rule
    """
    return re.sub(r"^(\d*)(?=[-+=.)])", r"\1\\", markdown_text(value))


def as_html(table: Table, long: bool = False) -> str:
    """A table for the page; a column with a long cell stands to the left and may break anywhere.

    With `long` it scrolls in a box of its own, under headings that stay.
    """
    columns = zip(*table.rows, strict=True) if table.rows else ()
    texts = [max(len(one_line(cell)) for cell in column) > _LONG for column in columns]
    kinds = [' class="text"' if text else "" for text in texts] or [""] * len(table.heads)
    heads = "".join(
        f'<th scope="col"{kind}>{escape(one_line(name))}</th>' for name, kind in zip(table.heads, kinds, strict=True)
    )
    rows = "".join(f"<tr>{''.join(map(_html_cell, row, kinds))}</tr>" for row in table.rows)
    box = 'class="wide long" tabindex="0"' if long else 'class="wide"'
    return f"<div {box}><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def _html_cell(value: Any, kind: str) -> str:
    if isinstance(value, Count) and value.share:
        return f'<td class="share{round(10 * value.share)}">{value} <small>{value.share:.0%}</small></td>'
    return f"<td{kind}>{escape(one_line(value))}</td>"
