"""`Sequential` as Keras writes it: add, compile, fit(x, y), evaluate, predict, and a call."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinycnn import losses, model, optimizers
from tinycnn.data.dataset import Dataset
from tinycnn.keras.metrics import Accuracy, name_of
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.symbol import Symbol
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from tinycnn.optimizers import Optimizer
from tinycnn.training import evaluate, fit, predict
from tinycnn.training.callbacks import Callback
from tinycnn.training.history import History
from tinycnn.training.stream import Stream, batch_of, is_stream
from tinycnn.walk import walk


class Sequential(model.Sequential):
    """`tinycnn.Sequential` with Keras's calls, which see to the forms that data have there.

    Every function of tinycnn takes it.  Bytes are the numbers 0 to 255, as in Keras.

    Parameters
    ----------
    layers : sequence
        Layers; models, whose layers are then in this one; and at the beginning `Input`, which builds it at once.
    name, seed
        As of `tinycnn.Sequential`.

    Attributes
    ----------
    optimizer, loss : Optimizer, Loss
        Of `compile`.

    Examples
    --------
    >>> from tinycnn.keras import layers
    >>> net = Sequential([layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    >>> net.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    >>> x, y = np.zeros((6, 4, 4, 1)), np.eye(2)[[0, 1, 0, 1, 0, 0]]
    >>> sorted(net.fit(x, y, epochs=2, validation_split=0.5, verbose=0).history)[:4]
    ['accuracy', 'learning_rate', 'loss', 'seconds']
    >>> net(x).shape, len(net.evaluate(x, y, verbose=0))
    ((6, 2), 2)
    """

    def __init__(self, layers: Iterable[Any] = (), name: str = "sequential", seed: int | None = 0) -> None:
        self.layers: list[Layer] = []
        self.optimizer: Optimizer | None = None
        self.metrics: list[str] = []
        self.name, self._seed = name, seed
        self._input: Shape | None = None
        self._fresh: list[Layer] = []  # that came without weights
        self.seed, self.output_shape = seed, None  # type: ignore[assignment]  # until there is a layer
        self._append(layers)

    def _append(self, parts: Iterable[Any]) -> None:
        new: list[Any] = []
        for part in parts:
            if isinstance(part, Symbol):
                self._input = part.shape
            elif isinstance(part, model.Sequential):
                if not self.layers and not new:
                    self._input = self._input or part.input_shape
                new += part.layers
            else:
                new.append(part)
        if not new:
            return
        for layer in self._fresh:
            for part in walk(layer):
                part.input_shape = None  # type: ignore[assignment]  # so that it is built with the others, in their order
        self._fresh += [part for part in new if isinstance(part, Layer) and part.output_shape is None]
        super().__init__([*self.layers, *new], self._seed, self.name)
        if self._input is not None:
            self.build(self._input)

    def build(self, input_shape: Iterable[int | None], dtype: DTypeLike = np.float32) -> Shape:
        """As of `tinycnn.Sequential`, also for a shape that begins with Keras's None, for any number of images."""
        if isinstance(input_shape, (tuple, list)) and input_shape[:1] in ((None,), [None]):
            input_shape = input_shape[1:]
        return super().build(input_shape, dtype)  # type: ignore[arg-type]

    def add(self, layer: Any) -> None:
        """One more layer at the end; those that came without weights are built anew."""
        self._append([layer])

    def __call__(self, x: Any, training: bool = False) -> Any:
        """`forward`; of a `Symbol`, the place behind all layers."""
        if isinstance(x, Symbol):
            for layer in self.layers:
                x = layer(x)
            return x
        return self.forward(x, training)

    def prepare(self, x: ArrayLike) -> np.ndarray:
        """A batch as the first layer takes it, whole numbers as floats of the same value."""
        x = np.asarray(x)
        return super().prepare(
            x if x.dtype == self.dtype else x.astype(np.float32 if self.dtype is None else self.dtype)
        )

    def compile(
        self,
        optimizer: Optimizer | str = "rmsprop",
        loss: Loss | str | None = None,
        metrics: Sequence[str | Accuracy] = (),
    ) -> None:
        """Say how `fit` trains.

        Parameters
        ----------
        optimizer : Optimizer or str
        loss : Loss or str
        metrics : list of str
            Accuracy, by any of its names in `tinycnn.keras.metrics`, or none.

        Raises
        ------
        ValueError
            For an unknown name.
        """
        self.optimizer, self.loss = optimizers.get(optimizer), losses.get(loss)
        self.metrics = [name_of(metric) for metric in metrics]

    def fit(  # type: ignore[override]
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | str | None = None,
        sample_weight: ArrayLike | None = None,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
    ) -> History:
        """Train as `compile` said.

        Parameters
        ----------
        x, y : array
            Images and labels: integers, or one-hot rows for a cross-entropy.  Or `x` alone: a `Dataset`, a pair, or
            any iterable of batches ``(x, y)`` or ``(x, y, sample_weight)``.
        batch_size : int
            32 by default.
        epochs : int
        verbose : 0, 1, 2 or "auto"
        callbacks : list of Callback
        validation_split : float
            Share of `x` and `y`, from the end and before shuffling, that is held out.
        validation_data : (x, y), `Dataset` or iterable of batches
        shuffle, sample_weight, steps_per_epoch
            As of `tinycnn.fit`.
        class_weight : dict or "balanced"
            Weight of each class in the training loss; 1 where none is given.
        validation_steps : int
            Batches of an iterable of validation data.

        Returns
        -------
        History
            A dict of lists, also as its ``history``.

        Raises
        ------
        RuntimeError
            Before `compile`.
        ValueError
            As of `tinycnn.fit`.
        """
        if self.optimizer is None or self.loss is None:
            raise RuntimeError("compile the model before fit: model.compile(optimizer=..., loss=..., metrics=[...])")
        train = self._data(x, y)
        weights = None if sample_weight is None else np.asarray(sample_weight)
        if validation_split:
            if is_stream(train) or not 0 < validation_split < 1:
                raise ValueError(f"validation_split={validation_split!r} must be from 0 to 1, and x and y be arrays")
            kept = int(len(train[0]) * (1 - validation_split))
            validation_data = validation_data or tuple(part[kept:] for part in train)
            train, weights = tuple(part[:kept] for part in train), None if weights is None else weights[:kept]
        if isinstance(class_weight, Mapping) and not isinstance(self.loss, CrossEntropy):
            by_label = np.array([class_weight.get(int(label), 1.0) for label in np.ravel(train[1])])
            weights, class_weight = by_label * (1 if weights is None else weights), None
        if validation_data is not None:
            validation_data = self._data(validation_data, steps=validation_steps)
        history = fit(
            self,
            train,
            validation_data,
            epochs=epochs,
            batch_size=batch_size or 32,
            class_weight=class_weight,
            optimizer=self.optimizer,
            loss=self.loss,
            callbacks=callbacks or (),
            sample_weight=weights,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            verbose=1 if verbose == "auto" else int(verbose),
        )
        for name in {*self.metrics} - {"accuracy"}:
            history |= {key.replace("accuracy", name): history[key] for key in list(history) if "accuracy" in key}
        return history

    def _data(self, x: Any, y: Any = None, steps: int | None = None) -> Any:
        """Data as `tinycnn.fit` takes them: a pair with labels in the loss's form, or an iterable of such pairs."""
        if y is None and isinstance(x, Dataset):
            x, y = x.images, x.labels
        if y is None and is_stream(x):
            return _Batches(x, self._targets, steps)
        if y is None and isinstance(x, (tuple, list)) and len(x) in (2, 3):
            x, y = x[:2]
        if y is None:
            raise ValueError("there are no labels: give x and y, a pair (x, y), or an iterable of such pairs")
        return _images(x), self._targets(y)

    def _targets(self, y: Any) -> np.ndarray:
        """Integer labels for a cross-entropy of classes, also of one-hot rows; floats for a comparison."""
        y = np.asarray(y)
        loss = losses.get(self.loss)
        if isinstance(loss, CrossEntropy):
            y = y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y
            one_hot = y.ndim == 2 and (np.sort(y, axis=1)[:, :-1] == 0).all() and (y.max(axis=1) == 1).all()
            if one_hot:
                return y.argmax(axis=1)
            whole = y.ndim == 1 and y.dtype.kind in "fb" and (y == np.round(y)).all()
            return y.astype(np.int64) if whole else y
        if isinstance(loss, (BinaryCrossEntropy, MeanSquaredError)):
            y = y.astype(np.float32)[:, None] if y.ndim == 1 else y.astype(np.float32)
        return y

    def evaluate(  # type: ignore[override]
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        return_dict: bool = False,
    ) -> Any:
        """``[loss, accuracy]`` of `x` and `y`, the loss alone if `compile` was given no metric, or a dict of both."""
        means = evaluate(self, self._data(x, y, steps), batch_size or 32, self.loss)
        if verbose not in (0, "auto"):
            print("  ".join(f"{key} {value:.4f}" for key, value in means.items()))
        named = dict(zip(("loss", *self.metrics), means.values(), strict=False))
        if return_dict:
            return named
        return [*named.values()] if self.metrics else means["loss"]

    def predict(  # type: ignore[override]
        self, x: Any, batch_size: int | None = None, verbose: int | str = "auto", steps: int | None = None
    ) -> np.ndarray:
        """Outputs for all of `x`: an array, a `Dataset`, or an iterable of batches."""
        if is_stream(x):
            x = np.concatenate([batch.images for batch in Stream(x, steps)])
        return predict(self, _images(x.images if isinstance(x, Dataset) else x), batch_size or 32)


class _Batches:
    """An iterable of batches with their labels in the loss's form; `steps` of them, or all."""

    def __init__(self, source: Iterable[Any], targets: Callable[[Any], np.ndarray], steps: int | None) -> None:
        self.source, self.targets = source, targets
        self.steps = len(source) if steps is None and isinstance(source, Sized) else steps

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        for item in islice(self.source, self.steps):
            x, y, weights = batch_of(item)
            yield (_images(x), self.targets(y), *([] if weights is None else [weights]))


def _images(x: Any) -> np.ndarray:
    """Bytes and floats as they are, other numbers as floats."""
    x = np.asarray(x)
    return x if x.dtype == np.uint8 or x.dtype.kind == "f" else x.astype(np.float32)
