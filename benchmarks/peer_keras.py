"""A network of `architectures` in Keras on TensorFlow.

Options: those of ``compile``, such as jit_compile, which is "auto" by default.
"""

import itertools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"  # both are read when the libraries are imported

import keras  # noqa: E402
import tensorflow  # noqa: E402
from architectures import images_and_targets, kind_and_options  # noqa: E402
from keras import layers as kl  # noqa: E402


def convolution(filters, kernel_size, groups=1, **options):
    """TensorFlow has no gradient of grouped convolutions on processors but for groups of one channel."""
    if 1 < groups == filters:
        return kl.DepthwiseConv2D(kernel_size, **options)
    return kl.Conv2D(filters, kernel_size, groups=groups, **options)


KINDS = {
    "conv": convolution,
    "transposed": kl.Conv2DTranspose,
    "max_pool": kl.MaxPooling2D,
    "average_pool": kl.AveragePooling2D,
    "global_average_pool": kl.GlobalAveragePooling2D,
    "upsample": kl.UpSampling2D,
    "batch_norm": kl.BatchNormalization,
    "relu": kl.ReLU,
    "dropout": kl.Dropout,
    "flatten": kl.Flatten,
    "dense": kl.Dense,
}


def through(layers, x, numbers):
    """`x` after the layers, which are called ``kind_number`` in their order."""
    for kind, args, options in map(kind_and_options, layers):
        if kind == "residual":
            branch, shortcut = (through(path, x, numbers) for path in args)
            x = kl.ReLU()(kl.Add()([shortcut, branch]))
        else:
            x = KINDS[kind](*args, name=f"{kind}_{next(numbers)}", **options)(x)
    return x


class Worker:
    version = f"{keras.__version__} on TensorFlow {tensorflow.__version__}"

    def __init__(self, options):
        self.options = options

    def setup(self, network, task, threads):
        if threads:
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)  # only before the first step
        keras.utils.set_random_seed(0)
        inputs = keras.Input(network["shape"])
        self.model = keras.Model(inputs, through(network["layers"], inputs, itertools.count()))
        loss = "mse" if network["loss"] == "mse" else "sparse_categorical_crossentropy"
        self.model.compile("adam", loss, **({"jit_compile": "auto"} | self.options))
        self.x, self.y = images_and_targets(network)

    def train(self):
        self.model.reset_metrics()
        return self.model.train_on_batch(self.x, self.y)

    def predict(self):
        return self.model.predict_on_batch(self.x)
