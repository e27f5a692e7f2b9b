"""What every layer shares: building, parameters and gradients, error messages, reusable buffers."""

import math
import re

import numpy as np

from tinycnn.kernels.aligned import aligned_zeros_like


class Layer:
    """One differentiable function with parameters.

    A layer maps ``x`` of shape ``(images, *input_shape)`` to ``y`` of shape ``(images, *output_shape)``
    (``forward``) and the gradient of a scalar loss with respect to ``y`` to the gradient with respect to
    ``x`` (``backward``), filling ``grads`` on the way.  Shapes never include the batch axis; images are
    NHWC: ``(images, height, width, channels)``.

    A subclass writes four methods::

        output_shape_of(input_shape)      shape in -> shape out; raises ValueError for a bad shape
        create(input_shape)               fills self.params / self.state          (only if it has any)
        forward(x, training=False)        starts with  x = self._enter(x)
        backward(grad_y)                  starts with  grad_y = self._enter_backward(grad_y)

    and keeps its constructor arguments as attributes of the same names, so that `config` can list them.

    Attributes
    ----------
    params, grads : dict of str -> ndarray
        Equal keys, named as in Keras: ``kernel``, ``bias``, ``gamma``, ``beta``.  `backward` overwrites
        `grads`; it never accumulates.
    state : dict of str -> ndarray
        What is saved but not trained: ``moving_mean``, ``moving_variance``.
    trainable : bool
        False freezes the layer: the optimizer skips its parameters.
    reads_output : bool
        Of a class: False if `backward` does not need what `forward` returned, so that a model may reuse its memory.
    """

    reads_output = True
    registry = {}  # class name -> class, so that a saved architecture can be rebuilt

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Layer.registry[cls.__name__] = cls

    def __init__(self, name=None):
        self.name = name
        self.index = None  # position in the model, for error messages
        self.trainable = True
        self.input_shape = self.output_shape = None
        self.dtype = None
        self.rng = None
        self.params, self.grads, self.state = {}, {}, {}
        self._workspace = None  # a dict once a model owns the layer: buffers are then reused between steps
        self._memory = None  # the model's, for outputs and input gradients, once a model owns the layer
        self._images = None  # size of the batch of the last forward
        self._incoming = None  # the gradient that a running backward reads

    # -- what a subclass provides -------------------------------------------------------------------------

    def output_shape_of(self, input_shape):
        """Shape of one output for one input of `input_shape` (both without the batch axis)."""
        return tuple(input_shape)

    def create(self, input_shape):
        """Allocate `params` and `state` for `input_shape`, drawing from `self.rng`, in `self.dtype`."""

    def config(self):
        """Constructor arguments as a JSON-able dict, enough to make this layer again."""
        return {}

    def sublayers(self):
        """Layers that this one owns (a residual block's branch, for instance)."""
        return []

    # -- what a subclass inherits -------------------------------------------------------------------------

    def build(self, input_shape, rng=None, dtype=np.float32):
        """Allocate parameters for inputs of `input_shape` and return the output shape.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis, for example ``(256, 256, 3)``.
        rng : numpy.random.Generator, optional
            Source of the initial weights and of a dropout layer's masks; ``default_rng(0)`` if absent.
        dtype : numpy dtype
            float32 to train, float64 to check gradients.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"{self.where()}: dtype must be float32 or float64, got {dtype}")
        input_shape = tuple(int(n) for n in input_shape)
        if min(input_shape, default=0) < 1:
            raise ValueError(f"{self.where()}: input shape {input_shape} has an axis smaller than 1")
        self.dtype = dtype
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.input_shape = input_shape
        self.output_shape = tuple(self.output_shape_of(input_shape))
        self.params, self.grads, self.state = {}, {}, {}
        self.create(input_shape)
        self.grads = {key: aligned_zeros_like(value) for key, value in self.params.items()}
        return self.output_shape

    @property
    def count_params(self):
        """Trainable and saved scalars of this layer, sublayers included (Keras's ``count_params``)."""
        own = sum(a.size for a in self.params.values()) + sum(a.size for a in self.state.values())
        return own + sum(layer.count_params for layer in self.sublayers())

    def where(self):
        """How error messages call this layer: its class, name and index in the model."""
        text = type(self).__name__
        if self.name:
            text += f" '{self.name}'"
        if self.index is not None:
            text += f" (layer {self.index} of the model)"
        return text

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({arguments})"

    def _enter(self, x):
        """Check and convert an input; build the layer on its first forward."""
        x = np.asarray(x)
        if x.dtype not in (np.float32, np.float64):
            x = x.astype(np.float32 if self.dtype is None else self.dtype)
        if self.output_shape is None:
            self.build(x.shape[1:], dtype=x.dtype)
        if x.shape[1:] != self.input_shape:
            raise ValueError(
                f"{self.where()} was built for inputs of shape (images, {', '.join(map(str, self.input_shape))}), "
                f"got {x.shape}; build a new layer for another size"
            )
        if x.shape[0] == 0:
            raise ValueError(f"{self.where()} got a batch of no images: shape {x.shape}")
        self._images = x.shape[0]
        return np.ascontiguousarray(x, dtype=self.dtype)

    def _enter_backward(self, grad_y):
        """Check and convert an upstream gradient."""
        if self._images is None:
            raise RuntimeError(f"{self.where()}: backward was called before forward")
        grad_y = np.asarray(grad_y)
        if grad_y.shape != (self._images, *self.output_shape):
            raise ValueError(
                f"{self.where()}: gradient of shape {grad_y.shape} does not fit the output "
                f"{(self._images, *self.output_shape)} of its last forward, on {self._images} images"
            )
        self._incoming = np.ascontiguousarray(grad_y, dtype=self.dtype)
        return self._incoming

    def _buffer(self, key, shape, dtype=None):
        """An uninitialised array.  Inside a model the same memory serves every step; alone, each call is fresh.

        A fresh array of a hundred megabytes costs more in page faults than the arithmetic done on it.
        """
        dtype = np.dtype(self.dtype if dtype is None else dtype)
        if self._workspace is None:
            return np.empty(shape, dtype)
        size = math.prod(shape)
        if self._memory is not None and key in ("y", "grad_x"):
            room = size * dtype.itemsize
            place = self._memory.output(room) if key == "y" else self._memory.gradient(room, self._incoming)
            if place is not None:
                return place.view(dtype).reshape(shape)
        flat = self._workspace.get(key)
        if flat is None or flat.size < size or flat.dtype != dtype:
            flat = self._workspace[key] = np.empty(size, dtype)
        return flat[:size].reshape(shape)


def pair(value, what):
    """``3 -> (3, 3)``; a pair of positive ints stays as it is."""
    values = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value, value)
    if len(values) != 2 or any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < 1 for v in values):
        raise ValueError(f"{what} must be a positive int or a pair of them, got {value!r}")
    return int(values[0]), int(values[1])


def snake_case(class_name):
    """Keras's default layer names: ``Conv2D -> conv2d``, ``MaxPool2D -> max_pool2d``.

    >>> snake_case("Conv2D"), snake_case("MaxPool2D"), snake_case("BatchNorm")
    ('conv2d', 'max_pool2d', 'batch_norm')
    """
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
