"""Write the page: its parts, put into one file that needs nothing else."""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from tinycnn.arguments import as_array
from tinycnn.files import atomic_write, plain
from tinycnn.inside.class_score import output_names
from tinycnn.inside.page.data import page_data
from tinycnn.inside.trace import trace
from tinycnn.model import Sequential

STYLES = ("style", "numbers")
SCRIPTS = (
    "arrays",
    "functions",
    "sums",
    "weights",
    "draw",
    "state",
    "network",
    "maps",
    "terms",
    "columns",
    "change",
    "path",
    "main",
)


def write_inside_page(
    path: str | os.PathLike[str],
    model: Sequential,
    image: ArrayLike,
    label: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Write one HTML file in which every number of one image's pass can be clicked through, forward and backward.

    The file holds what `trace` gave, number for number; the sums that the page shows are added up in the browser from
    the layer's own inputs and weights.  It needs no network and no server.  Of a dense layer with more than 100,000
    weights, the largest terms of each sum are in it, the rest as one number.

    Parameters
    ----------
    path : path-like
        The file to write, whole or not at all.
    model : Sequential
        Built; left as it was.
    image : array, shape (height, width, channels)
        uint8 (scaled by 1/255) or float (as it is).
    label : int, optional
        The image's class; without it there are no gradients.
    class_names : sequence of str, optional
        By default those in ``model.metadata["class_names"]``, or numbers.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If the model is not built, or image, label or names do not fit it.
    OSError
        Naming `path`, if it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from tinycnn.layers import Conv2D, Dense, Flatten, MaxPool2D
    >>> model = Sequential([Conv2D(4, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(2, activation="softmax")])
    >>> _ = model.build((8, 8, 1))
    >>> image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    >>> page = write_inside_page(tempfile.mkdtemp() + "/inside.html", model, image, label=1, class_names=["cat", "dog"])
    >>> " src=" in page.read_text(), page.stat().st_size < 150_000
    (False, True)
    """
    image = as_array(image, "image")
    if image.ndim != 3:
        raise ValueError(f"the page shows one image of shape (height, width, channels), got shape {image.shape}")
    names = output_names(model, class_names)
    seen = trace(model, image[None], None if label is None else [label])
    data, packed = page_data(model, seen, label, names)
    html = _page(data, packed)
    with atomic_write(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


def _page(data: dict[str, Any], packed: Sequence[str]) -> str:
    """``page.html`` with style, script, data and arrays; its policy allows this style and this script alone."""
    script = "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    style = "\n".join(_part(f"{name}.css") for name in STYLES)
    content = {
        "title": escape(f"Inside {data['model']}: one image, every number"),
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
        # No text of the user's can end the element that it stands in.
        "data": json.dumps(plain(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "arrays": "\n".join(f'<script type="text/plain" class="array">{text}</script>' for text in packed),
    }
    head, *parts = _part("page.html").split("{{")
    pieces = [head]
    for part in parts:
        key, _, rest = part.partition("}}")
        pieces += [content[key], rest]
    return "".join(pieces)


def _part(name: str) -> str:
    return files("tinycnn.inside.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
