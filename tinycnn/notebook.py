"""What a notebook shows: tables as HTML, and whether what is printed lands in one."""

import sys
from collections.abc import Container, Iterable, Sequence
from html import escape
from typing import Any, TextIO


def html_table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    foot: Sequence[str] = (),
    numbers: Container[int] = (),
    above: str = "",
    below: Iterable[str] = (),
) -> str:
    """A table as HTML, in a notebook's own style, for the ``_repr_html_`` of what is printed as text elsewhere.

    Parameters
    ----------
    head, rows, foot : sequence of str, of sequences, of str
        Cells; nothing in them is taken for HTML.  No foot if it is empty.
    numbers : container of int
        Columns that stand to the right.
    above, below : str, sequence of str
        A heading, and small lines under the table.

    Examples
    --------
    >>> page = html_table(["class", "images"], [["<b>", 3]], numbers=[1])
    >>> page[page.index("<tbody>") : page.index("</tbody>")]
    '<tbody><tr><td style="text-align:left">&lt;b&gt;</td><td style="text-align:right">3</td></tr>'
    """

    def row(cells: Sequence[object], tag: str) -> str:
        sides = ("right" if i in numbers else "left" for i in range(len(cells)))
        texts = (f'<{tag} style="text-align:{s}">{escape(str(c))}</{tag}>' for s, c in zip(sides, cells, strict=True))
        return f"<tr>{''.join(texts)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    tail = f"<tfoot>{row(foot, 'th')}</tfoot>" if foot else ""
    table = f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody>{tail}</table>"
    heading, notes = escape(above), "<br>".join(map(escape, below))
    return (heading and f"<p><b>{heading}</b></p>") + table + (notes and f"<p><small>{notes}</small></p>")


def in_notebook(stream: TextIO) -> bool:
    """Whether `stream` is what IPython's kernel gives a cell to print to; nothing of IPython's is imported to ask.

    >>> in_notebook(sys.__stdout__)
    False
    """
    kernel = sys.modules.get("ipykernel.iostream")
    return kernel is not None and isinstance(stream, kernel.OutStream)


def display(shown: Any) -> None:
    """Show an object in the running cell of a notebook, as its last line would."""
    sys.modules["IPython"].display.display(shown)
