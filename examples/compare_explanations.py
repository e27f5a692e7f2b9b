"""Which explanations can be trusted?  Train a network on drawn chest films, then hold every method against the truth.

The drawings' program knows where it put what makes the class, so each method is scored by the share of its heat in
that place, by whether its hottest pixel lies there, and by whether its maps change when the network's weights are
random.  Good scores here are needed for trust elsewhere; they are not enough for it.
``python examples/compare_explanations.py`` takes about a minute, prints the table and writes explanations.png.
For research and teaching only.
"""

import numpy as np

import tinycnn
from tinycnn import Conv2D, Dense, Flatten, MaxPool2D, Sequential
from tinycnn.study.explanations import METHODS, compare_explanations, explanations_table
from tinycnn.study.report.overlays import overlay
from tinycnn.study.report.tables import as_markdown

drawn = {"n_train": 200, "n_test": 40, "size": 96}
data, (_, masks) = tinycnn.chest_phantoms(**drawn, mode="L"), tinycnn.chest_phantom_masks(**drawn)
layers = []
for filters in (16, 32, 32):
    layers += [Conv2D(filters, 3, padding="same", activation="relu"), MaxPool2D(2)]
model = Sequential([*layers, Flatten(), Dense(32, activation="relu"), Dense(3, activation="softmax")])
model.fit(data.train, epochs=8)

films, labels = data.test.images, data.test.labels
right = (model.predict(films).argmax(axis=1) == labels) & masks.any(axis=(1, 2))  # called right, with something to find
films, labels, masks = films[right], labels[right], masks[right]
print(f"\n{len(films)} of {len(data.test)} films are called right and hold a pattern\n")
print(as_markdown(explanations_table(compare_explanations(model, films, labels, masks), masks)))

shown = np.linspace(0, len(films) - 1, 4).round().astype(int)
some, classes = films[shown], labels[shown]
rows = {"film": overlay(some, np.zeros(some.shape[:3])), "the truth": overlay(some, masks[shown])}
for name, explain in METHODS.items():
    maps = explain(model, some, classes)
    rows[name] = overlay(some, maps / np.quantile(maps, 0.99, axis=(1, 2), keepdims=True).clip(1e-9))
title = "What each method calls the reason, below what it is (scales end at the hottest hundredth)"
tinycnn.plot_image_rows(rows, "explanations.png", title=title)
