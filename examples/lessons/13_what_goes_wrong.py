# %% [markdown]
# # 13. What goes wrong, and how it shows
#
# **Question.** A network does not learn. Which of a dozen possible causes is it, and where does one look?
#
# We break one small network in five ways and look at the same instruments each time. A loss that starts at log(classes)
# and falls is healthy; everything else says something.
#
#     gradient of a weight = (what the layer saw) * (gradient handed to it)
#
# so a network whose numbers shrink from layer to layer, or grow, has gradients that shrink or grow as products do.

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import SGD, Conv2D, Dense, Flatten, MaxPool2D, Sequential

# Stripes in noise: upright, lying or slanting, 12x12 pixels. Enough for a network to learn in a second.
rng = np.random.default_rng(0)
row, column = np.mgrid[:12, :12]
labels = np.repeat(np.arange(3), 20)
ways = [column, row, row + column]
waves = [np.sin(0.9 * ways[k] + rng.uniform(0, 2 * np.pi)) for k in labels]
images = (np.array(waves) + 1.5 * rng.standard_normal((60, 12, 12)))[..., None]  # (60, 12, 12, 1)


class UnturnedConv(Conv2D):
    """Hands an input gradient back that was made with the kernel unturned (lesson 11)."""

    def backward(self, grad_y, input_grad=True):
        kernel = self.params["kernel"].copy()
        self.params["kernel"][...] = kernel[::-1, ::-1]
        grad_x = super().backward(grad_y, input_grad)
        self.params["kernel"][...] = kernel
        return grad_x


def network(second=Conv2D, scale=1.0, bias=0.0):
    """Two convolutions and a dense layer; kernels times `scale`, biases of the convolutions set to `bias`."""
    layers = [Conv2D(8, 3, padding="same", activation="relu"), second(8, 3, padding="same", activation="relu")]
    layers += [MaxPool2D(2), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=1)
    model.build((12, 12, 1), dtype=np.float64)
    for layer in (model.layers[0], model.layers[1], model.layers[4]):
        layer.params["kernel"] *= scale
        layer.params["bias"][...] = bias if isinstance(layer, Conv2D) else 0.0
    return model


def train(model, rate, steps=40):
    """The loss before each step, all images in every step; and what is seen of the network before and after."""
    seen, loss, losses, optimizer = tinycnn.trace(model, images, labels), tinycnn.CrossEntropy(), [], SGD(rate, 0.9)
    for _ in range(steps):
        losses.append(loss.forward(model.forward(images, training=True, logits=True), labels))
        model.backward(loss.backward(), input_grad=False)
        optimizer.step(model.parameters())
    return np.array(losses), seen, tinycnn.trace(model, images, labels)


# %% [markdown]
# The instruments: the loss at the start, in the middle and at the end; the share of zeros behind the second ReLU, at
# the start and at the end; and the length (root of the sum of squares) of the first kernel's gradient, in the first
# step.

# %%
runs = {
    "healthy": train(network(), 0.03),
    "rate too high": train(network(), 3.0),
    "weights too small": train(network(scale=0.03), 0.03),
    "weights too large": train(network(scale=10.0), 0.03),
    "dead ReLUs": train(network(bias=-3.0), 0.03),
    "wrong backward": train(network(UnturnedConv), 0.03),
}
print("                     loss: start   middle      end   zeros: start  end   gradient")
for name, (losses, seen, after) in runs.items():
    second = "conv2d_1" if name != "wrong backward" else "unturned_conv"
    zeros, late = ((a_pass[second].output == 0).mean() for a_pass in (seen, after))
    length = np.linalg.norm(seen["conv2d"].grads["kernel"])
    print(f"{name:20} {losses[0]:11.2f} {losses[20]:8.2f} {losses[-1]:8.2f} {zeros:13.2f} {late:5.2f} {length:10.1e}")

# %% [markdown]
#     >                      loss: start   middle      end   zeros: start  end   gradient
#     > healthy                     1.25     0.29     0.01    0.56    0.4    6.4e-01
#     > rate too high               1.25     1.2     1.1    0.56    1.0    6.4e-01
#     > weights too small           1.10     1.10     1.10    0.56    0.3    3.2e-04
#     > weights too large         679.21     1.10     1.10    0.56    1.0    1.3e+02
#     > dead ReLUs                  1.10     1.10     1.10    1.00    1.00    0.0e+00
#     > wrong backward              1.25     0.37     0.01    0.56    0.4    6.4e-01
#
# * **Rate too high**: the start is healthy, and then the loss jumps and stays at log 3 or above, or becomes NaN. The
#   first step killed every unit of the second layer: zeros at the end. Divide the rate by ten.
# * **Weights too small**: the loss starts at log 3 = 1.10 exactly and stays there, and the gradient of the first layer
#   is tiny. Each layer shrinks what it gets. Glorot and Bengio (2010) and He and others (2015) say how large to draw.
# * **Weights too large**: the loss *starts* far above log 3. A network that knows nothing and is sure of it. Its steps
#   are as large as its gradients, and they kill the units here, too.
# * **Dead ReLUs**: all outputs are zeros, and so are the kernels' gradients; they will never change (lesson 6).
# * **Wrong backward**: the worst case, since it looks like a slightly harder problem. No instrument above shows it. It
#   takes a comparison with finite differences:

# %%
x = rng.standard_normal((1, 5, 5, 2))
for layer in (Conv2D(2, 3, padding="same"), UnturnedConv(2, 3, padding="same")):
    result = tinycnn.gradcheck(layer, x, raise_on_error=False)
    print(f"{type(layer).__name__}:", *(f"{row.name} {'ok' if row.ok else 'WRONG'}" for row in result.table), sep="  ")

# %% [markdown]
#     > Conv2D:  input ok  kernel ok  bias ok
#     > UnturnedConv:  input WRONG  kernel ok  bias ok
#
# One instrument more, for every network and before anything else: **learn a few images by heart.** A sound network with
# a sound backward pass gets the loss of ten images to nearly 0. If it cannot, do not look at the data:

# %%
images, labels = images[::6], labels[::6]
few = train(network(), 0.03)[0]
print(f"ten images by heart: loss {few[0]:.2f} -> {few[-1]:.3f}")

# %% [markdown]
#     > ten images by heart: loss 1.12 -> 0.000

# %%
figure, axes = pictures.panels(1, 2, 12, 3.9, width_ratios=[1.6, 1])
for number, (name, (losses, *_)) in enumerate(runs.items()):
    pictures.curve(axes[0, 0], np.arange(40), np.minimum(losses, 6), number, name, linewidth=2)
axes[0, 0].axhline(np.log(3), color=pictures.INK, linewidth=0.8)
pictures.write(axes[0, 0], np.log(3) + 0.15, 41, "log 3", size=8)
axes[0, 0].set_ylim(0, 6.1)
axes[0, 0].legend(fontsize=9, loc="upper right")
pictures.tidy(axes[0, 0], "loss in training, cut off at 6; two faults lie on the line of log 3", "step", "loss")
names = list(runs)
gradients = [max(np.linalg.norm(seen["conv2d"].grads["kernel"]), 1e-8) for _, seen, _ in runs.values()]
axes[0, 1].barh(names[::-1], gradients[::-1], color=pictures.BLUE)
axes[0, 1].set_xscale("log")
pictures.tidy(axes[0, 1], "length of the first kernel's gradient, first step", "(0 is drawn as 10^-8)")
pictures.save(figure, "13_what_goes_wrong", "One network, healthy and broken in five ways")

# %% [markdown]
# ## What you saw
#
# Four of the five faults show in the first step: in the loss, the zeros, the length of the gradient. The fifth shows in
# a gradient check only. Look at the first step before you wait for the last.
#
# ## Try
#
# 1. Leave the images between 0 and 255 instead of 0 and 1. Which of the faults does that look like?
# 2. Shuffle the labels. What does the loss do, on all images and on ten?
