"""The first dense layer alone: how near to what memory and arithmetic allow, and next to numpy and PyTorch.

The report's first dense layer has 131072 x 128 weights, 67 MB.  With few images its three products and Adam's update
wait for these weights to stream through memory; with many they wait for multiplications.  Per batch and pass:

  ms       median of --rounds calls, the libraries in alternation: a pause in which the last one's threads go to sleep,
           then each pass twice, of which the second counts
  bound    the longer of bytes / bandwidth and work / GEMM rate, both measured at the start, and which of the two it is
  %        bound / time: 100 is all that this machine can do
  ratios   tinycnn's time divided by the other's

"both gradients" writes 67 MB and reads 67.  numpy and PyTorch get the two products one after the other, into arrays
that exist; PyTorch's weights are (out, in), as in nn.Linear, and its Adam is the fused one.

  python benchmarks/dense_layer.py
  python benchmarks/dense_layer.py --batches 1 16 64 --rounds 30
"""

import statistics
import time

import numpy as np
from command_line import argument_parser, finish, parse
from peers import load_warning, table
from roofline import machine

import tinycnn
from tinycnn.kernels.aligned import aligned_empty
from tinycnn.kernels.dense import dense_backward, dense_forward
from tinycnn.kernels.updates import adam_step

INPUTS, UNITS = 131072, 128
PAUSE = 0.02  # seconds; a library's threads spin for a while after its last call and would disturb the next


def ours(x, grad):
    """{pass: call} of tinycnn for inputs `x` and output gradients `grad`."""
    kernel, grad_kernel, m, v = (aligned_empty((INPUTS, UNITS), np.float32) for _ in range(4))
    kernel[:], grad_kernel[:], m[:], v[:] = 0.01, 0.01, 0, 0
    bias, y, grad_x = np.zeros(UNITS, np.float32), np.empty_like(grad), aligned_empty(x.shape, np.float32)
    return {
        "forward": lambda: dense_forward(x, kernel, bias, y),
        "kernel gradient": lambda: dense_backward(x, kernel, grad, None, grad_kernel),
        "both gradients": lambda: dense_backward(x, kernel, grad, grad_x, grad_kernel),
        "adam": lambda: adam_step([(kernel, grad_kernel, m, v)], [0.0], 1e-3, 0.9, 0.999, 1e-7),
    }


def numpys(x, grad):
    """The products in numpy; it has no Adam."""
    kernel, grad_kernel = np.full((2, INPUTS, UNITS), 0.01, np.float32)
    y, grad_x = np.empty_like(grad), np.empty_like(x)

    def both():
        np.matmul(x.T, grad, out=grad_kernel)
        np.matmul(grad, kernel.T, out=grad_x)

    return {
        "forward": lambda: np.matmul(x, kernel, out=y),
        "kernel gradient": lambda: np.matmul(x.T, grad, out=grad_kernel),
        "both gradients": both,
    }


def torchs(x, grad):
    """The same in PyTorch, if it is installed."""
    try:
        import torch
    except ImportError:
        return {}
    x, grad = torch.from_numpy(x), torch.from_numpy(grad)
    kernel, grad_kernel = torch.full((UNITS, INPUTS), 0.01), torch.full((UNITS, INPUTS), 0.01)
    bias, y, grad_x = torch.zeros(UNITS), torch.empty_like(grad), torch.empty_like(x)
    kernel.grad = grad_kernel
    optimizer = torch.optim.Adam([kernel], fused=True)

    def both():
        torch.mm(grad.t(), x, out=grad_kernel)
        torch.mm(grad, kernel, out=grad_x)

    return {
        "forward": lambda: torch.addmm(bias, x, kernel.t(), out=y),
        "kernel gradient": lambda: torch.mm(grad.t(), x, out=grad_kernel),
        "both gradients": both,
        "adam": optimizer.step,
    }


def medians(calls, rounds):
    """{(library, pass): median seconds} of ``{library: {pass: call}}``."""
    times = {}
    for _ in range(rounds):
        for library, passes in calls.items():
            time.sleep(PAUSE)
            for name, call in passes.items():
                call()
                began = time.perf_counter()
                call()
                times.setdefault((library, name), []).append(time.perf_counter() - began)
    return {key: statistics.median(seconds) for key, seconds in times.items()}


def bound(name, images, found):
    """(seconds, "memory" or "arithmetic") that pass `name` takes at the least."""
    weights, vectors = 4 * INPUTS * UNITS, 4 * INPUTS * images
    moved, products = {
        "forward": (weights + vectors, 1),
        "kernel gradient": (weights + vectors, 1),
        "both gradients": (2 * weights + 2 * vectors, 2),
        "adam": (7 * weights, 0),  # reads p, g, m, v; writes p, m, v
    }[name]
    memory = moved / (1e9 * max(found["copy_all"], found["update_all"]))
    arithmetic = 2 * products * images * INPUTS * UNITS / (1e9 * found["gemm_all"])
    return max((memory, "memory"), (arithmetic, "arithmetic"))


def measure(options):
    """The machine's numbers, and a row of times for each batch and pass."""
    threads = tinycnn.get_num_threads()
    result = load_warning() | {"threads": threads, "machine": machine(threads, options.tries), "rows": []}
    rng = np.random.default_rng(0)
    for images in options.batches:
        x, grad = aligned_empty((images, INPUTS), np.float32), rng.random((images, UNITS), np.float32)
        x[:] = rng.random(x.shape, np.float32)
        calls = {"tinycnn": ours(x, grad), "numpy": numpys(x, grad), "torch": torchs(x, grad)}
        times = medians(calls, options.rounds)
        for name in calls["tinycnn"]:
            least, why = bound(name, images, result["machine"])
            seconds = {library: times.get((library, name)) for library in calls}
            row = {"images": images, "pass": name, "seconds": seconds, "bound_s": least, "bound_by": why}
            result["rows"].append(row)
    return result


def report(result):
    found, rows = result["machine"], []
    print(f"GEMM tile {found['gemm_all']:.0f} GFLOP/s; copy {found['copy_all']:.1f} GB/s, ", end="")
    print(f"update in place {found['update_all']:.1f} GB/s; {result['threads']} threads\n")
    for row in result["rows"]:
        seconds, least = row["seconds"]["tinycnn"], row["bound_s"]
        cells = [str(row["images"]), row["pass"], f"{1e3 * seconds:.2f}", f"{1e3 * least:.2f}", row["bound_by"]]
        others = [row["seconds"][library] for library in ("numpy", "torch")]
        ratios = [f"{seconds / other:.2f}" if other else "-" for other in others]
        rows.append([*cells, f"{100 * least / seconds:.0f}", *ratios])
    print(table(rows, ("images", "pass", "ms", "bound", "by", "%", "of numpy's", "of torch's")))


def main():
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--batches", type=int, nargs="+", default=[1, 4, 16, 64], help="images (default 1 4 16 64)")
    add("--rounds", type=int, default=15, help="calls of which the median counts (default 15)")
    add("--tries", type=int, default=60, help="measurements of the machine, of which the best counts (default 60)")
    options = parse(parser, batches=[1], rounds=1, tries=2)
    finish(options, measure(options), report)


if __name__ == "__main__":
    main()
