"""Ten everyday networks in training and in prediction: tinycnn, PyTorch and Keras, side by side.

The networks are those of `architectures`: the report's, and what tutorials and small projects are made of.  Each
library runs in a process of its own; they take turns, and idle ones are stopped.  PyTorch is tuned: its allocator keeps
its memory, Adam is fused, and of both memory formats, eager and compiled, the fastest counts, as it does of Keras with
XLA and without.  In prediction ONNX Runtime and OpenVINO run what PyTorch exports.

A ratio is tinycnn's median time divided by a peer's: below 1, tinycnn is faster.  "best" is the fastest of PyTorch and
Keras; below the table stand the geometric mean of the ratios and the worst.

  python benchmarks/networks.py --out networks.png
  python benchmarks/networks.py --networks lenet5,mobilenet --task train --rounds 20
  python benchmarks/networks.py --task predict --batch 1
  python benchmarks/networks.py --quick
"""

import argparse
import statistics

from architectures import NETWORKS
from command_line import argument_parser, finish, parse
from peers import PEERS_HELP, load_warning, measure, parse_labels, say, say_left_out, table

TUNED = "torch_tuned_nchw,torch_tuned_nhwc,torch_tuned_compiled_nchw,torch_tuned_compiled_nhwc,keras,keras_plain"
RUNTIMES = ["onnxruntime", "openvino"]
KINDS = ["torch_tuned", "keras"]  # of which the fastest is "best"
TASKS = {"train": "training step", "predict": "prediction"}
TURN_S = 0.1  # about so long each library computes before the next has its turn


def parse_networks(text):
    """`text` split at commas, checked against `NETWORKS`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in NETWORKS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"unknown network {', '.join(unknown)}; known are {', '.join(NETWORKS)}")
    return names


def arguments():
    parser = argument_parser(__doc__, picture=True)
    add = parser.add_argument
    add("--networks", type=parse_networks, default=list(NETWORKS), help=f"of {','.join(NETWORKS)} (default: all)")
    add("--task", choices=(*TASKS, "both"), default="both", help="default: both")
    add("--rounds", type=int, default=10, help="turns of every peer (default 10)")
    add("--batch", type=int, help="images at a time (default: each network's own, 4 to 32)")
    default = parse_labels(TUNED) + RUNTIMES
    add("--peers", type=parse_labels, default=default, help=f"{PEERS_HELP} Default: {','.join(default[1:])}")
    return parse(parser, rounds=1, batch=2, peers=["tinycnn", "torch_tuned_nhwc", "keras_plain"])


def measure_network(network, task, options):
    labels = [label for label in options.peers if task == "predict" or label not in RUNTIMES]
    result = measure(labels, network, task, lambda seconds: (options.rounds, max(1, min(30, int(TURN_S / seconds)))))
    theirs = [result[f"{kind}_s"] for kind in KINDS if result[f"{kind}_s"]]
    return result | {"ratio_best": result["tinycnn_s"] / min(theirs) if theirs and result["tinycnn_s"] else None}


def mean_and_worst(found, key):
    """Geometric mean and ``(name, ratio)`` of the worst, of the networks that have this ratio; None if none has."""
    ratios = {name: result[key] for name, result in found.items() if result[key]}
    if not ratios:
        return None
    return statistics.geometric_mean(ratios.values()), max(ratios.items(), key=lambda item: item[1])


def measure_all(options):
    """``{task: {network: as of peers.measure, with "ratio_best"}}``, and geometric mean and worst of each task."""
    result = load_warning() | {"rounds": options.rounds, "tasks": {}, "summary": {}}
    for task in TASKS if options.task == "both" else [options.task]:
        found = result["tasks"][task] = {}
        for name in options.networks:
            say(f"{name}, {TASKS[task]}:")
            network = NETWORKS[name] | ({"batch": options.batch} if options.batch else {})
            found[name] = measure_network(network, task, options)
            found[name] |= {"batch": network["batch"], "shape": network["shape"]}
        keys = [f"ratio_{kind}" for kind in ("best", *KINDS, *RUNTIMES)]
        result["summary"][task] = {key: mean_and_worst(found, key) for key in keys}
    return result


def report(result):
    for task, found in result["tasks"].items():
        kinds = [kind for kind in (*KINDS, *RUNTIMES) if any(network[f"{kind}_s"] for network in found.values())]
        rows = []
        for name, network in found.items():
            times = [network[f"{kind}_s"] for kind in ("tinycnn", *kinds)]
            ratios = [network[f"ratio_{kind}"] for kind in (*kinds, "best")]
            cells = [f"{network['batch']} x {'x'.join(map(str, network['shape']))}"]
            cells += [f"{1e3 * seconds:.2f}" if seconds else "-" for seconds in times]
            rows.append((name, *cells, *(f"{ratio:.2f}" if ratio else "-" for ratio in ratios)))
        print(f"\n{TASKS[task]}, {result['rounds']} rounds: milliseconds, and tinycnn's time of theirs\n")
        header = ["", "images", "tinycnn", *kinds, *(f"of {kind}" for kind in (*kinds, "best"))]
        print(table(rows, header) + "\n")
        for kind in (*kinds, "best"):
            if found_both := result["summary"][task][f"ratio_{kind}"]:
                mean, (worst, ratio) = found_both
                print(f"of {kind}: geometric mean {mean:.2f}, worst {ratio:.2f} ({worst})")
        for name, network in found.items():
            say_left_out({f"{name}, {label}": why for label, why in network["left_out"].items()})


def plot(result, path):
    """Bars of the ratio to the fastest of PyTorch and Keras, a pair for each network, as PNG."""
    from matplotlib.figure import Figure

    names = list(next(iter(result["tasks"].values())))
    figure = Figure(figsize=(8, 1.6 + 0.6 * len(names)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(result["tasks"])
    for i, (task, found) in enumerate(result["tasks"].items()):
        ratios = [found[name]["ratio_best"] or 0 for name in names]
        places = [-n - i * height for n in range(len(names))]
        both = result["summary"][task]["ratio_best"]
        label = TASKS[task] + (f" (geometric mean {both[0]:.2f})" if both else "")
        bars = axes.barh(places, ratios, 0.92 * height, align="edge", label=label, color=["tab:blue", "0.7"][i])
        texts = [f"{ratio:.2f}" if ratio else "" for ratio in ratios]
        over_line = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.bar_label(bars, texts, padding=4, fontsize=13, bbox=over_line)
    axes.axvline(1, color="k", lw=1.2, ls="--", zorder=0.5)
    axes.set_xlim(0, 1.12 * max(1, axes.dataLim.x1))
    axes.set_yticks([-n + height - 0.4 for n in range(len(names))], names)
    axes.tick_params(labelsize=14, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(f"{result['processor']}, {result['cores']} cores", loc="left", fontsize=10, color="0.4")
    axes.set_title("Time of tinycnn / time of the fastest of PyTorch and Keras", loc="left", fontsize=14)
    axes.legend(fontsize=12, loc="best")
    figure.savefig(path, dpi=130)


def main():
    options = arguments()
    finish(options, measure_all(options), report, plot)


if __name__ == "__main__":
    main()
