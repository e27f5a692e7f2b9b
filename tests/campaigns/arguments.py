"""Nonsense at each parameter of everything public, the others valid: it works, or tinycnn says in its words why not.

A case is one parameter, which is given every nonsense there is, and then some beside nonsense at another parameter. It
runs in a forked copy of this process, which may ask for one more gigabyte. What passes is a ValueError or TypeError of
a ``raise`` that stands in tinycnn, and what the system says of a file that it names. Nothing of Python's, NumPy's or
numba's own, nothing endless.
"""

import contextlib
import inspect
import io
import mmap
import os
import pathlib
import signal
import traceback
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
from campaign_tools import NONSENSE, in_a_child, limit_memory
from PIL import Image
from toys import spots

import tinycnn
from tinycnn import layers, losses
from tinycnn.members import MemberError
from tinycnn.study.report.scoring import score_predictions

COUNT = 850
PAIRS = 10
SLOW = {"report": 10} | {name: 30 for name in tinycnn.__all__ if name.startswith("plot_")}  # tries of a case
SECONDS, MOST_SECONDS = 20, 100  # for one of them, and for all
IMAGES, LABELS = spots(6, (8, 8, 1))
PROBABILITIES, LOGITS = np.full((6, 3), 1 / 3), np.zeros((6, 3), np.float32)
ODD = [object(), len, dict, Path("nowhere"), b"x", 1j, Fraction(1, 2), np.float64("nan"), np.array("x"), {1: 2}, {"a"}]
ODD += [np.zeros(0), np.zeros((2, 0)), np.array(3), np.full(6, np.nan), np.array([1, None], object), np.arange(6) - 3]
ODD += [np.array(list("abcabc")), np.ones((6, 3), complex), np.eye(3)[LABELS], LABELS + 0.5, LABELS.astype(">i4")]
ODD += [np.ma.masked_array(LABELS, LABELS == 1), IMAGES.astype("M8[s]"), IMAGES.astype(str), IMAGES[:, ::-1, ::2]]
ODD += [IMAGES.astype(">f4"), IMAGES.astype(object), np.full(IMAGES.shape, np.inf), np.zeros((6, 8, 8)), [[1], [1, 2]]]
ODD += [(10**30, 1, 1), (1, 2, 3, 4), ["nothing", 3], 2**31, 2**63, -(2**63) - 1, 1e-300, "1", lambda *a: None]
NONSENSE = NONSENSE + ODD
# Called by the engine in a certain order, or part of how a layer is written: no argument of theirs is a user's.
OF_THE_ENGINE = {"attach", "create", "create_weights", "check_gradient", "check_input", "update", "receive", "received"}
OF_THE_ENGINE |= {"backward_rectified", "forward_rectified", "forward_folded", "folded", "along", "back", "update_all"}
OF_THE_ENGINE |= {"backward_pooled", "backward_linear", "forward_pooled", "pools_into", "geometry", "index", "count"}
OF_THE_ENGINE |= {"run", "prepare"}
OF_OTHERS = {"from_torch", "from_keras", "from_onnx"}  # which take what other libraries made
RECORDS = {"GradcheckResult", "GradientError", "History", "ReliabilityCurve", "RocCurve", "Splits"}
AS_LONG_AS_WANTED = {"epochs", "steps", "samples", "n", "jitter", "blocks", "retries"}  # 10**8 of them is right to run

KNOWN = {ValueError, TypeError, FloatingPointError}  # the last of numbers that a training or a model has made
PLAIN = {__file__, pathlib.__file__, os.__file__, "<frozen posixpath>", inspect.unwrap(np.ndim).__code__.co_filename}
PACKAGE = str(Path(tinycnn.__file__).parent) + os.sep
BY_NAME = {  # whose *arrays have no name to give them by
    "bootstrap_interval": lambda statistic, arrays, n=10, seed=0, confidence=0.9, groups=None: (
        tinycnn.bootstrap_interval(statistic, arrays, n=n, seed=seed, confidence=confidence, groups=groups)
    )
}


def prepare(folder):
    found = list(parameters(folder))
    assert len(found) <= COUNT, f"{len(found)} parameters are more than the {COUNT} cases that each of them is to have"
    return folder, found, set(), mmap.mmap(-1, 1)


def attack(subject, rng):
    folder, found, called, at = subject
    case = rng.bit_generator.seed_seq.entropy[1]  # `rng` was made of the seed and the number of the case
    label, function, valid, parameter = found[case % len(found)]
    used(getattr(function, "__self__", None))  # as it was at first
    if label not in called:  # valid arguments work; and the copies of this process need not compile
        called.add(label)
        quietly(function, valid)
    others = [other for name, _, _, other in found if name == label and other != parameter]
    tries = [{parameter: value} for value in NONSENSE]
    tries += [
        {name: NONSENSE[rng.integers(len(NONSENSE))] for name in (parameter, others[rng.integers(len(others))])}
        for _ in range(PAIRS if others else 0)
    ]
    tries = [nonsense for nonsense in tries if not is_right(function, nonsense)]
    rng.shuffle(tries)
    tries = tries[: SLOW.get(label)]
    try:
        wrong = in_a_child(lambda: said(folder, function, valid, tries, at), MOST_SECONDS)
    except AssertionError as error:
        wrong = f"{shown(tries[at[0]])}: {error}"
    if wrong:
        raise AssertionError(f"{label}: {wrong}")


def is_right(function, nonsense):
    """Whether that is none, or nothing that `function` could know of."""
    for parameter, value in nonsense.items():
        if parameter == "model" and function in (tinycnn.fit, tinycnn.evaluate, tinycnn.predict):
            return True  # they stand below `Sequential`, whose methods they are, and cannot know it
        if parameter in ("augment", "explain", "on_member", "print_fn", "statistic") and callable(value):
            return True  # the user's own function
        if (function, parameter) == (BY_NAME["bootstrap_interval"], "arrays"):
            return True  # the statistic, of the user's own, is what refuses them
        if parameter in AS_LONG_AS_WANTED and type(value) in (int, float) and value > 1000:
            return True
    return False


def said(folder, function, valid, tries, at):
    """A line for each of `tries` in which `function` does wrong; in `at` the one that it is at."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.chdir(folder)  # nonsense may be the path of a file, to be written
    np.set_printoptions(threshold=20, edgeitems=1)  # else each message that shows an array is a page
    lines = []
    for at[0], nonsense in enumerate(tries):
        signal.alarm(SECONDS)  # ends the process
        with contextlib.suppress(Exception):  # a `build` with nonsense may have changed it
            used(getattr(function, "__self__", None))
        limit_memory(10**9)
        try:
            quietly(function, {**valid, **nonsense})
        except (tinycnn.GradientError, MemberError):  # what a gradient check is for, and what a member's code raised
            pass
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if frame.filename not in PLAIN]  # what is raised there is the caller's
            last = own[-1] if own else frames[-1]
            ours = last.filename.startswith(PACKAGE) and last.line.startswith("raise ")
            fine = type(error) in KNOWN and ours
            fine |= isinstance(error, OSError) and names_a_place(error, nonsense)
            if not fine or len(str(error)) > 1000:
                where = f"{Path(last.filename).name}, line {last.lineno}"
                lines.append(f"{shown(nonsense)}: {type(error).__name__} in {where}: {str(error)[:200]}")
    return "\n".join(lines)


def names_a_place(error, nonsense):
    """Whether the system refuses a file, and the error says which."""
    places = [str(value) for value in nonsense.values() if isinstance(value, str | Path)]
    return error.filename is not None or any(place in str(error) for place in places)


def shown(nonsense):
    return ", ".join(f"{key}={str(value)[:60]!r}" for key, value in nonsense.items())


def quietly(function, arguments):
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = function(**arguments)
        if inspect.isgenerator(result):  # nothing of it has run yet
            next(result, None)


def parameters(folder):
    """Yield (how it is called, function, valid arguments, name of a parameter) for all of them."""
    examples, special = by_parameter(folder), by_function(folder)
    for name, function in callables(examples, special):
        signature = inspect.signature(function).parameters.values()
        takes = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD or p.kind is p.KEYWORD_ONLY]
        valid = {p.name: examples[p.name] for p in signature if p.default is p.empty and p.name in examples}
        if isinstance(layer := getattr(function, "__self__", None), layers.Layer) and layer.output_shape:
            valid |= {key: np.ones((6, *layer.output_shape)) for key in ("grad_y", "grad") if key in takes}
        if "state" in takes:
            valid["state"] = function.__self__.state_dict()
        valid |= special.get(name, {})
        for parameter in takes:
            yield name, function, valid, parameter


def callables(examples, special):
    """Yield (name, function, class or method of a small object that has run)."""
    for name in tinycnn.__all__:
        value = BY_NAME.get(name) or getattr(tinycnn, name)
        if inspect.ismodule(value) or name in OF_OTHERS or name in RECORDS or value is layers.Layer:
            continue
        yield name, value
        if inspect.isclass(value) and not issubclass(value, tinycnn.Callback):
            needed = [p.name for p in inspect.signature(value).parameters.values() if p.default is p.empty]
            made = used(value(**({key: examples[key] for key in needed if key in examples} | special.get(name, {}))))
            for method, _ in inspect.getmembers(value, inspect.isroutine):
                if not method.startswith("_") and method not in OF_THE_ENGINE:
                    yield f"{name}.{method}", getattr(made, method)


def used(thing):
    """`thing` after a first use, so that each of its methods may be called."""
    if isinstance(thing, tinycnn.Sequential):
        thing.build((8, 8, 1))
        thing.forward(IMAGES)
        thing.metadata = dict(tinycnn.Dataset(IMAGES, LABELS, ("a", "b", "c")).facts)
    elif isinstance(thing, layers.Layer):
        thing.forward(IMAGES.reshape(6, -1) if isinstance(thing, tinycnn.Dense) else IMAGES)
    elif isinstance(thing, losses.Loss):
        thing.forward(LOGITS, LABELS if isinstance(thing, tinycnn.CrossEntropy) else PROBABILITIES)
    return thing


def network(units=3):
    model = tinycnn.Sequential(
        [tinycnn.Conv2D(2, 3, padding="same", activation="relu"), tinycnn.Flatten(), tinycnn.Dense(units, "softmax")]
    )
    model.build((8, 8, 1))
    model.forward(IMAGES)
    model.backward(np.ones((6, units)))
    return model


def by_parameter(folder):
    """A valid argument for each name of a parameter."""
    model, run = network(), {"loss": [1.0, 0.5], "val_loss": [1.0, 0.7]}
    model.save(folder / "model.npz")
    scores = score_predictions(LABELS, PROBABILITIES, ["a", "b", "c"])
    films = {"name": "films", "class_names": ["a", "b"], "image_shape": [8, 8, 1], "sha256": "0" * 64}
    films |= {"train": {"a": 5, "b": 5}, "test": {"a": 1, "b": 2}}
    report = {"results": {"all 6 test images": scores}, "data": films, "settings": {"seed": 0}, "synthetic": False}
    report |= {"model": {"name": "report_cnn", "parameters": 1000}, "versions": {"tinycnn": "0.1.0"}}
    return {
        "activation": "relu",
        "attributions": np.ones((6, 8, 8, 1)),
        "average": "macro",
        "batch_size": 4,
        "boundaries": [5, 9],
        "channel": 0,
        "class_names": ["a", "b", "c"],
        "classes": 3,
        "confidence": 0.9,
        "curves": {},
        "data": (IMAGES, LABELS),
        "decay_rate": 0.5,
        "decay_steps": 10,
        "dtype": np.float32,
        "filters": 4,
        "folder": folder / "ensemble",
        "grad": np.ones((6, 3)),
        "groups": LABELS,
        "history": run,
        "image": IMAGES[0],
        "images": IMAGES,
        "indices": [0, 2],
        "initial_learning_rate": 0.1,
        "input_shape": (8, 8, 1),
        "jobs": {"two": 2},
        "kernel_size": 3,
        "labels": LABELS,
        "layer": "conv2d",
        "layers": [tinycnn.ReLU()],
        "level": 0.1,
        "logits": LOGITS,
        "make_and_train": float,
        "maps": np.ones((6, 8, 8)),
        "masks": np.ones((6, 8, 8), bool),
        "matrix": np.eye(3, dtype=int),
        "members": [network(), network()],
        "model": model,
        "n": 10,
        "n_test": 1,
        "n_train": 2,
        "name": "it",
        "parameters": list(model.parameters()),
        "path": folder / "model.npz",
        "probabilities": PROBABILITIES,
        "rate": 0.3,
        "report": report,
        "rng": np.random.default_rng(0),
        "rows": {"a": IMAGES, "b": IMAGES},
        "scores": PROBABILITIES[:, 0],
        "size": 16,
        "source": folder / "images",
        "statistic": np.mean,
        "successes": 3,
        "target": folder / "stripped",
        "target_shape": (8, 8),
        "temperature": 2.0,
        "tile": "auto",
        "titles": ["a"] * 6,
        "train": (IMAGES, LABELS),
        "units": 3,
        "values": [0.1, 0.2, 0.3],
        "weights": model.get_weights(),
        "x": IMAGES,
        "y_pred": LABELS,
        "y_true": LABELS,
    }


def by_function(folder):
    """Arguments for one function that differ from those, or make it quick."""
    small = {"n_train": 2, "n_test": 1, "size": 16}
    short = {"epochs": 1, "verbose": 0}
    picture = {"path": folder / "picture.png"}
    curve, roc = tinycnn.reliability_curve(PROBABILITIES, LABELS), tinycnn.roc_curve(LABELS > 0, LABELS)
    films = tinycnn.chest_phantoms(2, 1, 16, mode="L")
    classifier = tinycnn.small_vgg(3, (2,))
    classifier.build((16, 16, 1))
    encoder = tinycnn.denoising_autoencoder(1, (2,))
    encoder.build((16, 16, 1))
    tinycnn.Ensemble([network(), network()]).save(folder / "ensemble")
    tinycnn.save_safetensors({"a": IMAGES}, folder / "b.safetensors")
    (folder / "images").mkdir()
    for split in ("train", "test"):
        for kind in "ab":
            (folder / "films" / split / kind).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(IMAGES[i, ..., 0]).save(folder / "films" / split / kind / f"{i}.png")
    return {
        "chest_phantoms": small,
        "chest_phantom_masks": small,
        "fit": short,
        "Sequential.fit": short,
        "fit_autoencoder": {"model": encoder, "data": films.train, **short},
        "denoise": {"model": encoder, "data": films.train},
        "audit": {"data": folder / "films", "workers": 1},
        "load_image_folder": {"path": folder / "films", "size": 8, "workers": 1},
        "lung_field_mask": {"images": films.train.images},
        "strip_metadata": {"source": folder / "films", "workers": 1},
        "bootstrap_interval": {"arrays": LABELS},
        "feature_visualization": {"steps": 2},
        "smooth_grad": {"samples": 2},
        "integrated_gradients": {"steps": 2},
        "plot_confusion_matrix": picture,
        "plot_history": picture,
        "plot_overlays": picture,
        "plot_sample_grid": picture,
        "plot_image_rows": picture,
        "plot_pass": picture,
        "plot_reliability": {**picture, "curves": {"a": curve}},
        "plot_roc": {**picture, "curves": {"a": roc}},
        "roc_curve": {"y_true": LABELS > 0},
        "set_kernels": {"name": "fast"},
        "set_num_threads": {"n": 2},
        "gradcheck": {"target": tinycnn.Dense(2), "x": LOGITS},
        "write_html_report": {"path": folder / "report.html"},
        "write_inside_page": {"path": folder / "inside.html"},
        "write_model_card": {"path": folder / "CARD.md"},
        "Parallel": {"branches": [[tinycnn.Conv2D(1, 3, padding="same")], [tinycnn.ReLU()]]},
        "Film": {"path": folder / "film.html"},
        "Rescaling": {"scale": 0.5},
        "report": {"model": classifier, "train": films.train, "test": films.test, "out": folder / "report"},
        "save_safetensors": {"tensors": {"a": IMAGES}, "path": folder / "a.safetensors"},
        "load_safetensors": {"path": folder / "b.safetensors"},
        "to_onnx": {"path": folder / "a.onnx"},
        "CSVLogger": {"path": folder / "log.csv"},
        "Checkpoint": {"path": folder / "run.npz"},
        "Sequential": {"layers": network().layers},
        "Sequential.get_layer": {"name": "conv2d"},
        "Sequential.predict_folder": {"folder": folder / "films/test/a"},
        "Sequential.predict_image": {"path": folder / "films/test/a/0.png"},
        "Dense.build": {"input_shape": (64,)},
        "Dense.forward": {"x": IMAGES.reshape(6, -1)},
        "Dense.forward_linear": {"x": IMAGES.reshape(6, -1)},
        "Dense.output_shape_of": {"input_shape": (64,)},
        "UpSample2D": {"size": 2},
        "Reshape": {"target_shape": (8, 8)},
        "Dataset": {"paths": (), "labels": np.arange(6) % 3},
        "Dataset.split": {"share": 0.5},
        "Residual": {"layers": [tinycnn.Conv2D(1, 3, padding="same")]},
        "MeanSquaredError.forward": {"labels": PROBABILITIES},
        "BinaryCrossEntropy.forward": {"labels": PROBABILITIES},
    }
