# %% [markdown]
# # 16. From loops to Winograd, each rung timed
#
# **Question.** The same sums can be computed in seconds or in less than a thousandth of one. What makes the difference?
#
# One layer, 3x3, stride 1, 32 channels in and 32 out, on an image of 32x32. Its multiplications:
#
#     rows * columns * (3*3) * channels * filters         and as many additions
#
# We climb from seven Python loops to the engine's fastest way and time each rung. **Times are of your machine and
# differ from run to run; what is computed is the same on every rung**, and the lesson checks that.

# %%
import time

import numpy as np
import pictures

import tinycnn
from tinycnn import Conv2D, reference, reference_loops, reference_winograd

rng = np.random.default_rng(0)
side, channels, filters = 32, 32, 32
x = rng.standard_normal((1, side, side, channels)).astype(np.float32)
layer = Conv2D(filters, 3, padding="same", use_bias=False)
layer.build(x.shape[1:])
kernel = layer.params["kernel"]
work = side * side * 9 * channels * filters
print(f"{work:,} multiplications, {2 * work / 1e6:.0f} million floating-point operations")

# %% [markdown]
#     > 9,437,184 multiplications, 19 million floating-point operations
#
# The rungs. Python loops would take seconds, so they compute one of the 32 rows, and their time is scaled up:


# %%
def python_loops():
    y = np.empty((1, 1, side, filters), np.float32)  # one row of output, made of two rows of the image
    reference_loops.forward(x[:, :2], kernel, (1, 1), (1, 1), y)
    return y


def shifted_images():
    """Nine shifted views of the image, one product each."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(padded[:, r : r + side, s : s + side] @ kernel[r, s] for r in range(3) for s in range(3))


def engine(name, winograd):
    def run():
        with tinycnn.set_kernels(name):
            tinycnn.set_winograd(winograd)
            return layer.forward(x)

    return run


pads = (1, 1), (1, 1)
rungs = {
    "Python loops": python_loops,
    "NumPy, a window each": lambda: reference.conv2d_forward(x, kernel, padding=pads),
    "NumPy, im2col": lambda: reference.conv2d_im2col(x, kernel, padding=pads),
    "NumPy, shifted images": shifted_images,
    "compiled im2col": engine("im2col", "auto"),
    "register tile": engine("fast", 0),
    "Winograd 2x2": engine("fast", 2),
    "Winograd 4x4": engine("fast", 4),
}
exact = reference.conv2d_im2col(x.astype(np.float64), kernel.astype(np.float64), padding=pads)
seconds = {}
print("rung                          ms   Gflop/s   error")  # Gflop/s: thousand million operations a second
for name, run in rungs.items():
    y = run()  # compiles, where something is compiled
    error = np.abs(y[:, :1] - exact[:, :1]).max() / np.abs(exact).max()
    assert error < 1e-5
    times = []
    for _ in range(1 if name in list(rungs)[:2] else 20):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    seconds[name] = min(times) * (side if name == "Python loops" else 1)
    rate = 2 * work / seconds[name] / 1e9
    print(f"{name:24} {1e3 * seconds[name]:9.3f} {rate:9.3f} {error:9.0e}")
tinycnn.set_winograd("auto")
print(f"from the first rung to the best: {seconds['Python loops'] / min(seconds.values()):,.0f} times")

# %% [markdown]
#     > rung ms Gflop/s error
#     > Python loops ...
#     > Winograd 4x4 ...
#     > from the first rung to the best: ... times
#
# * **Loops to windows.** Python looks up types and names for each number. NumPy does so once per window.
# * **Windows to im2col.** One large product. NumPy's library for it, BLAS, keeps what it needs in registers and cache.
# * **Shifted images.** Nine products without the copy that im2col makes (lesson 3).
# * **Compiled im2col.** The copy is made in pieces that fit into the cache.
# * **Register tile.** No copy at all: a block of sums stays in registers while the image streams by.
# * **Winograd.** Fewer multiplications for the same sums. That sounds impossible, so here it is by hand.
#
# **F(2, 3)**: two outputs of a kernel g of three numbers need four numbers d, and 2*3 = 6 multiplications. Winograd
# (1980) needs four (Lavin and Gray 2016 brought it to networks):
#
#     m1 = (d0 - d2) g0                       y0 = m1 + m2 + m3
#     m2 = (d1 + d2) (g0 + g1 + g2) / 2       y1 = m2 - m3 - m4
#     m3 = (d2 - d1) (g0 - g1 + g2) / 2
#     m4 = (d1 - d3) g2                       the sums of g are made once and serve the whole image

# %%
d, g = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0]
m1, m2 = (d[0] - d[2]) * g[0], (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2
m3, m4 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2, (d[1] - d[3]) * g[2]
print("direct  ", d[0] * g[0] + d[1] * g[1] + d[2] * g[2], d[1] * g[0] + d[2] * g[1] + d[3] * g[2])
print("Winograd", m1 + m2 + m3, m2 - m3 - m4)
for m in (2, 4):
    direct, tile = 9 * m * m, (m + 2) ** 2
    assert np.allclose(reference_winograd.winograd_conv2d(x, kernel, m), exact, atol=1e-4)
    print(f"in two dimensions, {m}x{m} outputs: {tile} multiplications for {direct}, {direct / tile:.2f} times fewer")

# %% [markdown]
#     > direct   38.0 56.0
#     > Winograd 38.0 56.0
#     > in two dimensions, 2x2 outputs: 16 multiplications for 36, 2.25 times fewer
#     > in two dimensions, 4x4 outputs: 36 multiplications for 144, 4.00 times fewer
#
# The price: more additions, and sums of larger numbers, which round a little worse.

# %%
figure, axes = pictures.panels(1, 1, 10, 3.8)
ax, names = axes[0, 0], list(seconds)[::-1]
values = [1e3 * seconds[name] for name in names]
ax.barh(names, values, color=[pictures.BLUE if n.startswith(("Python", "NumPy")) else pictures.ORANGE for n in names])
for place, value in enumerate(values):
    ax.text(value * 1.1, place, f"{value:,.2f} ms", va="center", fontsize=9)
ax.set_xscale("log")
ax.set_xlim(right=max(values) * 6)
pictures.tidy(ax, "blue: Python and NumPy; orange: compiled", "time of one forward pass, ms, on this machine")
pictures.save(figure, "16_loops_to_winograd", "One convolution, eight ways to compute it, one result")

# %% [markdown]
# ## What you saw
#
# First stop interpreting, then stop moving numbers about, then multiply less. `benchmarks/ladder.py` times the same
# rungs on real layers, with both gradients, and `tinycnn/kernels/` has the code, from `im2col.py` to `winograd.py`.
#
# ## Try
#
# 1. Let `channels` be 3. Which rungs lose their lead, and why?
# 2. How many multiplications has F(6, 3) in two dimensions? Why does nobody like it in float32?
