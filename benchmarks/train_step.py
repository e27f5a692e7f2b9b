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

  python benchmarks/train_step.py --out speed.png
  python benchmarks/train_step.py --rounds 20 --json > train_step.json
  python benchmarks/train_step.py --peers torch,keras --batch 4 --side 128
"""

import tempfile

from architectures import report as report_network
from command_line import argument_parser, finish, parse
from peers import PEERS, PEERS_HELP, Peer, load_warning, measure, parse_labels, say, say_ratios, table

DEFAULT = "torch,torch_tuned_nchw,torch_tuned_nhwc,torch_tuned_compiled_nhwc,keras_plain,keras_keep_memory"


def arguments():
    parser = argument_parser(__doc__, picture=True)
    add = parser.add_argument
    add("--rounds", type=int, default=12, help="turns of every peer (default 12)")
    add("--warm-up", type=int, default=3, help="uncounted steps of each before (default 3)")
    add("--peers", type=parse_labels, default=parse_labels(DEFAULT), help=f"{PEERS_HELP} Default: {DEFAULT}")
    add("--batch", type=int, default=16, help="images per step (default 16)")
    add("--side", type=int, default=256, help="image side in pixels, a multiple of 8 (default 256)")
    add("--no-cold", action="store_true", help="leave out the first step with an empty cache, some 20 s")
    return parse(parser, rounds=1, warm_up=1, peers=["tinycnn", "torch"], batch=2, side=32, no_cold=True)


def cold_start(cache, network):
    """Import, build and first step of tinycnn with nothing compiled; fills `cache` for the processes that follow."""
    with Peer("tinycnn", {"NUMBA_CACHE_DIR": cache}) as peer:
        peer.setup(network, "train")
        return {"import_s": peer.info["import_s"], "first_step_s": peer.run(1)["seconds"][0]}


def measure_all(options):
    """Everything that is printed, as one dict."""
    result = load_warning() | {"batch": options.batch, "side": options.side, "rounds": options.rounds}
    network = report_network(options.batch, options.side)
    with tempfile.TemporaryDirectory() as cache:
        environments = {}
        if not options.no_cold:
            say("tinycnn compiles into an empty cache ...")
            result["tinycnn_cold"] = cold_start(cache, network)
            environments["tinycnn"] = {"NUMBA_CACHE_DIR": cache}
        warm_up = max(1, options.warm_up)
        return result | measure(options.peers, network, "train", lambda _: (options.rounds, 1), environments, warm_up)


def report(result):
    """The table that people read."""
    ours, fastest = result["tinycnn_s"], result["fastest_of_kind"]
    rows = []
    for label, peer in result["peers"].items():
        step, (low, high) = peer["median_s"], peer["quartiles_s"]
        star = " *" if fastest[PEERS[label].kind] == label else ""
        cells = [f"{step:.3f}", f"{50 * (high - low) / step:.0f}%", f"{ours / step:.2f}" if ours else "-"]
        cells += [f"{peer['cpu_median_s']:.2f}", f"{peer['import_s'] + peer['build_s']:.1f}"]
        cells += [f"{peer['first_step_s']:.2f}", f"{peer['peak_mb']:.0f}", f"{peer['imported_mb']:.0f}"]
        cells += [f"{peer['value']:.3f}"]
        rows.append((label + star, *cells))
    print(f"batch {result['batch']}, {result['side']}x{result['side']}x3, {result['rounds']} rounds\n")
    header = ["step s", "spread", "tinycnn/it", "cpu s", "ready s", "first step s", "peak MB", "import MB", "loss"]
    print(table(rows, ["", *header]))
    say_ratios(result)
    if "tinycnn_cold" in result and "tinycnn" in result["peers"]:
        cold, warm = result["tinycnn_cold"]["first_step_s"], result["peers"]["tinycnn"]["first_step_s"]
        print(f"tinycnn's very first step: {cold:.1f} s, {cold - ours:.1f} s of it compilation; ", end="")
        print(f"first step of a later process: {warm:.2f} s")


def plot(result, path):
    """A bar for each library, the fastest first, as PNG."""
    from matplotlib.figure import Figure

    bars = sorted(result["peers"].items(), key=lambda item: -item[1]["median_s"])
    seconds = [peer["median_s"] for _, peer in bars]
    figure = Figure(figsize=(9, 1.2 + 0.6 * len(bars)), layout="constrained")
    axes = figure.subplots()
    colors = ["tab:blue" if label == "tinycnn" else "0.72" for label, _ in bars]
    low, high = ([abs(s - peer["quartiles_s"][i]) for s, (_, peer) in zip(seconds, bars, strict=True)] for i in (0, 1))
    drawn = axes.barh([PEERS[label].title for label, _ in bars], seconds, color=colors, xerr=(low, high), ecolor="0.4")
    ours = result["tinycnn_s"]
    texts = []
    for (label, _), time in zip(bars, seconds, strict=True):
        text = f"{time:.2f} s" if max(seconds) >= 1 else f"{1e3 * time:.1f} ms"
        texts.append(text if label == "tinycnn" or not ours else f"{text}   ({time / ours:.1f} x)")
    axes.bar_label(drawn, texts, padding=6, fontsize=14)
    axes.set_xlim(0, 1.35 * max(seconds))
    axes.set_xticks([])
    axes.tick_params("y", labelsize=14, length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    side = result["side"]
    axes.set_title(f"One training step, {result['batch']} images of {side}x{side}x3", loc="left", fontsize=14)
    axes.set_xlabel(f"{result['processor']}, {result['cores']} cores", loc="left", fontsize=10, color="0.4")
    figure.savefig(path, dpi=130)


def main():
    options = arguments()
    finish(options, measure_all(options), report, plot)


if __name__ == "__main__":
    main()
