"""`fit`: batches through a model, forward and backward, and a step of the optimizer after each."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import losses, optimizers
from tinycnn.arguments import as_array, flag, function, generator, listed, of_class, positive_int
from tinycnn.data.dataset import Dataset
from tinycnn.kernels.lock import one_at_a_time
from tinycnn.losses import Loss
from tinycnn.optimizers import Optimizer
from tinycnn.training.batches import Data, Gatherer, augmented, check_images, split_pair
from tinycnn.training.callbacks import Callback
from tinycnn.training.checkpoint import load_checkpoint
from tinycnn.training.history import History
from tinycnn.training.interrupt import Interruption, gentle_interrupt
from tinycnn.training.objective import ClassWeight, Objective, Totals, weighted
from tinycnn.training.prediction import mean_loss
from tinycnn.training.progress import Progress
from tinycnn.training.stream import Batch, Stream, is_stream
from tinycnn.walk import add_penalties

if TYPE_CHECKING:
    from tinycnn.model import Sequential

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass
class Training:
    """A run in progress: what callbacks see, checkpoints keep, and how an epoch goes.

    Attributes
    ----------
    model, optimizer : objects in use
    objective, validator : Objective
        The loss in training and in validation, and what is counted beside it.
    train : (images, targets), or Stream
    validation : (images, targets), or None
    sample_weight : ndarray, shape (images,), or None
        Of the training images.
    batch_size, epochs : int
        The latter is where the run ends.
    metrics : list of str
        Keys of an epoch's row in `history`.
    rng : numpy.random.Generator
        Of shuffling and augmentation.
    callbacks : list of Callback
        Progress and interruption among them.
    epoch, batch : int
        Epochs finished, and batches of the running one.
    order : ndarray of int or None
        The running epoch's order of images; None between epochs.
    totals : Totals
        Sums of the running epoch.
    interrupted, between_batches : bool
        Whether Ctrl-C ended the run, and whether no batch was cut short by it.
    """

    model: "Sequential"
    optimizer: Optimizer
    objective: Objective
    train: tuple[np.ndarray, np.ndarray] | Stream
    validation: tuple[np.ndarray, np.ndarray] | None
    validator: Objective
    batch_size: int
    epochs: int
    shuffle: bool
    augment: Augmentation | None
    rng: np.random.Generator
    sample_weight: np.ndarray | None = None
    metrics: list[str] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0
    order: np.ndarray | None = None
    totals: Totals = field(default_factory=Totals)
    interrupted: bool = False
    between_batches: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.train, Stream):
            self._images, self._targets = Gatherer(self.train[0]), Gatherer(self.train[1])
        validation = [f"val_{key}" for key in self.validator.metrics] if self.validation is not None else []
        self.metrics = [*self.objective.metrics, *validation, "seconds", "learning_rate"]
        self.history.update({key: [] for key in self.metrics})

    @one_at_a_time  # whoever predicts in another thread waits for the end of the step
    def step(self, rows: np.ndarray | Batch) -> None:
        """One step of gradient descent, on the training images at `rows`, or a batch of a stream."""
        x, y, weights = self.gather(rows)
        outputs = self.model.run(x, training=True, logits=self.objective.logits)
        loss, right = self.need_finite(x, *self.objective.forward(outputs, y, weights))
        self.model.backward(self.objective.backward(), input_grad=False)
        loss += add_penalties(self.model.layers)
        self.optimizer.step(self.model.parameters())
        self.totals.add(len(x), loss, right)

    def gather(self, rows: np.ndarray | Batch) -> Batch:
        """Images, augmented, targets and weights of a batch, in buffers that serve every batch."""
        if isinstance(rows, Batch):
            x, y, weights = rows
            check_images(x, self.model, "the batch")
            self.objective.check(y, self.model, "the batch")
        else:
            x, y = self._images(rows), self._targets(rows)
            weights = None if self.sample_weight is None else self.sample_weight[rows]
        return Batch(x if self.augment is None else augmented(self.augment, x, self.rng), y, weights)

    def run_epoch(self) -> None:
        """Train for one epoch, or the rest of one, and record it."""
        began, before = time.perf_counter(), self.totals.seconds
        self.tell("on_epoch_begin", self.epoch)
        for rows in self.batches():
            self.tell("on_train_batch_begin", self.batch)
            self.between_batches = False
            self.step(rows)
            self.totals.seconds = before + time.perf_counter() - began
            self.batch += 1
            self.between_batches = True
            self.tell("on_train_batch_end", self.batch - 1, self.totals.means())
        if self.model.first_nonfinite():
            self.not_finite(f"a parameter is NaN or infinite after epoch {self.epoch + 1}")
        logs = self.totals.means() | self.validate()
        logs |= {"seconds": before + time.perf_counter() - began, "learning_rate": self.optimizer.current_learning_rate}
        for key, value in logs.items():
            self.history[key].append(value)
        self.epoch, self.batch, self.order, self.totals = self.epoch + 1, 0, None, Totals()
        self.tell("on_epoch_end", self.epoch - 1, logs)

    def batches(self) -> Iterator[np.ndarray | Batch]:
        """What is left of the running epoch, batch by batch: indices of its images, or batches of a stream."""
        if isinstance(self.train, Stream):
            yield from self.train
            return
        if self.order is None:
            self.order = self.rng.permutation(self.images) if self.shuffle else np.arange(self.images)
        for start in range(self.batch * self.batch_size, self.images, self.batch_size):
            yield self.order[start : start + self.batch_size]

    def tell(self, event: str, *values: Any) -> None:
        """Call that method of every callback."""
        for callback in self.callbacks:
            getattr(callback, event)(*values)

    def validate(self) -> dict[str, float]:
        """``val_loss`` and ``val_accuracy``, if there are validation data."""
        if self.validation is None:
            return {}
        means = mean_loss(self.model, *self.validation, self.batch_size, self.validator)
        if not math.isfinite(means["loss"]):
            self.not_finite(f"validation loss is {means['loss']} after epoch {self.epoch + 1}")
        return {f"val_{key}": value for key, value in means.items()}

    def need_finite(self, x: np.ndarray, loss: float, right: float | None) -> tuple[float, float | None]:
        """The loss and the number of right answers of a batch `x`, if the loss is a number."""
        if not math.isfinite(loss):
            self.not_finite(f"loss is {loss} in epoch {self.epoch + 1}, batch {self.batch + 1}", x)
        return loss, right

    def not_finite(self, what: str, x: np.ndarray | None = None) -> None:
        """Raise FloatingPointError, naming the layer in which it began."""
        found = self.model.first_nonfinite(x)
        unseen = "every parameter and layer output is finite, so it arose in training mode or in the loss itself"
        where = unseen if found is None else found.where()
        raise FloatingPointError(
            f"{what}: {where}; try a learning rate below {self.optimizer.current_learning_rate:g}, global_clipnorm in "
            "the optimizer, or images scaled to 0..1"
        )

    @property
    def images(self) -> int:
        """Number of training images; 0 during the first epoch of a stream."""
        return self.train.images if isinstance(self.train, Stream) else len(self.train[0])

    @property
    def loss(self) -> Loss:
        """What training minimises, class weights and all."""
        return self.objective.loss

    @property
    def stop(self) -> bool:
        """Set it to end after the running epoch; Keras's ``model.stop_training``."""
        return self.model.stop_training

    @stop.setter
    def stop(self, value: bool) -> None:
        self.model.stop_training = value


def fit(
    model: "Sequential",
    train: Data,
    validation: Data | None = None,
    *,
    epochs: int = 10,
    batch_size: int = 16,
    class_weight: ClassWeight = None,
    optimizer: Optimizer | str | None = None,
    loss: Loss | str | None = None,
    callbacks: Sequence[Callback] = (),
    augment: Augmentation | None = None,
    sample_weight: ArrayLike | None = None,
    steps_per_epoch: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    verbose: int = 1,
    resume: str | os.PathLike[str] | None = None,
) -> History:
    """Train `model` by stochastic gradient descent.

    For each batch: gather, scale bytes by 1/255, ``forward``, ``loss``, ``backward``, ``optimizer.step``:
    ``params <- params - step(d mean loss / d params)`` (Robbins and Monro, *A stochastic approximation method*,
    1951).  Layers' regularizers add their penalties to the loss, of training and of validation, and their gradients.

    Parameters
    ----------
    model : Sequential
        Built for the images' shape if it is not yet built.
    train, validation : Dataset or (images, labels)
        Images ``(n, *input_shape)``, uint8 (scaled by 1/255) or float (as they are); integer labels ``(n,)``,
        or target arrays for a loss such as `MeanSquaredError`, where uint8 targets are scaled like images.
        Or any iterable of batches ``(x, y)`` or ``(x, y, sample_weight)``: a generator, a loader; `train` is gone
        through once an epoch, in its own order, and `validation` once, before training.  Of a `Dataset` the model
        keeps ``Dataset.facts`` in its ``metadata``.
    epochs : int
        Passes over `train`, those of a resumed run included.
    batch_size : int
        The last batch of an epoch may be smaller.
    class_weight : None, dict, sequence or "balanced"
        Weight of each class in the training loss; "balanced" is ``n / (classes * n_class)``.  Validation is not
        weighted, as in Keras.
    optimizer : Optimizer or str
        A new ``Adam()`` by default; names as in `tinycnn.optimizers.get`.  Pass the same one again to go on with its
        moments.
    loss : Loss or str
        ``CrossEntropy()`` by default; names as in `tinycnn.losses.get`.
    callbacks : sequence of Callback
        Called in this order, checkpoints after all others.
    augment : callable, optional
        ``augment(batch, rng) -> batch`` of the same type and shape; `batch` may be changed in place.
    sample_weight : array_like, shape (images,), optional
        Of each training image in the loss; the mean is over the batch size all the same, as in Keras.
    steps_per_epoch : int, optional
        Batches of an epoch, if `train` is an iterable; needed for a generator that does not end.
    shuffle : bool
        A new order each epoch.
    seed : int, optional
        Of shuffling and augmentation; by default drawn from the model's generator, so that a run follows from
        the model's seed.
    verbose : int
        0 silent, 1 progress, 2 one line per epoch.
    resume : path-like, optional
        A `Checkpoint`'s file to continue from.

    Returns
    -------
    History
        Ctrl-C ends training after the running batch and returns what there is; a second Ctrl-C ends it at once.

    Raises
    ------
    ValueError
        For data, labels or options that do not fit, before anything is trained.
    FloatingPointError
        If the loss or a parameter becomes NaN or infinite, naming epoch, batch and layer.

    Examples
    --------
    >>> from tinycnn.layers.base import Layer
    >>> from tinycnn.layers.norm import BatchNorm
    >>> from tinycnn.model import Sequential
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 64)
    >>> images = np.eye(2)[labels] + rng.normal(size=(64, 2))
    >>> history = fit(Sequential([BatchNorm()]), (images, labels), epochs=2, verbose=0)
    >>> history.epochs, history["loss"][1] < history["loss"][0]
    (2, True)
    """
    epochs, batch_size = positive_int(epochs, "epochs"), positive_int(batch_size, "batch_size")
    stream = Stream(train, steps_per_epoch) if is_stream(train) else None  # type: ignore[arg-type]
    data = split_pair(train, "train") if stream is None else stream.first()[:2]
    weights = _checked_weights(sample_weight, len(data[0]), stream)
    if stream is None and steps_per_epoch is not None:
        raise ValueError("steps_per_epoch is for an iterable of batches; arrays are gone through once an epoch")
    if stream is not None:
        if resume is not None or isinstance(class_weight, str):
            raise ValueError('an iterable of batches can neither be resumed nor be given class_weight="balanced"')
        batch_size = len(data[0])
    if not model.built:
        model.build(data[0].shape[1:])
    plain = losses.get(loss)
    objective, validator = Objective(weighted(plain, class_weight, data[1], model)), Objective(plain)
    held_out = None if validation is None else split_pair(validation, "validation")
    for pair, what, by in ((data, "train", objective), (held_out, "validation", validator)):
        if pair is not None:
            check_images(pair[0], model, what)
            by.check(pair[1], model, what)
    rng = generator(int(model.rng.integers(2**63)) if seed is None else seed)
    if augment is not None:
        function(augment, "augment")
    callbacks = listed(callbacks, "callbacks")
    for callback in callbacks:
        of_class(callback, Callback, "each of callbacks")
    training = Training(
        model,
        optimizers.get(optimizer),
        objective,
        data if stream is None else stream,
        held_out,
        validator,
        batch_size,
        epochs,
        flag(shuffle, "shuffle"),
        augment,
        rng,
        weights,
    )
    model.loss, model.stop_training = plain, False
    if isinstance(train, Dataset):
        model.metadata = {**model.metadata, **train.facts}
    progress, interruption = Progress(verbose), Interruption()
    training.callbacks = [progress, *sorted(callbacks, key=lambda callback: callback.runs_last), interruption]
    restore_callbacks = None if resume is None else load_checkpoint(resume, training)
    with ExitStack() as ends:
        for callback in training.callbacks:
            callback.training = training
            callback.on_train_begin()
            # The stack calls the ends in reverse: checkpoints save before anything puts other weights in the model.
            ends.callback(callback.on_train_end)
        if restore_callbacks:
            restore_callbacks()
        try:
            with gentle_interrupt(interruption):
                while training.epoch < epochs and not training.stop:
                    training.run_epoch()
        except KeyboardInterrupt:
            training.interrupted = True
            progress.note(f"interrupted in epoch {training.epoch + 1} after {training.batch} batches")
    return training.history


def _checked_weights(sample_weight: ArrayLike | None, images: int, stream: Stream | None) -> np.ndarray | None:
    """Weights of the training images, if they are as many, at least 0, and not with a stream, which brings its own."""
    if sample_weight is None:
        return None
    weights = as_array(sample_weight, "sample_weight")
    if stream is not None:
        raise ValueError("sample_weight goes with arrays; let the iterable give batches (x, y, sample_weight)")
    if weights.shape != (images,) or weights.dtype.kind not in "biuf" or not (weights >= 0).all():
        raise ValueError(
            f"sample_weight must be one number of at least 0 for each of the {images} training images, got "
            f"{weights.dtype} of shape {weights.shape}"
        )
    if not weights.any():
        raise ValueError("every sample_weight is 0, so nothing would be learned")
    return weights
