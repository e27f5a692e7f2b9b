import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.registry import describe, restore

# arguments, input shape, output shape: Keras's rules
SHAPES = [
    (dict(pool_size=2), (4, 6, 3), (2, 3, 3)),
    (dict(pool_size=2), (5, 7, 3), (2, 3, 3)),
    (dict(pool_size=2, padding="same"), (5, 7, 3), (3, 4, 3)),
    (dict(pool_size=3, strides=2), (8, 7, 2), (3, 3, 2)),
    (dict(pool_size=3, strides=2, padding="same"), (8, 7, 2), (4, 4, 2)),
    (dict(pool_size=(2, 3), strides=(3, 1)), (7, 5, 1), (2, 3, 1)),
    (dict(pool_size=(2, 3), strides=(3, 1), padding="same"), (7, 5, 1), (3, 5, 1)),
    (dict(pool_size=3, strides=1, padding="same"), (1, 2, 8), (1, 2, 8)),
    (dict(pool_size=1, strides=3, padding="same"), (7, 4, 2), (3, 2, 2)),
    (dict(pool_size=2), (6, 4, 16), (3, 2, 16)),
]
# The same with numbers of cells over the edges, in which PyTorch agrees and Keras has no say.
PADDED = [
    (dict(pool_size=3, strides=2, padding=1), (8, 7, 2), (4, 4, 2)),
    (dict(pool_size=2, padding=1), (6, 4, 16), (4, 3, 16)),
    (dict(pool_size=(4, 3), strides=(2, 3), padding=(2, 1)), (7, 9, 3), (4, 3, 3)),
]
WINDOWS = [MaxPool2D, AveragePool2D]
THEIRS = {"pool_size": None, "strides": None, "padding": 0}


def normal(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("kind", WINDOWS)
@pytest.mark.parametrize(
    "arguments, input_shape, output_shape",
    [*SHAPES, *PADDED, (dict(pool_size=3, strides=2, padding=((2, 0), (0, 1))), (6, 5, 2), (3, 2, 2))],
)
def test_gradients(kind, arguments, input_shape, output_shape):
    layer = kind(**arguments)
    assert layer.build(input_shape, dtype=np.float64) == output_shape
    assert gradcheck(layer, normal((2, *input_shape))).ok


@pytest.mark.parametrize("keepdims", [False, True])
def test_global_gradients(keepdims):
    assert gradcheck(GlobalAveragePool2D(keepdims), normal((3, 4, 5, 2))).ok


@pytest.mark.parametrize("kind", WINDOWS)
@pytest.mark.parametrize("arguments, input_shape, output_shape", SHAPES)
def test_equals_keras(kind, arguments, input_shape, output_shape):
    keras = pytest.importorskip("keras")
    theirs = {MaxPool2D: keras.layers.MaxPooling2D, AveragePool2D: keras.layers.AveragePooling2D}[kind](**arguments)
    x = normal((2, *input_shape), dtype=np.float32)
    y = kind(**arguments).forward(x)
    assert y.shape == (2, *output_shape) and y.dtype == np.float32
    assert np.allclose(y, keras.ops.convert_to_numpy(theirs(x)), atol=1e-6)


@pytest.mark.parametrize(
    "arguments, input_shape",
    [
        (dict(pool_size=2, strides=2), (7, 8, 3)),
        (dict(pool_size=3, strides=2), (7, 8, 3)),
        (dict(pool_size=3, strides=1), (7, 8, 3)),
        *(row[:2] for row in PADDED),
    ],
)
def test_equals_torch(arguments, input_shape):
    torch = pytest.importorskip("torch")
    x = normal((2, *input_shape))
    window, stride, padding = (arguments.get(key, default) for key, default in THEIRS.items())
    for layer, theirs in (
        (MaxPool2D(**arguments), torch.nn.MaxPool2d(window, stride, padding)),
        (AveragePool2D(**arguments), torch.nn.AvgPool2d(window, stride, padding, count_include_pad=False)),
    ):
        y = layer.forward(x)
        grad_y = normal(y.shape, 1)
        x_ = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
        y_ = theirs(x_)
        y_.backward(torch.tensor(grad_y.transpose(0, 3, 1, 2).copy()))
        assert np.allclose(y.transpose(0, 3, 1, 2), y_.detach().numpy(), atol=1e-14)
        assert np.allclose(layer.backward(grad_y).transpose(0, 3, 1, 2), x_.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize("channels", [1, 16])
def test_first_of_equals_takes_the_gradient(channels):
    x = np.zeros((1, 2, 4, channels), np.float32)
    x[0, 1, 2:] = 3
    layer = MaxPool2D(2)
    assert np.array_equal(layer.forward(x)[0, 0, :, 0], [0, 3])
    grad_x = layer.backward(np.full((1, 1, 2, channels), 5, np.float32))
    for c in range(channels):
        assert grad_x[0, :, :, c].tolist() == [[5, 0, 0, 0], [0, 0, 5, 0]]


def test_overlapping_windows_add_up():
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1] = 1
    layer = MaxPool2D(2, strides=1)
    layer.forward(x)
    grad_x = layer.backward(np.array([1.0, 10, 100, 1000]).reshape(1, 2, 2, 1))
    assert grad_x[0, :, :, 0].tolist() == [[0, 0, 0], [0, 1111, 0], [0, 0, 0]]


@pytest.mark.parametrize("channels", [1, 16])
def test_nan_wins(channels):
    x = np.ones((1, 2, 2, channels))
    x[0, 0, 1] = np.nan
    assert np.isnan(MaxPool2D(2).forward(x)).all()


def test_same_padding_is_no_zero():
    x = np.full((1, 3, 3, 2), -4.0)
    assert (MaxPool2D(3, strides=1, padding="same").forward(x) == -4).all()
    assert (AveragePool2D(3, strides=1, padding="same").forward(x) == -4).all()


@pytest.mark.parametrize("make", [lambda: MaxPool2D(2), lambda: AveragePool2D(3, 2, "same"), GlobalAveragePool2D])
def test_reused_buffers_give_the_same(make):
    fresh, reusing = make(), make()
    reusing.build((5, 6, 8))
    reusing._workspace = {}
    for images in (3, 1, 2):
        x = normal((images, 5, 6, 8), images, np.float32)
        y = fresh.forward(x)
        assert np.array_equal(reusing.forward(x), y)
        grad_y = normal(y.shape, 9, np.float32)
        assert np.array_equal(reusing.backward(grad_y), fresh.backward(grad_y))


def test_inputs_are_left_alone_and_any_memory_order_works():
    x, grad_y = normal((2, 3, 6, 5)), normal((2, 3, 3, 2), 1)
    turned = x.transpose(0, 3, 2, 1)  # (2, 5, 6, 3), not contiguous
    layer, straight = MaxPool2D(2), MaxPool2D(2)
    y = layer.forward(turned)
    assert np.array_equal(y, straight.forward(turned.copy()))
    upstream = grad_y.transpose(0, 3, 2, 1)
    kept = x.copy(), grad_y.copy()
    assert np.array_equal(layer.backward(upstream), straight.backward(upstream.copy()))
    assert np.array_equal(x, kept[0]) and np.array_equal(grad_y, kept[1])


def test_configurations_come_back():
    for layer in (MaxPool2D((2, 3), 1, "same"), AveragePool2D(4), GlobalAveragePool2D(keepdims=True)):
        again = restore(describe(layer))
        assert type(again) is type(layer) and again.config() == layer.config()


@pytest.mark.parametrize("kind", WINDOWS)
def test_errors_name_the_sizes(kind):
    with pytest.raises(ValueError, match='padding must be "same", "valid", an int .* got \'full\''):
        kind(2, padding="full")
    with pytest.raises(ValueError, match="pool_size must be a positive int"):
        kind(0)
    with pytest.raises(ValueError, match="strides must be a positive int"):
        kind(2, strides=(1, 0))
    with pytest.raises(ValueError, match=r"window of \(3, 3\) does not fit an image of \(2, 5\)"):
        kind(3).build((2, 5, 1))
    with pytest.raises(ValueError, match=r"\(height, width, channels\), got \(7,\)"):
        kind(3).build((7,))
    with pytest.raises(RuntimeError, match="backward was called before forward"):
        kind(2).backward(np.zeros((1, 1, 1, 1)))


def test_max_window_fits_a_byte():
    MaxPool2D((15, 17))
    with pytest.raises(ValueError, match="16 x 16 has 256 cells"):
        MaxPool2D(16)
    AveragePool2D(16)


def test_global_pool_needs_an_image():
    with pytest.raises(ValueError, match=r"\(height, width, channels\), got \(7, 3\)"):
        GlobalAveragePool2D().build((7, 3))


@pytest.mark.parametrize("kind", WINDOWS)
def test_padding_as_wide_as_the_window_is_refused(kind):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: padding \(0, 2\) is as wide as the window \(2, 2\)"):
        kind(2, padding=(0, 2))
