"""`from_torch`: torchvision's ways of writing networks come in and give the same numbers; the rest is named."""

import numpy as np
import pytest
from chains import differ

from tinycnn.interop.torch_reader import from_torch
from tinycnn.layers import MaxPool2D, Parallel, Residual, UpSample2D

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class BasicBlock(nn.Module):
    """As in torchvision: one ReLU object that is called twice, and the sum in place."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        identity = x
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet18(nn.Module):
    """torchvision's resnet18, an eighth as wide."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [8, 8, 16, 32, 64]
        stages = [
            nn.Sequential(BasicBlock(before, width, 1 if i == 0 else 2), BasicBlock(width, width, 1))
            for i, (before, width) in enumerate(zip(widths, widths[1:], strict=False))
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class VGG16(nn.Module):
    """torchvision's vgg16, a sixteenth as wide."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for width in (4, 4, "M", 8, 8, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32, "M"):
            if width == "M":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((7, 7))
        dense = [nn.Linear(32 * 49, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 64), nn.ReLU(True), nn.Dropout()]
        self.classifier = nn.Sequential(*dense, nn.Linear(64, 10))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class DenseLayer(nn.Module):
    """As in torchvision: from a list of all features before it."""

    def __init__(self, channels, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, 2 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(2 * growth), nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        features = [x] if isinstance(x, torch.Tensor) else x
        x = self.conv1(F.relu(self.norm1(torch.cat(features, 1))))
        return self.conv2(F.relu(self.norm2(x)))


class DenseNet(nn.Module):
    """torchvision's, with two blocks of three and two layers."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.one = nn.ModuleList([DenseLayer(6 + 2 * i, 2) for i in range(3)])
        self.between = nn.Sequential(nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 4, 1), nn.AvgPool2d(2, 2))
        self.two = nn.ModuleList([DenseLayer(4 + 2 * i, 2) for i in range(2)])
        self.classifier = nn.Linear(8, 5)

    def forward(self, x):
        x = self.block(self.two, self.between(self.block(self.one, self.stem(x))))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(F.relu(x), (1, 1)), 1))

    def block(self, layers, x):
        features = [x]
        for layer in layers:
            features.append(layer(features))
        return torch.cat(features, 1)


class InvertedResidual(nn.Module):
    """As in torchvision's mobilenet_v2."""

    def __init__(self, channels, filters, stride, expansion):
        super().__init__()
        wide = channels * expansion
        self.same = stride == 1 and channels == filters
        self.conv = nn.Sequential(
            *([] if expansion == 1 else self.row(channels, wide, 1)),
            *self.row(wide, wide, 3, stride, 1, groups=wide),
            nn.Conv2d(wide, filters, 1, bias=False),
            nn.BatchNorm2d(filters),
        )

    def row(self, *sizes, **options):
        return nn.Conv2d(*sizes, bias=False, **options), nn.BatchNorm2d(sizes[1]), nn.ReLU6(inplace=True)

    def forward(self, x):
        return x + self.conv(x) if self.same else self.conv(x)


class Smooth(nn.Module):
    """Activations and constants by functions, and a LayerNorm as ConvNeXt has it."""

    def __init__(self):
        super().__init__()
        self.norm, self.bare = nn.LayerNorm(4), nn.LayerNorm(4, elementwise_affine=False)

    def forward(self, x):
        x = F.gelu(x, approximate="tanh") + F.elu(x, 0.5)
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = F.softplus(2 * F.relu6(4 * x) + 0.5) * 0.25
        return self.bare(F.silu(F.gelu(x).mean((2, 3))))


class Functions(nn.Module):
    """The same layers called as functions and methods."""

    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(2, 6, 3), nn.Linear(216, 8)

    def forward(self, x):
        x = F.leaky_relu(self.conv(F.pad(x, (1, 0, 2, 1))), 0.2)
        x = F.interpolate(F.avg_pool2d(F.max_pool2d(x, 2), 2), scale_factor=2, mode="nearest")
        x = torch.tanh(self.dense(F.dropout(x.reshape(x.size(0), -1), 0.5, self.training)))
        x = torch.sigmoid(x.view(-1, 2, 2, 2)).mean((2, 3))
        return F.softmax(torch.add(x, x.relu()), dim=1)


def agree(module, shape, tolerance=1e-5):
    """The converted model, once its outputs are those of the module."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low, high in ((part.running_mean, -1, 1), (part.running_var, 0.5, 2), (part.bias.data, -1, 1)):
                tensor.uniform_(low, high)
    dtype = next(module.parameters()).dtype
    x = np.random.default_rng(0).normal(size=(2, *shape))
    theirs = module.eval()(torch.tensor(x, dtype=dtype).permute(0, 3, 1, 2)).detach().numpy()
    model = from_torch(module, shape)
    theirs = theirs.transpose(0, 2, 3, 1) if theirs.ndim == 4 else theirs
    assert differ(model.forward(x.astype(model.dtype)), theirs) < tolerance
    return model


def test_resnet18_gives_the_same_logits():
    model = agree(ResNet18(), (40, 48, 3))
    blocks = [layer for layer in model.layers if isinstance(layer, Residual)]
    assert len(blocks) == 8 and [len(block.shortcut) for block in blocks] == [0, 0, 2, 0, 2, 0, 2, 0]
    assert all(len(block.layers) == 5 and block.activation for block in blocks)


@pytest.mark.parametrize("size", [224, 32])
def test_vgg16_gives_the_same_logits(size):
    model = agree(VGG16(), (size, size, 3))
    assert isinstance(model.layers[18], UpSample2D) == (size == 32)  # one cell for 49


@pytest.mark.parametrize(("module", "shape"), [(Functions(), (14, 15, 2)), (Smooth(), (5, 6, 4))])
def test_functions_and_methods(module, shape):
    agree(module.double(), shape, 1e-10)


def test_densenet_gives_the_same_logits_and_its_layers_are_blocks():
    model = agree(DenseNet(), (16, 16, 3))
    blocks = [layer for layer in model.layers if isinstance(layer, Parallel)]
    assert [block.output_shape[-1] for block in blocks] == [8, 10, 12, 6, 8]


def test_mobilenet_v2_gives_the_same_logits():
    blocks = [InvertedResidual(*sizes) for sizes in ((8, 4, 1, 1), (4, 6, 2, 6), (6, 6, 1, 6), (6, 6, 1, 6))]
    stem = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardtanh(0.0, 6.0)]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 5)]
    model = agree(nn.Sequential(*stem, *blocks, *end), (20, 24, 3))
    assert [type(layer).__name__ for layer in model.all_layers()].count("ReLU6") == 8
    assert sum(isinstance(layer, Residual) for layer in model.layers) == 2


@pytest.mark.parametrize(("size", "ends"), [(9, (1, 1)), (10, (1, 2))])
def test_ceil_mode_pools_what_is_left_over(size, ends):
    pools = [nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 2, ceil_mode=True)]
    model = agree(nn.Sequential(nn.Conv2d(1, 2, 1), *pools), (size, size, 1))
    assert isinstance(model.layers[1], MaxPool2D) and model.layers[1].padding == (ends, ends)


def test_transposed_convolutions_of_every_padding():
    one = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1)
    two = nn.ConvTranspose2d(3, 2, 2, stride=3, output_padding=1)
    three = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=(2, 1))
    agree(nn.Sequential(one, nn.ReLU(), two, three, nn.ZeroPad2d((-1, 0, 0, -1))), (4, 5, 2))


def shared():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, layer)


class Named(nn.Module):
    def forward(self, x):
        return torch.relu(input=x)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Skipping(nn.Module):
    """Its paths cross, so that they are no blocks one inside another."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a) + x
        return self.c(b) + a


class Turned(nn.Module):
    def forward(self, x):
        return torch.relu(x.permute(0, 2, 3, 1))


class Product(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize(
    ("module", "shape", "says"),
    [
        (nn.Sequential(nn.Hardswish()), (4,), "'0': a Hardswish does not convert; AdaptiveAvgPool2d, "),
        (nn.Sequential(nn.Conv2d(3, 2, 1, padding_mode="reflect")), (4, 4, 3), "'0': padding_mode='reflect'"),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), (3, 4, 4), r"'0': it takes 3 channels and gets images of \(3, 4, 4\)"),
        (nn.Sequential(nn.AvgPool2d(3, 1, 1)), (4, 4, 3), "'0': .*count_include_pad=False"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(3)), (4, 4, 3), "'0': .*choose an input_shape that divides"),
        (nn.Sequential(nn.ConvTranspose2d(4, 4, 3, groups=2)), (4, 4, 4), "'0': groups .* UpSample2D and Conv2D"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 1), nn.ConstantPad2d(1, 1.0), nn.MaxPool2d(2)),
            (4, 4, 1),
            "padding by 1.0, .* is no layer here",
        ),
        (nn.Sequential(nn.Flatten()), (2, 2, 2), "from_torch: Flatten .*end with a Dense"),
        (nn.Sequential(nn.LogSoftmax(dim=1)), (4,), "LogSoftmax does not convert"),
        (nn.Sequential(nn.Softplus(2.0)), (4,), "'0': beta=2.0 does not convert"),
        (nn.Sequential(nn.Hardtanh()), (4,), "'0': limits of -1.0 and 1.0 do not convert, only those of a ReLU6"),
        (nn.Sequential(nn.LayerNorm(4)), (4, 4, 4), "'0': it normalizes along the rows of NCHW"),
        (nn.Sequential(nn.LayerNorm((4, 4))), (4, 4, 4), "'0': normalized_shape=.* only the channels'"),
        (nn.Sequential(nn.AdaptiveMaxPool2d(2)), (4, 4, 4), "'0': only the maximum of the whole image"),
        (Turned(), (4, 4, 4), "'relu': it gets images in NHWC"),
        (Scaled(), (4,), "'scale': a parameter that the module's own code computes with"),
        (Product(), (4,), "'mul': a product of two tensors does not convert"),
        (shared(), (4,), "called twice; weights that are shared"),
        (Named(), (4,), "'relu': give its input in the first place, not by name"),
        (Branching(), (4,), "Branching cannot be traced"),
        (Skipping(), (4,), "two places that do not meet in one block"),
    ],
)
def test_what_does_not_convert_is_named(module, shape, says):
    with pytest.raises(ValueError, match=says):
        from_torch(module, shape)
