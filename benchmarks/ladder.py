"""One convolution and its two gradients, rung by rung: from seven Python loops to Winograd in registers.

Every rung computes the same 3x3 convolution (stride 1, same padding, float32) of a batch and, from the gradient of the
output, those of kernel and input, on layers of the report's network and of one for 32x32 images:

  Python loops      `tinycnn.reference_loops`: the definition, one multiplication at a time
  NumPy windows     `tinycnn.reference.conv2d_forward`: one small product per output pixel
  NumPy im2col      `tinycnn.reference.im2col`: all windows in one matrix, one product
  NumPy views       the kernels "reference": nine shifted views of the batch, one product each
  numba loops       the Python loops again, compiled; one thread
  numba im2col      the kernels "im2col": bands of columns in cache, one tile in registers, all threads
  register tile     the kernels "fast" without Winograd: the tile reads the image in place, no columns at all
  Winograd 2x2      16 multiplications where 36 were, for tiles of 2x2 outputs;  4x4: 36 for 144
  PyTorch           as installed, in its own layout (NCHW)

Columns, first for the forward pass, then for both gradients together:

  ms         least of --rounds calls; with ~ measured on a part of the batch and multiplied by the work left out
  GFLOP/s    multiplications and additions of a *direct* convolution per second
  extra MB   most memory in use at a time besides operands and results, of the two passes ("-": unknown)
  mult       multiplications per output of the forward pass
  error      largest difference to the same in float64, relative to the largest number, of all three results

On a machine with other work to do, OPENBLAS_NUM_THREADS=1 keeps NumPy's threads from waiting for one another.

  python benchmarks/ladder.py
  python benchmarks/ladder.py --layers report2 small1 --out ladder.png
  python benchmarks/ladder.py --quick
"""

import argparse
import importlib.util
import json
import math
import time
import tracemalloc
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numba
import numpy as np
from peers import load_warning, table
from roofline import best

import tinycnn
from tinycnn import reference, reference_loops
from tinycnn.kernels import conv, runtime
from tinycnn.kernels.sets import SETS

PADS = (1, 1), (1, 1)
GEOMETRY = conv.Geometry((3, 3), (1, 1), PADS, (1, 1), 1)
INTERPRETER = 4096  # bytes that Python itself takes and leaves during a call
PAUSE = 0.02  # seconds; a library's threads spin for a while after its last call and would disturb the next


class Layer(NamedTuple):
    """A 3x3 convolution of `images` square images."""

    title: str
    images: int
    side: int
    channels: int
    filters: int

    def multiplications(self):
        """Of the forward pass: kernel elements that meet padding are left out, which matters for small sides."""
        return self.images * (3 * self.side - 2) ** 2 * self.channels * self.filters

    def part(self, most):
        """This layer on one image of such a side that it takes about `most` multiplications."""
        pixel = 9 * self.channels * self.filters
        return self._replace(images=1, side=min(self.side, max(4, math.isqrt(int(most) // pixel))))


LAYERS = {
    "report1": Layer("report, 256x256x3 to 32", 16, 256, 3, 32),
    "report2": Layer("report, 128x128x32 to 64", 16, 128, 32, 64),
    "report3": Layer("report, 64x64x64 to 128", 16, 64, 64, 128),
    "small1": Layer("32x32x32 to 32", 32, 32, 32, 32),
    "small2": Layer("16x16x64 to 64", 32, 16, 64, 64),
}
QUICK = {"quick": Layer("8x8x32 to 32", 2, 8, 32, 32)}


def python_loops(x, kernel, grad, compiled=lambda function: function):
    """``{pass: call}`` of the seven loops; the calls return the arrays that they have filled."""
    names = ("forward", "kernel_gradient", "input_gradient")
    forward, kernel_gradient, input_gradient = (compiled(getattr(reference_loops, name)) for name in names)
    y, grad_x, grad_kernel = np.empty_like(grad), np.empty_like(x), np.empty_like(kernel)

    def gradients():
        input_gradient(grad, kernel, (1, 1), (1, 1), grad_x)
        kernel_gradient(x, grad, (1, 1), (1, 1), grad_kernel)
        return grad_x, grad_kernel

    def output():
        forward(x, kernel, (1, 1), (1, 1), y)
        return (y,)

    return {"forward": output, "gradients": gradients}


compiled_once = cache(numba.njit)


def numba_loops(x, kernel, grad):
    return python_loops(x, kernel, grad, compiled=compiled_once)


def numpy_windows(x, kernel, grad):
    return {
        "forward": lambda: (reference.conv2d_forward(x, kernel, None, (1, 1), PADS),),
        "gradients": lambda: reference.conv2d_backward(x, kernel, grad, (1, 1), PADS)[:2],
    }


def numpy_im2col(x, kernel, grad):
    matrix, rows = kernel.reshape(-1, kernel.shape[3]), grad.reshape(-1, kernel.shape[3])

    def gradients():
        grad_kernel = reference.im2col(x, (3, 3), (1, 1), PADS).T @ rows
        return reference.col2im(rows @ matrix.T, x.shape, (3, 3), (1, 1), PADS), grad_kernel.reshape(kernel.shape)

    return {"forward": lambda: (reference.conv2d_im2col(x, kernel, None, (1, 1), PADS),), "gradients": gradients}


def kernel_set(x, kernel, grad, name, tile=0):
    """One of the engine's own three sets; `tile` is Winograd's, in the set "fast"."""
    kernels = SETS[name]()
    y, grad_x, grad_kernel = np.empty_like(grad), np.empty_like(x), np.empty_like(kernel)

    def forward():
        tinycnn.set_winograd(tile)
        kernels.conv_forward(x, kernel, None, GEOMETRY, y)
        return (y,)

    def gradients():
        tinycnn.set_winograd(tile)
        kernels.conv_backward(x, kernel, grad, GEOMETRY, grad_x, grad_kernel)
        return grad_x, grad_kernel

    return {"forward": forward, "gradients": gradients}


def pytorch(x, kernel, grad):
    """PyTorch, its tensors in the order that it likes; the arrays returned are views of its results."""
    import torch

    x, grad = (torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for a in (x, grad))
    kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())

    def gradients():
        grad_x, grad_kernel, _ = torch.ops.aten.convolution_backward(
            grad, x, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
        )
        return grad_x.permute(0, 2, 3, 1).numpy(), grad_kernel.permute(2, 3, 1, 0).numpy()

    return {
        "forward": lambda: (torch.conv2d(x, kernel, padding=1).permute(0, 2, 3, 1).numpy(),),
        "gradients": gradients,
    }


class Rung(NamedTuple):
    """A way to compute it."""

    name: str
    calls: Callable  # (x, kernel, grad) -> {pass: call}
    most: float = math.inf  # multiplications that it gets to do; of a larger layer it does a part
    tile: int = 0  # of Winograd


RUNGS = [
    Rung("Python loops", python_loops, 5e4),
    Rung("NumPy windows", numpy_windows, 1e7),
    Rung("NumPy im2col", numpy_im2col, 1e7),
    Rung("NumPy views", partial(kernel_set, name="reference"), 1e9),
    Rung("numba loops", numba_loops, 1e8),
    Rung("numba im2col", partial(kernel_set, name="im2col")),
    Rung("register tile", partial(kernel_set, name="fast")),
    Rung("Winograd 2x2", partial(kernel_set, name="fast", tile=2), tile=2),
    Rung("Winograd 4x4", partial(kernel_set, name="fast", tile=4), tile=4),
    Rung("PyTorch", pytorch),
]
SAVED = {0: 1.0, 2: 16 / 36, 4: 36 / 144}  # share of the multiplications that Winograd's tile leaves to do


def arrays_of(layer):
    """Image, kernel and output gradient, as training sees them: numbers around 0 of variance about 1."""
    rng = np.random.default_rng(0)
    shapes = (
        (layer.images, layer.side, layer.side, layer.channels),
        (3, 3, layer.channels, layer.filters),
        (layer.images, layer.side, layer.side, layer.filters),
    )
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def extra_bytes(call):
    """Most memory in use during `call` besides what is there before and after: NumPy's, and the engine's scratch."""
    scratch, sizes = runtime.scratch, [0]

    def noted(dtype, *counts):
        sizes.append(sum(counts) * np.dtype(dtype).itemsize)
        return scratch(dtype, *counts)

    runtime.scratch = noted
    tracemalloc.start()
    try:
        results = call()  # kept: they do not count
        kept, peak = tracemalloc.get_traced_memory()
        del results
        return max(sizes) + peak - kept
    finally:
        tracemalloc.stop()
        runtime.scratch = scratch


def suits(rung, layer):
    """Whether Winograd's tile, if this rung has one, can compute this layer."""
    tinycnn.set_winograd(rung.tile)
    shape = (3, 3, layer.channels, layer.filters)
    return conv.winograd_tile(shape, GEOMETRY, (layer.side, layer.side)) == rung.tile


def measure(rung, layer, rounds):
    """One row: ``{rung, forward_ms, gradients_ms, extra_mb, multiplications, error}``."""
    part = layer.part(rung.most) if layer.multiplications() > rung.most else layer
    rest = layer.multiplications() / part.multiplications()
    arrays = arrays_of(part)
    calls = rung.calls(*arrays)
    exactly = kernel_set(*(a.astype(np.float64) for a in arrays), name="fast")
    row = {"rung": rung.name, "scaled": rest > 1, "error": 0.0, "extra_mb": None if rung.calls is pytorch else 0.0}
    row["multiplications"] = 9 * layer.channels * SAVED[rung.tile]
    for name, call in calls.items():
        for ours, exact in zip(call(), exactly[name](), strict=True):
            row["error"] = max(row["error"], float(np.abs(ours - exact).max() / np.abs(exact).max()))
        time.sleep(PAUSE)
        once = best(call, 1)
        row[f"{name}_ms"] = 1e3 * rest * (min(once, best(call, rounds)) if once < 0.2 else once)
        if row["extra_mb"] is not None:
            row["extra_mb"] = max(row["extra_mb"], 1e-6 * rest * max(0, extra_bytes(call) - INTERPRETER))
    return row


def gflops(row, layer, name):
    """As if direct: both gradients together take twice what the forward pass does."""
    return 2e-6 * (1 + (name == "gradients")) * layer.multiplications() / row[f"{name}_ms"]


def report(layer, rows):
    """The table that people read."""
    print(f"\n{layer.title}, batch {layer.images}\n")
    cells = []
    for row in rows:
        near = "~" if row["scaled"] else ""
        line = [row["rung"]]
        for name in ("forward", "gradients"):
            line += [f"{near}{row[f'{name}_ms']:.2f}", f"{gflops(row, layer, name):.3g}"]
        extra = "-" if row["extra_mb"] is None else f"{near}{row['extra_mb']:.1f}"
        cells.append((*line, extra, f"{row['multiplications']:.0f}", f"{row['error']:.0e}"))
    print(table(cells, ("", "forward ms", "GFLOP/s", "gradients ms", "GFLOP/s", "extra MB", "mult", "error")))


def plot(found, machine, path):
    """The ladder as PNG: speed, memory and rounding of every rung, the first at the bottom, a colour per layer."""
    from matplotlib.figure import Figure

    names = [rung.name for rung in RUNGS if any(row["rung"] == rung.name for rows in found.values() for row in rows)]
    figure = Figure(figsize=(13, 0.45 * len(names) + 2.5), layout="constrained")
    speed, memory, error = figure.subplots(1, 3, sharey=True, width_ratios=(3, 1.5, 1.5))
    for k, (layer, rows) in enumerate(found.items()):
        places = [names.index(row["rung"]) + 0.1 * (k - (len(found) - 1) / 2) for row in rows]
        for name, fill in (("forward", f"C{k}"), ("gradients", "white")):
            label = f"{layer.title}, x{layer.images}" if name == "forward" else None
            rates = [gflops(row, layer, name) for row in rows]
            speed.plot(rates, places, "o", color=f"C{k}", markerfacecolor=fill, label=label)
        extra = [math.nan if row["extra_mb"] is None else max(row["extra_mb"], 0.01) for row in rows]
        memory.plot(extra, places, "s", color=f"C{k}")
        error.plot([row["error"] for row in rows], places, "D", color=f"C{k}")
    for i, name in enumerate(names):
        rates = [gflops(row, layer, "forward") for layer, rows in found.items() for row in rows if row["rung"] == name]
        median = float(np.median(rates))
        speed.text(2e4, i, f"{median:.0f}" if median > 10 else f"{median:.1g}", ha="right", va="center")
    for axis, title in (
        (speed, "GFLOP/s, as if direct"),
        (memory, "extra MB, at least 0.01"),
        (error, "largest relative error"),
    ):
        axis.set_xscale("log")
        axis.set_xlabel(title)
        for i in range(0, len(names), 2):
            axis.axhspan(i - 0.5, i + 0.5, color="0.96", zorder=0)
        axis.tick_params("y", length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.grid(axis="x", color="0.9")
        axis.set_axisbelow(True)
    speed.set_yticks(range(len(names)), names)
    speed.set(ylim=(-0.5, len(names) - 0.5), xlim=(1e-3, 3e4))
    speed.set_xticks([1e-2, 1, 100], ["0.01", "1", "100"])
    memory.set_xticks([0.01, 1, 100], ["0.01", "1", "100"])
    error.set_xlim(1e-7, 1e-4)
    speed.set_title("Speed: forward full, both gradients hollow, median forward in figures", loc="left", fontsize=11)
    memory.set_title("Memory besides operands", loc="left", fontsize=11)
    error.set_title("Rounding, against float64", loc="left", fontsize=11)
    figure.suptitle(f"The same convolution on every rung: {machine}", x=0.01, ha="left")
    figure.legend(loc="outside lower center", ncols=min(3, len(found)), fontsize=9)
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--layers", nargs="+", choices=LAYERS, default=list(LAYERS), help="which of them (default: all)")
    add("--rounds", type=int, default=5, help="calls of which the fastest counts (default 5)")
    add("--quick", action="store_true", help="one tiny layer, one round: does everything still run?")
    add("--out", metavar="PNG", help="write a picture of the result to this file")
    add("--json", action="store_true", help="print one JSON object and nothing else on standard output")
    options = parser.parse_args()
    layers = QUICK if options.quick else {name: LAYERS[name] for name in options.layers}
    rungs = [rung for rung in RUNGS if rung.calls is not pytorch or importlib.util.find_spec("torch")]
    load = load_warning()
    found = {}
    for layer in layers.values():
        rounds = 1 if options.quick else options.rounds
        found[layer] = [measure(rung, layer, rounds) for rung in rungs if suits(rung, layer)]
        if not options.json:
            report(layer, found[layer])
    if options.out:
        plot(found, f"{load['processor']}, {load['cores']} cores", options.out)
    if options.json:
        print(json.dumps(load | {layer.title: rows for layer, rows in found.items()}))


if __name__ == "__main__":
    main()
