# %% [markdown]
# # 7. Softmax, cross-entropy, and why the gradient is p - y
#
# **Question.** A network ends in one number per class, its *logits* z. How do they become probabilities, how is a wrong
# answer punished, and what does the punishment say to each logit?
#
#     p[j] = exp(z[j]) / sum over k of exp(z[k])        softmax: positive, and the sum is 1
#     L    = -log p[t]                                  cross-entropy, t the true class
#
# L is 0 if the true class has probability 1, and grows without bound as its probability falls towards 0.
#
# **The gradient**, with the pencil. Since L = -z[t] + log(sum of exp(z[k])),
#
#     dL/dz[j] = -[j = t]  +  exp(z[j]) / sum of exp(z[k])  =  p[j] - y[j]
#
# with y[j] = 1 for the true class and 0 for the others. Each class is told by how much its probability is too large.
# The exponential of the softmax and the logarithm of the loss cancel, and that is why networks take them together.

# %%
import numpy as np
import pictures

from tinycnn import CrossEntropy, balanced_class_weights
from tinycnn.reference_training import numerical_gradient


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # nothing larger than exp(0): no overflow
    return e / e.sum(axis=-1, keepdims=True)


z = np.array([[2.0, 1.0, 0.1], [0.5, 2.5, 0.0], [3.0, 0.2, 0.3]])  # three images, three classes
labels = np.array([0, 2, 0])
y, p = np.eye(3)[labels], softmax(z)
for i in range(3):
    print(f"image {i}, class {labels[i]}: p =", *p[i].round(2), f"  loss {-np.log(p[i, labels[i]]):.2f}", end="")
    print("   p - y =", *(p - y)[i].round(2))

# %% [markdown]
# Images 0 and 2 are called right. Image 1 is called class 1, wrongly, and its loss is large:
#
#     > image 0, class 0: p = 0.66 0.24 0.1   loss 0.42   p - y = -0.34 0.24 0.1
#     > image 1, class 2: p = 0.11 0.82 0.07   loss 2.70   p - y = 0.11 0.82 -0.93
#     > image 2, class 0: p = 0.89 0.05 0.06   loss 0.12   p - y = -0.11 0.05 0.06
#
# Each row of p - y adds up to 0: what the true class gains, the others lose. (Adding one number to all logits changes
# no probability, so no gradient may point there.) The loss of a batch is the *mean* over its images, so its gradient is
# (p - y) / n. Ours, finite differences and the engine:

# %%
loss = CrossEntropy()
value = loss.forward(z, labels)
assert np.allclose(loss.backward(), (p - y) / 3)
assert np.allclose(loss.backward(), numerical_gradient(lambda z: loss.forward(z, labels), z))
print(f"mean loss {value:.3f}, engine, pencil and finite differences agree")

# %% [markdown]
#     > mean loss 1.078, engine, pencil and finite differences agree
#
# **Why subtract the largest logit?** Because exp(1000) is too large for a computer:

# %%
large = np.array([1000.0, 0.0])
with np.errstate(over="ignore", invalid="ignore"):
    print("naive:", np.exp(large) / np.exp(large).sum(), "  after subtracting the largest:", softmax(large))

# %% [markdown]
#     > naive: [nan  0.]   after subtracting the largest: [1. 0.]
#
# **Class weights.** If one class has twice the images of another, the network hears twice as much of it. The usual
# remedy multiplies the loss of each image by a weight of its true class. The weight multiplies L, so it multiplies
# every derivative of L: the whole **row** of the gradient. A weight per *column*, which has the same shape and looks
# as plausible, is wrong, and the row would no longer add up to 0:

# %%
counts = np.array([8, 4, 2])
everyone = np.repeat(np.arange(3), counts)
w = balanced_class_weights(everyone)
assert np.allclose(w, counts.sum() / (3 * counts))  # images / (classes * images of the class)
print("weights", *w.round(3), "- the mean over all images is", f"{w[everyone].mean():.1f}")
weighted = CrossEntropy(class_weight=w)
weighted.forward(z, labels)
rows, columns = w[labels][:, None] * (p - y) / 3, w[None, :] * (p - y) / 3
assert np.allclose(weighted.backward(), rows)
numeric = numerical_gradient(lambda z: weighted.forward(z, labels), z)
print(f"difference to finite differences: rows {np.abs(rows - numeric).max():.6f}", end="")
print(f", columns {np.abs(columns - numeric).max():.3f}")
print("sums of the rows: weighted by row", rows.sum(axis=1).round(3) + 0.0, " by column", columns.sum(axis=1).round(3))

# %% [markdown]
#     > weights 0.583 1.167 2.333 - the mean over all images is 1.0
#     > difference to finite differences: rows 0.000000, columns 0.319
#     > sums of the rows: weighted by row [0. 0. 0.]  by column [ 0.105 -0.384  0.045]
#
# As in Keras, the sum of the weighted losses is divided by the number of images. PyTorch divides by the sum of their
# weights. Both are in use; a learning rate that suits one may not suit the other.

# %%
figure, axes = pictures.panels(1, 3, 12, 3.5, sharey=True)
at = np.arange(3)
for i, ax in enumerate(axes[0]):
    ax.bar(at - 0.27, p[i], 0.25, color=pictures.BLUE, label="probability p")
    ax.bar(at, (p - y)[i], 0.25, color=pictures.ORANGE, hatch="//", edgecolor="white", label="gradient p - y")
    weighed = w[labels[i]] * (p - y)[i]
    ax.bar(at + 0.27, weighed, 0.25, color=pictures.YELLOW, hatch="..", edgecolor="white", label="with class weight")
    ax.axhline(0, color=pictures.INK, linewidth=0.8)
    ax.set_xticks(at, [f"class {k}" + (" (true)" if k == labels[i] else "") for k in at])
    loss_of = -np.log(p[i, labels[i]])
    pictures.tidy(
        ax, f"image {i}: loss {loss_of:.2f}, weight {w[labels[i]]:.2f}", "", "" if i else "probability, gradient"
    )
axes[0, 0].legend(fontsize=8, loc="lower right")
pictures.save(figure, "07_softmax", "What the loss says to each logit: raise the true class, lower the others")

# %% [markdown]
# ## What you saw
#
# The gradient of softmax with cross-entropy is p - y: bounded, large where the network is wrong, and close to 0 where
# it is right. A class weight belongs to an image, a row (Bishop, *Pattern Recognition and Machine Learning*, 2006).
#
# ## Try
#
# 1. Which loss has a network that knows nothing, p = 1/3 for all? Remember that number: training starts near it.
# 2. Use (p - y)^2 as the loss. What is its gradient where the network is certain and wrong?
