"""One film through a small network, forward and backward, every step by itself, as one picture.

Trains on synthetic films for some seconds.  ``python examples/see_through.py --help`` lists the options.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tinycnn import Conv2D, CrossEntropy, Dense, Flatten, MaxPool2D, Sequential, chest_phantoms
from tinycnn.files import atomic_write
from tinycnn.layers.steps import plan
from tinycnn.study.notices import NOTICE

SHOWN = 4  # channels of each layer, the most varied ones


def network(seed=0):
    """Two convolutions, two pools, two dense layers."""
    return Sequential(
        [
            Conv2D(8, 5, padding="same", activation="relu"),
            MaxPool2D(2),
            Conv2D(16, 3, padding="same", activation="relu"),
            MaxPool2D(2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(3, activation="softmax"),
        ],
        seed=seed,
    )


def passes(model, image, label):
    """Name, output and gradient of the loss to that output of each layer, for one image; and the probabilities."""
    loss, x = CrossEntropy(), model.prepare(image[None])
    steps, head = plan(model.layers, fuse=False)
    outputs = [x.copy()]
    for step in steps:
        outputs.append(step.forward(outputs[-1]).copy())
    loss.forward(outputs[-1], [label])
    gradients = [loss.backward()]
    for step in reversed(steps):
        gradients.insert(0, step.backward(gradients[0]).copy())
    names = ["film", *(step.layers[0].name for step in steps)]
    return list(zip(names, outputs, gradients, strict=True)), head[0].forward(outputs[-1])[0]


def mosaic(channels, chosen):
    """The chosen channels of (rows, columns, channels) as one picture, two by two, with a gap between."""
    rows, columns, _ = channels.shape
    gap = max(1, rows // 16)
    side = 2 if len(chosen) > 1 else 1
    picture = np.full((side * (rows + gap) - gap, side * (columns + gap) - gap), np.nan)
    for i, channel in enumerate(chosen):
        top, left = i // side * (rows + gap), i % side * (columns + gap)
        picture[top : top + rows, left : left + columns] = channels[..., channel]
    return picture


def draw(model, image, label, class_names):
    """The picture: activations above, gradients below, probabilities at the right."""
    layers, probabilities = passes(model, image, label)
    shown = [row for row in layers if row[1].ndim == 4]
    figure = Figure(figsize=(12.5, 5.0), layout="constrained")
    grid = figure.subplots(2, len(shown) + 1, width_ratios=[*[1] * len(shown), 1.25])
    for (name, output, gradient), (above, below) in zip(shown, grid.T[:-1], strict=True):
        chosen = np.sort(output[0].std(axis=(0, 1)).argsort()[::-1][:SHOWN])
        above.imshow(mosaic(output[0], chosen), cmap="gray")
        above.set_title(f"{name}\n{' x '.join(map(str, output.shape[1:]))}", fontsize=9)
        field = mosaic(gradient[0], chosen)
        largest = np.nanmax(np.abs(field)) or 1.0
        drawn = below.imshow(field, cmap="PuOr_r", vmin=-largest, vmax=largest)
        bar = figure.colorbar(drawn, ax=below, location="bottom", shrink=0.8, aspect=18, pad=0.03)
        bar.set_ticks([-largest, 0, largest], labels=[f"-{largest:.0e}", "0", f"{largest:.0e}"])
        bar.ax.tick_params(labelsize=7)
    for axes in grid.T[:-1].flat:
        axes.set_xticks([])
        axes.set_yticks([])
    grid[0, 0].set_ylabel("forward: what each layer gives", fontsize=9)
    grid[1, 0].set_ylabel("backward: d loss / d output", fontsize=9)
    bars, note = grid[:, -1]
    colours = ["#3b6fb6" if i == label else "0.7" for i in range(len(class_names))]
    bars.barh(class_names, probabilities, color=colours)
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.set_title("softmax", fontsize=9)
    bars.tick_params(labelsize=8)
    bars.spines[["top", "right"]].set_visible(False)
    note.axis("off")
    text = f"True class: {class_names[label]}.\nLoss {-np.log(probabilities[label]):.3f}.\n\n"
    text += "Purple: more of it here would\nlower the loss; orange: raise it.\n"
    text += "Four channels of each layer,\nthose that vary most."
    note.text(0.02, 0.95, text, va="top", fontsize=9)
    figure.supxlabel(f"A synthetic film. {NOTICE}", fontsize=8, color="0.35")
    return figure


def main(arguments=None):
    """Train, draw, save; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("``")[0], allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("see_through.png"), help="the picture (see_through.png)")
    parser.add_argument("--image", type=int, default=0, metavar="N", help="which test film (0)")
    parser.add_argument("--epochs", type=int, default=12, metavar="N", help="passes over the training films (12)")
    options = parser.parse_args(arguments)
    data = chest_phantoms(n_train=(80, 80, 80), n_test=(20, 20, 20), size=64, mode="L")
    model = network()
    model.fit(data.train, epochs=options.epochs)
    if not 0 <= options.image < len(data.test):
        parser.error(f"--image must be from 0 to {len(data.test) - 1}, got {options.image}")
    print(f"accuracy on {len(data.test)} other films: {model.evaluate(data.test)['accuracy']:.2f}")
    figure = draw(model, data.test.images[options.image], data.test.labels[options.image], data.test.class_names)
    with atomic_write(options.out) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
    print(f"saved {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
