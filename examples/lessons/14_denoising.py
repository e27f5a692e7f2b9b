# %% [markdown]
# # 14. A denoising autoencoder
#
# **Question.** A network without labels: can it learn what films look like, well enough to take noise off them?
#
# Add noise e to a clean image t, and train the network f to give the clean one back (Vincent and others 2008):
#
#     L = mean over pixels of  ( f(t + e) - t )^2
#
# An *encoder* of convolutions and poolings makes the image small, a *decoder* makes it large again. Handing the image
# through unchanged is no way out, for what goes in is noisy and what is asked for is clean. The network has to learn
# what belongs to a film.

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import Adam, MeanSquaredError, add_noise

data = tinycnn.chest_phantoms(n_train=60, n_test=10, size=48, mode="L")
model = tinycnn.denoising_autoencoder(channels=1, filters=(16,), seed=0)
model.build((48, 48, 1))
print("layer                        output       numbers")
for layer in model.layers:
    print(f"{layer.name:22} {layer.output_shape!s:>15} {np.prod(layer.output_shape):10}")

# %% [markdown]
#     > layer                        output       numbers
#     > conv2d                    (48, 48, 16)      36864
#     > max_pooling2d             (24, 24, 16)       9216
#     > conv2d_1                  (24, 24, 16)       9216
#     > conv2d_transpose           (48, 48, 1)       2304
#
# The *transposed convolution* at the end makes four pixels from each one. It is the backward pass of a convolution with
# stride 2, used forwards (lesson 4). Now the loss, ours beside the engine's:

# %%
clean = data.test.images  # bytes, (30, 48, 48, 1)
noisy = add_noise(clean, 0.1, np.random.default_rng(0))  # deviation of a tenth of the range
t, x = clean / 255, noisy / 255
loss = MeanSquaredError()
assert np.isclose(loss.forward(x, t), np.mean((x - t) ** 2))
assert np.allclose(loss.backward(), 2 * (x - t) / x.size)  # the derivative of a mean of squares
print(f"mean squared error of the noisy films: {np.mean((x - t) ** 2):.4f}; 0.1^2 = {0.1**2:.4f}")

# %% [markdown]
#     > mean squared error of the noisy films: 0.0093; 0.1^2 = 0.0100
#
# (Noise that would leave the range of a pixel is cut off, so the error is a little smaller.) Training sees new noise in
# every epoch, so there is no noise to learn by heart:

# %%
history = tinycnn.fit_autoencoder(
    model, data.train, level=0.1, epochs=30, batch_size=4, optimizer=Adam(0.006), verbose=0
)
restored = model.predict(noisy).astype(float)


# %% [markdown]
# **Is it any good?** A network should beat what anybody can do without one. The mean of each 3x3 window takes noise off
# too, and blurs:


# %%
def window_mean(x, size):
    edge = size // 2
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="edge")
    height, width = x.shape[1:3]
    shifted = [padded[:, r : r + height, s : s + width] for r in range(size) for s in range(size)]
    return np.mean(shifted, axis=0)


def error(y):
    return np.mean((y - t) ** 2)


results = {"noisy": x, "mean of 3x3": window_mean(x, 3), "mean of 5x5": window_mean(x, 5), "autoencoder": restored}
for name, y in results.items():
    print(f"{name:12} mean squared error {error(y):.4f}")
print("the autoencoder is better than the noisy film:", bool(error(restored) < error(x)))
print("and than the better window:", bool(error(restored) < error(results["mean of 3x3"])))

# %% [markdown]
#     > noisy        mean squared error 0.0093
#     > mean of 3x3  mean squared error 0.0032
#     > mean of 5x5  mean squared error 0.0049
#     > autoencoder  mean squared error 0.003
#     > the autoencoder is better than the noisy film: True
#     > and than the better window: True
#
# It wins by little: with so small a network and so few films the mean of a window is hard to beat, and without the
# comparison one would not know. A window treats all places alike; the network can learn where an edge should stay.
#
# What does it do to a film without noise? A method that changes nothing would have an error of 0 there:

# %%
untouched = np.mean((model.predict(clean) - t) ** 2)
print(f"error on clean films {untouched:.4f}, and no method at all would have 0")
fine = np.abs(t - window_mean(t, 3))  # where the film has fine detail
lost = np.abs(restored - t)
print(f"error where detail is finest: {lost[fine > np.quantile(fine, 0.9)].mean():.3f}", end=", ")
print(f"where there is least: {lost[fine < np.quantile(fine, 0.5)].mean():.3f}")

# %% [markdown]
#     > error on clean films 0.002, and no method at all would have 0
#     > error where detail is finest: 0.09, where there is least: 0.03
#
# It blurs fine lines, and in medicine fine lines matter. Whether a classifier gains by denoised films is a question for
# an experiment, not for the eye: lesson 17 trains one on them.

# %%
figure, axes = pictures.panels(2, 5, 12, 5.2)
for row, k in zip(axes, (3, 24), strict=True):
    shown = {"clean": t, **{name: results[name] for name in ("noisy", "mean of 3x3", "autoencoder")}}
    for ax, (name, y) in zip(row, shown.items(), strict=False):
        mse = f"\nerror {np.mean((y[k] - t[k]) ** 2):.4f}"
        pictures.show(ax, y[k, :, :, 0], name + mse, largest=1)
    difference = restored[k, :, :, 0] - t[k, :, :, 0]
    pictures.show(row[4], difference, "autoencoder - clean\n(yellow: too bright)", signed=True, largest=0.3)
pictures.save(
    figure, "14_denoising", "Noise taken off two films that the network has not seen, and what is lost with it"
)

# %% [markdown]
# ## What you saw
#
# Trained on noisy and clean pairs, with no label at all, a network learns to keep what films have in common. It is
# judged by a number, beside a method without learning.
#
# ## Try
#
# 1. Train with `filters=(16, 8)`, one halving more: the middle has half as many numbers as the film. Is it better?
# 2. Test with twice the noise, which it was not trained on. Which of the methods suffers most?
