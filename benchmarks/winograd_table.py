"""Which algorithm is fastest for which 3x3 convolution, and how exact each is: the table behind "auto".

One line per shape: milliseconds of one core for forward and backward by Winograd's 4x4 tiles, by 2x2 tiles and
directly, the fastest, what `tinycnn.kernels.conv.winograd_tile` chooses, and the largest error of the forward pass
in float32 relative to the largest output in float64.

    python benchmarks/winograd_table.py
"""

import argparse
import time

import numpy as np

import tinycnn
from tinycnn.kernels import conv

TILES = (4, 2, 0)
GEOMETRY = conv.Geometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)


def cpu_ms(function, repeats=3):
    """Least CPU time of `repeats` calls after one to warm up, in ms: other programs on the machine matter little."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def measure(side, channels, images):
    """(milliseconds, errors) by tile for one shape."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((images, side, side, channels), dtype=np.float32)
    kernel = rng.standard_normal((3, 3, channels, channels), dtype=np.float32)
    bias = np.zeros(channels, np.float32)
    y, grad_x, grad_kernel = np.empty_like(x), np.empty_like(x), np.empty_like(kernel)
    exact = np.empty(x.shape)
    tinycnn.set_winograd(0)
    conv.forward(x.astype(float), kernel.astype(float), None, GEOMETRY, exact)
    milliseconds, errors = {}, {}
    for tile in TILES:
        tinycnn.set_winograd(tile)
        forward = cpu_ms(lambda: conv.forward(x, kernel, bias, GEOMETRY, y))
        errors[tile] = np.abs(y - exact).max() / np.abs(exact).max()
        milliseconds[tile] = forward + cpu_ms(lambda: conv.backward(x, kernel, y, GEOMETRY, grad_x, grad_kernel))
    tinycnn.set_winograd("auto")
    return milliseconds, errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[2, 4, 7, 8, 14, 28, 56], help="image sides")
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="channels in and out")
    arguments = parser.parse_args()
    tinycnn.set_num_threads(1)
    names = {4: "4x4", 2: "2x2", 0: "direct"}
    print(
        "side channels images |"
        + "".join(f"{names[t]:>9}" for t in TILES)
        + " ms |  fastest   chosen |"
        + "".join(f"{names[t]:>9}" for t in TILES)
        + " error"
    )
    for side in arguments.sides:
        for channels in arguments.channels:
            images = max(1, min(16, int(4e8 / (side**2 * 9 * channels**2))))
            milliseconds, errors = measure(side, channels, images)
            chosen = conv.winograd_tile((3, 3, channels, channels), GEOMETRY, (side, side))
            print(
                f"{side:4} {channels:8} {images:6} |"
                + "".join(f"{milliseconds[t]:9.2f}" for t in TILES)
                + f"    | {names[min(milliseconds, key=milliseconds.get)]:>8} {names[chosen]:>8} |"
                + "".join(f"{errors[t]:9.1e}" for t in TILES),
                flush=True,
            )


if __name__ == "__main__":
    main()
