"""Where a training step's time goes, pass by pass, and how far each is from what the machine can do.

First the machine: the rate of the GEMM tile with both operands in cache (one core, all cores), of numpy's matrix
product, of fused multiply-adds without any memory, and the bandwidth of a copy and of an in-place update.  Then steps
of the report's network, each pass timed where it stands in the step.

  GFLOP/s   multiplications and additions of a *direct* convolution or product per second
  GB/s      bytes that have to move at the least (each operand once) per second
  bound     the longer of work / GEMM rate and bytes / bandwidth; Winograd's 4x4 tiles need a quarter of the
            multiplications, so their bound counts a quarter of the work (its 2x2 tiles: 4/9)
  %         bound / time: 100 is all that this machine can do

Convolution and its 2x2 max-pool are one step here, as in training; "kernel" and "input" are the two gradients.
Where one kernel computes both, "input" is the time of both minus the time of the kernel gradient alone.

  python benchmarks/roofline.py
  python benchmarks/roofline.py --rounds 20 --out roofline.png
  python benchmarks/roofline.py --no-winograd --threads 1
"""

import statistics
import time

import numpy as np
from command_line import argument_parser, finish, parse
from peers import load_warning, table

import tinycnn
from tinycnn.kernels import conv, runtime
from tinycnn.kernels.aligned import aligned_empty
from tinycnn.kernels.compile import jit
from tinycnn.kernels.gemm import Left, Out, Right, gemm_tile, one_run
from tinycnn.kernels.simd import LANES, MR, NR, at, load, store
from tinycnn.kernels.tasks import tasks

DEPTH = 512  # of the tile's product: a panel of B in the first-level cache, as in the kernels
WHOLE = "whole step", ""
DONE = {0: 1.0, 2: 16 / 36, 4: 36 / 144}  # share of the multiplications that Winograd's tile leaves to do


@jit
def _tiles(worker, A, B, C, repeats, count, counter):
    C = C[worker]
    for _ in tasks(counter, count):
        for _ in range(repeats):
            for i in range(0, A.size // DEPTH, MR):
                left, out = Left(at(A, i * DEPTH), row=DEPTH, step=1), Out(at(C, i * NR), row=NR)
                gemm_tile(left, one_run(DEPTH), Right(at(B, 0), row=NR), out, MR, NR, False)


@jit
def _fused_multiply_adds(worker, a, out, repeats, count, counter):
    x, y = load(a, 0), load(a, LANES)
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = x, y, x, y, x, y, x, y, x, y  # ten chains hide a latency of five cycles
    for _ in tasks(counter, count):
        for _ in range(repeats):
            c0, c1, c2, c3, c4 = c0 * x + y, c1 * x + y, c2 * x + y, c3 * x + y, c4 * x + y
            c5, c6, c7, c8, c9 = c5 * x + y, c6 * x + y, c7 * x + y, c8 * x + y, c9 * x + y
    store(out, 0, c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9)


@jit
def _stream(worker, a, b, add, chunk, counter):
    """``b = a``, or with `add` ``b += a``."""
    for task in tasks(counter, -(-a.size // chunk)):
        for i in range(task * chunk, min((task + 1) * chunk, a.size), LANES):
            store(b, i, load(a, i) + load(b, i) if add else load(a, i))


def best(function, repeats):
    """The shortest of several times: noise only ever adds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def machine(threads, tries=60):
    """GFLOP/s and GB/s of this machine, the best of `tries`, in plain loops around the engine's own tile."""
    rows = MR * max(1, 96 // MR)
    A, B = aligned_empty(rows * DEPTH, np.float32), aligned_empty(DEPTH * NR, np.float32)
    A[:], B[:] = 0.5, 0.25

    def tiles(workers):
        C, count, repeats = np.zeros((workers, rows * NR), np.float32), 16 * workers, 64
        runtime.set_num_threads(workers)
        seconds = best(lambda: runtime.run(_tiles, A, B, C, repeats, count, runtime.task_counter()), tries)
        return 2e-9 * count * repeats * rows * DEPTH * NR / seconds

    def multiply_adds(workers):
        out, count, repeats = aligned_empty(LANES, np.float32), 16 * workers, 50_000
        runtime.set_num_threads(workers)
        counter = runtime.task_counter
        seconds = best(lambda: runtime.run(_fused_multiply_adds, A, out, repeats, count, counter()), tries)
        return 2e-9 * count * repeats * 10 * LANES / seconds

    size = 1 << 25  # 128 MB each: far beyond any cache
    a, b = aligned_empty(size, np.float32), aligned_empty(size, np.float32)
    a[:], b[:] = 1, 1

    def stream(add, workers):
        runtime.set_num_threads(workers)
        seconds = best(lambda: runtime.run(_stream, a, b, add, 1 << 16, runtime.task_counter()), tries)
        return 1e-9 * (2 + add) * a.nbytes / seconds

    square = np.ones((1536, 1536), np.float32)
    product = np.empty_like(square)
    np.matmul(square, square, out=product)
    found = {
        "fma_one_core": multiply_adds(1),
        "fma_all": multiply_adds(threads),
        "gemm_one_core": tiles(1),
        "gemm_all": tiles(threads),
        "numpy_gemm": 2e-9 * 1536**3 / best(lambda: np.matmul(square, square, out=product), tries),
        "copy_one_core": stream(False, 1),
        "copy_all": stream(False, threads),
        "update_all": stream(True, threads),
    }
    runtime.set_num_threads(threads)
    return found


def work_of(step, images):
    """``(flops of one product, bytes of weights, input and output, Winograd's tile or 0)`` of a step."""
    first, last = step.layers[0], step.layers[-1]
    x, y = (4 * images * int(np.prod(shape)) for shape in (first.input_shape, last.output_shape))
    kernel = first.params.get("kernel")
    if kernel is None:
        return 0, 0, x, y, 0
    if first is not last:
        y += y // 4  # one byte per pooled value: which of the four it was
    positions = int(np.prod(first.output_shape[:-1])) * images
    tile = (
        conv.winograd_tile(kernel.shape, first.geometry(first.input_shape), first.output_shape[:2])
        if kernel.ndim == 4
        else 0
    )
    return 2 * positions * kernel.size, kernel.nbytes, x, y, tile


def timed(function, *args, **options):
    began = time.perf_counter()
    result = function(*args, **options)
    return result, time.perf_counter() - began


def watched(step, name, times):
    """`step`, with the seconds of its passes appended to ``times[name, pass]``."""

    def note(passed, seconds):
        times.setdefault((name, passed), []).append(seconds)

    def timed_forward(x, training=False):
        y, seconds = timed(step.forward, x, training)
        note("forward", seconds)
        return y

    def timed_backward(grad, input_grad=True):
        if not step.layers[0].params:
            grad, seconds = timed(step.backward, grad)
            note("backward", seconds)
            return grad
        _, alone = timed(step.backward, grad, input_grad=False)
        note("kernel", alone)
        if not input_grad:
            return None
        grad, both = timed(step.backward, grad)
        note("input", both - alone)
        return grad

    return step._replace(forward=timed_forward, backward=timed_backward)


def one_step(model, x, y, loss, optimizer, times):
    """A training step; the seconds of each pass are appended to `times`."""
    scores = model.run(x, training=True, logits=True)
    _, forward = timed(loss.forward, scores, y)
    grad, backward = timed(loss.backward)
    model.backward(grad, input_grad=False)
    _, update = timed(optimizer.step, model.parameters())
    times.setdefault(("loss", "both"), []).append(forward + backward)
    times.setdefault(("adam", "update"), []).append(update)
    whole = sum(seconds[-1] for key, seconds in times.items() if key != WHOLE)
    times.setdefault(WHOLE, []).append(whole)


def names(model):
    return [step.layers[0].name + " + pool" * (len(step.layers) > 1) for step in model.steps]


def measure(options):
    """Rows of ``{name, pass, ms, gflops, gbs, bound_ms, percent, gain_ms}``, and the machine's numbers."""
    result = load_warning() | {"machine": machine(options.threads, options.tries)}
    tinycnn.set_winograd(0 if options.no_winograd else "auto")
    model, loss, optimizer = tinycnn.models.report_cnn(), tinycnn.CrossEntropy(), tinycnn.Adam()
    model.build((options.side, options.side, 3))
    rng = np.random.default_rng(0)
    x = rng.random((options.batch, options.side, options.side, 3), np.float32)
    y = rng.integers(0, 3, options.batch)
    times = {}
    model.steps[:] = [watched(step, name, times) for step, name in zip(model.steps, names(model), strict=True)]
    for i in range(3 + options.rounds):
        if i == 3:
            times.clear()
        one_step(model, x, y, loss, optimizer, times)
    medians = {key: statistics.median(values) for key, values in times.items()}
    result["step_s"] = medians.pop(WHOLE)
    rate, bandwidth = (
        1e9 * result["machine"]["gemm_all"],
        1e9 * max(result["machine"]["copy_all"], result["machine"]["update_all"]),
    )
    steps = dict(zip(names(model), model.steps, strict=True))
    result["rows"] = []
    for (name, passed), seconds in medians.items():
        flops = moved = tile = 0
        if name in steps:
            flops, weights, inputs, outputs, tile = work_of(steps[name], options.batch)
            moved = weights + inputs + outputs
        elif name == "adam":
            moved = 7 * 4 * model.count_params  # reads p, g, m, v; writes p, m, v
        bound = max(flops * DONE[tile] / rate, moved / bandwidth)
        if passed in ("forward", "backward") and name in steps and not flops and not is_dropout(steps[name]):
            moved = bound = 0  # flatten only looks at the same memory
        result["rows"].append(
            {
                "name": name,
                "pass": passed,
                "ms": 1e3 * seconds,
                "share": seconds / result["step_s"],
                "gflop": 1e-9 * flops,
                "gbyte": 1e-9 * moved,
                "winograd": tile,
                "bound_ms": 1e3 * bound,
                "gain_ms": 1e3 * max(0.0, seconds - bound),
            }
        )
    return result | {"batch": options.batch, "side": options.side, "threads": options.threads}


def is_dropout(step):
    return isinstance(step.layers[0], tinycnn.Dropout)


def report(result):
    m = result["machine"]
    threads, ms = result["threads"], 1e3 * result["step_s"]
    print(f"GEMM tile, {MR}x{NR}: {m['gemm_one_core']:.0f} GFLOP/s on one core, {m['gemm_all']:.0f} on {threads}")
    print(f"fused multiply-adds alone: {m['fma_one_core']:.0f} on one core, {m['fma_all']:.0f} on {threads}; ", end="")
    print(f"the tile reaches {100 * m['gemm_one_core'] / m['fma_one_core']:.0f} %")
    print(f"numpy's product: {m['numpy_gemm']:.0f} GFLOP/s on as many as its library uses")
    print(f"copy: {m['copy_one_core']:.1f} GB/s on one core, {m['copy_all']:.1f} on {threads}; ", end="")
    print(f"update in place: {m['update_all']:.1f} GB/s\n")
    print(f"one step, batch {result['batch']} of {result['side']}x{result['side']}x3: {ms:.0f} ms\n")
    rows = []
    for row in result["rows"]:
        seconds = row["ms"] / 1e3
        cells = [row["pass"], f"{row['ms']:.2f}", f"{100 * row['share']:.0f}%"]
        cells += [f"{row['gflop'] / seconds:.0f}" if row["gflop"] and seconds > 0 else "-"]
        cells += [f"{row['gbyte'] / seconds:.1f}" if row["gbyte"] and seconds > 0 else "-"]
        known = row["bound_ms"] > 0.05 and row["ms"] > 0
        cells += [f"{row['bound_ms']:.2f}", f"{100 * row['bound_ms'] / row['ms']:.0f}"] if known else ["-", "-"]
        tile = f" (Winograd {row['winograd']}x{row['winograd']})" if row["winograd"] else ""
        rows.append((row["name"] + tile, *cells))
    print(table(rows, ("", "pass", "ms", "of step", "GFLOP/s", "GB/s", "bound ms", "%")))
    print("\nwhere the next second is: time above the bound")
    for row in sorted(result["rows"], key=lambda row: -row["gain_ms"])[:5]:
        print(f"  {row['gain_ms']:6.1f} ms  {row['name']}, {row['pass']}")
    bound = sum(row["bound_ms"] for row in result["rows"])
    print(f"  all bounds together: {bound:.0f} ms of {ms:.0f}")


def plot(result, path):
    """Bars of time and bound for each pass, and the roofline, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), layout="constrained")
    bars, roof = figure.subplots(1, 2)
    rows = [row for row in result["rows"] if row["share"] > 0.003]
    places = range(len(rows), 0, -1)
    bars.barh(places, [row["ms"] for row in rows], color="0.75", label="measured")
    bars.barh(places, [row["bound_ms"] for row in rows], height=0.35, color="tab:blue", label="bound of this machine")
    bars.set_yticks(places, [f"{row['name']}, {row['pass']}  {i + 1}" for i, row in enumerate(rows)])
    bars.set(xlabel="milliseconds", title=f"One training step: {1e3 * result['step_s']:.0f} ms")
    bars.legend(loc="lower right")
    m = result["machine"]
    intensity = np.geomspace(0.1, 3000, 100)
    bandwidth = max(m["copy_all"], m["update_all"])
    for tile, style, label in ((0, "k-", "GEMM rate and bandwidth"), (4, "k--", "the same with Winograd's 4x4 tiles")):
        roof.loglog(intensity, np.minimum(m["gemm_all"] / DONE[tile], intensity * bandwidth), style, label=label)
    for i, row in enumerate(rows):
        if row["gflop"]:
            at = row["gflop"] / row["gbyte"], 1e3 * row["gflop"] / row["ms"]
            roof.plot(*at, "s" if row["winograd"] else "o", color="tab:blue" if row["winograd"] else "tab:orange")
            side = (7, -3) if i % 2 else (-14, -3)
            roof.annotate(i + 1, at, fontsize=8, xytext=side, textcoords="offset points")
    roof.set(xlabel="FLOP per byte moved", ylabel="GFLOP/s, as if direct")
    roof.set_title("Roofline (squares: Winograd; numbers as on the left)")
    roof.legend(loc="lower right")
    figure.savefig(path, dpi=130)


def arguments():
    parser = argument_parser(__doc__, picture=True)
    add = parser.add_argument
    add("--rounds", type=int, default=12, help="steps of which the median counts (default 12)")
    add("--batch", type=int, default=16, help="images per step (default 16)")
    add("--side", type=int, default=256, help="image side in pixels (default 256)")
    add("--threads", type=int, default=tinycnn.get_num_threads(), help="threads of the kernels (default: all)")
    add("--no-winograd", action="store_true", help="sum 3x3 convolutions directly")
    add("--tries", type=int, default=60, help="measurements of the machine, of which the best counts (default 60)")
    return parse(parser, rounds=2, batch=2, side=32, tries=2)


def main():
    options = arguments()
    finish(options, measure(options), report, plot)


if __name__ == "__main__":
    main()
