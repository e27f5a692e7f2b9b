# %% [markdown]
# # 3. A convolution is a matrix product
#
# **Question.** Loops over pixels are slow, and matrix products are what computers do best. Can a convolution be made
# into one?
#
# Write the window of every output as one row of a matrix, a step called *im2col* ("image to columns"), and the kernel
# as one column per filter. Then
#
#     Y = im2col(x) @ K         (outputs, filters) = (outputs, k*k*channels) @ (k*k*channels, filters)
#
# since an output is the sum of products of a window with the kernel, and that is what a row times a column is
# (Chellapilla, Puri and Simard, *High performance convolutional neural networks for document processing*, 2006).

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import reference


def im2col(x, k):
    """x (height, width, channels) -> (outputs, k * k * channels), windows row by row."""
    rows, columns = x.shape[0] - k + 1, x.shape[1] - k + 1
    return np.array([x[i : i + k, j : j + k].ravel() for i in range(rows) for j in range(columns)])


x = np.array([[1, 2, 0, 1], [0, 3, 1, 2], [2, 1, 4, 0], [1, 0, 2, 3]], float)[:, :, None]  # (4, 4, 1)
kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], float)
columns = im2col(x, 3)
y = columns @ kernel.ravel()
print("im2col(x) has shape", columns.shape)
for row, value in zip(columns.astype(int), y, strict=True):
    print("window", *row, f"-> {value:.0f}")

# %% [markdown]
# Four windows of 3x3 fit into 4x4 pixels, so there are four rows of nine numbers:
#
#     > im2col(x) has shape (4, 9)
#     > window 1 2 0 0 3 1 2 1 4 -> -3
#     > window 2 0 1 3 1 2 1 4 0 -> 4
#     > window 0 3 1 2 1 4 1 0 2 -> -6
#     > window 3 1 2 1 4 0 0 2 3 -> 0
#
# Most pixels stand in several rows. That is the price: for a large image the matrix holds nearly nine times as many
# numbers. The second layer of lesson 17's network has 64 filters, and its image 128x128 pixels with 32 channels:

# %%
image = 128 * 128 * 32 * 4 / 1e6  # four bytes a number
matrix = 128 * 128 * (3 * 3 * 32) * 4 / 1e6
print(f"image {image:.1f} MB, im2col {matrix:.1f} MB, {matrix / image:.0f} times as much")
print(f"multiplications, as loops or as a product: {128 * 128 * 3 * 3 * 32 * 64 / 1e6:.0f} million")

# %% [markdown]
#     > image 2.1 MB, im2col 18.9 MB, 9 times as much
#     > multiplications, as loops or as a product: 302 million
#
# No multiplication is saved. But the product runs many times faster than loops, as lesson 16 measures, because each
# number that is loaded into a register (one of the processor's own few places) is used for several sums. Now ours
# beside the engine: `tinycnn.reference.im2col` for batches, and `Conv2D` with the set of kernels that is called
# "im2col":

# %%
rng = np.random.default_rng(0)
film, weights = rng.standard_normal((9, 8, 3)), rng.standard_normal((3, 3, 3, 5))
ours = (im2col(film, 3) @ weights.reshape(27, 5)).reshape(7, 6, 5)
assert np.array_equal(im2col(film, 3), reference.im2col(film[None], (3, 3)))
layer = tinycnn.Conv2D(5, 3, use_bias=False)
layer.build(film.shape, dtype=np.float64)
layer.params["kernel"][...] = weights
for name in ("reference", "im2col", "fast"):
    with tinycnn.set_kernels(name):
        difference = np.abs(layer.forward(film[None])[0] - ours).max()
    assert difference < 1e-12
    print(f"kernels {name!r}: equal to ours")

# %% [markdown]
# The engine has three ways to compute every layer: plain NumPy to read, im2col in compiled code as the textbook has
# it, and one that is fast. They give the same numbers:
#
#     > kernels 'reference': equal to ours
#     > kernels 'im2col': equal to ours
#     > kernels 'fast': equal to ours
#
# Training needs the way back, too: how a change of each pixel changes the outputs (lesson 4). For a matrix product that
# is two more matrix products, and what remains is to put rows back into an image. A pixel that was copied into several
# rows gets the *sum* of what comes back from them. That step is called `col2im`. We send a 1 back from every number:

# %%
back = reference.col2im(np.ones_like(columns), (1, 4, 4, 1), (3, 3))[0, :, :, 0]
print("in how many windows each pixel lies:")
print(back.astype(int))

# %% [markdown]
#     > in how many windows each pixel lies:
#     > [[1 2 2 1]
#     >  [2 4 4 2]
#     >  [2 4 4 2]
#     >  [1 2 2 1]]
#
# A corner lies in one window only, and the middle in all four. Why the sum is right is the subject of the next lesson.

# %%
figure, axes = pictures.panels(1, 4, 12, 3.6, width_ratios=[3, 6.3, 1, 1])
picture, rows, weights, result = axes[0]
pictures.show(picture, x[:, :, 0], "image x, 4 x 4", ".0f", largest=4)
for number, (i, j) in enumerate(np.ndindex(2, 2)):
    colour = (pictures.ORANGE, pictures.SKY, pictures.GREEN, pictures.PINK)[number]
    shift = 0.06 * (number - 1.5)  # frames that lie on one another are told apart
    pictures.frame(picture, i + shift, j + shift, 3, 3, colour)
    pictures.frame(rows, number, 0, 0.94, 9, colour)
    pictures.frame(result, number, 0, 0.94, 1, colour)
pictures.show(rows, columns, "im2col(x): a window per row, 4 x 9", ".0f", largest=4)
pictures.show(weights, kernel.reshape(9, 1), "@ kernel\n9 x 1", ".0f", signed=True)
pictures.show(result, y.reshape(4, 1), "= output\n4 x 1", ".0f", signed=True)
pictures.save(figure, "03_im2col", "A convolution as a matrix product: one row per window, one column per filter")

# %% [markdown]
# ## What you saw
#
# Copying windows into the rows of a matrix turns a convolution into one product, for memory. Nothing is approximated.
#
# ## Try
#
# 1. Let `im2col` take a stride. Which line changes?
# 2. What does `im2col` look like for a 1x1 kernel, and why do networks like such kernels?
