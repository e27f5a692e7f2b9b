# %% [markdown]
# # 15. Heat maps, and when they lie
#
# **Question.** A heat map shows "where the network looks". How far can one believe it?
#
# Grad-CAM (Selvaraju and others 2017) takes the maps A[i, j, k] of the last convolution and a class's logit s:
#
#     weight[k] = mean over i, j of  ds / dA[i, j, k]
#     heat[i, j] = max(0, sum over k of  weight[k] * A[i, j, k])
#
# To judge it one needs to know the truth. So we build a trap: in training, each film of class 0 has a small bright mark
# in its upper left corner. We *know* what a network will use.

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import Adam, Conv2D, Dense, Flatten, GlobalAveragePool2D, MaxPool2D, Sequential

data = tinycnn.chest_phantoms(n_train=60, n_test=20, size=48, mode="L")


def marked(images, which):
    images = images.copy()
    images[which, 2:8, 2:8] = 255
    return images


def trained(head, rate, epochs):
    layers = [Conv2D(8, 3, padding="same", activation="relu"), MaxPool2D(2)]
    layers += [Conv2D(16, 3, padding="same", activation="relu"), MaxPool2D(4), head, Dense(3, activation="softmax")]
    model = Sequential(layers, seed=0)
    films, labels = marked(data.train.images, data.train.labels == 0), data.train.labels
    model.fit((films, labels), epochs=epochs, optimizer=Adam(rate), verbose=0)
    return model


def called_0(model, images):
    return (model.predict(images).argmax(axis=1) == 0).mean()


model = trained(Flatten(), 0.001, 8)
zero, one = (data.test.images[data.test.labels == k] for k in (0, 1))
films = marked(zero, slice(None))
print(f"called class 0: with the mark {called_0(model, films):.2f}, without {called_0(model, zero):.2f}", end="")
print(f"; films of class 1 with the mark {called_0(model, marked(one, slice(None))):.2f}")

# %% [markdown]
#     > called class 0: with the mark 1.0, without 0.0; films of class 1 with the mark 1.0
#
# The network has learnt the mark alone. Does the heat map say so? We ask how much of the heat lies in the corner:

# %%
corner = np.zeros((20, 48, 48), bool)
corner[:, :12, :12] = True


def heat_of(model):  # and the mean share of the heat that lies in the corner
    heat = tinycnn.grad_cam(model, films, class_index=0, layer="max_pooling2d_1")  # (20, 48, 48)
    return heat, np.nan_to_num(tinycnn.mass_inside(heat, corner)).mean()


heat, share = heat_of(model)
print(f"the corner is {corner.mean():.2f} of the film; Grad-CAM has {share:.2f} of its heat there")
print(f"films whose map is 0 everywhere: {(heat.max(axis=(1, 2)) == 0).mean():.2f}")

# %% [markdown]
#     > the corner is 0.06 of the film; Grad-CAM has 0.0 of its heat there
#     > films whose map is 0 everywhere: 1.0
#
# The map is *empty*: nothing speaks for class 0, it says, while the network is certain of it. How can that be? In this
# network the score is a plain sum over the places of the last maps, so what each place adds is known **exactly**:
#
#     s = bias + sum over i, j, k of  A[i, j, k] * W[i, j, k]        part[i, j] = sum over k of  A[i, j, k] * W[i, j, k]


# %%
def parts_of(model):
    """What each of 6x6 places adds to the score of class 0."""
    A = tinycnn.feature_maps(model, films, "max_pooling2d_1")  # (20, 6, 6, 16)
    W = model.layers[-1].params["kernel"][:, 0]
    W = W.reshape(A.shape[1:]) if W.size > 16 else W / 36  # a mean over 36 places: each has the same share
    parts = (A * W).sum(axis=3)
    score = parts.sum(axis=(1, 2)) + model.layers[-1].params["bias"][0]
    assert np.allclose(score, model.forward(films, logits=True)[:, 0], atol=1e-3)
    return np.maximum(parts, 0).repeat(8, axis=1).repeat(8, axis=2)


exact = parts_of(model)
weights = model.layers[-1].params["kernel"][:, 0].reshape(6, 6, 16)
print(f"of all that speaks for class 0, the corner has {tinycnn.mass_inside(exact, corner).mean():.2f}")
hidden = np.maximum(tinycnn.occlusion(model, films, 0), 0)  # what the score loses when a place is covered
print(f"by covering places one by one: {tinycnn.mass_inside(hidden, corner).mean():.2f}")
print(f"weights of class 0: mean in the corner {weights[0, 0].mean():.2f}, elsewhere {weights[1:, 1:].mean():.2f}")

# %% [markdown]
#     > of all that speaks for class 0, the corner has 0.6
#     > by covering places one by one: 0.8
#     > weights of class 0: mean in the corner 0.06, elsewhere -0.01
#
# The truth is in the corner, and covering it shows that too (*occlusion*, Zeiler and Fergus 2014). Grad-CAM takes the
# *mean* of the gradient over all places, and here the gradient is W: up in the corner, down nearly everywhere else. The
# mean is below 0, and max(0, ...) leaves nothing (Draelos and Carin 2020; their HiResCAM is exact here).
#
# **When is Grad-CAM right?** When every place has the same weights, as behind a global average. The same trap again:

# %%
averaging = trained(GlobalAveragePool2D(), 0.01, 20)
heat_averaged, share = heat_of(averaging)
print(f"called class 0: with the mark {called_0(averaging, films):.2f}, without {called_0(averaging, zero):.2f}")
true_share = tinycnn.mass_inside(parts_of(averaging), corner).mean()
print(f"in the corner: {share:.2f} of Grad-CAM's heat, {true_share:.2f} of the exact parts")

# %% [markdown]
#     > called class 0: with the mark 1.0, without 0.0
#     > in the corner: 0.7 of Grad-CAM's heat, 0.7 of the exact parts
#
# Here the two are the same. **One check more**, for any map: replace the weights by random ones, from the last layer
# down (Adebayo and others 2018). A map that stays as it was shows edges of the film, whatever the network:

# %%
likeness = tinycnn.randomization_check(averaging, films, layer="max_pooling2d_1")  # rank correlations
print("another map, if random down to", {name: bool(value < 0.9) for name, value in likeness.items()})

# %% [markdown]
#     > another map, if random down to {'dense': True, 'conv2d_1': True, 'conv2d': True}

# %%
figure, axes = pictures.panels(1, 4, 12, 3.5)
pictures.show(axes[0, 0], films[7, :, :, 0], "a film with the mark", largest=255)
maps = {"Grad-CAM, flattening network: all 0": heat, "what really counts there": exact}
maps["Grad-CAM, averaging network"] = heat_averaged
for ax, (name, values) in zip(axes[0, 1:], maps.items(), strict=True):
    pictures.show(ax, films[7, :, :, 0], name, largest=255)
    ax.imshow(values[7] / (values[7].max() or 1), cmap="inferno", alpha=0.55, vmin=0, vmax=1)
for ax in axes[0]:
    pictures.frame(ax, 2, 2, 6, 6, pictures.SKY)
pictures.save(figure, "15_heat_maps", "Both networks know the mark alone. One heat map says so, the other says nothing")

# %% [markdown]
# ## What you saw
#
# A heat map is a calculation with assumptions, not a look into a mind. Build a case with a known answer before you
# trust a method. Changing the films tells more: without the mark, no film is called class 0.
#
# ## Try
#
# 1. Put the mark at a random place in each film. Is Grad-CAM of the flattening network still empty?
# 2. Run `examples/compare_explanations.py`: six methods, held against what was drawn. Which would you trust?
