"""How long until tinycnn works, with nothing compiled and with everything; and what a steady step allocates.

import       `import tinycnn` in new processes, and the same with everything behind it (numba included), next to
             an empty Python
first ever   import, build and one training step with an empty cache: numba compiles every kernel
later        the same in a new process that finds the cache
steady       the median step after that
allocations  a training run's later epochs under tracemalloc, which sees every NumPy array: the largest rise of memory
             between two batches.  Below 1 MB, no step allocates an array of 1 MB or more.  numba's own counter
             tells how many arrays were allocated inside kernels.

python benchmarks/start_up.py
python benchmarks/start_up.py --batch 4 --side 64 --json
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc

import architectures
import numpy as np
from command_line import argument_parser, finish, parse
from peers import Peer, load_warning, say

IMPORTS = {
    "python": "pass",
    "import tinycnn": "import tinycnn",
    "import tinycnn, all of it": "import tinycnn; [getattr(tinycnn, name) for name in tinycnn.__all__]",
}


def arguments():
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--repeats", type=int, default=7, help="processes per import, of which the median counts (default 7)")
    add("--steps", type=int, default=8, help="steady steps of which the median counts (default 8)")
    add("--batch", type=int, default=16, help="images per step (default 16)")
    add("--side", type=int, default=256, help="image side in pixels, a multiple of 8 (default 256)")
    return parse(parser, repeats=1, steps=2, batch=2, side=32)


def import_seconds(repeats):
    """Median seconds of a whole process for each entry of `IMPORTS`; the first, which fills caches, is not counted."""
    seconds = {name: [] for name in IMPORTS}
    for i in range(repeats + 1):
        for name, program in IMPORTS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
            if i:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def process(cache, network, steps):
    """Times of one new process with `cache` as numba's."""
    began = time.perf_counter()
    with Peer("tinycnn", {"NUMBA_CACHE_DIR": cache}) as peer:
        peer.setup(network, "train")
        ready = time.perf_counter() - began
        first = peer.run(1)["seconds"][0]
        found = {"until_built_s": ready, "first_step_s": first, "until_first_step_s": time.perf_counter() - began}
        if steps:
            found["steady_s"] = statistics.median(peer.run(steps)["seconds"])
        return found


def allocations(batch, side):
    """The largest rise of traced memory between two batches of the later epochs of a real `fit`."""
    os.environ["NUMBA_NRT_STATS"] = "1"  # read when numba is imported
    from numba.core.runtime import rtsys

    import tinycnn

    class Watch(tinycnn.Callback):
        """Starts tracing after the first epoch, when all buffers are there."""

        rises, kernel_allocations, before = [], 0, None

        def on_epoch_end(self, epoch, logs):
            self.before = None
            if not tracemalloc.is_tracing():
                tracemalloc.start()

        def on_batch_end(self, batch, logs):
            if not tracemalloc.is_tracing():
                return
            current, peak = tracemalloc.get_traced_memory()
            counted = rtsys.get_allocation_stats().alloc
            if self.before is not None:
                self.rises.append(peak - self.before[0])
                self.kernel_allocations = max(self.kernel_allocations, counted - self.before[1])
            tracemalloc.reset_peak()
            self.before = tracemalloc.get_traced_memory()[0], counted

    images = np.random.default_rng(0).integers(0, 256, (4 * batch, side, side, 3), np.uint8)
    watch = Watch()
    model = tinycnn.models.report_cnn()
    model.fit((images, np.arange(4 * batch) % 3), epochs=3, batch_size=batch, callbacks=[watch], verbose=0)
    tracemalloc.stop()
    return {
        "steps_watched": len(watch.rises),
        "largest_rise_bytes": max(watch.rises),
        "kernel_allocations_per_step": watch.kernel_allocations,
    }


def measure(options):
    result = load_warning()
    network = architectures.report(options.batch, options.side)
    if options.quick:  # one dense layer: nearly all the time goes into compiling
        network = architectures.network(options.side, 3, options.batch, [("flatten",)])
    say("importing ...")
    result["import_s"] = import_seconds(options.repeats)
    with tempfile.TemporaryDirectory() as cache:
        say("first step with an empty cache ...")
        result["first_ever"] = process(cache, network, 0)
        say("first step of a later process, and steady steps ...")
        result["later"] = process(cache, network, options.steps)
    say("allocations ...")
    result["allocations"] = allocations(options.batch, options.side)
    return result | {"batch": options.batch, "side": options.side}


def report(result):
    imports, first, later = result["import_s"], result["first_ever"], result["later"]
    print(f"batch {result['batch']} of {result['side']}x{result['side']}x3\n")
    for name, seconds in imports.items():
        note = f"  ({seconds - imports['python']:.2f} s more than Python alone)" if name != "python" else ""
        print(f"{name:28} {seconds:6.2f} s{note}")
    for name, times in (("first ever", first), ("later process", later)):
        print(f"{name + ', to the first step':28} {times['until_first_step_s']:6.2f} s", end="")
        print(f"  (import and build {times['until_built_s']:.2f} s, step {times['first_step_s']:.2f} s)")
    print(f"{'steady step':28} {later['steady_s']:6.3f} s")
    print(f"{'so compilation takes about':28} {first['until_first_step_s'] - later['until_first_step_s']:6.2f} s\n")
    found = result["allocations"]
    rise = found["largest_rise_bytes"] / 1e6
    print(f"largest rise of memory in {found['steps_watched']} steady steps of fit: {rise:.3f} MB: ", end="")
    print("no array of 1 MB or more" if rise < 1 else "AN ARRAY OF 1 MB OR MORE IS ALLOCATED")
    print(f"arrays allocated inside kernels, per step: {found['kernel_allocations_per_step']}")


def main():
    options = arguments()
    finish(options, measure(options), report)


if __name__ == "__main__":
    main()
