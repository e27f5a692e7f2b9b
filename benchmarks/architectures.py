"""The networks that are timed, as plain data, from which each library builds its own.

A network is a dict that JSON can carry to another process:

    {"shape": (height, width, channels), "batch": images, "loss": "cross_entropy" | "mse", "layers": [layer, ...]}

and a layer is a tuple: its kind, its numbers and, last, a dict of options with Keras's names (which are tinycnn's too):

    ("conv", filters, kernel_size, {"strides", "padding", "groups", "activation", "use_bias"})
    ("transposed", filters, kernel_size, {"strides", "padding", "activation"})
    ("max_pool", size, {"strides"})   ("average_pool", size)   ("global_average_pool",)   ("upsample", factor)
    ("batch_norm",)   ("relu",)   ("dropout", rate)   ("flatten",)   ("dense", units, {"activation"})
    ("residual", [layer, ...], [layer of the shortcut, ...])    ReLU of the sum of both

With "mse" the images themselves are the targets.  No layer depends on the size of the images.
"""

import numpy as np

SAME, RELU = {"padding": "same"}, {"activation": "relu"}
SAME_RELU = SAME | RELU


def report(batch=16, side=256, filters=(32, 64, 128)):
    """The student report's network."""
    layers = [layer for n in filters for layer in (("conv", n, 3, SAME_RELU), ("max_pool", 2))]
    layers += [("dropout", 0.3), ("flatten",), ("dense", 128, RELU), ("dropout", 0.3), ("dense", 128, RELU)]
    return {"shape": (side, side, 3), "batch": batch, "loss": "cross_entropy", "layers": [*layers, softmax(3)]}


def softmax(classes):
    return ("dense", classes, {"activation": "softmax"})


def normalised(filters, kernel_size=3, **options):
    """Convolution without bias, batch normalisation, ReLU."""
    return [("conv", filters, kernel_size, SAME | {"use_bias": False} | options), ("batch_norm",), ("relu",)]


def residual_block(filters, strides):
    branch = [*normalised(filters, strides=strides), *normalised(filters)[:-1]]
    shortcut = normalised(filters, 1, strides=strides)[:-1] if strides > 1 else []
    return ("residual", branch, shortcut)


def separable(channels, filters, strides):
    """A convolution of each channel alone, then one across channels, as in MobileNet."""
    return [*normalised(channels, groups=channels, strides=strides), *normalised(filters, 1)]


def network(side, channels, batch, layers, classes=10):
    """A classifier, or for `classes` 0 a network whose target is its input."""
    loss = "cross_entropy" if classes else "mse"
    return {
        "shape": (side, side, channels),
        "batch": batch,
        "loss": loss,
        "layers": layers + [softmax(classes)] * bool(classes),
    }


MNIST = [("conv", 32, 3, RELU), ("max_pool", 2), ("conv", 64, 3, RELU), ("max_pool", 2), ("flatten",), ("dropout", 0.5)]
TANH = {"activation": "tanh"}
LENET = [("conv", 6, 5, TANH), ("average_pool", 2), ("conv", 16, 5, TANH), ("average_pool", 2), ("flatten",)]
LENET += [("dense", 120, TANH), ("dense", 84, TANH)]
VGG = [
    layer
    for filters in (32, 64, 128)
    for layer in (*normalised(filters), *normalised(filters), ("max_pool", 2), ("dropout", 0.2))
] + [("flatten",), ("dense", 128, RELU), ("dropout", 0.3)]
RESNET = [
    *normalised(16),
    *(residual_block(n, 1 + (n > 16 and i == 0)) for n in (16, 32, 64) for i in range(3)),
    ("global_average_pool",),
]
MOBILENET = [
    *normalised(32, strides=2),
    *(
        layer
        for c, n, strides in ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))
        for layer in separable(c, n, strides)
    ),
    ("global_average_pool",),
]
DOUBLE = SAME_RELU | {"strides": 2}
AUTOENCODER = [
    *(("conv", 32, 3, SAME_RELU), ("max_pool", 2)) * 2,
    *(("transposed", 32, 3, DOUBLE),) * 2,
    ("conv", 1, 3, SAME | {"activation": "sigmoid"}),
]
OVERLAPPING = ("max_pool", 3, {"strides": 2})
ALEXNET = [("conv", 48, 11, RELU | {"strides": 4}), OVERLAPPING, ("conv", 128, 5, SAME_RELU), OVERLAPPING]
ALEXNET += [*(("conv", n, 3, SAME_RELU) for n in (192, 192, 128)), OVERLAPPING, ("flatten",)]
ALEXNET += [("dropout", 0.5), ("dense", 512, RELU)] * 2
UPSAMPLING = [layer for n in (16, 32, 64) for layer in (("conv", n, 3, SAME_RELU), ("max_pool", 2))]
UPSAMPLING += [layer for n in (64, 32, 16) for layer in (("conv", n, 3, SAME_RELU), ("upsample", 2))]
UPSAMPLING += [("conv", 1, 3, SAME | {"activation": "sigmoid"})]
EIGHT = [*(("conv", 8, 3, SAME_RELU), ("max_pool", 2)) * 2, ("flatten",)]

# 32 is Keras's batch size where none is given.
NETWORKS = {
    "report": report(),
    "mnist": network(28, 1, 32, MNIST),
    "lenet5": network(32, 1, 32, LENET),
    "vgg": network(32, 3, 32, VGG),
    "resnet20": network(32, 3, 32, RESNET),
    "mobilenet": network(96, 3, 16, MOBILENET),
    "autoencoder": network(28, 1, 32, AUTOENCODER, classes=0),
    "alexnet": network(128, 3, 16, ALEXNET),
    "upsampling": network(96, 1, 16, UPSAMPLING, classes=0),
    "eight_filters": network(64, 3, 4, EIGHT),
}


def kind_and_options(layer):
    """``(kind, positional arguments, options)`` of a layer."""
    kind, *args = layer
    return kind, args, args.pop() if args and isinstance(args[-1], dict) else {}


def images_and_targets(network):
    """The batch that every library gets: images in 0..1, float32, NHWC; labels, or the images again for "mse"."""
    rng = np.random.default_rng(0)
    images = rng.random((network["batch"], *network["shape"]), np.float32)
    if network["loss"] == "mse":
        return images, images
    classes = kind_and_options(network["layers"][-1])[1][0]
    return images, rng.integers(0, classes, len(images))
