"""Predicting 16 images and one image with the report's network, libraries side by side.

256x256x3, float32, all cores; from the images to probabilities.  Each library runs in a process of its own; they take
turns, and idle ones are stopped.  PyTorch runs in inference mode: as installed, and with an allocator that keeps its
memory in both memory formats, eager and compiled (weights frozen); the fastest of these counts as torch_tuned.  ONNX
Runtime and OpenVINO run what PyTorch exports.  A ratio tinycnn / peer of medians below 1 says that tinycnn is faster.

Compiling PyTorch's versions takes a minute or two and needs a C++ compiler; without one they are left out, and said so.

  python benchmarks/inference.py
  python benchmarks/inference.py --rounds 30 --batch 1 --json
  python benchmarks/inference.py --peers torch,torch_tuned_nhwc,keras
"""

from architectures import report as report_network
from command_line import argument_parser, finish, parse
from peers import PEERS, PEERS_HELP, load_warning, measure, parse_labels, say_ratios, table

DEFAULT = (
    "torch,torch_tuned_nchw,torch_tuned_nhwc,torch_tuned_compiled_nchw,torch_tuned_compiled_nhwc,keras,keras_plain,"
    "onnxruntime,openvino"
)


def arguments():
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=12, help="turns of every peer (default 12)")
    add("--steps", type=int, default=3, help="counted predictions per turn (default 3)")
    add("--peers", type=parse_labels, default=parse_labels(DEFAULT), help=f"{PEERS_HELP} Default: {DEFAULT}")
    add("--batch", type=int, nargs="+", default=[16, 1], help="images at a time (default 16 1)")
    add("--side", type=int, default=256, help="image side in pixels, a multiple of 8 (default 256)")
    return parse(parser, rounds=1, steps=1, peers=["tinycnn", "torch"], batch=[2, 1], side=32)


def measure_all(options):
    """``{"batch_16": ..., "batch_1": ...}``."""
    result = load_warning() | {"side": options.side, "rounds": options.rounds, "batches": options.batch}
    for batch in options.batch:
        network = report_network(batch, options.side)
        result[f"batch_{batch}"] = measure(options.peers, network, "predict", lambda _: (options.rounds, options.steps))
    return result


def report(result):
    print(f"{result['side']}x{result['side']}x3, {result['rounds']} rounds")
    for batch in result["batches"]:
        report_batch(batch, result[f"batch_{batch}"])


def report_batch(batch, result):
    ours, fastest = result["tinycnn_s"], result["fastest_of_kind"]
    rows = []
    for label, peer in result["peers"].items():
        median, (low, high) = peer["median_s"], peer["quartiles_s"]
        star = " *" if fastest[PEERS[label].kind] == label else ""
        cells = [f"{1e3 * median:.1f}", f"{50 * (high - low) / median:.0f}%", f"{ours / median:.2f}" if ours else "-"]
        cells += [f"{batch / median:.0f}", f"{peer['first_step_s']:.2f}", f"{peer['peak_mb']:.0f}"]
        rows.append((label + star, *cells))
    print(f"\nbatch {batch}\n")
    print(table(rows, ["", "ms", "spread", "tinycnn/it", "images/s", "first s", "peak MB"]))
    say_ratios(result)


def main():
    options = arguments()
    finish(options, measure_all(options), report)


if __name__ == "__main__":
    main()
