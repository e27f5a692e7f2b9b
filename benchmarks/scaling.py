"""How the time of a training step grows with batch, image side, channels and threads, next to PyTorch.

One thing is varied at a time, from small networks of the report's kind (3x3 convolutions with 2x2 max-pools, then dense
layers).  Each library runs in a process of its own and they take turns at every point, so compare the curves at one
point rather than one curve along its length.  Printed beside each time is the exponent between it and the point
before: 1 means that the time is proportional, 2 that it is quadratic.

  batch      1 to 64 images of 128x128     proportional: 1
  side       64 to 512 pixels, 4 images    area: 2
  channels   8 to 256 in both convolutions of 64x64 images   between 1 (memory) and 2 (multiplications)
  threads    1, 2, ... all                 -1 where work divides perfectly

A run takes about --seconds for each of the 25 points, and never more than --rounds steps.

  python benchmarks/scaling.py --out scaling.png
  python benchmarks/scaling.py --only batch threads --seconds 2 --task predict
  python benchmarks/scaling.py --peers torch,torch_tuned_nchw,torch_tuned_nhwc --json > scaling.json
"""

import math
import os

from architectures import report as report_network
from command_line import argument_parser, finish, parse
from peers import (
    PEERS_HELP,
    alternate,
    for_each,
    load_warning,
    parse_labels,
    say,
    say_left_out,
    started,
    summary,
    table,
)

DEFAULT = "torch,torch_tuned_nhwc"
CORES = os.cpu_count()
SWEEPS = {
    "batch": ([1, 2, 4, 8, 16, 32, 64], {"side": 128}, lambda n: {"batch": n}),
    "side": ([64, 96, 128, 192, 256, 384, 512], {"batch": 4}, lambda n: {"side": n}),
    "channels": ([8, 16, 32, 64, 128, 256], {"batch": 8, "side": 64}, lambda n: {"filters": [n, n]}),
    "threads": (sorted({1, 2, CORES // 2 or 1, CORES}), {"batch": 8, "side": 128}, lambda n: {"threads": n}),
}
IDEAL = {"batch": 1, "side": 2, "channels": 2, "threads": -1}


def arguments():
    parser = argument_parser(__doc__, picture=True)
    add = parser.add_argument
    add("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS), help="what to vary (default: all four)")
    add("--task", choices=("train", "predict"), default="train", help="a training step (default) or a prediction")
    add("--seconds", type=float, default=4, help="about so long per point, all libraries together (default 4)")
    add("--rounds", type=int, default=9, help="at most so many steps per point and library (default 9)")
    add("--peers", type=parse_labels, default=parse_labels(DEFAULT), help=f"{PEERS_HELP} Default: {DEFAULT}")
    return parse(parser, only=["channels"], seconds=0.1, rounds=2, peers=["tinycnn"])


def measure_point(peers, left_out, point, options):
    """``{label: summary}`` of one point; the number of rounds follows from how long the warm-up took."""
    threads, network = point.pop("threads", None), report_network(**point)
    for_each(peers, left_out, lambda peer: peer.setup(network, options.task, threads))
    for_each(peers, left_out, lambda peer: peer.run(1))
    warm = for_each(peers, left_out, lambda peer: peer.run(1)["seconds"][0])
    rounds = max(2, min(options.rounds, int(options.seconds / max(2 * sum(warm.values()), 1e-6))))
    times = alternate(peers, left_out, rounds, quiet=True)
    return {label: summary(result["seconds"]) for label, result in times.items()}


def measure(options):
    """``{sweep: {"values": [...], "points": [{label: summary}, ...], "fixed": {...}}}``."""
    result = load_warning() | {"task": options.task, "sweeps": {}}
    for name in options.only:
        values, fixed, vary = SWEEPS[name]
        say(f"{name}: {values}")
        with started(options.peers) as (peers, left_out):
            sweep = {"values": values, "points": [], "fixed": fixed, "left_out": left_out}
            for value in values:
                point = measure_point(peers, left_out, fixed | vary(value), options)
                sweep["points"].append(point)
                times = (f"{label} {1e3 * found['median_s']:.1f} ms" for label, found in point.items())
                say(f"  {name} {value}: " + ", ".join(times))
        result["sweeps"][name] = sweep
    return result


def curve(sweep, label):
    """``(values, medians)`` of one library, leaving out points where it failed."""
    pairs = [
        (value, point[label]["median_s"])
        for value, point in zip(sweep["values"], sweep["points"], strict=True)
        if label in point
    ]
    return [value for value, _ in pairs], [median for _, median in pairs]


def labels_of(sweep):
    return list(dict.fromkeys(label for point in sweep["points"] for label in point))


def report(result):
    for name, sweep in result["sweeps"].items():
        fixed = ", ".join(f"{key} {value}" for key, value in sweep["fixed"].items())
        print(f"\n{name} ({result['task']}, {fixed}); in brackets the exponent since the point before\n")
        labels = labels_of(sweep)
        curves = {label: dict(zip(*curve(sweep, label), strict=True)) for label in labels}
        rows, before = [], None
        for value in sweep["values"]:
            cells = [str(value)]
            for label in labels:
                median = curves[label].get(value)
                text = "-" if median is None else f"{1e3 * median:.1f} ms"
                if median and before and curves[label].get(before):
                    exponent = math.log(median / curves[label][before]) / math.log(value / before)
                    text += f" ({exponent:4.1f})"
                cells.append(text)
            theirs = [curves[label][value] for label in labels if label != "tinycnn" and value in curves[label]]
            ours = curves.get("tinycnn", {}).get(value)
            cells.append(f"{ours / min(theirs):.2f}" if ours and theirs else "-")
            rows.append(cells)
            before = value
        print(table(rows, [name, *labels, "tinycnn / fastest peer"]))
        say_left_out(sweep["left_out"])


def plot(result, path):
    """One log-log panel per sweep, with the ideal slope through tinycnn's last point, as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    sweeps = result["sweeps"]
    figure = Figure(figsize=(4.2 * len(sweeps), 4.2), layout="constrained")
    for axes, (name, sweep) in zip(figure.subplots(1, len(sweeps), squeeze=False)[0], sweeps.items(), strict=True):
        for label, marker in zip(labels_of(sweep), "osv^Dx*P", strict=False):
            values, medians = curve(sweep, label)
            axes.loglog(values, [1e3 * median for median in medians], marker=marker, label=label)
        values, medians = curve(sweep, "tinycnn")
        if values:
            anchor, at = medians[-1 if IDEAL[name] > 0 else 0], values[-1 if IDEAL[name] > 0 else 0]
            ideal = [1e3 * anchor * (value / at) ** IDEAL[name] for value in values]
            axes.loglog(values, ideal, "k:", lw=1, label="ideal slope")
        axes.set_xticks(sweep["values"])
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params("x", labelrotation=45)
        fixed = ", ".join(f"{key} {value}" for key, value in sweep["fixed"].items())
        axes.set(xlabel=name, ylabel=f"milliseconds ({result['task']})", title=fixed)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=130)


def main():
    options = arguments()
    finish(options, measure(options), report, plot)


if __name__ == "__main__":
    main()
