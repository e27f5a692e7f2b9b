# %% [markdown]
# # 10. Dropout
#
# **Question.** Dropout sets random numbers to 0 in training and nothing at all at inference (Srivastava et al. 2014).
# How can a network work that is trained one way and used another?
#
#     y = x * m / (1 - p)        m = 0 with probability p, else 1, drawn anew for each number
#
# The mean of m is 1 - p, so the division makes the mean of y equal to x: at inference nothing needs to be scaled. What
# dropout adds is noise, with variance
#
#     var(y) = mean of y^2 - x^2 = (1 - p) * (x / (1 - p))^2 - x^2 = x^2 * p / (1 - p)
#
# The backward pass is the same product, dL/dx = dL/dy * m / (1 - p), with the **same** mask as forward.

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import Dropout, reference

ones = np.ones((1, 12), np.float32)
layer = Dropout(0.25)
layer.build((12,), rng=np.random.default_rng(2))
y = layer.forward(ones, training=True)
grad = layer.backward(2 * ones)
assert np.array_equal(grad, 2 * y)  # the same mask
assert layer.forward(ones) is ones  # inference: the very same array
print("forward  ", *y[0].round(2))
print("backward ", *grad[0].round(2))

# %% [markdown]
#     > forward   1.33 0.0 0.0 0.0 1.33 1.33 1.33 1.33 0.0 1.33 1.33 0.0
#     > backward  2.67 0.0 0.0 0.0 2.67 2.67 2.67 2.67 0.0 2.67 2.67 0.0
#
# What is kept grows by 1/(1 - 0.25) = 4/3. Now measure mean and variance over 20000 masks, against the formula:

# %%
rng = np.random.default_rng(0)
x = 3.0
for p in (0.1, 0.3, 0.5, 0.8):
    kept = rng.random(20000) >= p
    y = x * kept / (1 - p)
    print(f"p = {p}: mean {y.mean():.2f} (3), variance {y.var():5.2f} ({x**2 * p / (1 - p):5.2f})")

# %% [markdown]
# The mean stays and the noise grows quickly with p:
#
#     > p = 0.1: mean 2.99 (3), variance  1.02 ( 1.00)
#     > p = 0.3: mean 3.01 (3), variance  3.84 ( 3.86)
#     > p = 0.5: mean 2.98 (3), variance  9.00 ( 9.00)
#     > p = 0.8: mean 2.91 (3), variance 35.20 (36.00)
#
# **Where does the engine keep the mask?** Nowhere. Each number's fate is a *hash* of its position and of one key per
# step: a fixed sum of products and shifts that looks random. The backward pass computes the mask again from the key, so
# no memory is needed, and any number of processors gets the same one. `tinycnn.reference.dropout` has it in ten lines:

# %%
film = tinycnn.chest_phantoms(n_train=(0, 2, 0), n_test=0, size=64, mode="L").train.images[1] / 255  # (64, 64, 1)
layer = Dropout(0.5)
layer.build(film.shape, rng=np.random.default_rng(5), dtype=np.float64)
key = np.random.default_rng(5).integers(0, 2**64, dtype=np.uint64)  # the first that the layer will draw
assert np.allclose(layer.forward(film[None], training=True), reference.dropout(film[None], key, 0.5))
draws = [layer.forward(film[None], training=True)[0] for _ in range(100)]
for n in (1, 10, 100):
    error = np.sqrt(np.mean((np.mean(draws[:n], axis=0) - film) ** 2))
    print(f"mean of {n:3} dropped films: typical error {error:.2f}, formula {np.sqrt(np.mean(film**2) / n):.2f}")

# %% [markdown]
# Each dropped film is half black and half twice as bright: the variance is x^2, and that of a mean of n is x^2/n. Their
# mean comes back to the film, with an error that falls with the square root of the number of draws:
#
#     > mean of   1 dropped films: typical error 0.53, formula 0.53
#     > mean of  10 dropped films: typical error 0.17, formula 0.17
#     > mean of 100 dropped films: typical error 0.05, formula 0.05
#
# **What is it good for?** A unit cannot rely on any one other unit, since that may be gone in the next step. The larger
# the network for its data, the more that helps. Below, 30 inputs are noise and their labels are *random*, so that all
# there is to learn is learnt by heart:

# %%
noise = rng.standard_normal((30, 40))
labels = rng.integers(0, 2, 30)
for p in (0.0, 0.5):
    layers = [tinycnn.Dense(64, activation="relu"), Dropout(p), tinycnn.Dense(2, activation="softmax")]
    model = tinycnn.Sequential(layers, seed=1)
    model.build((40,), dtype=np.float64)
    history = model.fit((noise, labels), epochs=30, batch_size=30, optimizer=tinycnn.Adam(0.01), verbose=0)
    print(f"p = {p}: training loss after 3 epochs {history['loss'][2]:.2f}, after 30 epochs {history['loss'][-1]:.3f}")

# %% [markdown]
#     > p = 0.0: training loss after 3 epochs 0.29, after 30 epochs 0.000
#     > p = 0.5: training loss after 3 epochs 0.52, after 30 epochs 0.009
#
# With dropout the network learns by heart more slowly. It is not made impossible: dropout is a brake, no cure.

# %%
figure, axes = pictures.panels(1, 5, 12, 3.0)
pictures.show(axes[0, 0], film[:, :, 0], "the film", largest=1)
for ax, rate in zip(axes[0, 1:3], (0.3, 0.5), strict=True):
    dropped = reference.dropout(film, 7, rate)[:, :, 0]
    pictures.show(ax, dropped, f"dropped, p = {rate}", largest=1)
for ax, n in zip(axes[0, 3:], (10, 100), strict=True):
    pictures.show(ax, np.mean(draws[:n], axis=0)[:, :, 0], f"mean of {n} draws, p = 0.5", largest=1)
pictures.save(figure, "10_dropout", "Dropout is noise with the right mean: many draws give the film back")

# %% [markdown]
# ## What you saw
#
# Inverted dropout leaves the mean alone and adds noise in training. The network that is used at inference is about the
# mean of all the thinned networks that were trained.
#
# ## Try
#
# 1. Forget the division by 1 - p. How much too large are a layer's inputs at inference, for p = 0.5?
# 2. Loss in training is measured with dropout, loss in validation without. Which is higher early in training?
