"""Predicting 16 images and one image with the report's network: tinycnn, PyTorch and Keras, side by side.

256x256x3, float32, all cores; from the images to probabilities.  Each library runs in a process of its own; they take
turns, and idle ones are stopped.  PyTorch runs in inference mode: as installed, and with an allocator that keeps its
memory in both memory formats, eager and compiled (weights frozen); the fastest of these counts as torch_tuned.  A ratio
tinycnn / peer of medians below 1 says that tinycnn is faster.

Compiling PyTorch's versions takes a minute or two and needs a C++ compiler; without one they are left out, and said so.

  python benchmarks/inference.py
  python benchmarks/inference.py --rounds 30 --batch 1 --json
  python benchmarks/inference.py --peers torch,torch_tuned_nhwc,keras
"""

import argparse
import json

from peers import (
    PEERS,
    PEERS_HELP,
    alternate,
    for_each,
    load_warning,
    parse_labels,
    ratios,
    start,
    summary,
    table,
)

DEFAULT = (
    "torch,torch_tuned_nchw,torch_tuned_nhwc,torch_tuned_compiled_nchw,torch_tuned_compiled_nhwc,keras,keras_plain"
)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=int, default=12, help="turns of every peer (default 12)")
    add("--steps", type=int, default=3, help="counted predictions per turn (default 3)")
    add("--peers", type=parse_labels, default=parse_labels(DEFAULT), help=f"{PEERS_HELP} Default: {DEFAULT}")
    add("--batch", type=int, nargs="+", default=[16, 1], help="images at a time (default 16 1)")
    add("--side", type=int, default=256, help="image side in pixels, a multiple of 8 (default 256)")
    add("--json", action="store_true", help="print one JSON object and nothing else on standard output")
    return parser.parse_args()


def measure(labels, batch, options):
    """Medians, spread, memory and ratios for one batch size."""
    peers, left_out = start(labels)
    try:
        for_each(peers, left_out, lambda peer: peer.setup("predict", batch=batch, side=options.side))
        first = for_each(peers, left_out, lambda peer: peer.run(1)["seconds"][0])
        for_each(peers, left_out, lambda peer: peer.run(3))
        times = alternate(peers, left_out, options.rounds, options.steps)
        memory = for_each(peers, left_out, lambda peer: peer.ask("memory"))
        info = {peer.label: peer.info for peer in peers}
    finally:
        for peer in peers:
            peer.close()
    found = {
        label: summary(times[label]["seconds"]) | {"first_s": first[label]} | memory[label] | info[label]
        for label in info
    }
    medians = {label: peer["median_s"] for label, peer in found.items()}
    return ratios(medians) | {"peers": found, "left_out": left_out}


def report(batch, result):
    ours, fastest = result["tinycnn_s"], result["fastest_of_kind"]
    rows = []
    for label, peer in result["peers"].items():
        median, (low, high) = peer["median_s"], peer["quartiles_s"]
        star = " *" if fastest[PEERS[label][0]] == label else ""
        cells = [f"{1e3 * median:.1f}", f"{50 * (high - low) / median:.0f}%", f"{ours / median:.2f}" if ours else "-"]
        cells += [f"{batch / median:.0f}", f"{peer['first_s']:.2f}", f"{peer['peak_mb']:.0f}"]
        rows.append((label + star, *cells))
    print(f"\nbatch {batch}\n")
    print(table(rows, ["", "ms", "spread", "tinycnn/it", "images/s", "first s", "peak MB"]))
    print("* the fastest of its kind, which counts below\n")
    for kind in ("torch", "torch_tuned", "keras"):
        if result[f"ratio_{kind}"]:
            print(f"tinycnn takes {result[f'ratio_{kind}']:.2f} of the time of {kind} ({fastest[kind]})")
    for label, why in result["left_out"].items():
        print(f"LEFT OUT: {label}: {why.splitlines()[0]}")


def main():
    options = arguments()
    result = load_warning() | {"side": options.side, "rounds": options.rounds}
    for batch in options.batch:
        result[f"batch_{batch}"] = measure(options.peers, batch, options)
        if not options.json:
            report(batch, result[f"batch_{batch}"])
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
