# %% [markdown]
# # 1. One kernel on one film
#
# **Question.** A convolutional network is said to "look for edges". What does it compute, in numbers?
#
# A grey image is an array of numbers, 0 for black and 1 for white. A *kernel* is a small array of weights, here 3x3.
# It is laid over the image with its upper left corner at row i and column j. Each pixel below it is multiplied by the
# weight on top of it, and the nine products are added:
#
#     y[i, j] = sum over r, s of  x[i + r, j + s] * kernel[r, s]        r, s = 0, 1, 2
#
# Then the kernel moves on to the next pixel. Mathematicians call this *cross-correlation*; a convolution proper would
# turn the kernel by half a turn first. Networks learn their weights, so it does not matter which is used, and everybody
# in the field says convolution (Goodfellow, Bengio and Courville, *Deep Learning*, 2016, chapter 9).
#
# Cells of code run from top to bottom. Lines behind a `>` are what the cell above them prints. `pictures` is a small
# file beside the lessons that draws arrays; the picture of each lesson is saved in the folder runs/lessons.

# %%
import numpy as np
import pictures

import tinycnn

splits = tinycnn.chest_phantoms(n_train=(0, 2, 0), n_test=0, size=64, mode="L")  # a drawing, no patient
x = splits.train.images[1, :, :, 0] / 255  # (64, 64), from bytes to numbers between 0 and 1
kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
print("the film has shape", x.shape, "and the kernel", kernel.shape)

# %% [markdown]
# The film is a drawing of a chest, made by a program, so that nothing needs to be downloaded.
#
#     > the film has shape (64, 64) and the kernel (3, 3)
#
# The kernel has negative weights on its left and positive ones on its right: it measures how much brighter the film
# becomes from left to right. (It is Sobel and Feldman's of 1968, divided by 4.) Take one window at the edge of a lung:

# %%
i, j = 20, 8
window = x[i : i + 3, j : j + 3]
products = window * kernel
for r in range(3):
    for s in range(3):
        print(f"{window[r, s]:.3f} * {kernel[r, s]:5.2f} = {products[r, s]:6.3f}")
print(f"sum = {products.sum():.3f}")

# %% [markdown]
# Nine multiplications and a sum, and that is all there is to one output:
#
#     > 0.553 * -0.25 = -0.138
#     > 0.443 *  0.00 =  0.000
#     > 0.373 *  0.25 =  0.093
#     > 0.608 * -0.50 = -0.304
#     > 0.388 *  0.00 =  0.000
#     > 0.290 *  0.50 =  0.145
#     > 0.533 * -0.25 = -0.133
#     > 0.373 *  0.00 =  0.000
#     > 0.322 *  0.25 =  0.080
#     > sum = -0.257
#
# The film gets darker to the right here, for the window leaves bright tissue and enters the dark lung, so the sum is
# negative. Now the whole film, as two loops, and then the same by `tinycnn`, the engine that this course looks into:


# %%
def correlate(x, kernel):
    rows, columns = x.shape[0] - 2, x.shape[1] - 2  # positions at which a 3x3 window fits
    y = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            y[i, j] = np.sum(x[i : i + 3, j : j + 3] * kernel)
    return y


y = correlate(x, kernel)
layer = tinycnn.Conv2D(filters=1, kernel_size=3, use_bias=False)
layer.build((64, 64, 1), dtype=np.float64)  # height, width, channels of the images to come
layer.params["kernel"][:, :, 0, 0] = kernel
engine = layer.forward(x[None, :, :, None])[0, :, :, 0]  # a batch of one image with one channel
print(
    "output shape", y.shape, "- differs from the engine's by less than 1e-12:", bool(np.abs(y - engine).max() < 1e-12)
)
print(f"our pixel: y[{i}, {j}] = {y[i, j]:.3f}")
print(f"from {y.min():.2f} to {y.max():.2f}; nearly flat, below 0.1, is {(abs(y) < 0.1).mean():.2f} of the film")

# %% [markdown]
# A window of three pixels fits 62 times into 64, so the output is a little smaller than the film:
#
#     > output shape (62, 62) - differs from the engine's by less than 1e-12: True
#     > our pixel: y[20, 8] = -0.257
#     > from -0.39 to 0.50; nearly flat, below 0.1, is 0.77 of the film
#
# `Conv2D` takes a *batch* of images with *channels*, an array of shape (images, height, width, channels); our film is
# one image with one channel. The next lesson is about channels and sizes. Now the picture:

# %%
figure, axes = pictures.panels(1, 5, 12, 3.1, width_ratios=[2, 1.2, 1.2, 1.2, 2])
film, pixels, weights, multiplied, edges = axes[0]
pictures.show(film, x, "the film x, and one window")
pictures.frame(film, i, j, 3, 3)
pictures.show(pixels, window, "the window's pixels", ".2f", largest=1)
pictures.show(weights, kernel, "times the kernel", ".2f", signed=True)
pictures.show(multiplied, products, f"products: sum {products.sum():.2f}", ".2f", signed=True)
pictures.show(edges, y, "all sums: the output y", signed=True)
pictures.frame(edges, i, j, 1, 1)
pictures.save(figure, "01_one_kernel", "One kernel on one film: nine products, one sum, at every place")

# %% [markdown]
# ## What you saw
#
# A convolution is a small weighted sum, taken at every place with the *same* weights. With these weights the result is
# large in size where the film changes from left to right, and near zero where it is flat. A network starts from random
# weights, and training finds others that help.
#
# ## Try
#
# 1. Use `kernel.T`. Which edges of the film appear now, and which disappear?
# 2. Use nine weights of 1/9. What does this kernel do to the film?
