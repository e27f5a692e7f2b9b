# %% [markdown]
# # 6. ReLU, and units that die
#
# **Question.** Two linear layers in a row are one linear layer. Something between them must bend. The usual choice is
#
#     y = max(0, x)          dL/dx = dL/dy where x > 0, else 0
#
# the *rectified linear unit*, ReLU (Nair and Hinton 2010). What is the price of a slope of 0?
#
# A unit whose x is negative **for every image** gives 0 everywhere and gets gradient 0 everywhere. Its weights never
# move again. It is *dead*. We make some, and see what kills them.

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import SGD, Dense, LeakyReLU, ReLU, Sequential

relu = ReLU()
x = np.array([[-2.0, -0.5, 0.5, 2.0]])
y, grad = relu.forward(x), relu.backward(np.array([[5.0, 6.0, 7.0, 8.0]]))
assert np.array_equal(y, np.maximum(x, 0)) and np.array_equal(grad, [5, 6, 7, 8] * (x > 0))
print("x   ", *x[0])
print("y   ", *y[0])
print("grad", *grad[0])

# %% [markdown]
#     > x    -2.0 -0.5 0.5 2.0
#     > y    0.0 0.0 0.5 2.0
#     > grad 0.0 0.0 7.0 8.0
#
# **The data.** Three arms of a spiral, 100 points each, to be told apart from two coordinates. No straight line does.
# (`Dense` multiplies its input by a matrix and adds a bias; each of its outputs is a *unit*, *hidden* if it is not the
# network's last, and the bend behind it is its *activation*. How `fit` trains, and the last layer's softmax, are
# lessons 7 and 8: here it moves all weights downhill 100 times, by the *learning rate* times the gradient. One pass
# over the data is an *epoch*, and *accuracy* is the share of points called right.)

# %%
rng = np.random.default_rng(1)
radius = np.linspace(0.1, 1, 100)
angle = np.concatenate([4 * radius + 2 * np.pi * arm / 3 + 0.15 * rng.standard_normal(100) for arm in range(3)])
points = np.stack([np.tile(radius, 3) * np.sin(angle), np.tile(radius, 3) * np.cos(angle)], axis=1)
arms = np.repeat(np.arange(3), 100)


def train(rate, activation):
    """A network of 64 hidden units after 100 steps: the values before its activation, its accuracy, and itself."""
    model = Sequential([Dense(64), activation, Dense(3, activation="softmax")], seed=3)
    model.build((2,), dtype=np.float64)
    model.fit((points, arms), epochs=100, batch_size=300, optimizer=SGD(rate), verbose=0)  # all points in each step
    hidden = points @ model.layers[0].params["kernel"] + model.layers[0].params["bias"]  # (300, 64)
    return hidden, model.evaluate((points, arms))["accuracy"], model


def dead(hidden):
    """The share of units that are negative for every point."""
    return (hidden.max(axis=0) <= 0).mean()


# %% [markdown]
# Now the same network with larger and larger learning rates:

# %%
rates = [0.1, 0.5, 1, 2, 4, 8]
found = {}
print("rate    dead ReLUs  accuracy   dead leaky  accuracy")
for rate in rates:
    found[rate] = [train(rate, activation) for activation in (ReLU(), LeakyReLU(0.1))]
    print(f"{rate:4}" + "".join(f"{dead(hidden):13.2f}{right:10.2f}" for hidden, right, _ in found[rate]))

# %% [markdown]
#     > rate    dead ReLUs  accuracy   dead leaky  accuracy
#     >  0.1         0.02      0.61         0.03      0.60
#     >  0.5         0.05      0.70         0.05      0.67
#     >    1         0.05      0.87         0.05      0.82
#     >    2         0.05      0.99         0.05      0.93
#     >    4         0.61      0.83         0.14      0.72
#     >    8         1.00      0.33         0.25      0.73
#
# With a small rate hardly a unit dies, and with rate 8 all do: the network calls everything one class. A large step
# throws a unit's weights and bias so far that it is negative on all points, and then nothing brings it back: its own
# gradient is 0. The more units are dead, the less is left to learn with. A *leaky* ReLU has a slope of 0.1 on the
# negative side (Maas, Hannun and Ng 2013). Units can be negative everywhere there too, but they still get a gradient,
# and still learn.
#
# Is the gradient of a dead unit really 0? Ask the engine, with `trace`, which keeps every number of a pass:

# %%
hidden, _, model = found[4][0]  # rate 4, ReLU
seen = tinycnn.trace(model, points, arms)["dense"]
assert np.allclose(seen.pre_activation, hidden)
is_dead = seen.pre_activation.max(axis=0) <= 0  # (64,)
gradient = np.abs(seen.grads["kernel"]).max(axis=0)  # (64,) the largest of each unit
print("largest gradient of a dead unit", gradient[is_dead].max())
print("some living unit has a larger one:", bool(gradient[~is_dead].max() > 1e-3))

# %% [markdown]
#     > largest gradient of a dead unit 0.0
#     > some living unit has a larger one: True

# %%
figure, axes = pictures.panels(1, 3, 12, 3.8, width_ratios=[1, 1, 1.1])
for ax, rate in zip(axes[0], (1, 4), strict=False):
    hidden = found[rate][0][0]
    order = np.argsort((hidden > 0).mean(axis=0))
    ax.imshow(hidden[:, order] > 0, aspect="auto", cmap="cividis", interpolation="nearest")
    pictures.tidy(ax, f"rate {rate}: which unit is on for which point", "64 units, the most silent first", "300 points")
ax = axes[0, 2]
for number, name in enumerate(("ReLU", "leaky ReLU")):
    share = [dead(found[rate][number][0]) for rate in rates]
    pictures.curve(ax, rates, share, number, f"negative for every point, {name}", marker="os"[number])
    pictures.curve(
        ax, rates, [found[rate][number][1] for rate in rates], number + 2, f"accuracy, {name}", marker="^v"[number]
    )
ax.set_xscale("log")
ax.set_ylim(0, 1.02)
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(0, 0.33))
pictures.tidy(ax, "the larger the rate, the more units die", "learning rate", "share")
pictures.save(figure, "06_relu", "Yellow: the unit is on. A column that is dark from top to bottom is a dead unit")

# %% [markdown]
# ## What you saw
#
# Where ReLU gives 0 its gradient is 0, and what is 0 for all images can never learn. Too large a learning rate is the
# common cause. Look at the share of zeros per layer: the table that `print(tinycnn.trace(model, images))` gives has it.
#
# ## Try
#
# 1. Train with `tinycnn.Adam()` instead of `SGD`. How many units die?
# 2. Start every bias of the first layer at -1 (`model.layers[0].params["bias"][...] = -1` after `model.build((2,))`).
