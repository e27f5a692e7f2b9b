"""A matplotlib figure on the disk: its title and note, its texts, its format."""

import textwrap
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from tinycnn.files import PathLike, atomic_write


def save_figure(figure: Figure, path: PathLike, title: str | None = None, note: str | None = None) -> Path:
    """Write `figure` with a title above and a small note below it, in the format that the ending of `path` says.

    The file is written whole or not at all, and equal figures give equal bytes.

    Raises
    ------
    ValueError
        For an ending that matplotlib does not know; without one the file is a PNG.

    Examples
    --------
    >>> import tempfile
    >>> save_figure(Figure(), tempfile.mkdtemp() + "/empty.pdf", title="Nothing").read_bytes()[:4]
    b'%PDF'
    """
    path = Path(path)
    form = path.suffix[1:].lower() or "png"
    known = figure.canvas.get_supported_filetypes()
    if form not in known:
        raise ValueError(f"{path}: '{path.suffix}' is no format of pictures; use one of {', '.join(known)}")
    # Letters per inch of the 12 and 8 point sans-serif below; constrained layout does not wrap by itself.
    if title:
        figure.suptitle(wrapped(title, int(9.3 * figure.get_figwidth())), fontsize=12)
    if note:
        figure.supxlabel(wrapped(note, int(14 * figure.get_figwidth())), fontsize=8, color="0.3")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with atomic_write(path) as temporary, rc_context({"svg.hashsalt": "tinycnn"}):
        figure.savefig(temporary, format=form, dpi=140, metadata=undated)
    return path


def wrapped(text: object, width: int) -> str:
    """Plain text in lines of at most `width` letters, where words allow it."""
    return plain_text("\n".join(textwrap.wrap(str(text), width, break_long_words=False)))


def plain_text(text: str) -> str:
    r"""A dollar sign in a class name is no formula, and what a name holds that is no letter cannot be drawn.

    >>> plain_text("US$ caf\udce9")
    'US\\$ caf?'
    """
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("$", r"\$")
