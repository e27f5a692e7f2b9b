# %% [markdown]
# # 5. Pooling, and what happens to ties
#
# **Question.** A max-pool keeps the largest number of each window and forgets the rest. Where does the gradient go?
#
#     y[i, j] = max over r, s of  x[i*stride + r, j*stride + s]
#
# Move a pixel that is not the largest a little: y stays as it was, so its derivative is 0. Move the largest: y moves
# with it, so its derivative is 1. Hence the gradient of an output goes to the *winner* of its window, whole.
#
# Two things are easily got wrong. If windows overlap, one pixel may win several times, and its gradients **add up**.
# And if two pixels are equally large, there is a *kink*: the derivative from the left is not that from the right, and
# no number is "the" gradient. This engine sends it to the first of them.

# %%
import numpy as np
import pictures

import tinycnn


def maxpool(x, window, stride):
    """x (height, width) -> the maxima, and for each the row and column of its winner in x."""
    size = (len(x) - window) // stride + 1
    y, winners = np.zeros((size, size)), {}
    for i, j in np.ndindex(size, size):
        part = x[i * stride : i * stride + window, j * stride : j * stride + window]
        r, s = np.unravel_index(part.argmax(), part.shape)  # argmax takes the first of equals
        y[i, j] = part[r, s]
        winners[i, j] = i * stride + r, j * stride + s
    return y, winners


def maxpool_backward(g, winners, shape):
    grad = np.zeros(shape)
    for output, winner in winners.items():
        grad[winner] += g[output]
    return grad


# %% [markdown]
# First 2x2 windows side by side, the usual case, then 2x2 windows with stride 1, which overlap. The engine must agree:

# %%
x = np.array([[1, 3, 2, 0], [0, 2, 5, 1], [4, 4, 6, 2], [4, 4, 1, 3]], float)
for stride in (2, 1):
    y, winners = maxpool(x, 2, stride)
    g = np.arange(1.0, y.size + 1).reshape(y.shape)  # a gradient of another size for every output
    grad = maxpool_backward(g, winners, x.shape)
    layer = tinycnn.MaxPool2D(2, strides=stride)
    assert np.array_equal(layer.forward(x[None, :, :, None])[0, :, :, 0], y)
    assert np.array_equal(layer.backward(g[None, :, :, None])[0, :, :, 0], grad)
    print(f"stride {stride}: outputs {y.astype(int).tolist()}")
    print(f"  gradients {g.astype(int).tolist()}")
    print(f"  go to     {grad.astype(int).tolist()}, sum {grad.sum():.0f} of {g.sum():.0f}")

# %% [markdown]
#     > stride 2: outputs [[3, 5], [4, 6]]
#     >   gradients [[1, 2], [3, 4]]
#     >   go to     [[0, 1, 0, 0], [0, 0, 2, 0], [3, 0, 4, 0], [0, 0, 0, 0]], sum 10 of 10
#     > stride 1: outputs [[3, 5, 5], [4, 6, 6], [4, 6, 6]]
#     >   gradients [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
#     >   go to     [[0, 1, 0, 0], [0, 0, 5, 0], [11, 0, 28, 0], [0, 0, 0, 0]], sum 45 of 45
#
# No gradient is lost and none is made: the sums are equal. With stride 1 the 6 in the third row wins four windows and
# gets the sum of their gradients, 5 + 6 + 8 + 9 = 28. The four 4s tie, and the first of each window takes all.
#
# Now the classic mistake, `=` where `+=` should stand:

# %%
wrong = np.zeros_like(x)
for output, winner in winners.items():
    wrong[winner] = g[output]
print(f"with '=' the sum is {wrong.sum():.0f} instead of {g.sum():.0f}")
ones = maxpool_backward(np.ones((2, 2)), maxpool(x, 2, 2)[1], x.shape)
print("without overlap '=' and '+=' agree:", bool(ones.sum() == 4))

# %% [markdown]
# A test with windows side by side would never notice it. Test layers with overlap, and with gradients that differ:
#
#     > with '=' the sum is 20 instead of 45
#     > without overlap '=' and '+=' agree: True
#
# **A tie is a kink.** Move one of two equal numbers up and down and look at the slopes:

# %%
h = 1e-3
up = (max(4 + h, 4) - 4) / h  # the first 4 moves up: the maximum follows
down = (4 - max(4 - h, 4)) / h  # it moves down: the other 4 stays the maximum
print(f"slope upwards {up:.0f}, slope downwards {down:.0f}, central difference {(up + down) / 2:.1f}")

# %% [markdown]
#     > slope upwards 1, slope downwards 0, central difference 0.5
#
# The central difference, the mean of both, is what finite differences give. The backward pass says 1 to the first and
# 0 to the second, as above: as good as any choice, but not that mean. `tinycnn.gradcheck` knows of kinks
# and leaves them out (lesson 11). With real films ties happen: black margins are full of equal zeros. The *average*
# pool has neither winners nor kinks, each pixel of a window gets the same share:

# %%
average = tinycnn.AveragePool2D(2)
average.forward(x[None, :, :, None])
shares = average.backward(np.array([[1.0, 2], [3, 4]])[None, :, :, None])[0, :, :, 0]
print("average pool:", shares.tolist())

# %% [markdown]
#     > average pool: [[0.25, 0.25, 0.5, 0.5], [0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 1.0, 1.0], [0.75, 0.75, 1.0, 1.0]]

# %%
figure, axes = pictures.panels(2, 4, 11, 5.4)
for row, stride in zip(axes, (2, 1), strict=True):
    y, winners = maxpool(x, 2, stride)
    g = np.arange(1.0, y.size + 1).reshape(y.shape)
    pictures.show(row[0], x, f"x, 2x2 windows with stride {stride}", ".0f", largest=7)
    for i, j in winners.values():
        pictures.frame(row[0], i + 0.06, j + 0.06, 0.88, 0.88)
    pictures.show(row[1], y, "y, the maxima", ".0f", largest=7)
    pictures.show(row[2], g, "gradient g that arrives", ".0f", largest=12)
    pictures.show(row[3], maxpool_backward(g, winners, x.shape), "gradient of x", ".0f", largest=20)
pictures.save(figure, "05_pooling", "Winners are framed: each gets the gradients of all windows that it wins")

# %% [markdown]
# ## What you saw
#
# Max-pooling routes: one number forward, one gradient back along the same path. Overlaps add up, ties go to the first.
#
# ## Try
#
# 1. Share the gradient of a tie equally among the winners. Does the sum stay? Would a network learn better with it?
# 2. An average pool is a convolution. With which kernel and stride?
