"""`predict_image` and `predict_folder`: image files through a model that knows how its images were made."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tinycnn.arguments import as_path, one_of, positive_int
from tinycnn.data.dataset import SCALE, BadFile
from tinycnn.data.decode import decode_image, load_image
from tinycnn.data.layout import worker_threads
from tinycnn.data.source import FolderSource, read_file
from tinycnn.files import PathLike
from tinycnn.layers.activation import Sigmoid
from tinycnn.npz import field
from tinycnn.training.prediction import predict

if TYPE_CHECKING:
    from tinycnn.model import Sequential

NAMED = 5  # files that an error names


class Prediction(NamedTuple):
    """What a model calls an image; ``print`` it for the short form.

    Attributes
    ----------
    path : str
    predicted : str
        The class with the largest probability.
    probabilities : dict of str to float
        Of every class, by name; of whatever it is shown, a model says one of its classes.
    distance : float or None
        From the training images, where `predict_files` was given what measures it.

    Examples
    --------
    >>> print(Prediction("x.jpg", "cat", {"cat": 0.93, "dog": 0.07}))
    x.jpg: cat (93 %)
    """

    path: str
    predicted: str
    probabilities: dict[str, float]
    distance: float | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.predicted} ({100 * self.probabilities[self.predicted]:.0f} %)"


class ImageFacts(NamedTuple):
    """What a model knows of its images: the first two from its shapes, the others from its ``metadata``.

    Attributes
    ----------
    size : (int, int)
        Height and width.
    mode : "RGB" or "L"
    class_names : list of str
    keep_aspect : bool
        Of `load_image`.
    scale : float
        What the bytes of an image are multiplied by.
    """

    size: tuple[int, int]
    mode: str
    class_names: list[str]
    keep_aspect: bool
    scale: float

    def load(self, path: PathLike) -> np.ndarray:
        """The image file at `path` as uint8 (height, width, channels); errors as of `load_image`."""
        return load_image(path, self.size, self.mode, keep_aspect=self.keep_aspect)

    def inputs(self, images: np.ndarray) -> np.ndarray:
        """uint8 images as the model takes them: as they are, if it is 1/255 by which it scales them itself."""
        return images if self.scale == SCALE else images * np.float32(self.scale)


def image_facts(model: "Sequential") -> ImageFacts:
    """What `model` knows of its images, from `fit` on a `Dataset`, from the file it was loaded from, or by hand.

    Raises
    ------
    ValueError
        If it sorts no images into classes, or lacks one of the facts; saying what to do.

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> from tinycnn.model import Sequential
    >>> model = Sequential([Flatten(), Dense(2, activation="softmax")])
    >>> _ = model.build((8, 6, 3))
    >>> model.metadata = {"class_names": ["cat", "dog"], "preprocessing": {"keep_aspect": False, "scale": 1 / 255}}
    >>> image_facts(model)[:4]
    ((8, 6), 'RGB', ['cat', 'dog'], False)
    """
    where = f"model '{model.name}'"
    shape, outputs = model.input_shape or (), model.output_shape or ()
    one_of_two = outputs == (1,) and isinstance(model.last_activation, Sigmoid)
    if len(shape) != 3 or shape[2] not in (1, 3) or len(outputs) != 1 or not (model.ends_in_softmax or one_of_two):
        raise ValueError(
            f"{where} takes {shape or 'nothing yet'} and gives {outputs or 'nothing'}; a model is needed that takes "
            "images (height, width, 1 or 3) and ends in a softmax over its classes, or in one sigmoid for two"
        )
    missing = [key for key in ("class_names", "preprocessing") if key not in model.metadata]
    if missing:
        raise ValueError(
            f"{where} does not know its {' and '.join(missing)}, which an image file needs: fit it on a Dataset, or "
            "give it both by model.metadata.update(class_names=[...], "
            "preprocessing={'keep_aspect': False, 'scale': 1 / 255})"
        )
    names = [str(name) for name in field(model.metadata, "class_names", (list, tuple), f"metadata of {where}")]
    classes = 2 if one_of_two else outputs[0]
    if len(names) != classes or len(set(names)) < classes:
        raise ValueError(f"metadata of {where}: {classes} classes need as many different names, got {names}")
    how = field(model.metadata, "preprocessing", dict, f"metadata of {where}")
    keep_aspect = field(how, "keep_aspect", bool, f"preprocessing of {where}")
    scale = field(how, "scale", float, f"preprocessing of {where}", least=0)
    return ImageFacts(shape[:2], "L" if shape[2] == 1 else "RGB", names, keep_aspect, scale)


def predict_image(model: "Sequential", path: PathLike) -> Prediction:
    """What `model` calls the image file at `path`, made as large and as grey as the images that it was trained on.

    The file is decoded, turned upright and resized as by `load_image_folder`.  What else you did to the images of a
    `Dataset`, such as `equalize`, nobody told the model: do the same to an image of `load_image`, and call `predict`.
    Whether the image is unlike those that the model was trained on, the model cannot say; `tinycnn.study.novelty` can.

    Parameters
    ----------
    model : Sequential
        Fitted on a `Dataset`, loaded from a file that such a model was saved in, or with ``class_names`` and
        ``preprocessing`` in its ``metadata``.
    path : path-like

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If the file is no image, or the model is none that sorts images or does not know how they are made.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from tinycnn import Dataset, Dense, Flatten, Sequential
    >>> from PIL import Image
    >>> images = np.repeat(np.uint8([20, 230] * 8), 64).reshape(16, 8, 8, 1)
    >>> data = Dataset(images, [0, 1] * 8, ("night", "day"))
    >>> model = Sequential([Flatten(), Dense(2, activation="softmax")])
    >>> history = model.fit(data, epochs=20, verbose=0)
    >>> folder = tempfile.mkdtemp()
    >>> model.save(f"{folder}/model.npz")
    >>> Image.new("RGB", (50, 40), "white").save(f"{folder}/x.png")
    >>> prediction = Sequential.load(f"{folder}/model.npz").predict_image(f"{folder}/x.png")
    >>> prediction.predicted, prediction.probabilities["day"] > 0.5
    ('day', True)
    """
    facts = image_facts(model)
    return _named(model, facts, [str(path)], facts.load(path)[None])[0]


def predict_folder(
    model: "Sequential", folder: PathLike, batch_size: int = 16, on_error: str = "raise"
) -> list[Prediction]:
    """`predict_image` of all files in `folder` and the folders below, sorted by path.

    Parameters
    ----------
    model : Sequential
        As of `predict_image`.
    folder : path-like
    batch_size : int
        Images that are decoded, side by side, and held at a time.
    on_error : "raise" or "skip"
        What to do about files that are no images or cannot be read: one ValueError that names the first of them, or
        leave them out, with a warning that does so.

    Returns
    -------
    list of Prediction

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        As of `predict_image`, or if the folder holds no image.
    """
    one_of(on_error, "on_error", ("raise", "skip"))
    if not as_path(folder, "folder").is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    predictions, bad = predict_files(model, files_in([folder]), batch_size)
    listing = "; ".join(f"{path}: {reason}" for path, reason in bad[:NAMED])
    listing += f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    if bad and (on_error == "raise" or not predictions):
        raise ValueError(f'{len(bad)} files cannot be predicted: {listing}. on_error="skip" leaves them out')
    if bad:
        warnings.warn(f"left out {listing}", stacklevel=3)
    return predictions


def files_in(paths: Iterable[PathLike]) -> list[Path]:
    """The files among `paths`, and for each folder all files below it, sorted; each file once.

    Raises
    ------
    ValueError
        Naming a folder that holds no file.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.joinpath(*parts) for parts in FolderSource(path).walk()) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path} holds no file")
        files += inside
    return list(dict.fromkeys(files))


def predict_files(
    model: "Sequential",
    files: Sequence[PathLike],
    batch_size: int = 16,
    distance: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[list[Prediction], list[BadFile]]:
    """`predict_image` of every file that is an image, and the others with what is wrong with them.

    `distance` takes images as the model does and gives a number for each.
    """
    facts, size = image_facts(model), positive_int(batch_size, "batch_size")

    def load(file: PathLike) -> np.ndarray | BadFile:
        try:
            return decode_image(read_file(file), facts.size, facts.mode, keep_aspect=facts.keep_aspect)
        except OSError as error:
            return BadFile(str(file), f"cannot be read: {error.strerror or error}")
        except ValueError as error:
            return BadFile(str(file), str(error))

    predictions: list[Prediction] = []
    bad: list[BadFile] = []
    with ThreadPoolExecutor(worker_threads(None), "tinycnn-files") as pool:
        for start in range(0, len(files), size):
            part = files[start : start + size]
            found = list(zip(part, pool.map(load, part), strict=True))
            bad += [one for _, one in found if isinstance(one, BadFile)]
            good = [(str(path), image) for path, image in found if not isinstance(image, BadFile)]
            if good:
                images = np.stack([image for _, image in good])
                named = _named(model, facts, [path for path, _ in good], images)
                if distance is not None:
                    far = distance(facts.inputs(images)).tolist()
                    named = [one._replace(distance=d) for one, d in zip(named, far, strict=True)]
                predictions += named
    return predictions, bad


def _named(model: "Sequential", facts: ImageFacts, paths: Sequence[str], images: np.ndarray) -> list[Prediction]:
    probabilities = predict(model, facts.inputs(images), len(images))
    if probabilities.shape[1] == 1:
        probabilities = np.hstack([1 - probabilities, probabilities])
    return [
        Prediction(path, facts.class_names[row.argmax()], dict(zip(facts.class_names, row.tolist(), strict=True)))
        for path, row in zip(paths, probabilities, strict=True)
    ]
