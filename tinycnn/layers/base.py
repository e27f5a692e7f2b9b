"""What every layer shares: building, parameters and gradients, error messages, reusable memory."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinycnn.arguments import as_array, float_type, generator, listed, whole_shape
from tinycnn.arguments import pair as pair
from tinycnn.arguments import positive_int as positive_int
from tinycnn.foreign import Answers
from tinycnn.kernels.aligned import aligned_zeros_like
from tinycnn.kernels.check import FLOATS
from tinycnn.layers.naming import name_layers
from tinycnn.layers.symbol import Symbol
from tinycnn.memory import Memory
from tinycnn.regularizers import L1L2

Shape = tuple[int, ...]


class Layer(Answers):
    """One differentiable function with parameters.

    A layer maps ``x`` of shape ``(images, *input_shape)`` to ``y`` of shape ``(images, *output_shape)``
    (``forward``) and the gradient of a scalar loss with respect to ``y`` to the gradient with respect to
    ``x`` (``backward``), filling ``grads`` on the way.  Shapes never include the batch axis; images are
    NHWC: ``(images, height, width, channels)``.

    A subclass writes four methods::

        output_shape_of(input_shape)          shape in -> shape out; raises ValueError for a bad shape
        create(input_shape)                   fills self.params / self.state          (only if it has any)
        forward(x, training=False)            starts with  x = self._enter(x)
        backward(grad_y, input_grad=True)     starts with  grad_y = self._enter_backward(grad_y)

    and keeps its constructor arguments as attributes of the same names, so that `config` can list them.
    ``input_grad=False`` says that nobody asks for the gradient to ``x``: a layer that saves work by it returns None,
    any other may ignore it.  ``_enter`` keeps ``x`` as ``self._x``; ``self._output(shape)`` and
    ``self._input_gradient(grad_y)`` give memory for the results, which a model uses again at every step, and the
    former keeps it as ``self._y``.

    Attributes
    ----------
    params, grads : dict of str -> ndarray
        Equal keys, named as in Keras: ``kernel``, ``bias``, ``gamma``, ``beta``.  `backward` overwrites
        `grads`; it never accumulates.
    state : dict of str -> ndarray
        What is saved but not trained: ``moving_mean``, ``moving_variance``.
    trainable : bool
        False freezes the layer: the optimizer skips its parameters.
    activation : Layer or None
        Applied by the layer itself to what it computes; also among its `sublayers`.
    regularizers : dict of str -> L1L2
        Penalties on `params` of those keys, for training to add to the loss; see `tinycnn.regularizers`.
    initialize : bool
        False while a saved model is loaded: `create` then leaves weights at 0, for the file to fill, and draws nothing.
    runs : int
        How often `forward` was called: what it kept for `backward` is of the last time.
    reads_output : bool
        Of a class: False if `backward` does not need what `forward` returned, so that a model may reuse its memory.
    """

    reads_output: ClassVar[bool] = True
    registry: ClassVar[dict[str, type["Layer"]]] = {}  # class name -> class, to rebuild a saved architecture
    activation: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Layer.registry[cls.__name__] = cls

    def __init__(self, name: str | None = None) -> None:
        self.name = self.given_name = name  # the former becomes unique in a model, and has the owners' in front
        self.index: int | None = None  # position in the model, for error messages
        self.trainable = self.initialize = True
        self.input_shape: Shape = None  # type: ignore[assignment]  # these three until the layer is built
        self.output_shape: Shape = None  # type: ignore[assignment]
        self.dtype: np.dtype = None  # type: ignore[assignment]
        self.rng: np.random.Generator = np.random.default_rng(0)
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.state: dict[str, np.ndarray] = {}
        self.regularizers: dict[str, L1L2] = {}
        self.runs = 0
        self._x: Any = None  # array that the last forward saw, and the one that it gave
        self._y: Any = None
        self._images: int | None = None  # size of that batch
        self._memory: Memory | None = None  # once a model owns the layer
        self._workspace: dict[str, np.ndarray] | None = None  # likewise: buffers that serve every step
        self._shares = False  # whether outputs and input gradients lie in that memory
        self._pass: int | None = None  # of the memory, during which the last forward ran

    # What a subclass provides.

    def output_shape_of(self, input_shape: Shape) -> Shape:
        """Shape of one output for one input of `input_shape` (both without the batch axis)."""
        return tuple(listed(input_shape, f"{self.where()}: input_shape"))

    def create(self, input_shape: Shape) -> None:
        """Allocate `params` and `state` for `input_shape`, drawing from `self.rng`, in `self.dtype`."""

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """The layer's function of a batch; `training` tells dropout and batch normalisation what to do."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """Fill `grads` and return the gradient to the last forward's input."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def config(self) -> dict[str, Any]:
        """Constructor arguments as a JSON-able dict, enough to make this layer again."""
        return {}

    def sublayers(self) -> Sequence["Layer"]:
        """Layers that this one owns (a residual block's branch, for instance)."""
        return []

    # What a subclass inherits.

    def __call__(self, x: Any, training: bool = False) -> Any:
        """``forward(x, training)``; of a `Symbol`, the next one, as Keras's functional way of writing has it."""
        return Symbol(self, [x]) if isinstance(x, Symbol) else self.forward(x, training)

    def build(
        self, input_shape: Iterable[int], rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32
    ) -> Shape:
        """Allocate parameters for inputs of `input_shape` and return the output shape.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis, for example ``(256, 256, 3)``.
        rng : numpy.random.Generator, optional
            Source of the initial weights and of a dropout layer's masks; ``default_rng(0)`` if absent.
        dtype : numpy dtype
            float32 to train, float64 to check gradients.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            For another dtype, or a shape that the layer cannot take.
        """
        dtype, shape = float_type(dtype, self.where()), whole_shape(input_shape, self.where())
        self.dtype = dtype
        self.rng = generator(0 if rng is None else rng, f"{self.where()}: rng")
        self.input_shape = shape
        name_layers(self.sublayers(), self)  # before anything can fail, so that errors name the layer
        self.output_shape = tuple(self.output_shape_of(shape))
        self.params, self.grads, self.state = {}, {}, {}
        self.create(shape)
        self.grads = {key: aligned_zeros_like(value) for key, value in self.params.items()}
        return self.output_shape

    def attach(self, memory: Memory, outputs: bool = True) -> None:
        """Reuse memory between steps, as a model asks: arrays that the layer returns are then overwritten by the next.

        Parameters
        ----------
        memory : Memory
            The model's.
        outputs : bool
            Whether outputs and input gradients lie in it.  Those of a layer inside another do not: a residual block
            needs two of its layers' gradients at once.
        """
        self._memory, self._workspace = memory, {}
        self._shares = outputs
        for part in self.sublayers():
            part.attach(memory, outputs=False)

    @property
    def count_params(self) -> int:
        """Trainable and saved scalars of this layer, sublayers included (Keras's ``count_params``)."""
        own = sum(a.size for a in self.params.values()) + sum(a.size for a in self.state.values())
        return own + sum(layer.count_params for layer in self.sublayers())

    @property
    def last_input(self) -> np.ndarray:
        """What the last `forward` saw, the very array.

        Raises
        ------
        RuntimeError
            Saying why, where it is not there any more: training and prediction reuse a model's memory.
        """
        return self._still_there(self._x)

    @property
    def last_output(self) -> np.ndarray:
        """What the last `forward` gave, the very array; errors as of `last_input`."""
        return self._still_there(self._y)

    def _still_there(self, array: np.ndarray | None) -> np.ndarray:
        if self._memory is not None and self._pass is not None and self._memory.intact != self._pass:
            raise RuntimeError(
                f"{self.where()}: what it last saw and gave has been overwritten, to save memory, by a backward pass "
                "or a prediction; call the model's forward(x) and ask then"
            )
        if array is None and self.runs == 0:
            raise RuntimeError(f"{self.where()} has not run yet")
        if array is None:
            raise RuntimeError(
                f"{self.where()} ran in one step with its neighbour, so that what lies between the two was never "
                "stored; call this layer's own forward(x)"
            )
        return array

    def where(self) -> str:
        """How error messages call this layer: its class, name and index in the model."""
        text = type(self).__name__
        if self.name:
            text += f" '{self.name}'"
        if self.index is not None:
            text += f" (layer {self.index} of the model)"
        return text

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({arguments})"

    def _enter(self, x: ArrayLike) -> np.ndarray:
        """Check and convert an input; build the layer on its first forward."""
        x = as_array(x, "x")
        if x.ndim < 2:
            raise ValueError(
                f"{self.where()} takes a batch, images (or vectors) along the first axis, got shape {x.shape}; of a "
                "single one make a batch with x[None]"
            )
        if x.dtype not in FLOATS:
            x = x.astype(np.float32 if self.dtype is None else self.dtype)
        if self.output_shape is None:
            self.build(x.shape[1:], dtype=x.dtype)
        self.check_input(x)
        self._x = x = np.ascontiguousarray(x, dtype=self.dtype)
        self._y, self._images = None, len(x)
        self.runs += 1
        self._pass = None if self._memory is None else self._memory.running
        return x

    def check_input(self, x: np.ndarray) -> None:
        """Refuse a batch of a shape that the built layer does not take.

        Raises
        ------
        ValueError
            With both shapes.
        """
        if x.shape[1:] != self.input_shape or x.ndim < 2:
            raise ValueError(
                f"{self.where()} was built for inputs of shape (images, {', '.join(map(str, self.input_shape))}), "
                f"got {x.shape}; build a new layer for another size"
            )
        if x.shape[0] == 0:
            raise ValueError(f"{self.where()} got a batch of no images: shape {x.shape}")

    def _enter_backward(self, grad_y: ArrayLike) -> np.ndarray:
        """Check and convert an upstream gradient."""
        grad_y = self.check_gradient(grad_y)
        return np.ascontiguousarray(grad_y, dtype=self.dtype)

    def check_gradient(self, grad_y: ArrayLike) -> np.ndarray:
        """`grad_y` as an array, if it has the shape of the last forward's output.

        Raises
        ------
        RuntimeError
            Before any forward.
        ValueError
            With both shapes.
        """
        if self._images is None:
            raise RuntimeError(f"{self.where()}: backward was called before forward")
        grad_y = as_array(grad_y, "grad_y")
        if grad_y.shape != (self._images, *self.output_shape):
            raise ValueError(
                f"{self.where()}: gradient of shape {grad_y.shape} does not fit the output "
                f"{(self._images, *self.output_shape)} of its last forward, on {self._images} images"
            )
        return grad_y

    def _output(self, shape: Shape | None = None) -> np.ndarray:
        """Uninitialised memory for the output of this forward, by default ``(images, *output_shape)``."""
        shape = (len(self._x), *self.output_shape) if shape is None else shape
        place = self._memory.output(self._bytes(shape)) if self._memory is not None and self._shares else None
        self._y = self._buffer("y", shape) if place is None else place.view(self.dtype).reshape(shape)
        return self._y

    def _input_gradient(self, grad: np.ndarray) -> np.ndarray:
        """Uninitialised memory for the gradient to the input, apart from `grad`, which is still to be read."""
        shape = (len(grad), *self.input_shape)
        place = self._memory.gradient(self._bytes(shape), grad) if self._memory is not None and self._shares else None
        return self._buffer("grad_x", shape) if place is None else place.view(self.dtype).reshape(shape)

    def _bytes(self, shape: Shape) -> int:
        return math.prod(shape) * self.dtype.itemsize

    def _buffer(self, key: str, shape: Shape, dtype: DTypeLike | None = None) -> np.ndarray:
        """An uninitialised array.  Inside a model the same memory serves every step; alone, each call is fresh.

        A fresh array of a hundred megabytes costs more in page faults than the arithmetic done on it.
        """
        dtype = np.dtype(self.dtype if dtype is None else dtype)
        if self._workspace is None:
            return np.empty(shape, dtype)
        size = math.prod(shape)
        flat = self._workspace.get(key)
        if flat is None or flat.size < size or flat.dtype != dtype:
            flat = self._workspace[key] = np.empty(size, dtype)
        return flat[:size].reshape(shape)
