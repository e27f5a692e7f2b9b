"""Copy images without what says where, when and of whom they were taken; the pixels stay as they are.

Text burnt into a picture stays in it, and so do the names of files and folders: look for both yourself.

example:
  tinycnn strip photos photos_to_share
"""

import argparse
from pathlib import Path

from tinycnn.data.stripping import strip_metadata
from tinycnn.study.command_line import skip_bad_files
from tinycnn.study.report.tables import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn strip SOURCE TARGET``."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of images; it is never changed")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder for the copies; made if need be")
    skip_bad_files(parser.add_argument)


def run(options: argparse.Namespace) -> int:
    """Copy, and say what each file no longer has."""
    removed, skipped = strip_metadata(
        options.source, options.target, on_error="skip" if options.skip_bad_files else "raise"
    )
    for path, kinds in removed.items():
        print(one_line(f"{path}: {', '.join(kinds) or 'had none'}"))
    for path, reason in skipped:
        print(one_line(f"{path}: NOT copied, {reason}"))
    print(f"{len(removed)} images copied to {options.target}, {len(skipped)} left out")
    print("Text burnt into the pictures, and names of files and folders, were not touched.")
    return 0
