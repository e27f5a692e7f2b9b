"""See through a network: train a small one on drawn chest films, then look at every number of one film's pass.

``python examples/see_through.py`` takes about 20 seconds and writes see_through.png.  For research and teaching only.
"""

from PIL import Image

import tinycnn
from tinycnn import Conv2D, Dense, Flatten, MaxPool2D, Sequential

data = tinycnn.chest_phantoms(n_train=(200, 200, 200), n_test=(20, 20, 20), size=96, mode="L")
layers = []
for filters in (16, 32, 32):
    layers += [Conv2D(filters, 3, padding="same", activation="relu"), MaxPool2D(2)]
model = Sequential([*layers, Flatten(), Dense(32, activation="relu"), Dense(3, activation="softmax")])
model.fit(data.train, epochs=8)
print(f"\n{tinycnn.anatomy(model)}\n")

films, labels = data.test.images, data.test.labels
right = int((model.predict(films).argmax(axis=1) == labels).argmax())  # the first film that is called right
seen = tinycnn.trace(model, films[right, None], labels[right, None])
print(f"{seen}\n\nWhat makes the second convolution's output at row 20, column 24 of filter 5, before its ReLU:\n")
print(seen.terms("conv2d_1", (0, 20, 24, 5)))

tinycnn.plot_pass(model, films[right], "see_through.png", int(labels[right]), data.test.class_names)
Image.open("see_through.png").convert("RGB").quantize(256).save("see_through.png", optimize=True)  # half the size
