"""The command ``tinycnn`` (or ``python -m tinycnn``): what a user does most, from the shell.

A command is a file in ``tinycnn/study/commands/``: its docstring is its help, ``add_arguments(parser)`` says what it
takes, and ``run(options)`` does it and returns the exit code.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from tinycnn.study.command_line import EXIT_CODES, VERSION, answer

# In the order of ``tinycnn --help``.
COMMANDS = ("train", "predict", "evaluate", "look", "compare", "summary", "audit", "strip", "export")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default those of the shell) name, and return its exit code.

    0 after a command that did what it should, 2 after an error, which is said in a line, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        From `argparse`: 0 after ``--help``, 2 for options that there are not.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    return answer(_run, given, stopped="what was written is whole", memory="smaller or fewer images")


def _run(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tinycnn",
        description="Convolutional networks to read and to run. For research and teaching only, never for diagnosis.",
        epilog=f"`tinycnn COMMAND --help` says more of each.\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    # Only the command that is named is imported; all of them where it is help that is asked for.
    for name in given[:1] if given and given[0] in COMMANDS else COMMANDS:
        command = import_module(f"tinycnn.study.commands.{name}")
        text = (command.__doc__ or "").strip()
        of_command = commands.add_parser(
            name,
            help=text.split("\n")[0].rstrip("."),
            description=f"{text}\n\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(of_command)
        of_command.set_defaults(run=command.run)
    options = parser.parse_args(given)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
