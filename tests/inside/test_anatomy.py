"""Claims about costs and receptive fields against what runs: counted products, gradients of one output, buffers."""

import math

import numpy as np
import pytest
from toys import small_model
from traced import every_layer, other_layers

import tinycnn
from tinycnn import reference
from tinycnn.inside.anatomy import anatomy
from tinycnn.kernels import channelwise, conv
from tinycnn.kernels.conv import set_winograd
from tinycnn.kernels.sets import set_kernels
from tinycnn.layers.activation import ELU, GELU, ReLU, SiLU, Softmax, Softplus
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.losses import CrossEntropy
from tinycnn.memory import Memory
from tinycnn.model import Sequential
from tinycnn.models import report_cnn, small_resnet


def rows_of(layers, shape, dtype=np.float32):
    model = Sequential(layers)
    model.build(shape, dtype)
    return {row.path: row for row in anatomy(model).rows}


class Counted(float):
    """A number that counts its products and quotients."""

    count = 0

    def __mul__(self, other):
        Counted.count += 1
        return Counted(float(self) * float(other))

    def __truediv__(self, other):
        Counted.count += 1
        return Counted(float(self) / float(other))

    def __add__(self, other):
        return Counted(float(self) + float(other))

    def __sub__(self, other):
        return Counted(float(self) - float(other))

    def __rtruediv__(self, other):
        return Counted(other) / self

    def __neg__(self):
        return Counted(-float(self))

    def sqrt(self):
        return Counted(math.sqrt(self))

    def exp(self):
        return Counted(math.exp(self))

    def tanh(self):
        return Counted(math.tanh(self))

    def erf(self):
        return Counted(math.erf(self))

    __rmul__, __radd__ = __mul__, __add__


def numbers(*shape):
    array = np.empty(shape, object)
    array.flat = [Counted(value) for value in np.random.default_rng(0).normal(size=shape).ravel()]
    return array


def products(function, *arguments):
    Counted.count = 0
    function(*arguments)
    return Counted.count


@pytest.mark.parametrize("options", [{}, {"groups": 2, "strides": (1, 2)}, {"padding": "same", "dilation_rate": 2}])
def test_products_of_a_convolution(options):
    layer = Conv2D(4, (2, 3), **options)
    row = rows_of([Conv2D(2, 1, name="before"), layer], (5, 7, 2))["conv2d"]
    geometry = layer.geometry((5, 7, 2))
    arguments = geometry.strides, reference.NONE, geometry.dilation, geometry.groups
    size = (n + sum(pads) for n, pads in zip((5, 7), geometry.pads, strict=True))  # zeros that count as numbers
    x, kernel, grad = numbers(1, *size, 2), numbers(*layer.params["kernel"].shape), numbers(1, *layer.output_shape)
    assert row.forward == products(reference.conv2d_forward, x, kernel, None, *arguments)
    assert row.backward == products(reference.conv2d_backward, x, kernel, grad, *arguments)
    first = rows_of([Conv2D(4, (2, 3), **options)], (5, 7, 2))["conv2d"]
    assert first.backward == row.forward and first.padding == geometry.pads


def test_products_of_a_transposed_convolution_and_a_dense_layer():
    layer = Conv2DTranspose(3, 3, strides=2, padding="same")
    row = rows_of([Conv2D(2, 1, name="before"), layer], (3, 4, 2))["conv2d_transpose"]
    large, kernel, small = numbers(1, 7, 9, 3), numbers(3, 3, 3, 2), numbers(1, 3, 4, 2)  # large: 6 x 8 and padding
    both = products(reference.conv2d_backward, large, kernel, small, (2, 2))  # a kernel's and an input's gradient
    assert row.forward == both // 2 == products(reference.conv2d_forward, large, kernel, None, (2, 2))
    assert row.backward == both
    row = rows_of([Dense(2), Dense(5)], (4,))["dense_1"]
    x, kernel, grad = numbers(1, 2), numbers(2, 5), numbers(1, 5)
    assert row.forward == products(reference.dense_forward, x, kernel)
    assert row.backward == products(reference.dense_backward, x, kernel, grad)


def test_products_of_other_layers():
    before = Conv2D(2, 1, name="before")
    row = rows_of([before, AveragePool2D(2, padding="same")], (5, 4, 2))["average_pooling2d"]
    pads = ((0, 1), (0, 0))
    assert row.forward == products(reference.avgpool_forward, numbers(1, 5, 4, 2), (2, 2), (2, 2), pads)
    grad = numbers(1, 3, 2, 2)
    assert row.backward == products(reference.avgpool_backward, grad, (1, 5, 4, 2), (2, 2), (2, 2), pads)

    row = rows_of([Conv2D(2, 1, name="before"), BatchNorm()], (5, 4, 2))["batch_normalization"]
    x, gamma = numbers(1, 5, 4, 2), numbers(2)
    counted = products(reference.batchnorm_forward, x, gamma, numbers(2), 1.0)
    assert row.forward == row.backward == 3 * 40 and 0 <= counted - row.forward <= 3 * 2  # some for each channel

    rows = rows_of(
        [Conv2D(2, 1, activation="tanh", name="before"), ReLU(), MaxPool2D(2), UpSample2D(2), Dropout(0), Flatten()],
        (4, 4, 2),
    )
    assert (rows["before"].forward, rows["before"].backward) == (4 * 16 + 0, 4 * 16 + 2 * 32)
    assert all(row.forward == row.backward == 0 for path, row in rows.items() if path != "before")
    row = rows_of([Conv2D(2, 1, name="before"), UpSample2D((3, 2), interpolation="bilinear")], (4, 4, 2))[
        "up_sampling2d"
    ]
    assert row.forward == 2 * (12 * 4 * 2) + 2 * (12 * 8 * 2)  # two products each for the rows, then for the columns


def silu(x):
    return x * (1 / (1 + (-x).exp()))


def silu_backward(x, grad):
    s = 1 / (1 + (-x).exp())
    return grad * s * (1 + x * (1 + -s))


def gelu(x):
    return x * ((1 + (x / SQRT2).erf()) / 2)


def gelu_backward(x, grad):
    return grad * ((1 + (x / SQRT2).erf()) / 2 + x * ((-x * x / 2).exp() / math.sqrt(2 * math.pi)))


def gelu_by_tanh(x):
    return x * ((1 + (SLOPE * (x + 0.044715 * x * x * x)).tanh()) / 2)


def gelu_by_tanh_backward(x, grad):
    t = (SLOPE * (x + 0.044715 * x * x * x)).tanh()
    return grad * ((1 + t) / 2 + x * ((1 + -(t * t)) / 2 * SLOPE * (1 + 3 * 0.044715 * x * x)))


SQRT2, SLOPE = math.sqrt(2), math.sqrt(2 / math.pi)


@pytest.mark.parametrize(
    "layer, forward, backward",
    [
        (ELU(0.5), lambda x: 0.5 * (x.exp() - 1), lambda x, grad: grad * (0.5 * x.exp())),
        (Softplus(), lambda x: Counted(math.log(1 + x.exp())), lambda x, grad: grad / (1 + (-x).exp())),
        (SiLU(), silu, silu_backward),
        (GELU(), gelu, gelu_backward),
        (GELU(approximate=True), gelu_by_tanh, gelu_by_tanh_backward),
        (Rescaling(3.0, 1.0), lambda x: 3.0 * x + 1.0, lambda x, grad: 3.0 * grad),
    ],
)
def test_products_of_functions_of_one_number(layer, forward, backward):
    rows = rows_of([Conv2D(2, 1, name="before"), layer, Conv2D(2, 1)], (5, 4, 2))
    x, grad = Counted(-0.7), Counted(1.3)
    row = rows[layer.name]
    assert (row.forward, row.backward) == (40 * products(forward, x), 40 * products(backward, x, grad))
    same = np.ones((1, 5, 4, 2), np.float32)
    np.testing.assert_allclose(layer.forward(float(x) * same), forward(x), rtol=1e-5)
    np.testing.assert_allclose(layer.backward(float(grad) * same), backward(x, grad), rtol=1e-5)


def test_products_of_a_layer_normalisation():
    row = rows_of([Conv2D(7, 1, name="before"), LayerNorm()], (5, 4, 2))["layer_normalization"]
    x, gamma, grad = numbers(20, 7), numbers(7), numbers(20, 7)

    def forward(x, gamma):
        centred = [row - sum(row) / 7 for row in x]
        std = [(sum(row * row) / 7 + 1e-3).sqrt() for row in centred]
        xhat = [row / s for row, s in zip(centred, std, strict=True)]
        return xhat, std, [row * gamma for row in xhat]

    xhat, std, _ = forward(x, gamma)

    def backward(grad, gamma):
        for row, s, dy in zip(xhat, std, grad, strict=True):
            dy * row  # of gamma
            g = dy * gamma
            (g - sum(g) / 7 - row * (sum(g * row) / 7)) / s

    assert row.forward == products(forward, x, gamma) - 20 * 2  # the two means of each pixel
    assert row.backward == products(backward, grad, gamma) - 20 * 2
    assert (row.forward, row.backward) == (3 * 140, 5 * 140)


def test_what_training_spares():
    model = Sequential([Conv2D(2, 3), ReLU(), Conv2D(2, 3), Flatten(), Dense(3), Softmax()])
    model.build((6, 6, 1))
    model.layers[0].trainable = False
    frozen = {row.path: row for row in anatomy(model).rows}
    assert frozen["conv2d"].forward > 0 == frozen["conv2d"].backward
    assert frozen["conv2d_1"].backward == frozen["conv2d_1"].forward
    assert frozen["dense"].backward == 2 * frozen["dense"].forward
    assert (frozen["softmax"].forward, frozen["softmax"].kept, frozen["softmax"].fused) == (0, 0, "softmax in the loss")
    block = rows_of([Residual([Conv2D(2, 1), Conv2D(2, 1)], shortcut=[Conv2D(2, 1)])], (3, 3, 2))
    assert [row.backward // row.forward for path, row in block.items() if "/" in path] == [1, 2, 1]


def written(layer):
    """Bytes of the buffers that the layer's last forward wrote for its backward, its activation's included."""
    found = {}
    for part in [layer, *([layer.activation] if layer.activation else [])]:
        kept = {"y": part._y, **{key: part._workspace.get(key) for key in ("codes", "positive", "xhat")}}
        kept |= {"winners": vars(part).get("_winners"), "std": vars(part).get("_std")}
        if isinstance(part, SeparableConv2D):
            del kept["y"]  # the pointwise one's
        if isinstance(part, MaxPool2D):
            del kept["winners"]  # a method
        if type(part).__name__ == "Sigmoid":
            del kept["positive"]  # scratch
        for key, array in kept.items():
            if (
                key == "y"
                and array is not None
                and (part._x is array or isinstance(part, (Flatten, Reshape)) or part.runs == 0)
            ):
                continue  # a view of the input
            if array is not None:
                found[array.__array_interface__["data"][0]] = array.nbytes
    return sum(found.values())


@pytest.mark.parametrize("make", [every_layer, other_layers, None])
def test_bytes_kept_are_those_that_a_training_pass_writes(make):
    if make is None:
        model = Sequential(
            [
                Conv2D(16, 3, padding="same", activation="relu"),
                MaxPool2D(2),
                Conv2D(3, 3, activation="leaky_relu"),
                Dropout(0),
                Dropout(0.3),
                Residual([Conv2D(3, 1, activation="relu"), ReLU()], activation="tanh"),
                Flatten(),
                Dense(4, activation="relu"),
                Dense(3, activation="softmax"),
            ]
        )
        model.build((16, 12, 3))
    else:
        model = make(np.float32)
    n = 4
    images = np.random.default_rng(0).normal(size=(n, *model.input_shape)).astype(np.float32)
    model.forward(images, training=True, logits=True)
    for row in anatomy(model).rows:
        layer = model.get_layer(row.path)
        assert n * row.kept == written(layer), row.path


def test_bytes_kept_are_what_the_planner_took():
    model = report_cnn()
    model.build((32, 32, 3))
    loss, n = CrossEntropy(), 3
    images = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    loss.forward(model.run(images, training=True, logits=True), [0, 1, 2])
    kept = {row.path: row.kept for row in anatomy(model).rows}
    for i in (0, 1, 2):  # winners lie with the pools, of five bytes one
        name = f"max_pooling2d_{i}".removesuffix("_0")
        kept[name] -= kept[name] // 5
    planner = Memory()
    with planner.forward([n * size for size in kept.values() if size]):
        pass
    used = model._memory._outputs.top
    assert planner.size == used
    assert sum(n * size for size in kept.values()) <= used <= sum(n * size + 128 for size in kept.values())


def test_kernels_and_fusions_are_those_that_run():
    try:
        layers = lambda: [Conv2D(32, 3, padding="same"), Conv2D(32, 3, padding="same", activation="relu"), MaxPool2D(2)]  # noqa: E731
        for tile, name in ((4, "Winograd 4x4"), (2, "Winograd 2x2"), (0, "direct")):
            set_winograd(tile)
            rows = rows_of(layers(), (16, 16, 3))
            assert [row.kernel for row in rows.values()] == ["direct", name, ""]
    finally:
        set_winograd("auto")
    assert [row.fused for row in rows.values()] == ["", "ReLU, max_pooling2d", "runs in conv2d_1"]
    assert rows_of([Conv2DTranspose(2, 3, activation="relu")], (4, 4, 1))["conv2d_transpose"].fused == "ReLU"
    assert rows_of([Dense(3, activation="softmax")], (4,))["dense"].fused == "softmax in the loss"


@pytest.mark.parametrize("pooled", [False, True])
def test_the_kernel_that_is_named_is_the_one_called(pooled, monkeypatch):
    called = []
    for name, at in (("depthwise", channelwise), ("few_filters", channelwise), ("correlate", conv)):
        kernel = getattr(at, name)
        monkeypatch.setattr(at, name, lambda *given, kernel=kernel, name=name: (called.append(name), kernel(*given)))
    names = {"depthwise": "depthwise", "few filters": "few_filters", "direct": "correlate"}
    found = set()
    for layer, channels in (
        (DepthwiseConv2D(3, depth_multiplier=2), 5),
        (DepthwiseConv2D(3, depth_multiplier=64), 2),
        (Conv2D(1, 5, padding="same"), 32),
        (Conv2D(2, 1), 16),
        (Conv2D(24, 3, groups=2), 4),
        (Conv2D(5, 3), 1),
        (Conv2DTranspose(2, 3, strides=2), 32),
        (Conv2DTranspose(24, 3, strides=2), 32),
        (Conv2DTranspose(2, 3), 5),
    ):
        model = Sequential([layer, *[MaxPool2D(2)] * pooled])
        model.build((8, 8, channels))
        claim = anatomy(model).rows[0].kernel
        called.clear()
        model.forward(np.zeros((1, 8, 8, channels), np.float32), training=True)
        assert set(called) == {names[claim]}, (layer.config(), claim)
        found.add(claim)
    assert found >= {"depthwise", "direct"} and (pooled or "few filters" in found)


def test_parameters_and_shapes_are_the_models():
    model = small_resnet()
    model.build((32, 32, 1))
    rows = anatomy(model).rows
    assert sum(row.parameters for row in rows) == model.count_params
    assert [row.path for row in rows] == [
        layer.name
        for layer in model.all_layers()
        if "/" not in layer.name or layer is not model.get_layer(layer.name.rpartition("/")[0]).activation
    ]
    assert all(row.output_shape == model.get_layer(row.path).output_shape for row in rows)


def test_it_prints_and_shows_itself_in_a_notebook():
    model = Sequential(
        [Conv2D(2, 3, padding="same", strides=2, name="<b>"), Conv2D(2, 3, padding="same"), Flatten(), Dense(9)]
    )
    model.build((2048, 2048, 1))
    found = anatomy(model)
    lines = str(found).splitlines()
    assert lines[0].split() == "layer output weights forward backward bytes kept sees step padding kernel fused".split()
    assert "0+1 x 0+1" in lines[2] and "18.9 M" in lines[2] and lines[7].startswith("total")
    assert repr(found) == str(found)
    page = found._repr_html_()
    assert page.count("<tr>") == 6 and "&lt;b&gt;" in page and "<b>" not in page
    assert tinycnn.anatomy is anatomy


def test_layers_that_nobody_here_knows_have_what_can_be_known():
    rows = {row.path: row for row in anatomy(small_model()).rows}
    assert rows["pair/affine"].parameters == 5 * 4 + 4 and rows["pair"].receptive_field is None
    with pytest.raises(ValueError, match="must be built before its anatomy is known"):
        anatomy(Sequential([Dense(2)]))


@pytest.mark.parametrize("name", ["im2col", "reference"])
def test_kernel_and_fusing_are_those_of_the_chosen_set(name):
    model = Sequential([Conv2D(32, 3, padding="same", activation="relu"), MaxPool2D(), Conv2DTranspose(3, 2)])
    model.build((8, 8, 3))
    before = [(row.kernel, row.fused) for row in anatomy(model).rows]
    assert "max_pooling2d" in before[0][1] and before[1][1] == "runs in conv2d"
    with set_kernels(name):
        rows = anatomy(model).rows
        assert [row.kernel for row in rows] == [name, "", name]
        assert [row.fused for row in rows] == ["ReLU", "", ""]
    assert [(row.kernel, row.fused) for row in anatomy(model).rows] == before
