import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.upsample import UpSample2D

CASES = [(size, how) for size in ((2, 2), (3, 2), (1, 4), (5, 1), (1, 1)) for how in ("nearest", "bilinear")]


def random(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("size", "how"), CASES)
@pytest.mark.parametrize("shape", [(2, 3, 4, 2), (1, 1, 5, 3), (3, 2, 1, 1)])
def test_gradients(size, how, shape):
    assert gradcheck(UpSample2D(size, how), random(shape)).ok


@pytest.mark.parametrize(("size", "how"), CASES)
def test_keras_agrees(size, how):
    keras = pytest.importorskip("keras")
    x = random((2, 5, 3, 4), dtype=np.float32)
    theirs = np.array(keras.layers.UpSampling2D(size, interpolation=how)(x))
    y = UpSample2D(size, how).forward(x)
    assert y.dtype == np.float32
    assert y == pytest.approx(theirs, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("size", "how"), CASES)
def test_torch_agrees_both_ways(size, how):
    torch = pytest.importorskip("torch")
    x, grad_y = random((2, 3, 4, 5)), random((2, 3 * size[0], 4 * size[1], 5), 1)
    x_torch = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y = torch.nn.Upsample(scale_factor=size, mode=how)(x_torch)
    y.backward(torch.tensor(grad_y.transpose(0, 3, 1, 2)))
    layer = UpSample2D(size, how)
    assert layer.forward(x) == pytest.approx(y.detach().numpy().transpose(0, 2, 3, 1), rel=1e-12)
    assert layer.backward(grad_y) == pytest.approx(x_torch.grad.numpy().transpose(0, 2, 3, 1), rel=1e-12)


def test_nearest_by_hand():
    layer = UpSample2D((2, 3))
    x = np.float32([[[1], [2]]])[None]
    assert layer.forward(x)[0, :, :, 0].tolist() == [[1, 1, 1, 2, 2, 2]] * 2
    grad_y = np.arange(12, dtype=np.float32).reshape(1, 2, 6, 1)
    assert layer.backward(grad_y).ravel().tolist() == [0 + 1 + 2 + 6 + 7 + 8, 3 + 4 + 5 + 9 + 10 + 11]


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_constant_images_stay_constant(how):
    assert UpSample2D((3, 2), how).forward(np.full((1, 4, 5, 2), 7.0)) == pytest.approx(np.full((1, 12, 10, 2), 7.0))


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_reused_buffers_give_the_same(how):
    fresh, reusing = UpSample2D(2, how), UpSample2D(2, how)
    reusing.build((3, 4, 2))
    reusing._workspace = {}
    for images in (3, 1, 2):
        x, grad_y = random((images, 3, 4, 2), images, np.float32), random((images, 6, 8, 2), 9, np.float32)
        assert np.array_equal(reusing.forward(x), fresh.forward(x))
        assert np.array_equal(reusing.backward(grad_y), fresh.backward(grad_y))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="size must be a positive int"):
        UpSample2D(0)
    with pytest.raises(ValueError, match="'cubic'"):
        UpSample2D(2, "cubic")
    with pytest.raises(ValueError, match=r"\(height, width, channels\), got \(5, 3\)"):
        UpSample2D().build((5, 3))


def test_config_makes_it_again():
    layer = UpSample2D(**UpSample2D((2, 3), "bilinear").config())
    assert layer.size == (2, 3) and layer.interpolation == "bilinear"
    assert UpSample2D().build((3, 5, 2)) == (6, 10, 2)
