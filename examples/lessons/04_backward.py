# %% [markdown]
# # 4. The backward pass of a convolution
#
# **Question.** The *loss* L is one number that says how wrong a network is. Training moves each weight a little to
# where L is lower, so it needs the *gradient*: how much L changes with each weight. A layer is handed g = dL/dy, how
# much L changes with each of its outputs. How does it find dL/dkernel, and dL/dx for the layer before it?
#
# Take a pencil and one dimension. Five numbers x, a kernel k of three, three outputs:
#
#     y[0] = x[0] k[0] + x[1] k[1] + x[2] k[2]
#     y[1] =             x[1] k[0] + x[2] k[1] + x[3] k[2]
#     y[2] =                         x[2] k[0] + x[3] k[1] + x[4] k[2]
#
# **The kernel.** k[0] stands in all three lines, beside x[0], x[1] and x[2]. By the chain rule its gradient is the sum
# over the lines: dL/dk[0] = g[0] x[0] + g[1] x[1] + g[2] x[2]. In general
#
#     dL/dk[r] = sum over i of  g[i] x[i + r]          the convolution of x with g
#
# **The input.** x[2] stands in all three lines too, but beside k[2], k[1], k[0], in reverse order:
# dL/dx[2] = g[0] k[2] + g[1] k[1] + g[2] k[0]. In general
#
#     dL/dx[j] = sum over i and r with i + r = j of  g[i] k[r]      a convolution with the kernel turned around

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn.reference_training import numerical_gradient


def forward(x, k):
    return np.array([x[i : i + len(k)] @ k for i in range(len(x) - len(k) + 1)])


def backward(x, k, g):
    grad_x, grad_k = np.zeros(len(x)), np.zeros(len(k))
    for i in range(len(g)):  # every output hands its gradient back to what it was made of
        for r in range(len(k)):
            grad_k[r] += g[i] * x[i + r]
            grad_x[i + r] += g[i] * k[r]
    return grad_x, grad_k


x, k, g = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 0, -2]), np.array([1.0, 10, 100])
grad_x, grad_k = backward(x, k, g)
print("dL/dk =", *(f"{v:.0f}" for v in grad_k))
print("dL/dx =", *(f"{v:.0f}" for v in grad_x))
print("by finite differences:", *(f"{v:.0f}" for v in numerical_gradient(lambda x: g @ forward(x, k), x)))

# %% [markdown]
# The two lines inside the loops are the whole backward pass. Check dL/dx[2] with the pencil: 1*(-2) + 10*0 + 100*1.
#
#     > dL/dk = 321 432 543
#     > dL/dx = 1 10 98 -20 -200
#     > by finite differences: 1 10 98 -20 -200
#
# *Finite differences* know nothing of calculus. They move each x[j] a little up and down and look at what the loss
# L = sum of g*y does. They agree.
#
# **As a matrix.** The three lines above are y = T x, where T repeats the kernel along its diagonal. y[i] moves by T[i,
# j] when x[j] moves by 1, so dL/dx[j] = sum over i of g[i] T[i, j]: T transposed times g, for any linear layer
# whatever:

# %%
T = np.array([np.concatenate([np.zeros(i), k, np.zeros(2 - i)]) for i in range(3)])  # (3, 5)
assert np.array_equal(T @ x, forward(x, k)) and np.array_equal(T.T @ g, grad_x)
print(T.astype(int))

# %% [markdown]
#     > [[ 1  0 -2  0  0]
#     >  [ 0  1  0 -2  0]
#     >  [ 0  0  1  0 -2]]
#
# **Two dimensions**, with channels, filters and a batch, are the same two lines with more indices. We write them for
# one image and hold them against the engine:


# %%
def backward_2d(x, kernel, g):
    """x (h, w, channels), kernel (k, k, channels, filters), g (rows, columns, filters)."""
    grad_x, grad_kernel = np.zeros_like(x), np.zeros_like(kernel)
    for i, j in np.ndindex(*g.shape[:2]):
        for r, s in np.ndindex(*kernel.shape[:2]):
            grad_kernel[r, s] += np.outer(x[i + r, j + s], g[i, j])  # (channels, filters)
            grad_x[i + r, j + s] += kernel[r, s] @ g[i, j]  # (channels,)
    return grad_x, grad_kernel, g.sum(axis=(0, 1))  # a bias is added to every output: its gradient is their sum


rng = np.random.default_rng(0)
image, upstream = rng.standard_normal((7, 6, 2)), rng.standard_normal((5, 4, 3))
layer = tinycnn.Conv2D(3, 3)
y = layer.forward(image[None])
ours = backward_2d(image, layer.params["kernel"], upstream)
theirs = layer.backward(upstream[None])[0], layer.grads["kernel"], layer.grads["bias"]
for name, a, b in zip(("x", "kernel", "bias"), ours, theirs, strict=True):
    assert np.allclose(a, b)
    print(f"dL/d{name}: shape {a.shape}, equal to the engine's")

# %% [markdown]
#     > dL/dx: shape (7, 6, 2), equal to the engine's
#     > dL/dkernel: shape (3, 3, 2, 3), equal to the engine's
#     > dL/dbias: shape (3,), equal to the engine's
#
# **As the adjoint.** For a linear map f, the transpose has a meaning without any matrix: it is the one map `back` with
# `sum(f(x) * g) == sum(x * back(g))` for all x and g, called the *adjoint* of f. That makes a test which needs neither
# a loss nor calculus, and one line tells whether a forward and a backward belong together:

# %%
layer.params["bias"][...] = 0  # with a bias, f would not be linear
left = np.sum(layer.forward(image[None])[0] * upstream)
right = np.sum(image * backward_2d(image, layer.params["kernel"], upstream)[0])
turned = np.sum(image * backward_2d(image, layer.params["kernel"][::-1, ::-1], upstream)[0])
print(f"sum(f(x) * g) = {left:.6f}   sum(x * back(g)) = {right:.6f}   with a kernel turned around: {turned:.6f}")

# %% [markdown]
#     > sum(f(x) * g) = -0.059046   sum(x * back(g)) = -0.059046   with a kernel turned around: -7.875818
#
# The last number is what the most common mistake gives.

# %%
figure, axes = pictures.panels(1, 5, 12, 3.2, width_ratios=[5, 1.3, 3, 1.3, 1.6])
pictures.show(axes[0, 0], T, "forward: T, a row for each output", ".0f", signed=True)
pictures.show(axes[0, 1], x[:, None], "times x", ".0f", largest=7)
pictures.show(axes[0, 2], T.T, "backward: T transposed", ".0f", signed=True)
pictures.show(axes[0, 3], g[:, None], "times g", ".0f", largest=100)
pictures.show(axes[0, 4], grad_x[:, None], "= dL/dx", ".0f", signed=True)
pictures.save(figure, "04_backward", "A convolution is a matrix with few numbers; its backward pass is the transpose")

# %% [markdown]
# ## What you saw
#
# What forward reads from many places, backward adds up in them. Every `=` of a gather becomes a `+=` of a scatter.
# That one rule is the backward pass of convolutions, of im2col, and of pooling in the next lesson.
#
# ## Try
#
# 1. Give `forward` and `backward` a stride of 2: i + r becomes 2*i + r in both, and there are fewer outputs. Test with
#    the adjoint.
# 2. Replace `+=` by `=` in `backward`. Which of the numbers come out wrong, and why not all?
