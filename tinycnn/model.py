"""`Sequential`: layers in a row, built, run forward and backward, summed up, saved and loaded as one."""

import math

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.images import scale_u8
from tinycnn.layers.base import Layer
from tinycnn.layers.conv_pool import fuse
from tinycnn.memory import Memory
from tinycnn.serialization import describe_model, load_model, read_npz, write_npz
from tinycnn.summary import summary_text
from tinycnn.walk import copy_weights, ends_in, first_nonfinite, layers_of, name_layers, trainable, walk, weights_of


class Sequential:
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
        Yours, JSON-able, saved with the model: class names, preprocessing.

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

    def __init__(self, layers, seed=0, name="sequential"):
        self.layers = list(layers)
        self.seed = np.random.SeedSequence().entropy if seed is None else int(seed)
        self.name = name
        self.metadata = {}
        self.rng = np.random.default_rng(self.seed)
        self.input_shape = self.output_shape = self.dtype = None
        self._steps = []
        self._scaled = None
        if not self.layers:
            raise ValueError("Sequential needs at least one layer")
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise ValueError(f"layer {i} is {layer!r} of type {type(layer).__name__}, not a tinycnn layer")
        if len({id(layer) for layer in self.layers}) < len(self.layers):
            raise ValueError("one layer object appears twice; each keeps what its backward needs, so make two")
        name_layers(self.layers)

    def build(self, input_shape, dtype=np.float32):
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
        self.rng = np.random.default_rng(self.seed)
        self._scaled = None
        shape = tuple(int(n) for n in input_shape)
        self.input_shape = shape
        for layer in self.layers:
            if not self.built and layer.input_shape == shape and layer.dtype == dtype:
                shape = layer.output_shape  # built in another model: its weights are why it is here
                for part in walk(layer):
                    part.rng = self.rng
            else:
                shape = layer.build(shape, rng=self.rng, dtype=dtype)
        self.output_shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        name_layers(self.layers)  # again, for sublayers that exist only now
        for layer in self.all_layers():
            layer._workspace, layer._memory = {}, None
        self._memory = Memory()
        for layer in self.layers:  # not what they own: a residual block needs two of its layers' gradients at once
            layer._memory = self._memory
        self._steps = fuse(self.layers)
        return self.output_shape

    @property
    def built(self):
        """Whether shapes and parameters exist."""
        return self.output_shape is not None

    @runtime.locked  # two Python threads may predict with one model: its buffers are shared until the copy is made
    def forward(self, x, training=False, logits=False):
        """Outputs for a batch, as an array of your own.

        Parameters
        ----------
        x : ndarray, shape (images, *input_shape)
            uint8 is scaled by 1/255; float is taken as it is.  An unbuilt model builds for this shape.
        training : bool
            Dropout drops and batch normalisation uses the batch's statistics.
        logits : bool
            Leave out a softmax at the end, as `CrossEntropy` needs.

        Returns
        -------
        ndarray, shape (images, *output_shape)
        """
        return self._forward(x, training, logits).copy()

    @runtime.locked
    def _infer(self, x, logits=False):
        """`forward` for a prediction, in less memory: no backward may follow."""
        return self._forward(x, logits=logits, keep=False).copy()

    def _forward(self, x, training=False, logits=False, keep=True):
        """`forward` without the copy: the result is overwritten by the next call."""
        x = np.asarray(x)
        if not self.built:
            self.build(x.shape[1:], np.float64 if x.dtype == np.float64 else np.float32)
        if x.dtype == np.uint8:
            x = self._scale(x)
        if x.shape[1:] != self.input_shape:
            self.layers[0]._enter(x)  # says what is wrong, before memory is taken for it
        shapes = (layers_of(step)[-1].output_shape for step in self._steps)
        with self._memory.forward([self._bytes(x, shape) for shape in shapes], keep):
            for i, step in enumerate(self._steps):
                self._memory.enter(i)
                skip = logits and i == len(self._steps) - 1 and self.ends_in_softmax
                x = step.forward(x, training=training, logits=True) if skip else step.forward(x, training=training)
        return x

    def _bytes(self, batch, shape):
        return len(batch) * math.prod(shape) * self.dtype.itemsize

    def backward(self, grad, logits=False, input_grad=True):
        """Fill every layer's ``grads`` from the loss's gradient and return the gradient to the input.

        Parameters
        ----------
        grad : ndarray, shape (images, *output_shape)
            Derivative of the scalar loss by the output of the last `forward`.
        logits : bool
            As in that `forward`.
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
        if not (self.built and self._memory.kept):
            raise RuntimeError(
                f"model '{self.name}': backward was called before forward, or what forward kept for it has been "
                "overwritten: by predict, by evaluate, or by an earlier backward(input_grad=False)"
            )
        grad = self.layers[-1]._enter_backward(grad)
        first = 0 if input_grad else self._first_trainable()
        through = (layers_of(step)[0].input_shape for step in self._steps[first if input_grad else first + 1 :])
        largest = max((self._bytes(grad, shape) for shape in through), default=0)
        with self._memory.backward(largest, overwrite=not input_grad):
            for i in range(len(self._steps) - 1, first - 1, -1):
                step = self._steps[i]
                self._memory.enter(i, step.reads_output)
                options = {}
                if logits and i == len(self._steps) - 1 and self.ends_in_softmax:
                    options["logits"] = True
                if not input_grad and i == first and getattr(step, "skips_input_grad", False):
                    options["input_grad"] = False
                grad = step.backward(grad, **options)
                for layer in layers_of(step):
                    layer._incoming = None  # or it would keep this memory alive after the model has taken larger
        return grad.copy() if input_grad else None

    @property
    def ends_in_softmax(self):
        """Whether the last layer is a softmax or a layer with one as its activation."""
        return ends_in(self.layers[-1], "softmax")

    @property
    def ends_in_sigmoid(self):
        """Whether the last layer is a sigmoid or a layer with one as its activation."""
        return ends_in(self.layers[-1], "sigmoid")

    def _first_trainable(self):
        """Index of the first step with something to train: backward need not go below it."""
        for i, step in enumerate(self._steps):
            if any(True for layer in layers_of(step) for _ in trainable(layer)):
                return i
        return len(self._steps)

    def _scale(self, images):
        size = math.prod(images.shape)
        if self._scaled is None or self._scaled.size < size:
            self._scaled = np.empty(size, self.dtype)
        out = self._scaled[:size].reshape(images.shape)
        scale_u8(np.ascontiguousarray(images), out, 1 / 255)
        return out

    def all_layers(self):
        """Yield every layer, each followed by the layers inside it."""
        for layer in self.layers:
            yield from walk(layer)

    def parameters(self):
        """Yield ``(key, parameter, gradient)`` for what the optimizer may change; keys are ``conv2d/kernel``.

        A layer with ``trainable = False`` is left out, with its sublayers.
        """
        for layer in self.layers:
            yield from trainable(layer)

    @property
    def count_params(self):
        """All saved scalars, trainable or not."""
        return sum(layer.count_params for layer in self.layers)

    def get_layer(self, name):
        """The layer called `name`; one inside another is called ``residual/conv2d``.

        Raises
        ------
        ValueError
            Listing the names there are.
        """
        layers = {layer.name: layer for layer in self.all_layers()}
        if name not in layers:
            raise ValueError(f"no layer {name!r} in model '{self.name}'; it has {', '.join(layers)}")
        return layers[name]

    def generators(self):
        """Every random generator the model draws from, by name, so that a checkpoint can keep their states."""
        found = {"model": self.rng}
        for layer in self.all_layers():
            for key, value in vars(layer).items():
                if isinstance(value, np.random.Generator) and all(value is not other for other in found.values()):
                    found[f"{layer.name}/{key}"] = value
        return found

    def get_weights(self):
        """Copies of all parameters and running statistics, ``{"conv2d/kernel": ndarray, ...}``."""
        return {key: array.copy() for key, array in self._weights().items()}

    def set_weights(self, weights, source="the given weights"):
        """Copy `weights` (keys and shapes as `get_weights` gives) into the model; all or nothing.

        Raises
        ------
        ValueError
            Naming the layer and both shapes at the first misfit, or the keys missing or left over.
        """
        copy_weights(weights, self._weights(), source)

    def _weights(self):
        self._need_build("its weights exist")
        return {
            f"{layer.name}/{key}": array
            for layer in self.all_layers()
            for key, array in (layer.params | layer.state).items()
        }

    def first_nonfinite(self, x=None):
        """The first layer with NaN or infinity in a parameter or, for inputs `x`, in its output; None if all is well.

        Returns
        -------
        NonFinite or None
            ``index`` is -1 if `x` itself is not finite.
        """
        self._need_build("it can be searched")
        if x is not None and x.dtype == np.uint8:
            x = self._scale(x)
        return first_nonfinite(self.layers, x)

    def summary(self, print_fn=print, line_length=None):
        """Print the layers, their output shapes and parameter counts, as Keras does.

        Parameters
        ----------
        print_fn : callable
            Called once with the whole text.
        line_length : int, optional
            Width of the table; else 88 or the terminal's.

        Raises
        ------
        ValueError
            If the model is not built.
        """
        self._need_build("it can be summed up")
        text = summary_text(self, line_length)
        print_fn(text[:-1] if print_fn is print else text)

    def __repr__(self):
        return f"Sequential([{', '.join(map(repr, self.layers))}], seed={self.seed}, name={self.name!r})"

    def architecture(self):
        """What it takes to make this model again, weights aside, as a JSON-able dict."""
        self._need_build("it can be saved")
        return describe_model(self)

    def save(self, path):
        """Write architecture, `metadata`, parameters and running statistics to one ``.npz`` at `path`, atomically.

        Raises
        ------
        OSError
            Naming `path`; an older file there stays whole.
        """
        write_npz(path, *self.contents())

    def contents(self):
        """What `save` writes: a JSON-able header, and the arrays by name (the model's own, not copies)."""
        header = {"architecture": self.architecture(), "metadata": self.metadata}
        return header, {f"weights/{key}": array for key, array in self._weights().items()}

    @classmethod
    def load(cls, path):
        """The model saved at `path`, built and with its weights; a checkpoint's file serves too.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is damaged, not a model, or holds a layer class that is not imported.
        """
        return load_model(cls, path)

    def load_weights(self, path):
        """Copy the weights saved at `path` into this model of the same layers.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is damaged, or naming the first layer that differs and both shapes.
        """
        self.set_weights(weights_of(read_npz(path)[1]), source=str(path))

    def _need_build(self, until):
        if not self.built:
            raise ValueError(f"model '{self.name}' must be built before {until}: call build(input_shape) or forward(x)")

    def fit(self, train, validation=None, **options):
        """Train; see `tinycnn.fit` for every option.  Returns a `History`."""
        from tinycnn.training.loop import fit

        return fit(self, train, validation, **options)

    def evaluate(self, data, batch_size=16, loss=None):
        """``{"loss": ..., "accuracy": ...}`` on `data`; see `tinycnn.evaluate`."""
        from tinycnn.training.loop import evaluate

        return evaluate(self, data, batch_size, loss)

    def predict(self, data, batch_size=16):
        """Outputs for all of `data`, probabilities if the model ends in a softmax; see `tinycnn.predict`."""
        from tinycnn.training.loop import predict

        return predict(self, data, batch_size)
