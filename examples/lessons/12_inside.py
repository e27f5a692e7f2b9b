# %% [markdown]
# # 12. A trained network, read from the inside
#
# **Question.** A network has learnt to tell drawn chest films of three kinds apart. What does each of its numbers do?
#
# Nothing in it is hidden. One film goes through the layers, and every number on the way is a sum of products, a maximum
# or a ReLU. The loss then sends a gradient back through the same layers (Rumelhart, Hinton and Williams 1986):
#
#     forward   y = layer_n( ... layer_2(layer_1(x)) )
#     backward  gradient before a layer = (slope of the layer) * (gradient after it)
#
# `tinycnn.trace` runs that pass and keeps all of it. `tinycnn.anatomy` says what each layer costs and sees. And
# `tinycnn.Film`, given to `fit`, looks at the network after every epoch and makes a page of it:

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import Adam, Conv2D, Dense, Flatten, MaxPool2D, Sequential

data = tinycnn.chest_phantoms(n_train=80, n_test=40, size=48, mode="L")
layers = []
for filters in (8, 12, 12):
    layers += [Conv2D(filters, 3, padding="same", activation="relu"), MaxPool2D(2)]
model = Sequential([*layers, Flatten(), Dense(32, activation="relu"), Dense(3, activation="softmax")], seed=0)
movie = tinycnn.Film(pictures.folder() / "12_training.html")
history = model.fit(data.train, epochs=10, optimizer=Adam(0.002), verbose=0, callbacks=[movie])
accuracy = model.evaluate(data.test)["accuracy"]
first, last = (movie.frames[epoch]["layers"] for epoch in (0, -1))
print(f"loss before training, of a network that knows nothing: log 3 = {np.log(3):.2f}")
print(f"mean loss of epoch 1: {history['loss'][0]:.1f}")
print("accuracy on films that it has not seen:", f"{accuracy:.2f},", "better than chance:", bool(accuracy > 0.5))
print(f"open {movie.path.name} in a browser: {len(movie.frames)} epochs")
for path in ("conv2d", "conv2d_2", "dense"):
    step, dead = (f"{first[path][key]:.3f} -> {last[path][key]:.3f}" for key in ("ratio", "dead"))
    print(f"{path:8} length of a step over that of the weights {step}, dead ReLUs {dead}")

# %% [markdown]
#     > loss before training, of a network that knows nothing: log 3 = 1.10
#     > mean loss of epoch 1: 1.1
#     > accuracy on films that it has not seen: 0.6, better than chance: True
#     > open 12_training.html in a browser: 10 epochs
#     > conv2d   length of a step over that of the weights ... -> ..., dead ReLUs ... -> ...
#
# Move the page's slider from epoch to epoch: kernels, activations, gradients and weights of every layer, and at the end
# the loss on a plane around the weights. (Dead are ReLUs that give 0 for all of the eight films that it looks at.)
#
# (The films are drawings whose classes differ in faint patterns, and the network is small. Nothing here says anything
# about patients.) First, what the layers are. `print(tinycnn.anatomy(model))` gives the whole table; here is its core:

# %%
for row in tinycnn.anatomy(model).rows:
    sees = "" if row.receptive_field is None else " sees {} x {} pixels".format(*row.receptive_field)
    print(f"{row.path:16}{row.parameters:7,} weights {row.forward:10,} multiplications{sees}")

# %% [markdown]
# One number of `conv2d` depends on 3x3 pixels. Behind a pooling the same 3x3 kernel reaches twice as far, so deeper
# layers see more and more of the film. The first dense layer holds most weights, the convolutions most of the work:
#
#     > conv2d               80 weights    165,888 multiplications sees 3 x 3 pixels
#     > max_pooling2d         0 weights          0 multiplications sees 4 x 4 pixels
#     > conv2d_1            876 weights    497,664 multiplications sees 8 x 8 pixels
#     > max_pooling2d_1       0 weights          0 multiplications sees 10 x 10 pixels
#     > conv2d_2          1,308 weights    186,624 multiplications sees 18 x 18 pixels
#     > max_pooling2d_2       0 weights          0 multiplications sees 22 x 22 pixels
#     > flatten               0 weights          0 multiplications
#     > dense            13,856 weights     13,824 multiplications sees 48 x 48 pixels
#     > dense_1              99 weights         96 multiplications sees 48 x 48 pixels
#
# Now one film that the network calls right. Everything is in the trace, layer by layer:

# %%
films, labels = data.test.images, data.test.labels
probabilities = model.predict(films)
right = np.flatnonzero(probabilities.argmax(axis=1) == labels)
film = right[probabilities[right, labels[right]].argmin()]  # the one it is least certain of: the gradient is large
seen = tinycnn.trace(model, films[film, None], labels[film, None])
record = seen["conv2d_1"]
print("conv2d_1 saw", record.input.shape, "and gave", record.output.shape)
print("its kernel has the shape", record.params["kernel"].shape, "as has the gradient", record.grads["kernel"].shape)
p = seen["dense_1"].output[0]
assert np.allclose(seen["dense_1"].grad_pre_activation[0], p - np.eye(3)[labels[film]], atol=1e-6)
assert np.isclose(seen.loss, -np.log(p[labels[film]]), rtol=1e-3, atol=1e-5)
print("the last layer's gradient is p - y, as in lesson 7")

# %% [markdown]
#     > conv2d_1 saw (1, 24, 24, 8) and gave (1, 24, 24, 12)
#     > its kernel has the shape (3, 3, 8, 12) as has the gradient (3, 3, 8, 12)
#     > the last layer's gradient is p - y, as in lesson 7
#
# **One number, taken apart.** `terms` says what makes an output: the inputs under its window, the weights, the bias. We
# take the largest output of `conv2d_1` and add up ourselves:

# %%
at = np.unravel_index(record.pre_activation.argmax(), record.pre_activation.shape)  # image, row, column, filter
terms = seen.terms("conv2d_1", at)
image, i, j, f = (int(n) for n in at)
padded = np.pad(record.input[image], ((1, 1), (1, 1), (0, 0)))
window = padded[i : i + 3, j : j + 3]  # (3, 3, 8)
ours = np.sum(window * record.params["kernel"][..., f]) + record.params["bias"][f]
assert np.isclose(terms.total, ours, rtol=1e-4) and np.isclose(terms.total, record.pre_activation[at], rtol=1e-4)
print("the sum of its terms is what the layer gave, and what we add up")
print(terms)

# %% [markdown]
#     > the sum of its terms is what the layer gave, and what we add up
#     > input (0, ... * ... = ...
#     > and ... more, none larger
#     > bias = ...
#     > sum = ...
#
# The same works backwards: `seen.back(layer, index)` says which outputs hand a gradient to one input (lesson 4):

# %%
back = seen.back("conv2d_1", (0, i, j, 0))
assert np.isclose(back.total, record.grad_input[0, i, j, 0], rtol=1e-3, atol=1e-7)
print("the gradient of one input is a sum over its outputs, too")

# %% [markdown]
#     > the gradient of one input is a sum over its outputs, too
#
# Last, the whole pass as one picture: the most telling channels of each layer on the way forward, and below them the
# gradient on its way back. Yellow is positive, blue negative. Frames show what one pixel of the last such layer sees.
# And as a page for the browser, in which every number can be clicked and taken apart as above:

# %%
path, shown = pictures.folder() / "12_inside.png", (int(labels[film]), data.test.class_names)
tinycnn.plot_pass(model, films[film], path, *shown)
page = tinycnn.write_inside_page(path.with_suffix(".html"), model, films[film], *shown)
print(f"open {page.name} in a browser: {page.stat().st_size / 1e6:.1f} MB")
pictures.Image.open(path)

# %% [markdown]
#     > open 12_inside.html in a browser: ... MB
#
# ## What you saw
#
# First layers show edges and brightness, deeper ones are coarser. No single number "is" a disease. But each can be
# taken apart, forward and backward, until only pixels and weights are left.
#
# ## Try
#
# 1. `print(seen)`: in which layer is the share of zeros largest? Where is the gradient longest?
# 2. Take a film that the network calls wrong. At which layer would *you* have noticed?
