"""`fit`, `evaluate` and `predict`: batches through a model, and everything that surrounds that."""

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from tinycnn.losses import CrossEntropy
from tinycnn.training.batches import Gatherer, augmented, check_images, split_pair
from tinycnn.training.checkpoint import load_checkpoint
from tinycnn.training.interrupt import gentle_interrupt
from tinycnn.training.objective import Objective, Totals
from tinycnn.training.progress import Progress


class History(dict):
    """What each epoch gave: a list per metric, by name.

    ``loss`` and ``accuracy`` are means over the training images as they were met, dropout and all;
    ``val_loss`` and ``val_accuracy`` come from the model after the epoch; ``seconds`` is the epoch's time with its
    validation; ``learning_rate`` is the rate at its end.

    >>> history = History(loss=[0.9, 0.5])
    >>> history["loss"], history.epochs, history.history is history
    ([0.9, 0.5], 2, True)
    """

    @property
    def history(self):
        """Itself, for code written for Keras."""
        return self

    @property
    def epochs(self):
        """Number of epochs recorded."""
        return len(self.get("loss", ()))


@dataclass
class Training:
    """A run in progress: what callbacks see and checkpoints keep.

    Attributes
    ----------
    model, optimizer, loss : objects in use
    images : int
        Training images.
    epochs : int
        Where the run ends.
    metrics : list of str
        Keys of an epoch's row in `history`.
    rng : numpy.random.Generator
        Of shuffling and augmentation.
    epoch, batch : int
        Epochs finished, and batches of the running one.
    order : ndarray of int or None
        The running epoch's order of images; None between epochs.
    totals : dict
        Sums of the running epoch.
    stop : bool
        Set it to end after the running epoch.
    interrupted, between_batches : bool
        Whether Ctrl-C ended the run, and whether no batch was cut short by it.
    """

    model: object
    optimizer: object
    loss: object
    images: int
    batch_size: int
    shuffle: bool
    epochs: int
    metrics: list
    rng: np.random.Generator
    callbacks: list
    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0
    order: np.ndarray | None = None
    totals: dict = field(default_factory=dict)
    stop: bool = False
    interrupted: bool = False
    between_batches: bool = True


def fit(
    model,
    train,
    validation=None,
    *,
    epochs=10,
    batch_size=16,
    class_weight=None,
    optimizer=None,
    loss=None,
    callbacks=(),
    augment=None,
    shuffle=True,
    seed=None,
    verbose=1,
    resume=None,
):
    """Train `model` by stochastic gradient descent.

    For each batch: gather, scale bytes by 1/255, ``forward``, ``loss``, ``backward``, ``optimizer.step``:
    ``params <- params - step(d mean loss / d params)`` (Robbins and Monro, *A stochastic approximation method*,
    1951).

    Parameters
    ----------
    model : Sequential
        Built for the images' shape if it is not yet built.
    train, validation : Dataset or (images, labels)
        Images ``(n, *input_shape)``, uint8 (scaled by 1/255) or float (as they are); integer labels ``(n,)``,
        or target arrays for a loss such as `MeanSquaredError`, where uint8 targets are scaled like images.
    epochs : int
        Passes over `train`, those of a resumed run included.
    batch_size : int
        The last batch of an epoch may be smaller.
    class_weight : None, dict, sequence or "balanced"
        Weight of each class in the training loss; "balanced" is ``n / (classes * n_class)``.  Validation is not
        weighted, as in Keras.
    optimizer : Optimizer
        A new ``Adam()`` by default.  Pass the same one again to go on with its moments.
    loss : Loss
        ``CrossEntropy()`` by default.
    callbacks : sequence of Callback
        Called in this order, checkpoints after all others.
    augment : callable, optional
        ``augment(batch, rng) -> batch`` of the same type and shape; `batch` may be changed in place.
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
    epochs, batch_size = _positive(epochs, "epochs"), _positive(batch_size, "batch_size")
    images, targets = split_pair(train, "train")
    if not model.built:
        model.build(images.shape[1:])
    if loss is not None and not hasattr(loss, "backward"):
        raise ValueError(f"loss must be an object such as CrossEntropy(), got {loss!r}")
    if optimizer is not None and not hasattr(optimizer, "step"):
        raise ValueError(f"optimizer must be an object such as Adam(1e-3), got {optimizer!r}")
    loss, objective, validator = _objectives(loss, class_weight, targets, model)
    check_images(images, model, "train")
    objective.check(targets, model, "train")
    if validation is not None:
        validation = split_pair(validation, "validation")
        check_images(validation[0], model, "validation")
        validator.check(validation[1], model, "validation")
    if optimizer is None:
        from tinycnn.optimizers import Adam

        optimizer = Adam()
    metrics = [*objective.metrics, *(f"val_{key}" for key in validator.metrics if validation is not None)]
    training = Training(
        model=model,
        optimizer=optimizer,
        loss=loss,
        images=len(images),
        batch_size=batch_size,
        shuffle=bool(shuffle),
        epochs=epochs,
        metrics=[*metrics, "seconds", "learning_rate"],
        rng=np.random.default_rng(int(model.rng.integers(2**63)) if seed is None else seed),
        callbacks=sorted(callbacks, key=lambda callback: callback.runs_last),
    )
    training.history.update({key: [] for key in training.metrics})
    restore_callbacks = load_checkpoint(resume, training) if resume is not None else None
    progress = Progress(epochs, len(images), -(-len(images) // batch_size), verbose)
    with ExitStack() as ends:
        for callback in training.callbacks:
            callback.training = training
            callback.on_train_begin()
            # The stack calls the ends in reverse: checkpoints save before anything puts other weights in the model.
            ends.callback(callback.on_train_end)
        if restore_callbacks:
            restore_callbacks()
        try:
            with gentle_interrupt() as interrupted:
                while training.epoch < epochs and not training.stop:
                    _epoch(training, objective, validator, images, targets, validation, augment, progress, interrupted)
        except KeyboardInterrupt:
            training.interrupted = True
            progress.note(f"interrupted in epoch {training.epoch + 1} after {training.batch} batches")
    return training.history


def _epoch(training, objective, validator, images, targets, validation, augment, progress, interrupted):
    """Train for one epoch, or the rest of one, and record it."""
    model, optimizer, size = training.model, training.optimizer, training.batch_size
    began = time.perf_counter()
    for callback in training.callbacks:
        callback.on_epoch_begin(training.epoch)
    if training.order is None:
        n = training.images
        training.order = training.rng.permutation(n) if training.shuffle else np.arange(n)
        training.batch, training.totals = 0, {}
    totals = Totals(**training.totals)
    before = totals.seconds
    gather_images, gather_targets = Gatherer(images), Gatherer(targets)
    for start in range(training.batch * size, training.images, size):
        training.between_batches = False
        rows = training.order[start : start + size]
        x, y = gather_images(rows), gather_targets(rows)
        if augment is not None:
            x = augmented(augment, x, training.rng)
        outputs = model._forward(x, training=True, logits=objective.logits)
        value, right = objective.forward(outputs, y)
        if not math.isfinite(value):
            _not_finite(training, f"loss is {value} in epoch {training.epoch + 1}, batch {training.batch + 1}", x)
        model.backward(objective.loss.backward(), logits=objective.logits, input_grad=False)
        optimizer.step(model.parameters())
        totals.add(len(rows), value, right)
        totals.seconds = before + time.perf_counter() - began
        training.totals = dict(vars(totals))
        training.batch += 1
        training.between_batches = True
        logs = totals.means()
        progress.batch(training.epoch, training.batch, totals.seen, logs)
        for callback in training.callbacks:
            callback.on_batch_end(training.batch - 1, logs)
        if interrupted.is_set():
            raise KeyboardInterrupt
    if model.first_nonfinite():
        _not_finite(training, f"a parameter is NaN or infinite after epoch {training.epoch + 1}")
    logs = totals.means()
    if validation is not None:
        means = _evaluate(model, *validation, size, validator)
        if not math.isfinite(means["loss"]):
            _not_finite(training, f"validation loss is {means['loss']} after epoch {training.epoch + 1}")
        logs |= {f"val_{key}": value for key, value in means.items()}
    logs |= {
        "seconds": before + time.perf_counter() - began,
        "learning_rate": _learning_rate(optimizer),
    }
    for key, value in logs.items():
        training.history[key].append(value)
    epoch, training.epoch = training.epoch, training.epoch + 1
    training.batch, training.order, training.totals = 0, None, {}
    progress.epoch(epoch, logs, totals.seconds)
    for callback in training.callbacks:
        callback.on_epoch_end(epoch, logs)
    if interrupted.is_set():
        raise KeyboardInterrupt


def evaluate(model, data, batch_size=16, loss=None):
    """Mean loss and accuracy of `model` on `data`, in inference mode.

    Parameters
    ----------
    model : Sequential
    data : Dataset or (images, labels)
        As for `fit`.
    batch_size : int
        Images at a time; the result does not depend on it beyond rounding.
    loss : Loss, optional
        ``CrossEntropy()`` by default.

    Returns
    -------
    dict
        ``loss``, and ``accuracy`` if the loss is one of classes.

    Raises
    ------
    ValueError
        If the data do not fit the model or the loss.
    """
    images, targets = split_pair(data, "data")
    if not model.built:
        model.build(images.shape[1:])
    objective = Objective(CrossEntropy() if loss is None else loss)
    check_images(images, model, "data")
    objective.check(targets, model, "data")
    return _evaluate(model, images, targets, _positive(batch_size, "batch_size"), objective)


def _evaluate(model, images, targets, size, objective):
    totals = Totals()
    for start in range(0, len(images), size):
        x, y = images[start : start + size], targets[start : start + size]
        totals.add(len(x), *objective.forward(model._infer(x, objective.logits), y))
    return totals.means()


def predict(model, data, batch_size=16):
    """Outputs of `model` for every image, in inference mode.

    Parameters
    ----------
    model : Sequential
    data : Dataset, (images, labels) or ndarray of images
        As for `fit`; labels are not looked at.
    batch_size : int
        Images at a time.

    Returns
    -------
    ndarray, shape (images, *output_shape)
        Probabilities if the model ends in a softmax.

    Raises
    ------
    ValueError
        If the images do not fit the model.
    """
    size = _positive(batch_size, "batch_size")
    images = split_pair(data, "data")[0] if isinstance(data, tuple) else np.asarray(getattr(data, "images", data))
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"data holds no images: array of shape {images.shape}")
    if not model.built:
        model.build(images.shape[1:])
    check_images(images, model, "data")
    outputs = np.empty((len(images), *model.output_shape), model.dtype)
    for start in range(0, len(images), size):
        outputs[start : start + size] = model._infer(images[start : start + size])
    return outputs


def _positive(value, what):
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{what} must be a positive int, got {value!r}")
    return int(value)


def _objectives(loss, class_weight, labels, model):
    """The loss to train with, its objective, and the objective of validation, which knows no class weights."""
    if class_weight is None:
        loss = CrossEntropy() if loss is None else loss
        return loss, Objective(loss), Objective(loss)
    plain = CrossEntropy() if loss is None else loss
    if not isinstance(plain, CrossEntropy) or plain.class_weight is not None:
        raise ValueError(f"class_weight needs a CrossEntropy without weights of its own, got {plain!r}")
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be None, weights or 'balanced', got {class_weight!r}")
        from tinycnn.losses import balanced_class_weights

        Objective(plain).check(labels, model, "train")
        class_weight = balanced_class_weights(labels)
    loss = CrossEntropy(class_weight, plain.label_smoothing)
    if len(model.output_shape) == 1:
        loss.weights(model.output_shape[0])  # raises if the number of weights and of classes differ
    return loss, Objective(loss), Objective(plain)


def _learning_rate(optimizer):
    rate = optimizer.learning_rate
    return float(rate(optimizer.iterations) if callable(rate) else rate)


def _not_finite(training, what, x=None):
    found = training.model.first_nonfinite(x)
    if found is None:
        where = "every parameter and layer output is finite, so it arose in training mode or in the loss itself"
    elif found.index < 0:
        where = f"{found.what} are not finite"
    else:
        where = f"it is first seen in {found.what} of layer {found.index} '{found.name}'"
    raise FloatingPointError(
        f"{what}: {where}; try a learning rate below {_learning_rate(training.optimizer):g}, global_clipnorm in the "
        "optimizer, or images scaled to 0..1"
    )
