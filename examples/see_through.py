"""See through a network: train a small one on drawn chest films, then look at every number of one film's pass.

``python examples/see_through.py`` takes about 20 seconds and writes see_through.png.  For research and teaching only.
"""

import tinycnn
from tinycnn import Conv2D, Dense, Flatten, MaxPool2D, Sequential

data = tinycnn.chest_phantoms(n_train=(200, 200, 200), n_test=(20, 20, 20), size=96, mode="L")
layers = []
for filters in (16, 32, 32):
    layers += [Conv2D(filters, 3, padding="same", activation="relu"), MaxPool2D(2)]
model = Sequential([*layers, Flatten(), Dense(32, activation="relu"), Dense(3, activation="softmax")])
model.fit(data.train, epochs=8)
print(model.evaluate(data.test), "\n")
print(tinycnn.anatomy(model), "\n")

film, label = data.test.images[3], int(data.test.labels[3])
seen = tinycnn.trace(model, film[None], [label])
print(seen, "\n\nWhy the second convolution gives what it gives at row 20, column 24 of its filter 5:\n")
print(seen.terms("conv2d_1", (0, 20, 24, 5)))
tinycnn.plot_pass(model, film, "see_through.png", label=label, class_names=data.test.class_names)
