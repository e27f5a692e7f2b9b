# %% [markdown]
# # 9. Batch normalisation, and the two means in its gradient
#
# **Question.** Batch normalisation gives every channel mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015):
#
#     xhat = (x - mu) / sqrt(var + eps),       y = gamma * xhat + beta        mu, var: mean and variance of the batch
#
# Its forward pass takes one line. Why does its backward pass subtract two means?
#
# **With the pencil.** Take one channel with N values and gamma = 1, and write s = sqrt(var + eps). Let g = dL/dxhat.
# If mu and s were constants, dL/dx would be g / s. They are not. Move one x[k]:
#
#     the mean moves        dmu/dx[k] = 1/N                  and with it every xhat[i], by -1/(N s)
#     the deviation moves   ds/dx[k] = xhat[k]/N             and with it every xhat[i], by -xhat[i] xhat[k]/(N s)
#
# (s^2 is eps and the mean of (x - mu)^2, so 2 s ds = 2 (x[k] - mu)/N dx[k]; what dmu adds there is a sum of x - mu, 0.)
# All outputs move, and the chain rule adds up g[i] times each:
#
#     dL/dx[k] = 1/s * ( g[k]  -  mean(g)  -  xhat[k] * mean(g * xhat) )
#
# The first mean is there because mu depends on x, the second because s does.

# %%
import numpy as np
import pictures

from tinycnn import BatchNorm
from tinycnn.reference_training import numerical_gradient


def forward(x, gamma=1.0, beta=0.0, eps=1e-3):
    return gamma * (x - x.mean()) / np.sqrt(x.var() + eps) + beta


def backward(x, g, first=True, second=True, eps=1e-3):
    s = np.sqrt(x.var() + eps)
    xhat = (x - x.mean()) / s
    return (g - first * g.mean() - second * xhat * (g * xhat).mean()) / s


rng = np.random.default_rng(0)
x, g = 3 + 2 * rng.standard_normal(12), rng.standard_normal(12)
true = numerical_gradient(lambda x: np.sum(g * forward(x)), x)
variants = {
    "both means": (True, True),
    "without the first": (False, True),
    "without the second": (True, False),
    "mu and s taken for constants": (False, False),
}
for name, which in variants.items():
    print(f"{name:29} largest error {np.abs(backward(x, g, *which) - true).max():.5f}")

# %% [markdown]
#     > both means                    largest error 0.00000
#     > without the first             largest error 0.17771
#     > without the second            largest error 0.08906
#     > mu and s taken for constants  largest error 0.26639
#
# Only with both does it agree with finite differences. Now the engine, on a batch of two 4x4 images with 3 channels.
# The statistics are taken over images, rows and columns, so each channel has N = 2*4*4 = 32 values:

# %%
images, upstream = rng.standard_normal((2, 4, 4, 3)) * [1, 5, 0.2] + [0, 10, -3], rng.standard_normal((2, 4, 4, 3))
layer = BatchNorm(epsilon=1e-3)
y = layer.forward(images, training=True)
grad = layer.backward(upstream)
for c in range(3):
    assert np.allclose(y[..., c], forward(images[..., c]))
    assert np.allclose(grad[..., c], backward(images[..., c], upstream[..., c]))
    before, after = images[..., c], y[..., c]
    print(f"channel {c}: mean {before.mean():6.2f} -> {abs(after.mean()):.2f}", end=", ")
    print(f"deviation {before.std():.2f} -> {after.std():.2f}")

# %% [markdown]
# Three channels of quite different size come out alike. (The third has so small a variance that eps counts.)
#
#     > channel 0: mean  -0.17 -> 0.00, deviation 1.09 -> 1.00
#     > channel 1: mean  10.33 -> 0.00, deviation 4.26 -> 1.00
#     > channel 2: mean  -2.90 -> 0.00, deviation 0.17 -> 0.98
#
# **What the two means mean.** Add a number to all x, and y stays as it was. Multiply all x, and, but for eps, it stays.
# So the gradient may have no part in these two directions, and subtracting the means takes exactly these parts off:

# %%
h = backward(x, g, eps=0)
xhat = forward(x, eps=0)
print(f"sum of the gradient {abs(h.sum()):.6f}, sum of gradient * xhat {abs((h * xhat).sum()):.6f}")
gx = g / x.std()
print(f"without the means they would be {gx.sum():.3f} and {(gx * xhat).sum():.3f}")

# %% [markdown]
#     > sum of the gradient 0.000000, sum of gradient * xhat 0.000000
#     > without the means they would be -2.133 and -0.585
#
# **At inference** (prediction) there may be one image alone, whose own mean would be all there is. The layer then uses
# running means of mu and var that it has kept in training, and these *are* constants, so the backward pass loses its
# two means. How soon are the running means right?

# %%
for name in ("moving_mean", "moving_variance"):
    print(f"after one batch, {name}:", *layer.state[name].round(2) + 0.0)
for _ in range(600):
    layer.forward(images, training=True)
    layer.backward(upstream)
print("after 601, moving_mean:", *layer.state["moving_mean"].round(2) + 0.0)
print("the batch's own mean:  ", *images.mean(axis=(0, 1, 2)).round(2))

# %% [markdown]
# A momentum (not that of lesson 8) of 0.99 means that each batch counts for a hundredth. After one batch the running
# mean is far from the truth; a few hundred are needed:
#
#     > after one batch, moving_mean: 0.0 0.1 -0.03
#     > after one batch, moving_variance: 1.0 1.17 0.99
#     > after 601, moving_mean: -0.17 10.31 -2.89
#     > the batch's own mean:   -0.17 10.33 -2.9

# %%
x, g = 3 + 2 * rng.standard_normal(60), rng.standard_normal(60) + 0.7
true = numerical_gradient(lambda x: np.sum(g * forward(x)), x)
figure, axes = pictures.panels(1, 4, 12, 3.4, sharex=True, sharey=True)
for ax, (name, which) in zip(axes[0], variants.items(), strict=True):
    found = backward(x, g, *which)
    ax.plot([-2, 2], [-2, 2], color="#909090", linewidth=1, linestyle="--")
    ax.scatter(
        true, found, s=16, color=pictures.BLUE if all(which) else pictures.ORANGE, marker="o" if all(which) else "x"
    )
    pictures.tidy(ax, f"{name}\nerror up to {np.abs(found - true).max():.2f}", "finite differences")
axes[0, 0].set_ylabel("backward pass", fontsize=9)
axes[0, 0].set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
pictures.save(figure, "09_batch_norm", "The gradient of batch normalisation: on the dashed line it is right")

# %% [markdown]
# ## What you saw
#
# A layer whose output depends on the whole batch has a gradient that mixes the whole batch. Where a quantity depends on
# x, and you take it for a constant in the backward pass, a term is missing. Nothing crashes: only a comparison with
# finite differences shows it.
#
# ## Try
#
# 1. Use an upstream gradient of ones, `g = np.ones(12)`. Which of the four variants can be told apart now?
# 2. Put a convolution *with* bias before the layer. What is the gradient of that bias, and why?
