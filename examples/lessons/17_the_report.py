# %% [markdown]
# # 17. The report's network, and its two models
#
# **Question.** This project began with a student's report that tells Covid, normal and viral pneumonia apart on chest
# films. You know every part of its network by now. What does the whole do, and how are two such models compared?
#
#     Conv 32, 64, 128 (3x3, same, ReLU), each with a 2x2 max-pool        lessons 1 to 6
#     Dropout 0.3, Flatten, Dense 128, Dropout 0.3, Dense 128             lesson 10
#     Dense 3, softmax, cross-entropy, Adam                               lessons 7 and 8
#
# **Model A** first takes noise off all films with an autoencoder (lesson 14) and uses no class weights. **Model B**
# takes the films as they are and weights the classes (lesson 7). The films here are *drawings*, small and few: the
# lesson shows how it is done, and what comes out says nothing about radiology.

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import Adam, balanced_class_weights, denoise, report_cnn

model = report_cnn()
model.build((256, 256, 3))  # the report's films
rows = tinycnn.anatomy(model).rows
print(f"{model.count_params:,} parameters, {sum(row.forward for row in rows):,} multiplications for one film")
print("dropout", *(layer.rate for layer in model.layers if isinstance(layer, tinycnn.Dropout)))
print(f"{model.count_params / 251:,.0f} parameters for each of the report's 251 training films")
for row in rows:
    if row.parameters:
        print(f"{row.path:9} {row.parameters:10,} parameters {row.forward:12,} multiplications")

# %% [markdown]
#     > 16,887,491 parameters, 677,528,064 multiplications for one film
#     > dropout 0.3 0.3
#     > 67,281 parameters for each of the report's 251 training films
#     > conv2d           896 parameters   56,623,104 multiplications
#     > conv2d_1      18,496 parameters  301,989,888 multiplications
#     > conv2d_2      73,856 parameters  301,989,888 multiplications
#     > dense     16,777,344 parameters   16,777,216 multiplications
#     > dense_1       16,512 parameters       16,384 multiplications
#     > dense_2          387 parameters          384 multiplications
#
# The convolutions do the work and the first dense layer has the weights: 32*32*128 inputs times 128 units. So many
# could learn every film by heart; dropout is there against that. Now drawn films of 32x32 pixels, and twice as many of
# class 0 as of the others:

# %%
train, test, _ = tinycnn.chest_phantoms(n_train=(120, 60, 60), n_test=(120, 60, 60), size=32, mode="L")
weights = balanced_class_weights(train.labels)
print("films of each class", *train.counts().values(), "- class weights", *weights.round(2))
always = np.bincount(test.labels).max() / len(test)
print(f"always saying class 0 is right for {always:.2f} of the test films")

# %% [markdown]
#     > films of each class 120 60 60 - class weights 0.67 1.33 1.33
#     > always saying class 0 is right for 0.50 of the test films
#
# That last number is what accuracy has to be compared with. *Balanced* accuracy, the mean of the three classes' recalls
# (the share of its films that are found), is a third for it. Train both models:

# %%
tinycnn.set_winograd("off")  # its kernels would take longer to compile than films this small to train
autoencoder = tinycnn.denoising_autoencoder(channels=1, filters=(16,), seed=0)
tinycnn.fit_autoencoder(autoencoder, train, epochs=5, batch_size=8, optimizer=Adam(0.006), verbose=0)
a, b = report_cnn(seed=0), report_cnn(seed=0)
cleaned = denoise(autoencoder, test)
histories = {
    "A": a.fit(denoise(autoencoder, train), epochs=12, verbose=0),
    "B": b.fit(train, epochs=12, class_weight=weights, verbose=0),
}
predictions = {"A": a.predict(cleaned).argmax(axis=1), "B": b.predict(test).argmax(axis=1)}
tinycnn.set_winograd("auto")
found = {}
for name, called in predictions.items():
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (test.labels, called), 1)  # row: true class, column: what the network said
    assert np.array_equal(matrix, tinycnn.confusion_matrix(test.labels, called))
    found[name] = matrix, np.diag(matrix) / matrix.sum(axis=1)
    right = int(np.trace(matrix))
    low, high = tinycnn.wilson_interval(right, len(test))
    print(f"{name}: {right} of {len(test)} right, 95 % interval {low:.2f} to {high:.2f},", end=" ")
    print("recalls", *found[name][1].round(2), f"balanced {found[name][1].mean():.2f}")

# %% [markdown]
#     > A: ... of 240 right, 95 % interval ... to ..., recalls ... balanced ...
#     > B: ... of 240 right, 95 % interval ... to ..., recalls ... balanced ...
#
# Read the intervals before the numbers (Wilson 1927). They say how far the accuracy of *this* network may be from what
# it would have on endlessly many such films. Another seed gives another network and yet another number. Two models
# differ for certain only if they do so over several seeds, and a difference within one interval is none.

# %%
apart = np.sum(predictions["A"] != predictions["B"])
print("films that the two call by different names:", "some" if apart else "none")
recall_a, recall_b = found["A"][1], found["B"][1]
print("A finds class 0, the frequent one, more often than the others:", bool(recall_a[0] > recall_a[1:].max()))
print("B's class weights raise the balanced accuracy:", bool(recall_b.mean() > recall_a.mean()))

# %% [markdown]
#     > films that the two call by different names: some
#     > A finds class 0, the frequent one, more often than the others: True
#     > B's class weights raise the balanced accuracy: True
#
# Without weights the network leans towards the class that it sees most. The weights cost some of that class and help
# the others. Which is better depends on what a mistake costs, and that is no question of arithmetic.
#
# On the real films the same two models are `examples/reproduce_report.py`, with five seeds, baselines that look at no
# lung, and test films without near-copies of training films. There a logistic regression on 16x16 thumbnails does
# better than either: a lesson in asking what else the number may mean.

# %%
figure, axes = pictures.panels(1, 3, 12, 3.8, width_ratios=[1, 1, 1.3])
short = [name.split()[1] for name in test.class_names]
for ax, (name, (matrix, recall)) in zip(axes[0], found.items(), strict=False):
    share = matrix / matrix.sum(axis=1, keepdims=True)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(matrix):
        pictures.write(ax, i, j, f"{count}\n{share[i, j]:.0%}", "white" if share[i, j] > 0.55 else pictures.INK)
    ax.set_xticks(range(3), short)
    ax.set_yticks(range(3), short)
    pictures.tidy(ax, f"model {name}: balanced accuracy {recall.mean():.2f}", "called", "true class")
for number, (name, history) in enumerate(histories.items()):
    pictures.curve(axes[0, 2], np.arange(1, 13), history["loss"], number, f"model {name}", marker="os"[number])
axes[0, 2].axhline(np.log(3), color=pictures.INK, linewidth=0.8)
axes[0, 2].legend(fontsize=9)
pictures.tidy(axes[0, 2], "loss in training; the thin line is log 3", "epoch", "loss")
pictures.save(figure, "17_the_report", "The report's network on drawn films: two models, no patients")

# %% [markdown]
# ## What you saw
#
# Sixteen lessons in one network. Its parts can be computed by hand; what its accuracy *means* takes baselines,
# intervals and clean test films. **For research and teaching only, never for diagnosis.**
#
# ## Try
#
# 1. Train model B with `seed=1` and `seed=2`. Which of the numbers above stay?
# 2. Give model A the class weights too. Was it the cleaning or the weights?
