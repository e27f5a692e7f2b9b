"""One training step of the report's network in tinycnn, PyTorch and Keras, side by side.

Sixteen images of 256x256x3, three convolutions, dropout, three dense layers, cross-entropy, Adam, float32, all cores.
Each library runs in a process of its own; they take turns, and idle ones are stopped.  Printed are medians, and the
ratio tinycnn / peer of those medians: below 1, tinycnn is faster.  Seconds depend on the machine and its hour; ratios
taken in one run much less so.

  ready         importing the library and building the network
  first step    of a new process, with all compilation and allocation; for tinycnn twice, first with an empty cache
                of compiled kernels, then as every later process finds it
  spread        half the distance between the quartiles, in percent of the median
  peak memory   largest resident size of that process, the library itself included

  python benchmarks/train_step.py
  python benchmarks/train_step.py --rounds 20 --json > train_step.json
  python benchmarks/train_step.py --peers torch,keras --batch 4 --side 128
"""

import argparse
import json
import tempfile

from peers import (
    PEERS,
    PEERS_HELP,
    Peer,
    alternate,
    for_each,
    load_warning,
    parse_labels,
    ratios,
    say,
    start,
    summary,
    table,
)

DEFAULT = "torch,torch_tuned_nchw,torch_tuned_nhwc,torch_tuned_compiled_nhwc,keras_plain,keras_keep_memory"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=int, default=12, help="turns of every peer (default 12)")
    add("--warm-up", type=int, default=3, help="uncounted steps of each before (default 3)")
    add("--peers", type=parse_labels, default=parse_labels(DEFAULT), help=f"{PEERS_HELP} Default: {DEFAULT}")
    add("--batch", type=int, default=16, help="images per step (default 16)")
    add("--side", type=int, default=256, help="image side in pixels, a multiple of 8 (default 256)")
    add("--no-cold", action="store_true", help="leave out the first step with an empty cache, some 20 s")
    add("--json", action="store_true", help="print one JSON object and nothing else on standard output")
    return parser.parse_args()


def cold_start(cache, network):
    """Import, build and first step of tinycnn with nothing compiled; fills `cache` for the processes that follow."""
    with Peer("tinycnn", {"NUMBA_CACHE_DIR": cache}) as peer:
        peer.setup("train", **network)
        return {"import_s": peer.info["import_s"], "first_step_s": peer.run(1)["seconds"][0]}


def measure(options):
    """Everything that is printed, as one dict."""
    result = load_warning()
    network = {"batch": options.batch, "side": options.side}
    left_out = {}
    with tempfile.TemporaryDirectory() as cache:
        environments = {}
        if not options.no_cold:
            say("tinycnn compiles into an empty cache ...")
            result["tinycnn_cold"] = cold_start(cache, network)
            environments["tinycnn"] = {"NUMBA_CACHE_DIR": cache}
        peers, missing = start(options.peers, environments)
        left_out |= missing
        try:
            for_each(peers, left_out, lambda peer: peer.setup("train", **network))
            first = for_each(peers, left_out, lambda peer: peer.run(1)["seconds"][0])
            for_each(peers, left_out, lambda peer: peer.run(max(1, options.warm_up)))
            times = alternate(peers, left_out, options.rounds)
            memory = for_each(peers, left_out, lambda peer: peer.ask("memory"))
            info = {peer.label: peer.info for peer in peers}
        finally:
            for peer in peers:
                peer.close()
    result["peers"] = {
        label: summary(times[label]["seconds"])
        | {"cpu_median_s": summary(times[label]["cpu"])["median_s"], "loss": times[label]["value"]}
        | {"first_step_s": first[label]}
        | memory[label]
        | info[label]
        for label in info
    }
    medians = {label: peer["median_s"] for label, peer in result["peers"].items()}
    return ratios(medians) | result | network | {"left_out": left_out, "rounds": options.rounds}


def report(result):
    """The table that people read."""
    ours, fastest = result["tinycnn_s"], result["fastest_of_kind"]
    rows = []
    for label, peer in result["peers"].items():
        step, (low, high) = peer["median_s"], peer["quartiles_s"]
        star = " *" if fastest[PEERS[label][0]] == label else ""
        cells = [f"{step:.3f}", f"{50 * (high - low) / step:.0f}%", f"{ours / step:.2f}" if ours else "-"]
        cells += [f"{peer['cpu_median_s']:.2f}", f"{peer['import_s'] + peer['build_s']:.1f}"]
        cells += [f"{peer['first_step_s']:.2f}", f"{peer['peak_mb']:.0f}", f"{peer['imported_mb']:.0f}"]
        cells += [f"{peer['loss']:.3f}"]
        rows.append((label + star, *cells))
    print(f"batch {result['batch']}, {result['side']}x{result['side']}x3, {result['rounds']} rounds\n")
    header = ["step s", "spread", "tinycnn/it", "cpu s", "ready s", "first step s", "peak MB", "import MB", "loss"]
    print(table(rows, ["", *header]))
    print("* the fastest of its kind, which counts below\n")
    for kind in ("torch", "torch_tuned", "keras"):
        if result[f"ratio_{kind}"]:
            print(f"tinycnn takes {result[f'ratio_{kind}']:.2f} of the time of {kind} ({fastest[kind]})")
    if "tinycnn_cold" in result and "tinycnn" in result["peers"]:
        cold, warm = result["tinycnn_cold"]["first_step_s"], result["peers"]["tinycnn"]["first_step_s"]
        print(f"tinycnn's very first step: {cold:.1f} s, {cold - ours:.1f} s of it compilation; ", end="")
        print(f"first step of a later process: {warm:.2f} s")
    for label, why in result["left_out"].items():
        print(f"LEFT OUT: {label}: {why}")


def main():
    options = arguments()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
    else:
        report(result)


if __name__ == "__main__":
    main()
