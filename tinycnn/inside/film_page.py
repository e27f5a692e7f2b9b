"""The page of a film: one HTML file that any browser opens offline."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from tinycnn.files import atomic_write, plain


def write_film_page(path: str | os.PathLike[str], data: Mapping[str, Any]) -> Path:
    """Write `film.html` with `film.css`, `film.js` and the data in it.

    The page may run no script and no style but these two, which its policy names by their hashes, and load nothing.

    Parameters
    ----------
    path : path-like
        Written whole or not at all.
    data : mapping
        ``model`` (a name), ``history`` (lists by metric), ``frames`` (of `tinycnn.inside.film_frame.frame_of`, each
        with its ``epoch``), ``images`` (how many were traced) and ``slice`` (None, or ``at``, ``losses``, ``images``
        and ``of``).

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError
        Naming the path, if it cannot be written.
    """
    folder = Path(__file__).parent
    page, style, script = ((folder / f"film.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    # Within a script element, "<" could end it; within JSON, it can be written otherwise.
    numbers = json.dumps(plain(dict(data)), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "title": escape(f"{data['model']}: a film of its training"),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "style": style,
        "data": numbers,
        "script": script,
    }
    pieces = page.split("@@")  # text, name, text, name, ..., text: what is put in is not searched again
    pieces[1::2] = [parts[name] for name in pieces[1::2]]
    with atomic_write(path) as temporary:
        temporary.write_text("".join(pieces), encoding="utf-8", newline="\n")
    return Path(path)


def _hash(text: str) -> str:
    """As a content security policy names an inline script or style.

    >>> _hash("")
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
