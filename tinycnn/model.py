"""`Sequential`: layers in a row, built, run forward and backward, summed up, saved and loaded as one."""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinycnn.arguments import as_array, flag, whole_shape
from tinycnn.kernels.lock import one_at_a_time
from tinycnn.kernels.sets import Kernels, active
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.steps import Step, plan
from tinycnn.memory import Memory
from tinycnn.stack import Stack
from tinycnn.walk import NonFinite, first_nonfinite, trainable, walk

if TYPE_CHECKING:
    from tinycnn.losses import Loss
    from tinycnn.optimizers import Optimizer
    from tinycnn.training.batches import Data
    from tinycnn.training.callbacks import Callback
    from tinycnn.training.history import History
    from tinycnn.training.image_files import Prediction
    from tinycnn.training.objective import ClassWeight


class Sequential(Stack):
    """A network in which each layer feeds the next.

    Forward: ``y = f_L(... f_2(f_1(x)))``.  Backward, the chain rule from the end:
    ``grad_{l-1} = (d f_l / d x_{l-1})^T grad_l`` (Rumelhart, Hinton and Williams, *Learning representations by
    back-propagating errors*, Nature 323, 1986); each layer fills its own ``grads`` as the gradient passes.

    Parameters
    ----------
    layers : sequence of Layer
        Each object once.  Layers without a name get Keras's: ``conv2d``, ``conv2d_1``, ``max_pooling2d``.
    seed : int or None
        Initial weights, dropout masks and (in `fit`, unless it has a seed of its own) the order of the images
        follow from it alone, whatever the number of threads.  None takes entropy from the system.
    name : str
        Shown by `summary`.

    Attributes
    ----------
    layers : list of Layer
    input_shape, output_shape : tuple of int
        Without the batch axis; None until built.
    rng : numpy.random.Generator
        The one generator from which the layers draw, in their order.
    metadata : dict
        Yours, JSON-able, saved with the model.  By a `Dataset`, `fit` sets what `predict_image` needs: ``class_names``
        and ``preprocessing``, ``{"keep_aspect": False, "scale": 1/255}``: whether images were padded rather than
        squashed to one size, and what their bytes are multiplied by.
    steps, head : list of Step
        What a forward pass runs, once built: the layers one by one but for those that one kernel does together, and the
        softmax or sigmoid at the end, if there is one. See `tinycnn.layers.steps`; a step may be replaced, to time it.
    loss : Loss or None
        That `fit` last trained with, class weights apart: `evaluate` takes it by default.
    untrained : bool
        Whether the weights are those drawn by `build`, as nobody has run backward, set or loaded any since.
    stop_training : bool
        Set it, from a callback, to end `fit` after the running epoch.

    Raises
    ------
    ValueError
        For no layers, an object that is no layer, one used twice, or two with one name.

    Examples
    --------
    >>> from tinycnn.layers.activation import LeakyReLU
    >>> model = Sequential([LeakyReLU(0.5), LeakyReLU(0.5)])
    >>> model.forward(np.float32([[-4, 4]]))
    array([[-1.,  4.]], dtype=float32)
    >>> model.backward(np.float32([[1, 1]]))
    array([[0.25, 1.  ]], dtype=float32)
    >>> [layer.name for layer in model.layers]
    ['leaky_re_lu', 'leaky_re_lu_1']
    """

    def __init__(self, layers: Iterable[Layer], seed: int | None = 0, name: str = "sequential") -> None:
        super().__init__(layers, seed, name)
        self.loss: Loss | None = None
        self.stop_training = False
        self.steps: list[Step] = []
        self.head: list[Step] = []
        self._memory = Memory()
        self._planned_for: Kernels | None = None
        self._predicting: tuple[list[Step], list[Step]] = [], []
        self._ran: list[Step] = []  # of the last forward pass, if a backward pass may follow
        self._runs: list[int] = []  # how often each layer had run by its end
        self._every: list[Layer] = []  # layer, those inside others among them
        self._scaled = np.empty(0)

    def build(self, input_shape: Iterable[int], dtype: DTypeLike = np.float32) -> Shape:
        """Allocate every layer's parameters for inputs of `input_shape` and return the output shape.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis, ``(height, width, channels)`` for images.
        dtype : numpy dtype
            float32 to train, float64 to check gradients.

        Raises
        ------
        ValueError
            From the first layer that its input does not fit, with its name and index.
        """
        self.rng, self.untrained = np.random.default_rng(self.seed), True
        shape = whole_shape(input_shape, f"model '{self.name}'")
        self.input_shape = shape
        for layer in self.layers:
            if not self.built and layer.input_shape == shape and layer.dtype == dtype:
                shape = layer.output_shape  # built in another model: its weights are why it is here
                self.untrained = False
                for part in walk(layer):
                    part.rng = self.rng
            else:
                shape = layer.build(shape, rng=self.rng, dtype=dtype)
        self.output_shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._memory, self._ran, self._scaled = Memory(), [], np.empty(0, dtype)
        for layer in self.layers:
            layer.attach(self._memory)
        self._every = list(self.all_layers())
        self._planned_for = None
        self.replan()
        return self.output_shape

    def replan(self) -> None:
        """Bring `steps` and `head` up to date if other kernels were chosen since: they fuse other layers."""
        if self._planned_for is not active():
            self._planned_for = active()
            self.steps, self.head = plan(self.layers)
            self._predicting = plan(self.layers, predicts=True)

    @one_at_a_time  # two Python threads may predict with one model: its buffers are shared until the copy is made
    def forward(self, x: ArrayLike, training: bool = False, logits: bool = False, keep: bool = True) -> np.ndarray:
        """Outputs for a batch, as an array of your own.

        Parameters
        ----------
        x : ndarray, shape (images, *input_shape)
            uint8 is scaled by 1/255; float is taken as it is.  An unbuilt model builds for this shape.
        training : bool
            Dropout drops and batch normalisation uses the batch's statistics.
        logits : bool
            Leave out a softmax or sigmoid at the end, as `CrossEntropy` and `BinaryCrossEntropy` need.
        keep : bool
            Whether a `backward` may follow; False, as for predictions, takes less memory.

        Returns
        -------
        ndarray, shape (images, *output_shape)

        Raises
        ------
        ValueError
            For another shape, or numbers that are neither uint8 nor float.
        """
        return self.run(x, training, logits, keep).copy()

    def run(self, x: ArrayLike, training: bool = False, logits: bool = False, keep: bool = True) -> np.ndarray:
        """`forward` without the copy: the result lies in the model's memory, and the next call overwrites it.

        For code that holds the lock of `tinycnn.kernels.lock`, if other threads use the model too.
        """
        x = self.prepare(x)
        self.replan()
        body, head = (self.steps, self.head) if flag(keep, "keep") or flag(training, "training") else self._predicting
        steps = body if flag(logits, "logits") else [*body, *head]
        self._ran = []
        with self._memory.forward([self._bytes(x, step.layers[-1].output_shape) for step in steps], keep):
            for i, step in enumerate(steps):
                self._memory.enter(i)
                x = step.forward(x, training)
        if keep:
            self._ran, self._runs = steps, [layer.runs for layer in self._every]
        return x

    def prepare(self, x: ArrayLike) -> np.ndarray:
        """A batch as the first layer takes it: type and shape checked, bytes scaled by 1/255 in the model's memory.

        Raises
        ------
        ValueError
            As of `forward`.
        """
        x = as_array(x, "images")
        if x.dtype != np.uint8 and x.dtype.kind != "f":
            raise ValueError(
                f"model '{self.name}' takes uint8, which it scales by 1/255, or float, which it takes as it is; got "
                f"{x.dtype}: use x.astype(np.uint8) for images of 0 to 255, x.astype(np.float32) for anything else"
            )
        if not self.built:
            self.build(x.shape[1:], np.float64 if x.dtype == np.float64 else np.float32)
        self.layers[0].check_input(x)  # before memory is taken for it
        if x.dtype != np.uint8:
            return x
        if self._scaled.size < x.size:
            self._scaled = np.empty(x.size, self.dtype)
        out = self._scaled[: x.size].reshape(x.shape)
        active().scale_u8(np.ascontiguousarray(x), out, 1 / 255)
        return out

    def _bytes(self, batch: np.ndarray, shape: Shape) -> int:
        return len(batch) * math.prod(shape) * self.dtype.itemsize

    def backward(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """Fill every layer's ``grads`` from the loss's gradient and return the gradient to the input.

        Parameters
        ----------
        grad : ndarray, shape (images, *output_shape)
            Derivative of the scalar loss by what the last `forward` returned, probabilities or logits.
        input_grad : bool
            False, as training asks, returns None and saves the work and the memory that only the input's gradient
            needs: it stops at the first layer that trains, so the ``grads`` of frozen layers before it are not
            renewed, and it writes over outputs, so the next backward needs another forward.

        Raises
        ------
        RuntimeError
            Before any forward, or if what it kept has been overwritten.
        ValueError
            If `grad` does not have the output's shape.
        """
        steps = self._ran
        if not steps or self._runs != [layer.runs for layer in self._every]:
            raise RuntimeError(
                f"model '{self.name}': backward was called before forward, or what forward kept for it has been "
                "overwritten: by predict, by evaluate, by an earlier backward(input_grad=False), or because a layer "
                "ran alone or in another model"
            )
        grad = steps[-1].layers[-1].check_gradient(grad)
        self.untrained = False
        first = 0 if flag(input_grad, "input_grad") else _first_trainable(steps)
        through = (step.layers[0].input_shape for step in steps[first if input_grad else first + 1 :])
        largest = max((self._bytes(grad, shape) for shape in through), default=0)
        if not input_grad:
            self._ran = []
        with self._memory.backward(largest, overwrite=not input_grad and active().reuses_outputs):
            for i in range(len(steps) - 1, first - 1, -1):
                self._memory.enter(i, steps[i].reads_output)
                wanted = {} if input_grad or i > first else {"input_grad": False}
                grad = steps[i].backward(grad, **wanted)  # type: ignore[assignment]  # None after the last
        return np.array(grad) if input_grad else None

    def first_nonfinite(self, x: ArrayLike | None = None) -> NonFinite | None:
        """The first layer with NaN or infinity in a parameter or, for inputs `x`, in its output; None if all is well.

        Returns
        -------
        NonFinite or None
            ``index`` is -1 if `x` itself is not finite.
        """
        self._need_build("it can be searched")
        return first_nonfinite(self.layers, None if x is None else self.prepare(x))

    def fit(
        self,
        train: "Data",
        validation: "Data | None" = None,
        *,
        epochs: int = 10,
        batch_size: int = 16,
        class_weight: "ClassWeight" = None,
        optimizer: "Optimizer | str | None" = None,
        loss: "Loss | str | None" = None,
        callbacks: "Sequence[Callback]" = (),
        augment: "Callable[[np.ndarray, np.random.Generator], np.ndarray] | None" = None,
        sample_weight: ArrayLike | None = None,
        steps_per_epoch: int | None = None,
        shuffle: bool = True,
        seed: int | None = None,
        verbose: int = 1,
        resume: "str | os.PathLike[str] | None" = None,
    ) -> "History":
        """Train; see `tinycnn.fit` for every option.  Returns a `History`."""
        from tinycnn.training import fit

        return fit(
            self,
            train,
            validation,
            epochs=epochs,
            batch_size=batch_size,
            class_weight=class_weight,
            optimizer=optimizer,
            loss=loss,
            callbacks=callbacks,
            augment=augment,
            sample_weight=sample_weight,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            seed=seed,
            verbose=verbose,
            resume=resume,
        )

    def evaluate(self, data: "Data", batch_size: int = 16, loss: "Loss | str | None" = None) -> dict[str, float]:
        """``{"loss": ..., "accuracy": ...}`` on `data`; see `tinycnn.evaluate`."""
        from tinycnn.training import evaluate

        return evaluate(self, data, batch_size, loss)

    def predict(self, data: "Data | ArrayLike", batch_size: int = 16) -> np.ndarray:
        """Outputs for all of `data`, probabilities if the model ends in a softmax; see `tinycnn.predict`."""
        from tinycnn.training import predict

        return predict(self, data, batch_size)

    def predict_image(self, path: str | os.PathLike[str]) -> "Prediction":
        """What the image file at `path` shows, with all probabilities; see `tinycnn.training.image_files`."""
        from tinycnn.training.image_files import predict_image

        return predict_image(self, path)

    def predict_folder(
        self, folder: str | os.PathLike[str], batch_size: int = 16, on_error: str = "raise"
    ) -> "list[Prediction]":
        """`predict_image` of every file in `folder`, in threads; see `tinycnn.training.image_files`."""
        from tinycnn.training.image_files import predict_folder

        return predict_folder(self, folder, batch_size, on_error)


def _first_trainable(steps: Sequence[Step]) -> int:
    """Index of the first step with something to train: backward need not go below it."""
    for i, step in enumerate(steps):
        if any(True for layer in step.layers for _ in trainable(layer)):
            return i
    return len(steps)
