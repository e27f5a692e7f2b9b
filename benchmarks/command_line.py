"""Options that the benchmarks share, and what becomes of a result."""

import argparse
import json


def argument_parser(doc, picture=False):
    """A parser with ``--quick`` and ``--json``, and with ``--out`` if there is a picture to write."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="small and short, to see whether it runs: no number to quote")
    add("--json", action="store_true", help="print one JSON object and nothing else on standard output")
    if picture:
        add("--out", metavar="PNG", help="write a picture of the result to this file")
    return parser


def parse(parser, **quick):
    """The options; with ``--quick`` their defaults are `quick`, and what the command line says counts all the same."""
    options = parser.parse_args()
    if options.quick:
        parser.set_defaults(**quick)
        options = parser.parse_args()
    return options


def finish(options, result, report, plot=None):
    """Write the picture that ``--out`` asks for, and print `result` as JSON or through `report`."""
    if plot and options.out:
        plot(result, options.out)
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{result['processor']}, {result['cores']} cores")
        report(result)
