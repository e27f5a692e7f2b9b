"""A network of `architectures` in tinycnn, and what one turn of the loop in `tinycnn.fit` does with it."""

from architectures import images_and_targets, kind_and_options

import tinycnn

KINDS = {
    "conv": "Conv2D",
    "transposed": "Conv2DTranspose",
    "max_pool": "MaxPool2D",
    "average_pool": "AveragePool2D",
    "global_average_pool": "GlobalAveragePool2D",
    "upsample": "UpSample2D",
    "batch_norm": "BatchNorm",
    "relu": "ReLU",
    "dropout": "Dropout",
    "flatten": "Flatten",
    "dense": "Dense",
}


def layers_of(layers):
    made = []
    for kind, args, options in map(kind_and_options, layers):
        if kind == "residual":
            made.append(tinycnn.Residual(*map(layers_of, args), activation="relu"))
        else:
            made.append(getattr(tinycnn, KINDS[kind])(*args, **options))
    return made


class Worker:
    version = tinycnn.__version__

    def __init__(self, options):
        pass

    def setup(self, network, task, threads):
        if threads:
            tinycnn.set_num_threads(threads)
        self.model = tinycnn.Sequential(layers_of(network["layers"]))
        self.model.build(network["shape"])
        self.x, self.y = images_and_targets(network)
        self.loss = tinycnn.MeanSquaredError() if network["loss"] == "mse" else tinycnn.CrossEntropy()
        self.optimizer = tinycnn.Adam()

    def train(self):
        of_classes = isinstance(self.loss, tinycnn.CrossEntropy)  # which takes what comes before the softmax
        loss = self.loss.forward(self.model.run(self.x, training=True, logits=of_classes), self.y)
        self.model.backward(self.loss.backward(), input_grad=False)
        self.optimizer.step(self.model.parameters())
        return loss

    def predict(self):
        return self.model.predict(self.x, batch_size=len(self.x))
