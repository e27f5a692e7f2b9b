"""Put runs side by side: results with intervals, images that tell them apart, settings that differ, curves.

A run is a folder that `tinycnn train` or examples/chest_xray.py filled: its report.json is read.

example:
  tinycnn compare runs/a runs/b --out both.html
"""

import argparse
from pathlib import Path

from tinycnn.study.report.comparison import comparison, read_runs, write_comparison
from tinycnn.study.report.tables import Table, as_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn compare DIR DIR``."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders of two or more runs")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="also write a page with the curves over each other")


def run(options: argparse.Namespace) -> int:
    """Print the tables, and write the page if one is asked for."""
    runs = read_runs(options.folders)
    for heading, blocks in comparison(runs):
        print(f"\n{heading}\n")
        for block in blocks:
            print(as_text(block) if isinstance(block, Table) else block)
    if options.out:
        print(f"\nSaved: {write_comparison(options.out, runs)}")
    return 0
