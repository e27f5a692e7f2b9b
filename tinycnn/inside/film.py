"""A film of a training run: what becomes of kernels, activations, gradients and weights, epoch by epoch."""

import copy
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinycnn.arguments import as_path, count
from tinycnn.inside.film_frame import frame_of
from tinycnn.inside.film_page import write_film_page
from tinycnn.inside.film_strip import write_gif
from tinycnn.inside.landscape import LossSlice, loss_slice
from tinycnn.layers.base import positive_int
from tinycnn.training.callbacks import Callback
from tinycnn.training.stream import Stream

FRAMES = 200  # at most; of a longer run every second, fourth, ... epoch is kept


class Film(Callback):
    """Film a training run, for ``fit(..., callbacks=[Film("film.html")])``.

    After each epoch a few training images are traced through a copy of the model.  The page shows, with a slider over
    the epochs: the first convolution's kernels; for each layer histograms of its activations, of the loss's gradient to
    its weights and of the weights, the share of dead ReLUs, and the length of the epoch's last step over that of the
    weights; the curves of loss and learning rate; and in the end the loss on a plane through the weights that training
    leaves behind (`tinycnn.loss_slice`).  Beside it lies an animated GIF of kernels and loss.

    Training is the same to the bit with it and without.  The page is written after every epoch, whole or not at all,
    so an interrupted run leaves what was seen; a checkpoint keeps the frames for a resumed one.

    Parameters
    ----------
    path : path-like
        The page, ``.html``; the GIF gets the same name with ``.gif``.
    images : int
        Training images to trace, spread evenly over the set.
    slice_steps : int
        Odd: points of the plane along each direction; 0 leaves it out.
    slice_images : int
        Images to evaluate at each, spread evenly over the validation set or, without one, the training set.  The plane
        takes the time of predicting ``slice_steps ** 2 * slice_images`` images, once, at the end.
    seed : int
        Of the plane's directions.

    Attributes
    ----------
    frames : list of dict
        Of `tinycnn.inside.film_frame.frame_of`, with ``epoch`` (from 1); at most 200.
    landscape : LossSlice or None
        Once training has ended.  It is made when this callback's end is called, and ends are called in reverse: listed
        before `EarlyStopping`, the film sees the weights that it restores, behind it those of the last epoch.

    Raises
    ------
    ValueError
        If the path does not end in ``.html``, or a number is impossible.
    OSError
        In training, naming the file that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from tinycnn.layers import Conv2D, Dense, Flatten
    >>> from tinycnn.model import Sequential
    >>> model = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    >>> images, labels = np.random.default_rng(0).random((8, 6, 6, 1), np.float32), np.arange(8) % 2
    >>> film = Film(tempfile.mkdtemp() + "/film.html", slice_steps=3)
    >>> _ = model.fit((images, labels), epochs=2, verbose=0, callbacks=[film])
    >>> [frame["epoch"] for frame in film.frames], film.landscape.centre == model.evaluate((images, labels))["loss"]
    ([1, 2], True)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        images: int = 8,
        slice_steps: int = 9,
        slice_images: int = 16,
        seed: int = 0,
    ) -> None:
        self.path = as_path(path, "Film: path")
        if self.path.suffix.lower() != ".html":
            raise ValueError(f"Film: the page's name must end in .html, got {self.path}")
        self.images, self.slice_images = positive_int(images, "images"), positive_int(slice_images, "slice_images")
        if count(slice_steps, "slice_steps") % 2 == 0 < slice_steps:
            raise ValueError(f"Film: slice_steps must be odd, so that the middle is the end point, or 0: {slice_steps}")
        self.slice_steps, self.seed = slice_steps, seed
        self.on_train_begin()

    def on_train_begin(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.landscape: LossSlice | None = None
        self._every = 1
        self._before: dict[str, np.ndarray] = {}

    def on_train_batch_begin(self, batch: int) -> None:
        _arrays(self.training.train)  # refused before the first epoch, not after it
        if (batch + 1) * self.training.batch_size >= self.training.images:  # the epoch's last
            self._before = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if epoch % self._every:
            return
        images, targets = _spread(_arrays(self.training.train), self.images)
        frame = frame_of(self.model, images, targets, copy.copy(self.training.loss), self._before)
        self.frames.append({"epoch": epoch + 1, **frame})
        self._before = {}
        if len(self.frames) > FRAMES:
            self.frames, self._every = self.frames[::2], 2 * self._every
        self._write()

    def on_train_end(self) -> None:
        if self.slice_steps and self.frames and self.model.first_nonfinite() is None:
            run = self.training
            self.landscape = loss_slice(
                self.model,
                _spread(_arrays(run.validation or run.train), self.slice_images),
                steps=self.slice_steps,
                seed=self.seed,
                loss=run.validator.loss,
            )
        if self.frames:
            self._write()
            write_gif(self.path.with_suffix(".gif"), self.frames, self.training.history["loss"])

    def state_dict(self) -> dict[str, Any]:
        return {"frames": self.frames, "every": self._every}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.frames, self._every = list(state["frames"]), state["every"]

    def _write(self) -> None:
        run = self.training
        data = {
            "model": self.model.name,
            "history": {key: values for key, values in run.history.items() if key != "seconds"},
            "frames": self.frames,
            "images": min(self.images, run.images),
            "slice": None,
        }
        if self.landscape is not None:
            pictures = _arrays(run.validation or run.train)
            data["slice"] = {
                "at": self.landscape.at,
                "losses": self.landscape.losses,
                "images": min(self.slice_images, len(pictures[0])),
                "of": "validation" if run.validation else "training",
            }
        write_film_page(self.path, data)


def _arrays(data: tuple[np.ndarray, np.ndarray] | Stream) -> tuple[np.ndarray, np.ndarray]:
    """Images and targets of a training, which the film shows again and again."""
    if isinstance(data, Stream):
        raise ValueError("Film: batches from an iterable are gone once they were seen; give fit arrays or a Dataset")
    return data


def _spread(pair: tuple[np.ndarray, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` images and their targets, or all, evenly spread over their order."""
    rows = np.unique(np.linspace(0, len(pair[0]) - 1, min(n, len(pair[0]))).round().astype(int))
    return pair[0][rows], pair[1][rows]
