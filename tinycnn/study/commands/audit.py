"""Look for what makes results on a set of images untrue: copies, leaks, shortcuts, odd files, private data.

example:
  tinycnn audit photos --sheet copies.png
"""

import argparse
from pathlib import Path

from tinycnn.files import write_json
from tinycnn.study.films.audit import audit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn audit FOLDER``."""
    parser.add_argument(
        "folder", metavar="FOLDER", help="folder or zip with train/CLASS/image and test/CLASS/image, or CLASS/image"
    )
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="also draw the copies side by side, and samples")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the findings, and write the files that are asked for."""
    found = audit(options.folder)
    print(found)
    if options.sheet:
        found.contact_sheet(options.sheet)
    if options.json:
        write_json(options.json, found.to_dict())
    return 0
