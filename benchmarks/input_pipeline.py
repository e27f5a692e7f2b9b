"""Whether training ever waits for its images: what decoding, gathering and augmenting cost beside a training step.

  load          JPEG files of --film pixels read, decoded, made RGB and resized, by all cores, once before training
  gather        16 images copied from the data set into the batch's buffer
  augment       the batch rotated, mirrored, zoomed, shifted, blurred, re-exposed and made noisy; and equalised (CLAHE)
  step          scale by 1/255, forward, backward and update of the report's network
  share         (gather + augment) / (gather + augment + step): the part of training that goes into its input

Times are medians.  The batch is made between two steps, by the same threads, so the share is all that the input costs.

  python benchmarks/input_pipeline.py
  python benchmarks/input_pipeline.py --batch 16 --side 256 --rounds 30 --json
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from command_line import argument_parser, finish, parse
from peers import load_warning, table
from PIL import Image

import tinycnn
from tinycnn.data import Augment, equalize, load_image_folder
from tinycnn.study.films.phantoms import chest_phantoms
from tinycnn.training.batches import Gatherer

AUGMENT = {
    "rotation": 10,
    "flip": 0.5,
    "zoom": 0.2,
    "shift": 0.08,
    "brightness": 0.2,
    "contrast": 0.2,
    "blur": 0.3,
    "noise": 0.05,
}


def arguments():
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--batch", type=int, default=16, help="images per step (default 16)")
    add("--side", type=int, default=256, help="image side in pixels, a multiple of 8 (default 256)")
    add("--film", type=int, default=1024, help="side of the JPEG files in pixels (default 1024)")
    add("--rounds", type=int, default=15, help="repetitions of which the median counts (default 15)")
    return parse(parser, rounds=1, batch=2, side=32, film=64)


def median_seconds(rounds, work):
    """Median time of `work()`; the first call, which compiles and allocates, is not counted."""
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def load_seconds(films, side):
    """Seconds per image of loading a folder of JPEG files."""
    with tempfile.TemporaryDirectory() as folder:
        for i, (film, label) in enumerate(zip(films.images, films.labels, strict=True)):
            path = Path(folder) / "train" / films.class_names[label] / f"{i}.jpeg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(film).save(path, quality=90)
        return median_seconds(3, lambda: load_image_folder(folder, side, splits=("train",))) / len(films)


def measure(options):
    result = load_warning() | {"batch": options.batch, "side": options.side, "film": options.film}
    films = chest_phantoms(n_train=16, n_test=1, size=options.film).train
    result["load_s_per_image"] = load_seconds(films, options.side)
    data = chest_phantoms(n_train=options.batch, n_test=1, size=options.side).train
    rng = np.random.default_rng(0)
    gather, augment = Gatherer(data.images), Augment(**AUGMENT)
    rows = rng.permutation(len(data))[: options.batch]
    batch, labels = gather(rows), data.labels[rows]
    model, optimizer, loss = tinycnn.models.report_cnn(), tinycnn.Adam(), tinycnn.CrossEntropy()
    model.build(data.images.shape[1:])

    def step():
        loss.forward(model.run(batch, training=True, logits=True), labels)
        model.backward(loss.backward(), input_grad=False)
        optimizer.step(model.parameters())

    result["seconds"] = {
        "gather": median_seconds(options.rounds, lambda: gather(rows)),
        "augment": median_seconds(options.rounds, lambda: augment(batch, rng)),
        "equalize": median_seconds(options.rounds, lambda: equalize(batch)),
        "step": median_seconds(options.rounds, step),
    }
    return result


def report(result):
    seconds, batch, side = result["seconds"], result["batch"], result["side"]
    step = seconds["step"]
    rows = [
        [name, f"{1000 * value:.2f}", f"{batch / value:.0f}", f"{value / step:.3f}"] for name, value in seconds.items()
    ]
    print(f"batch {batch} of {side}x{side}x3, {tinycnn.get_num_threads()} threads\n")
    print(table(rows, ["", "ms a batch", "images/s", "of a step"]))
    film, load = result["film"], 1 / result["load_s_per_image"]
    print(f"\nload: {load:.0f} images/s from JPEG files of {film}x{film} pixels")
    made = seconds["gather"] + seconds["augment"]
    print(f"share of training that goes into the batch, gathered and augmented: {made / (made + step):.1%}")
    made += seconds["equalize"]
    print(f"the same, equalised as well: {made / (made + step):.1%}")


def main():
    options = arguments()
    finish(options, measure(options), report)


if __name__ == "__main__":
    main()
