import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.kernels.conv import set_winograd
from tinycnn.layers.activation import LeakyReLU
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.registry import describe, restore
from tinycnn.layers.residual import Residual


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def relative(ours, theirs):
    """Norm of the difference relative to the norm."""
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


# arguments, input shape, output shape
SHAPES = [
    (dict(filters=4, kernel_size=3), (5, 7, 3), (3, 5, 4)),
    (dict(filters=5, kernel_size=3, padding="same"), (4, 6, 2), (4, 6, 5)),
    (dict(filters=2, kernel_size=(2, 4), padding="same"), (5, 7, 3), (5, 7, 2)),
    (dict(filters=3, kernel_size=3, strides=2, padding="same"), (6, 8, 2), (3, 4, 3)),
    (dict(filters=3, kernel_size=3, strides=2, padding="same"), (7, 5, 2), (4, 3, 3)),
    (dict(filters=3, kernel_size=(3, 2), strides=(3, 1), padding="valid"), (8, 5, 2), (2, 4, 3)),
    (dict(filters=2, kernel_size=1, strides=3, padding="same"), (7, 4, 3), (3, 2, 2)),
    (dict(filters=3, kernel_size=3, padding=2), (4, 5, 2), (6, 7, 3)),
    (dict(filters=3, kernel_size=3, padding=(0, 2), strides=(1, 2)), (5, 6, 2), (3, 4, 3)),
    (dict(filters=3, kernel_size=(2, 3), padding=((1, 0), (0, 3))), (4, 5, 2), (4, 6, 3)),
    (dict(filters=3, kernel_size=3, padding="same", dilation_rate=2), (5, 7, 2), (5, 7, 3)),
    (dict(filters=3, kernel_size=(2, 3), dilation_rate=(3, 1)), (6, 5, 2), (3, 3, 3)),
    (dict(filters=6, kernel_size=3, padding="same", groups=3), (4, 5, 6), (4, 5, 6)),
    (dict(filters=8, kernel_size=(3, 2), strides=(2, 1), groups=4, dilation_rate=(1, 2)), (6, 7, 4), (2, 5, 8)),
    (dict(filters=3, kernel_size=5, padding="same"), (2, 1, 3), (2, 1, 3)),
    (dict(filters=16, kernel_size=3, padding="same"), (5, 6, 16), (5, 6, 16)),
    (dict(filters=16, kernel_size=3), (6, 5, 32), (4, 3, 16)),
]
TRANSPOSED_SHAPES = [
    (dict(filters=4, kernel_size=3), (3, 5, 2), (5, 7, 4)),
    (dict(filters=2, kernel_size=3, strides=2, padding="same"), (3, 4, 3), (6, 8, 2)),
    (dict(filters=2, kernel_size=(2, 3), strides=(3, 2), padding="same"), (3, 2, 3), (9, 4, 2)),
    (dict(filters=2, kernel_size=(2, 3), strides=(3, 2)), (3, 4, 2), (9, 9, 2)),
    (dict(filters=3, kernel_size=4, strides=2, padding=1), (3, 5, 2), (6, 10, 3)),
    (dict(filters=3, kernel_size=(3, 4), strides=(1, 3), padding=((0, 2), (1, 0))), (4, 3, 2), (4, 9, 3)),
    (dict(filters=16, kernel_size=3, padding="same"), (5, 4, 16), (5, 4, 16)),
    (dict(filters=1, kernel_size=1, strides=2), (2, 3, 5), (4, 6, 1)),
]
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid", LeakyReLU(0.7)]
BOTH = [(Conv2D, *case) for case in SHAPES] + [(Conv2DTranspose, *case) for case in TRANSPOSED_SHAPES]


@pytest.mark.parametrize("kind, arguments, input_shape, output_shape", BOTH)
def test_gradients(kind, arguments, input_shape, output_shape):
    layer = kind(**arguments)
    assert layer.build(input_shape, dtype=np.float64) == output_shape
    mode = "random" if np.prod(layer.params["kernel"].shape) > 1000 else "exact"
    assert gradcheck(layer, normal(2, *input_shape), mode=mode).ok


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", [Conv2D, Conv2DTranspose])
def test_gradients_of_every_activation(kind, activation, use_bias):
    layer = kind(3, 3, strides=(1, 2), padding="same", activation=activation, use_bias=use_bias)
    assert gradcheck(layer, normal(2, 5, 4, 2)).ok
    assert sorted(layer.params) == (["bias", "kernel"] if use_bias else ["kernel"])


@pytest.mark.parametrize("activation", [None, "relu"])
def test_gradients_inside_a_residual_block(activation):
    """Both branches of a block get the same upstream gradient: a backward that wrote into it would spoil the other."""
    block = Residual(
        [Conv2D(4, 3, padding="same", activation="relu"), Conv2D(4, 3, padding="same", activation=activation)],
        shortcut=[Conv2D(4, 1, activation=activation)],
        activation="relu",
    )
    assert gradcheck(block, normal(2, 4, 5, 3)).ok
    ups = Residual(
        [Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu")],
        shortcut=[Conv2DTranspose(3, 2, strides=2, activation=activation)],
    )
    assert gradcheck(ups, normal(2, 3, 2, 2)).ok


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
@pytest.mark.parametrize("kind, channels", [(Conv2D, 3), (Conv2D, 16), (Conv2DTranspose, 3), (Conv2DTranspose, 16)])
def test_arguments_are_left_alone(kind, channels, activation, dtype):
    layer = kind(16, 3, padding="same", activation=activation)
    x = normal(2, 5, 6, channels, dtype=dtype)
    grad_y = normal(*layer.forward(x).shape, dtype=dtype, seed=1)
    kept = x.copy(), grad_y.copy()
    grad_x = layer.backward(grad_y)
    assert np.array_equal(x, kept[0]) and np.array_equal(grad_y, kept[1])
    assert not any(np.shares_memory(grad_x, a) for a in (x, grad_y)) and grad_x.dtype == dtype


@pytest.mark.parametrize("kind, arguments, input_shape, output_shape", BOTH)
def test_input_gradient_can_be_left_out(kind, arguments, input_shape, output_shape):
    layer, other = kind(activation="relu", **arguments), kind(activation="relu", **arguments)
    x, grad_y = normal(3, *input_shape, dtype=np.float32), normal(3, *output_shape, dtype=np.float32, seed=1)
    for each in (layer, other):
        each.forward(x)
    assert layer.backward(grad_y, input_grad=False) is None
    assert other.backward(grad_y).shape == x.shape
    assert all(np.array_equal(layer.grads[key], other.grads[key]) for key in ("kernel", "bias"))


@pytest.mark.parametrize("kind", [Conv2D, Conv2DTranspose])
def test_gradients_are_overwritten_in_place(kind):
    layer, x = kind(16, 3, padding="same", activation="relu"), normal(3, 6, 5, 16)
    grad_y = normal(3, 6, 5, 16, seed=1)
    layer.forward(x)
    layer.backward(grad_y)
    arrays, kept = dict(layer.grads), {key: a.copy() for key, a in layer.grads.items()}
    layer.forward(x)
    layer.backward(grad_y)
    assert all(layer.grads[key] is arrays[key] and np.array_equal(arrays[key], kept[key]) for key in kept)


@pytest.mark.parametrize("kind", [Conv2D, Conv2DTranspose])
@pytest.mark.parametrize("channels, strides", [(3, 1), (16, 1), (5, 2), (2, 3)])
def test_reused_buffers_give_the_same(kind, channels, strides):
    fresh, reusing = (kind(16, 3, strides, padding="same", activation="relu") for _ in range(2))
    reusing.build((7, 5, channels))
    for layer in (reusing, *reusing.sublayers()):
        layer._workspace = {}
    for images in (4, 1, 3):
        x = normal(images, 7, 5, channels, seed=images, dtype=np.float32)
        y = fresh.forward(x)
        assert np.array_equal(reusing.forward(x), y)
        grad_y = normal(*y.shape, seed=9, dtype=np.float32)
        assert np.array_equal(reusing.backward(grad_y), fresh.backward(grad_y))
        assert all(np.array_equal(reusing.grads[key], fresh.grads[key]) for key in fresh.grads)


def test_any_memory_order():
    x, grad_y = normal(5, 6, 4, 3), normal(3, 3, 6, 7, seed=1)
    one, two = Conv2D(3, 3, padding="same"), Conv2D(3, 3, padding="same")
    turned = x.transpose(3, 1, 2, 0)  # (3, 6, 4, 5)
    assert np.array_equal(one.forward(turned), two.forward(turned.copy()))
    upstream = grad_y.transpose(1, 2, 3, 0)[:, :, :4]  # (3, 6, 4, 3), cut out of a larger array
    upstream = np.asfortranarray(upstream)
    assert np.array_equal(one.backward(upstream), two.backward(np.ascontiguousarray(upstream)))


def test_by_hand():
    """A 2x2 kernel over a 3x3 image of 0..8, worked out on paper."""
    layer = Conv2D(1, 2)
    layer.build((3, 3, 1), dtype=np.float64)
    layer.params["kernel"][..., 0, 0] = [[1, 2], [3, 4]]
    layer.params["bias"][:] = 10
    y = layer.forward(np.arange(9.0).reshape(1, 3, 3, 1))
    assert y[0, :, :, 0].tolist() == [[37, 47], [67, 77]]
    grad_x = layer.backward(np.array([1.0, 0, 0, 2]).reshape(1, 2, 2, 1))
    assert grad_x[0, :, :, 0].tolist() == [[1, 2, 0], [3, 6, 4], [0, 6, 8]]
    assert layer.grads["kernel"][..., 0, 0].tolist() == [[8, 11], [17, 20]]
    assert layer.grads["bias"].tolist() == [3]


def test_odd_same_padding_goes_last():
    """Stride 2 over 4 pixels needs one zero: TensorFlow puts it after the image."""
    layer = Conv2D(1, 3, strides=2, padding="same", use_bias=False, kernel_initializer="ones")
    y = layer.forward(np.arange(16.0).reshape(1, 4, 4, 1))
    assert y[0, :, :, 0].tolist() == [[45, 39], [66, 50]]


def known_to_keras(arguments):
    """No numbers as padding, and no stride together with a dilation."""
    strided, dilated = (np.max(arguments.get(key, 1)) > 1 for key in ("strides", "dilation_rate"))
    return arguments.get("padding", "valid") in ("same", "valid") and not (strided and dilated)


FOR_KERAS = [case for case in SHAPES if known_to_keras(case[0])]
FOR_KERAS += [
    (dict(filters=3, kernel_size=k, strides=s, padding="same"), (h, w, 4), (-(-h // s), -(-w // s), 3))
    for k, s, h, w in [(2, 2, 5, 6), (3, 2, 9, 10), (4, 2, 7, 8), (5, 3, 7, 11), (3, 3, 10, 8), (2, 3, 8, 7)]
]
TRANSPOSED_FOR_KERAS = [case for case in TRANSPOSED_SHAPES if known_to_keras(case[0])]
TRANSPOSED_FOR_KERAS += [
    (dict(filters=3, kernel_size=k, strides=s, padding="same"), (h, w, 4), (h * s, w * s, 3))
    for k, s, h, w in [(2, 2, 5, 3), (3, 2, 5, 6), (4, 2, 3, 4), (5, 3, 4, 3), (5, 2, 3, 2), (2, 3, 4, 5)]
]


@pytest.mark.parametrize(
    "kind, arguments, input_shape, output_shape",
    [(Conv2D, *case) for case in FOR_KERAS] + [(Conv2DTranspose, *case) for case in TRANSPOSED_FOR_KERAS],
)
def test_equals_keras(kind, arguments, input_shape, output_shape):
    keras = pytest.importorskip("keras")
    tensorflow = pytest.importorskip("tensorflow")
    layer = kind(**arguments, activation="relu", bias_initializer="he_normal")
    layer.build(input_shape, dtype=np.float64)
    theirs = getattr(keras.layers, kind.__name__)(**arguments, activation="relu", dtype="float64")
    theirs.build((None, *input_shape))
    theirs.set_weights([layer.params["kernel"], layer.params["bias"]])
    x, grad_y = normal(2, *input_shape), normal(2, *output_shape, seed=1)
    x_ = tensorflow.constant(x)
    y = layer.forward(x)
    assert y.shape == grad_y.shape
    trains = arguments.get("groups", 1) == 1
    with tensorflow.GradientTape() as tape:
        tape.watch(x_)
        # XLA knows grouped convolutions in float64; TensorFlow's own CPU kernels do not
        y_ = theirs(x_) if trains else tensorflow.function(theirs, jit_compile=True)(x_)
        scalar = tensorflow.reduce_sum(y_ * grad_y)
    assert relative(y, y_.numpy()) < 1e-13
    if trains:
        grad_x = layer.backward(grad_y)
        expected = tape.gradient(scalar, [x_, *theirs.trainable_variables])
        for ours, other in zip((grad_x, layer.grads["kernel"], layer.grads["bias"]), expected, strict=True):
            assert relative(ours, other.numpy()) < 1e-13


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize(
    "arguments, input_shape", [(a, s) for a, s, _ in SHAPES if a.get("padding", "valid") in ("valid", 2, (0, 2))]
)
def test_equals_torch(arguments, input_shape, dtype, tolerance):
    torch = pytest.importorskip("torch")
    layer = Conv2D(**arguments, bias_initializer="he_normal")
    layer.build(input_shape, dtype=dtype)
    names = dict(strides="stride", dilation_rate="dilation")
    options = {names.get(key, key): value for key, value in arguments.items() if key != "filters"}
    theirs = torch.nn.Conv2d(
        input_shape[2], arguments["filters"], **options, dtype=getattr(torch, np.dtype(dtype).name)
    )
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(layer.params["kernel"].transpose(3, 2, 0, 1).copy()))
        theirs.bias.copy_(torch.tensor(layer.params["bias"]))
    x = normal(3, *input_shape, dtype=dtype)
    x_ = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    y, y_ = layer.forward(x), theirs(x_)
    grad_y = normal(*y.shape, dtype=dtype, seed=1)
    y_.backward(torch.tensor(grad_y.transpose(0, 3, 1, 2).copy()))
    grad_x = layer.backward(grad_y)
    assert relative(y, y_.detach().numpy().transpose(0, 2, 3, 1)) < tolerance
    assert relative(grad_x, x_.grad.numpy().transpose(0, 2, 3, 1)) < tolerance
    assert relative(layer.grads["kernel"], theirs.weight.grad.numpy().transpose(2, 3, 1, 0)) < tolerance
    assert relative(layer.grads["bias"], theirs.bias.grad.numpy()) < tolerance


@pytest.mark.parametrize("strides, padding", [(2, 1), (3, 0), (1, 2), ((2, 3), (0, 1))])
def test_transposed_equals_torch_with_numeric_padding(strides, padding):
    torch = pytest.importorskip("torch")
    layer = Conv2DTranspose(3, (4, 5), strides, padding)
    x = normal(2, 5, 4, 6)
    y = layer.forward(x)
    theirs = torch.nn.ConvTranspose2d(6, 3, (4, 5), strides, padding, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(layer.params["kernel"].transpose(3, 2, 0, 1).copy()))
        theirs.bias.zero_()
    expected = theirs(torch.tensor(x.transpose(0, 3, 1, 2).copy())).detach().numpy().transpose(0, 2, 3, 1)
    assert y.shape == expected.shape and relative(y, expected) < 1e-13


@pytest.mark.parametrize("strides", [1, 2, (1, 3)])
def test_transposed_is_the_adjoint(strides):
    """``<conv(x), g> = <x, transposed(g)>`` for one kernel and sizes that are multiples of the stride."""
    x, g = normal(2, 6, 6, 3), normal(2, *(6 // s for s in np.broadcast_to(strides, 2)), 4, seed=1)
    conv, back = Conv2D(4, 3, strides, "same"), Conv2DTranspose(3, 3, strides, "same")
    y = conv.forward(x)
    back.build(g.shape[1:], dtype=np.float64)
    back.params["kernel"][...] = conv.params["kernel"]
    assert np.isclose((y * g).sum(), (x * back.forward(g)).sum(), rtol=1e-12)


@pytest.mark.parametrize("kernels", ["fast"], indirect=True)
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("padding", ["same", "valid", ((0, 2), (1, 3))])
def test_the_layer_is_the_same_with_and_without_winograd(padding, activation):
    results = []
    x = normal(2, 9, 10, 16)
    for tile in ("auto", 4, 2, 0):
        set_winograd(tile)
        try:
            # a bias, lest a window of nothing but padding sits on the ReLU's kink
            layer = Conv2D(32, 3, padding=padding, activation=activation, bias_initializer="he_normal")
            y = layer.forward(x)
            results.append((y, layer.backward(normal(*y.shape, seed=1)), *layer.grads.values()))
        finally:
            set_winograd("auto")
    for *winograd, direct in zip(*results, strict=True):
        assert all(relative(array, direct) < 1e-12 for array in winograd)


def test_configuration_comes_back():
    layer = Conv2D(4, (3, 2), (1, 2), ((0, 1), (2, 0)), (2, 1), 2, LeakyReLU(0.1), False, "he_normal", "ones")
    assert restore(describe(layer)).config() == layer.config()
    layer = Conv2DTranspose(4, (3, 2), 2, "same", "relu", True, "he_uniform", "ones")
    assert restore(describe(layer)).config() == layer.config()


def test_errors_say_what_to_do():
    for kind in (Conv2D, Conv2DTranspose):
        with pytest.raises(ValueError, match=f"{kind.__name__}: filters must be a positive int, got 0"):
            kind(0, 3)
        with pytest.raises(ValueError, match=f"{kind.__name__}: kernel_size must be a positive int or a pair of them"):
            kind(2, (3, 0))
        with pytest.raises(ValueError, match=r"strides must be a positive int or a pair of them, got \(1, 2, 3\)"):
            kind(2, 3, strides=(1, 2, 3))
        for padding in ("full", -1, (1, 2, 3), ((1, 2), (3,)), ((0, -1), (0, 0)), 1.5):
            with pytest.raises(ValueError, match=r'padding must be "same", "valid", an int'):
                kind(2, 3, padding=padding)
        with pytest.raises(ValueError, match="unknown activation 'rely'"):
            kind(2, 3, activation="rely")
        with pytest.raises(ValueError, match=r"shape \(height, width, channels\), got \(4, 5\)"):
            kind(2, 3).build((4, 5))
        layer = kind(2, 3, name="eye")
        layer.build((4, 5, 3))
        with pytest.raises(RuntimeError, match=f"{kind.__name__} 'eye': backward was called before forward"):
            layer.backward(np.zeros((1, 2, 3, 2)))
        with pytest.raises(ValueError, match=r"\(images, 4, 5, 3\), got \(2, 4, 6, 3\)"):
            layer.forward(np.zeros((2, 4, 6, 3)))
        layer.forward(np.zeros((2, 4, 5, 3)))
        with pytest.raises(ValueError, match=r"gradient of shape \(2, 9, 9, 2\) does not fit"):
            layer.backward(np.zeros((2, 9, 9, 2)))
    with pytest.raises(ValueError, match="groups=3 must divide filters=4"):
        Conv2D(4, 3, groups=3)
    with pytest.raises(ValueError, match="5 input channels do not divide into 2 groups"):
        Conv2D(4, 3, groups=2).build((6, 6, 5))
    with pytest.raises(ValueError, match=r"kernel of \(5, 3\) .* does not fit an image of \(4, 8\)"):
        Conv2D(4, (5, 3)).build((4, 8, 1))
    with pytest.raises(ValueError, match=r"padding 3 leaves nothing of an image of \(2, 9\)"):
        Conv2DTranspose(4, 3, padding=3).build((2, 9, 1))


def test_a_gradient_for_another_number_of_images_is_refused():
    """With fewer images, the rest would be read from memory that belongs to nobody."""
    for kind in (Conv2D, Conv2DTranspose):
        layer = kind(2, 3, padding="same")
        layer.forward(np.zeros((3, 4, 5, 3)))
        with pytest.raises(ValueError, match="3 images"):
            layer.backward(np.zeros((4, 4, 5, 2)))
