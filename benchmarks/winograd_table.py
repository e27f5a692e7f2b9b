"""Which algorithm is fastest for which 3x3 convolution, and how exact each is: the table behind "auto".

One line per shape: milliseconds of one core for forward and backward by Winograd's 4x4 tiles, by 2x2 tiles and
directly, the fastest, what `tinycnn.kernels.conv.winograd_tile` chooses, and the largest error of the forward pass
in float32 relative to the largest output in float64.

    python benchmarks/winograd_table.py
"""

import time

import numpy as np
from command_line import argument_parser, finish, parse
from peers import load_warning, say, table

import tinycnn
from tinycnn.kernels import conv

TILES, NAMES = (4, 2, 0), {4: "4x4", 2: "2x2", 0: "direct"}
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


def measure_all(options):
    result, rows = load_warning(), []
    tinycnn.set_num_threads(1)
    for side in options.sides:
        for channels in options.channels:
            say(f"{side}x{side}, {channels} channels ...")
            images = max(1, min(16, int(4e8 / (side**2 * 9 * channels**2))))
            milliseconds, errors = measure(side, channels, images)
            chosen = conv.winograd_tile((3, 3, channels, channels), GEOMETRY, (side, side), images)
            row = {"side": side, "channels": channels, "images": images, "chosen": NAMES[chosen]}
            row |= {"fastest": NAMES[min(milliseconds, key=milliseconds.get)]}
            row |= {f"ms_{NAMES[tile]}": milliseconds[tile] for tile in TILES}
            rows.append(row | {f"error_{NAMES[tile]}": float(errors[tile]) for tile in TILES})
    return result | {"rows": rows}


def report(result):
    rows = []
    for row in result["rows"]:
        cells = [str(row[key]) for key in ("side", "channels", "images")]
        cells += [f"{row[f'ms_{NAMES[tile]}']:.2f}" for tile in TILES] + [row["fastest"], row["chosen"]]
        rows.append([*cells, *(f"{row[f'error_{NAMES[tile]}']:.1e}" for tile in TILES)])
    columns = [f"{NAMES[tile]} ms" for tile in TILES] + ["fastest", "chosen"]
    print(table(rows, ["side", "channels", "images", *columns, *(f"{NAMES[tile]} error" for tile in TILES)]))


def main():
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--sides", type=int, nargs="+", default=[2, 4, 7, 8, 14, 28, 56], help="image sides")
    add("--channels", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="channels in and out")
    options = parse(parser, sides=[8], channels=[16])
    finish(options, measure_all(options), report)


if __name__ == "__main__":
    main()
