"""Look inside a saved model while it sees one image: a page in which every number can be clicked through.

The page is one HTML file that any browser opens, offline. With --label it also holds the gradients of the loss.

example:
  tinycnn look runs/photos/model.npz photos/test/cat/1.png --label cat --out cat.html
"""

import argparse
from pathlib import Path

from tinycnn.data.decode import load_image
from tinycnn.inside.page import write_inside_page
from tinycnn.model import Sequential
from tinycnn.study.command_line import saved_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn look MODEL IMAGE``."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a file written by `tinycnn train` or Sequential.save")
    add("image", type=Path, metavar="IMAGE", help="brought to the model's size, in grey or in colour as it needs")
    add("--out", type=Path, default=Path("inside.html"), metavar="PAGE", help="the file to write (inside.html)")
    add("--label", metavar="CLASS", help="the image's class, by its name or its number from 0")


def run(options: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    model = saved_model(options.model)
    shape = model.input_shape
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(
            f"{options.model} takes inputs of shape {shape}, and an image file gives (height, width, 1 or 3): "
            "write_inside_page takes an array of any number of channels"
        )
    keep_aspect = bool(model.metadata.get("preprocessing", {}).get("keep_aspect"))
    image = load_image(options.image, shape[:2], "L" if shape[2] == 1 else "RGB", keep_aspect=keep_aspect)
    page = write_inside_page(options.out, model, image, _label(options.label, model))
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB): open it in a browser")
    if options.label is None:
        print("It holds no gradients: --label CLASS says what the image is, and so what the loss is.")
    return 0


def _label(given: str | None, model: Sequential) -> int | None:
    """A class by its name, which comes first, or its number."""
    classes = model.output_shape[-1]
    names = [str(name) for name in model.metadata.get("class_names") or []]
    if given is None or given in names:
        return None if given is None else names.index(given)
    if given.isdecimal() and int(given) < classes:
        return int(given)
    known = f", or one of {', '.join(names)}" if names else ""
    raise ValueError(f"--label must be a number from 0 to {classes - 1}{known}; got {given!r}")
