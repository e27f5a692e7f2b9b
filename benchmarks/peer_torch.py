"""A network of `architectures` in PyTorch, trained and run as its tutorials do.

Options: fused (Adam), channels_last, compiled.

"same" with a stride pads one pixel more before an image than Keras and tinycnn do, and one less after it, as everyone
does who writes ``padding=kernel_size // 2``.
"""

import torch
from architectures import images_and_targets, kind_and_options
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Residual(nn.Module):
    def __init__(self, branch, shortcut):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.branch(x))


def convolution(filters, kernel_size, strides=1, padding="valid", groups=1, use_bias=True):
    same = kernel_size // 2 if padding == "same" else 0
    return nn.LazyConv2d(filters, kernel_size, strides, same, groups=groups, bias=use_bias)


def transposed(filters, kernel_size, strides=1, padding="valid"):
    crop = kernel_size - strides if padding == "same" else 0
    return nn.LazyConvTranspose2d(filters, kernel_size, strides, (crop + 1) // 2, output_padding=crop % 2)


KINDS = {
    "conv": convolution,
    "transposed": transposed,
    "max_pool": lambda size, strides=None: nn.MaxPool2d(size, strides),
    "average_pool": nn.AvgPool2d,
    "global_average_pool": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "upsample": lambda factor: nn.Upsample(scale_factor=factor),
    "batch_norm": lambda: nn.LazyBatchNorm2d(eps=1e-3, momentum=0.01),
    "relu": nn.ReLU,
    "dropout": nn.Dropout,
    "flatten": nn.Flatten,
    "dense": nn.LazyLinear,
    "residual": lambda branch, shortcut: Residual(sequence(branch), sequence(shortcut)),
}


def sequence(layers):
    """The layers in a row, without a softmax at the end."""
    made = []
    for kind, args, options in map(kind_and_options, layers):
        activation = ACTIVATIONS.get((options := dict(options)).pop("activation", None))
        made += [KINDS[kind](*args, **options), *([activation()] if activation else [])]
    return nn.Sequential(*made)


class Worker:
    version = torch.__version__

    def __init__(self, options):
        self.options = options

    def setup(self, network, task, threads):
        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.model = sequence(network["layers"])
        x, y = images_and_targets(network)
        self.x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
        self.model.eval()(self.x[:1])  # what is lazy learns its sizes
        if self.options.get("channels_last"):
            self.x = self.x.contiguous(memory_format=torch.channels_last)
            self.model = self.model.to(memory_format=torch.channels_last)
        self.classifies = network["loss"] == "cross_entropy"
        self.y = torch.from_numpy(y) if self.classifies else self.x
        self.loss = nn.CrossEntropyLoss() if self.classifies else nn.MSELoss()
        self.model.train(task == "train")
        self.call = self.model
        if self.options.get("compiled"):
            torch.compiler.reset()
            freezing = {"freezing": True} if task == "predict" else None  # lets it pack the weights beforehand
            self.call = torch.compile(self.model, dynamic=False, options=freezing)
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=self.options.get("fused") or None)

    def train(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.call(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self):
        with torch.inference_mode():
            outputs = self.call(self.x)
            return (torch.softmax(outputs, 1) if self.classifies else outputs.permute(0, 2, 3, 1)).numpy()
