"""A model card: what a model is for, what it was trained on, how well it does, and why not to trust it, in Markdown.

After M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinycnn.arguments import of_class
from tinycnn.files import atomic_write
from tinycnn.study.notices import NOTICE
from tinycnn.study.report.sections import LongTable, sections
from tinycnn.study.report.tables import Table, as_markdown, markdown_line, markdown_text


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
    of_class(report, Mapping, "report")
    missing = [key for key in ("results", "data", "settings", "model", "synthetic", "versions") if key not in report]
    if missing:
        raise ValueError(f"the report lacks {', '.join(missing)}, which a model card needs")
    parts = [
        f"# Model card: {markdown_text(report['model']['name'])}",
        f"**{NOTICE}**",
        *(["**Trained on synthetic images: drawings, not patients.**"] if report["synthetic"] else []),
    ]
    for heading, blocks in sections(report, issues):
        parts += [f"## {markdown_text(heading)}", *map(_block, blocks)]
    with atomic_write(path) as temporary:
        temporary.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return Path(path)


def _block(block: str | list[str] | Table | LongTable) -> str:
    if isinstance(block, str):
        return markdown_line(block)
    if isinstance(block, list):
        return "\n".join(f"- {markdown_line(text)}" for text in block)
    return as_markdown(block) if isinstance(block, Table) else ""
