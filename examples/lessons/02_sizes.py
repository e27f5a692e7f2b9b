# %% [markdown]
# # 2. Channels, padding, stride, dilation
#
# **Question.** `Conv2D(8, 3, strides=2, padding="same", dilation_rate=2)`: what do these words change, and how large is
# the output?
#
# * **Channels.** A colour image has three numbers at each pixel, and a layer's output has as many as the layer has
#   *filters*. A kernel reaches through all channels of its input, and each filter has its own. To all its outputs each
#   filter adds one number, its *bias*. Weights and biases together are the layer's *parameters*: what training moves.
# * **Padding.** Zeros around the image, so that windows may hang over its edge.
# * **Stride.** The step from one window to the next.
# * **Dilation.** The step from one weight to the next within a window, which spreads the kernel out.
#
# With padding p, stride s and dilation d, the output at row i, column j of filter f is
#
#     y[i, j, f] = bias[f] + sum over r, t, c of  padded[i*s + r*d, j*s + t*d, c] * kernel[r, t, c, f]
#
# A kernel of size k covers d*(k - 1) + 1 pixels. It fits into n pixels, with p zeros on either side,
#
#     outputs = floor((n + 2*p - d*(k - 1) - 1) / s) + 1
#
# times (Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*, 2016).

# %%
import numpy as np
import pictures

import tinycnn


def convolve(x, kernel, bias, pad, stride, dilation):
    """x (height, width, channels), kernel (rows, columns, channels, filters) -> (rows out, columns out, filters)."""
    k, n = len(kernel), len(x)
    size = (n + 2 * pad - dilation * (k - 1) - 1) // stride + 1
    padded = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    y = np.zeros((size, size, kernel.shape[3])) + bias
    for i in range(size):
        for j in range(size):
            for r in range(k):
                for t in range(k):
                    y[i, j] += padded[i * stride + r * dilation, j * stride + t * dilation] @ kernel[r, t]
    return y


# %% [markdown]
# The innermost line adds a product of a pixel's channels (a vector) with a matrix, channels by filters. Now every
# combination below, ours beside the engine's, on one 7x7 image with 3 channels and 8 filters:

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((7, 7, 3))
print("padding stride dilation   output        parameters")
for pad, stride, dilation in [(0, 1, 1), (1, 1, 1), (0, 2, 1), (1, 2, 1), (0, 1, 2), (2, 1, 2), (2, 2, 2)]:
    layer = tinycnn.Conv2D(8, 3, strides=stride, padding=pad, dilation_rate=dilation, bias_initializer="ones")
    layer.build(x.shape, dtype=np.float64)
    y = convolve(x, layer.params["kernel"], layer.params["bias"], pad, stride, dilation)
    assert np.allclose(y, layer.forward(x[None])[0])
    print(f"{pad:7} {stride:6} {dilation:8}   {y.shape}  {layer.count_params}")

# %% [markdown]
# All agree. Padding of one keeps the size of a 3x3 convolution with stride 1, which is what Keras calls `"same"`; no
# padding at all is `"valid"`. A stride of 2 halves the size. Dilation of 2 makes a 3x3 kernel cover 5x5 pixels:
#
#     > padding stride dilation   output        parameters
#     >       0      1        1   (5, 5, 8)  224
#     >       1      1        1   (7, 7, 8)  224
#     >       0      2        1   (3, 3, 8)  224
#     >       1      2        1   (4, 4, 8)  224
#     >       0      1        2   (3, 3, 8)  224
#     >       2      1        2   (7, 7, 8)  224
#     >       2      2        2   (4, 4, 8)  224
#
# The number of parameters never changes: 3*3 places times 3 channels times 8 filters, and 8 biases. It does not depend
# on the size of the image either, and that is why a small network can read a large film.

# %%
weights = 3 * 3 * 3 * 8
print(f"{weights} weights + 8 biases = {weights + 8}")
print(f"a dense layer from 7x7x3 to 7x7x8 numbers would have {7 * 7 * 3 * 7 * 7 * 8 + 7 * 7 * 8} parameters")
halving = tinycnn.Conv2D(8, 3, strides=2, padding="same")
eight, seven = (halving.output_shape_of((size, size, 3))[0] for size in (8, 7))
print(f"'same' with stride 2: 8 pixels give {eight}, and 7 pixels {seven}")

# %% [markdown]
# In a *dense* layer every output has a weight for every input.
#
#     > 216 weights + 8 biases = 224
#     > a dense layer from 7x7x3 to 7x7x8 numbers would have 58016 parameters
#     > 'same' with stride 2: 8 pixels give 4, and 7 pixels 4
#
# With a stride, "same" means the size divided by the stride and rounded up. Now a picture of what two neighbouring
# outputs see. Each 7x7 image is drawn with its padding; what the first output sees is blue, what the next one sees is
# orange, and what both see is a mixture.

# %%
figure, axes = pictures.panels(1, 4, 12, 3.6)
cases = [("no padding, stride 1", 0, 1, 1), ("padding 1", 1, 1, 1), ("stride 2", 0, 2, 1), ("dilation 2", 0, 1, 2)]
for ax, (name, pad, stride, dilation) in zip(axes[0], cases, strict=True):
    side = 7 + 2 * pad
    size = (side - dilation * 2 - 1) // stride + 1
    board = np.full((side, side, 3), 0.8)  # red, green and blue of each cell
    board[pad : side - pad, pad : side - pad] = 1.0
    ax.imshow(board)
    for output, (colour, mark) in enumerate(((pictures.BLUE, "1"), (pictures.ORANGE, "2"))):
        for r in range(0, 3 * dilation, dilation):
            for t in range(0, 3 * dilation, dilation):
                row, column = r, output * stride + t
                ax.add_patch(pictures.Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour, alpha=0.45))
                pictures.write(ax, row, column + (output - 0.5) * 0.4, mark)
    ax.set_xticks(np.arange(side) - 0.5, labels=[])
    ax.set_yticks(np.arange(side) - 0.5, labels=[])
    ax.grid(color="#909090", linewidth=0.7)
    ax.tick_params(length=0)
    ax.set_title(f"{name}: output {size}x{size}", fontsize=10)
pictures.save(figure, "02_sizes", "What outputs 1 and 2 of the first row see; grey cells are padding")

# %% [markdown]
# ## What you saw
#
# Four settings, one formula for the size, and a number of parameters that depends on kernel and channels alone.
# Neighbouring windows overlap unless the stride is as large as the kernel.
#
# ## Try
#
# 1. Which padding keeps the size of a 5x5 convolution with stride 1 and dilation 1? And with dilation 2?
# 2. `Conv2D(8, 3, groups=2)` on 4 channels: how many parameters has it, and why? (Filters of the first half see the
#    first two channels only.)
