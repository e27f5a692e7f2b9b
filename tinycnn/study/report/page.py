"""The shell of a page: one HTML file that opens anywhere, with its own style and script and nothing from outside.

What it looks like and what it does when it is clicked at stands in ``page.html``, ``page.css`` and ``page.js``.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from tinycnn.files import atomic_write
from tinycnn.study.report.tables import one_line

_HERE = Path(__file__).parent


def write_page(
    path: str | os.PathLike[str], title: str, notices: Sequence[str], sections: Mapping[str, Sequence[str]]
) -> Path:
    """Write a page, whole or not at all.

    Parameters
    ----------
    path : path-like
    title : str
    notices : sequence of str
        Sentences at the top.
    sections : mapping of str to sequence of str
        Heading and HTML of each section; the headings make the list of contents.

    Raises
    ------
    OSError
        Naming `path`.
    """
    anchors = _anchors(sections)
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    html = Template((_HERE / "page.html").read_text(encoding="utf-8")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        title=escaped(title),
        style=style,
        script=script,
        notices="".join(f'<p class="notice">{escaped(text)}</p>' for text in notices),
        contents="".join(f'<li><a href="#{anchors[name]}">{escaped(name)}</a></li>' for name in sections),
        body="\n".join(
            f'<section id="{anchors[name]}"><h2>{escaped(name)}</h2>{"".join(parts)}</section>'
            for name, parts in sections.items()
        ),
    )
    with atomic_write(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


def escaped(value: Any) -> str:
    """A user's text on one line, with what HTML would take as its own made harmless, in attributes too.

    >>> escaped('a "class"\\n<b>')
    'a &quot;class&quot; &lt;b&gt;'
    """
    return escape(one_line(value))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _anchors(headings: Iterable[str]) -> dict[str, str]:
    """A name for each heading, of its letters and digits alone; the number in front makes it the only one."""
    return {text: f"{i}-{re.sub('[^a-z0-9]+', '-', text.lower()).strip('-')}" for i, text in enumerate(headings, 1)}
