"""Say what a saved model is made of: layers, shapes, parameters, cost, receptive fields.

example:
  tinycnn summary runs/photos/model.npz
"""

import argparse
from pathlib import Path

from tinycnn.inside.anatomy import anatomy
from tinycnn.study.command_line import saved_model
from tinycnn.study.report.tables import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn summary MODEL``."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a file written by `tinycnn train` or Sequential.save")


def run(options: argparse.Namespace) -> int:
    """Print layers and anatomy, and what was saved with the weights."""
    model = saved_model(options.model)
    model.summary()
    print(f"\n{anatomy(model)}")
    for key, value in model.metadata.items():
        print(one_line(f"{key}: {value}"))
    return 0
