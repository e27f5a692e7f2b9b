"""Attack tinycnn from outside, at random and for as long as you like; every case can be repeated by its number.

``python tests/campaigns/run.py`` runs every campaign with the count that it names, as CI does;
``python tests/campaigns/run.py models --minutes 60`` goes on with one for an hour, and
``python tests/campaigns/run.py models --seed 0 --case 17`` repeats one case.

A campaign is a module in this folder with a docstring, a ``COUNT``, ``prepare(folder)``, which returns what every case
starts from, and ``attack(subject, rng)``, which runs one case and raises `AssertionError` where tinycnn fell.  Those of
kernels take turns between the register tiles, whatever the processor's own is.
"""

import argparse
import importlib
import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SECONDS = 120  # that one case may take
TILES = ("avx2", "avx512") if platform.machine().lower() in ("x86_64", "amd64") else ("neon",)
OF_KERNELS = ("guards", "layers", "random_networks")
LONGEST = ("arguments", "kills", *OF_KERNELS)  # begin first, so that no process waits for another's end


def main(arguments=None):
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--minutes", type=float, help="go on for so long, in all, instead of a count of cases")
    parser.add_argument("--times", type=int, default=1, help="so many times as many cases as a campaign names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="only this one, with the traceback of what it raises")
    parser.add_argument("--tile", choices=TILES, help="only this register tile, for campaigns of kernels")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="campaigns at a time (2)")
    options = parser.parse_args(arguments)
    chosen = options.campaigns or names
    if unknown := set(chosen) - set(names):
        parser.error(f"no campaign {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = sorted(chosen, key=lambda name: (name not in LONGEST, name))
    tiles = [options.tile] if options.tile else TILES
    todo = [(name, tile) for name in chosen for tile in (tiles if name in OF_KERNELS else [None])]
    options.seconds = options.minutes and 60 * options.minutes / len(todo) * options.processes
    began = time.monotonic()
    print(f"{'campaign':23} {'tried':>7} {'fell':>5} {'seconds':>8}")
    with ThreadPoolExecutor(options.processes) as pool:
        fallen = sum(pool.map(lambda task: run(*task, options), todo))
    print(f"{'in all':23} {'':7} {fallen:5} {time.monotonic() - began:8.1f}")
    return 1 if fallen else 0


def run(name, tile, options):
    """Run campaign `name` in a process of its own, print its row and what fell, and return how many did."""
    start, context = time.monotonic(), multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(name, tile, options, there))
    process.start()
    there.close()
    tried, fallen, case = 0, [], None
    while True:
        try:
            case, text = here.recv()
        except EOFError:
            break
        tried += text is None
        if text:
            fallen.append((case, text))
    process.join()
    if process.exitcode:
        fallen.append((case, f"the process ended with {process.exitcode} (below 0: by that signal)"))
    lines = [f"{f'{name} {tile or str()}':23} {tried:7} {len(fallen):5} {time.monotonic() - start:8.1f}"]
    for case, text in fallen[:5]:
        again = f"{name} --seed {options.seed} --case {case}" + (f" --tile {tile}" if tile else "")
        lines.append(f"    {text[:300]}\n    repeat: python tests/campaigns/run.py {again}")
    print("\n".join(lines), flush=True)
    return len(fallen)


def work(name, tile, options, out):
    """Send ``(case, None)`` before each case, and ``(case, what was wrong)`` after one that fell."""
    if tile:  # before tinycnn is imported
        os.environ["TINYCNN_SIMD"] = tile
    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]
    warnings.simplefilter("ignore")
    campaign = importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        subject, start = campaign.prepare(Path(folder)), time.monotonic()
        only, seconds = options.case, options.seconds
        count = options.times * campaign.COUNT if seconds is None else sys.maxsize
        turns = (TILES.index(tile), count, len(TILES)) if tile and not options.tile else (count,)
        for case in [only] if only is not None else range(*turns):
            if seconds is not None and time.monotonic() - start > seconds:
                break
            out.send((case, None))
            try:
                with at_most(SECONDS):
                    campaign.attack(subject, np.random.default_rng([options.seed, case]))
            except Exception as error:
                if only is not None:
                    traceback.print_exc()
                out.send((case, f"{type(error).__name__}: {error}"))


class at_most:
    """A block that raises `AssertionError` if it takes longer than `seconds`."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self.late)
        signal.alarm(self.seconds)

    def __exit__(self, *_):
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self.before)

    def late(self, *_):
        raise AssertionError(f"it took longer than {self.seconds} s")


if __name__ == "__main__":
    sys.exit(main())
