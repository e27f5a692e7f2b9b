import numpy as np
import pytest

from tinycnn import reference
from tinycnn.layers import UpSample2D
from tinycnn.reference import col2im, conv2d_backward, conv2d_forward, conv2d_im2col, im2col, output_size, same_padding
from tinycnn.reference_training import numerical_gradient

# window, strides, padding, dilation, groups
GEOMETRIES = [
    ((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((3, 2), (2, 1), ((0, 2), (1, 0)), (1, 1), 1),
    ((2, 3), (1, 3), ((0, 0), (2, 1)), (2, 1), 3),
    ((1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    ((3, 1), (1, 2), ((1, 2), (0, 1)), (2, 3), 3),
]


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def to_torch(torch, x):
    return torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)), requires_grad=True)


def from_torch(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def torch_padded(torch, x, padding, value=0.0):
    return torch.nn.functional.pad(x, (*padding[1], *padding[0]), value=value)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize(
    "window, stride, dilation", [(1, 1, 1), (2, 1, 1), (2, 2, 1), (3, 2, 1), (3, 1, 2), (1, 3, 1), (5, 4, 1)]
)
def test_same_padding_gives_a_cell_per_stride(size, window, stride, dilation):
    before, after = same_padding(size, window, stride, dilation)
    assert 0 <= before <= after <= before + 1
    assert output_size(size, window, stride, (before, after), dilation) == -(-size // stride)


def test_convolution_by_hand():
    x = np.array([[1.0, 2, 3], [4, 5, 6]]).reshape(1, 2, 3, 1)
    kernel = np.array([[1.0, 10], [100, 1000]]).reshape(2, 2, 1, 1)
    assert conv2d_forward(x, kernel).ravel().tolist() == [5421, 6532]
    padded = conv2d_forward(x, kernel, np.array([0.5]), (1, 2), ((1, 0), (1, 0)))  # windows start left of and above x
    assert padded[0, :, :, 0].tolist() == [[1000.5, 3200.5], [4010.5, 6532.5]]
    dilated = conv2d_forward(x, np.array([[1.0, 10]]).reshape(1, 2, 1, 1), dilation=(1, 2))
    assert dilated.ravel().tolist() == [31, 64]


def test_groups_by_hand():
    x = np.array([1.0, 2, 3, 4]).reshape(1, 1, 1, 4)
    kernel = np.array([[1.0, 10], [100, 1000]]).reshape(1, 1, 2, 2)
    # Filter 0 sees channels 0 and 1, filter 1 sees channels 2 and 3.
    assert conv2d_forward(x, kernel, groups=2).ravel().tolist() == [1 + 200, 30 + 4000]


def test_convolution_gradients_by_hand():
    x = np.array([1.0, 2, 3]).reshape(1, 1, 3, 1)
    kernel = np.array([10.0, 20]).reshape(1, 2, 1, 1)
    grad_y = np.array([1.0, 7]).reshape(1, 1, 2, 1)
    grad_x, grad_kernel, grad_bias = conv2d_backward(x, kernel, grad_y)
    assert grad_x.ravel().tolist() == [10, 20 + 70, 140]
    assert grad_kernel.ravel().tolist() == [1 + 14, 2 + 21]
    assert grad_bias.tolist() == [8]


@pytest.mark.parametrize("window, strides, padding, dilation, groups", GEOMETRIES)
def test_convolution_against_torch(window, strides, padding, dilation, groups):
    torch = pytest.importorskip("torch")
    x, bias = normal(2, 7, 8, 6), normal(9, seed=1)
    kernel = normal(*window, 6 // groups, 9, seed=2)
    geometry = strides, padding, dilation, groups
    y = conv2d_forward(x, kernel, bias, *geometry)
    grad_y = normal(*y.shape, seed=3)
    x_, bias_ = to_torch(torch, x), torch.tensor(bias, requires_grad=True)
    kernel_ = torch.tensor(kernel.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    y_ = torch.nn.functional.conv2d(
        torch_padded(torch, x_, padding), kernel_, bias_, strides, dilation=dilation, groups=groups
    )
    y_.backward(to_torch(torch, grad_y).detach())
    assert np.allclose(y, from_torch(y_), atol=1e-12)
    grad_x, grad_kernel, grad_bias = conv2d_backward(x, kernel, grad_y, *geometry)
    assert np.allclose(grad_x, from_torch(x_.grad), atol=1e-12)
    assert np.allclose(grad_kernel, kernel_.grad.numpy().transpose(2, 3, 1, 0), atol=1e-12)
    assert np.allclose(grad_bias, bias_.grad.numpy(), atol=1e-12)
    if groups == 1:
        assert np.allclose(conv2d_im2col(x, kernel, bias, *geometry[:3]), y, atol=1e-12)


@pytest.mark.parametrize("window, strides, padding, dilation, groups", GEOMETRIES)
def test_col2im_is_the_adjoint_of_im2col(window, strides, padding, dilation, groups):
    x = normal(2, 5, 6, 3)
    columns = im2col(x, window, strides, padding, dilation)
    other = normal(*columns.shape, seed=1)
    back = col2im(other, x.shape, window, strides, padding, dilation)
    assert back.shape == x.shape
    assert (columns * other).sum() == pytest.approx((x * back).sum(), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    x, kernel, bias = normal(1, 4, 5, 2, dtype=dtype), normal(3, 3, 2, 3, dtype=dtype), np.zeros(3, dtype)
    y = conv2d_forward(x, kernel, bias)
    results = [y, conv2d_im2col(x, kernel, bias), *conv2d_backward(x, kernel, y)]
    results += [reference.avgpool_forward(x, (2, 2), (2, 2)), reference.maxpool_forward(x, (2, 2), (2, 2))[0]]
    results += [reference.dropout(x, 3, 0.3), *reference.batchnorm_forward(x, x[0, 0, 0], x[0, 0, 1], 1e-3)]
    results += [reference.upsample_forward(x, (2, 3)), reference.upsample_backward(x, (2, 1), "bilinear")]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


POOLS = [((2, 2), (2, 2), ((0, 0), (0, 0))), ((3, 2), (1, 2), ((1, 1), (0, 1))), ((2, 3), (3, 1), ((0, 0), (1, 1)))]


def test_max_pool_ties_and_nan():
    nan = np.nan
    cells = [[3, 3, 1, 3], [1, nan, 9, 2], [-1, -1, -2, -1], [nan, 1, nan, 0], [-np.inf] * 4]
    x = np.array(cells).T.reshape(1, 2, 2, 5)
    y, codes = reference.maxpool_forward(x, (2, 2), (2, 2))
    assert np.array_equal(y.ravel(), [3, nan, -1, nan, -np.inf], equal_nan=True)
    assert codes.ravel().tolist() == [0, 1, 0, 2, 0]


def test_padding_never_wins():
    x = np.full((1, 1, 1, 1), -5.0)
    y, codes = reference.maxpool_forward(x, (3, 3), (1, 1), ((1, 1), (1, 1)))
    assert (y.item(), codes.item()) == (-5, 4)
    assert reference.avgpool_forward(x, (3, 3), (1, 1), ((1, 1), (1, 1))).item() == -5


@pytest.mark.parametrize("window, strides, padding", POOLS)
def test_max_pool_against_torch(window, strides, padding):
    torch = pytest.importorskip("torch")
    x = normal(2, 5, 7, 3)
    y, codes = reference.maxpool_forward(x, window, strides, padding)
    grad_y = normal(*y.shape, seed=1)
    x_ = to_torch(torch, x)
    y_ = torch.nn.functional.max_pool2d(torch_padded(torch, x_, padding, -np.inf), window, strides)
    y_.backward(to_torch(torch, grad_y).detach())
    assert np.array_equal(y, from_torch(y_))
    grad_x = reference.maxpool_backward(grad_y, codes, x.shape, window, strides, padding)
    assert np.allclose(grad_x, from_torch(x_.grad), atol=1e-14)


@pytest.mark.parametrize("window, strides, padding", POOLS)
def test_average_pool_against_torch(window, strides, padding):
    torch = pytest.importorskip("torch")
    x = normal(2, 5, 7, 3)
    y = reference.avgpool_forward(x, window, strides, padding)
    grad_y = normal(*y.shape, seed=1)
    x_ = to_torch(torch, x)
    mean = torch.nn.functional.avg_pool2d(torch_padded(torch, x_, padding), window, strides)
    inside = torch.nn.functional.avg_pool2d(torch_padded(torch, torch.ones_like(x_), padding), window, strides)
    y_ = mean / inside  # torch counts padded cells as zeros; this takes them out of the mean again
    y_.backward(to_torch(torch, grad_y).detach())
    assert np.allclose(y, from_torch(y_), atol=1e-14)
    assert np.allclose(
        reference.avgpool_backward(grad_y, x.shape, window, strides, padding), from_torch(x_.grad), atol=1e-14
    )


def test_dense_by_hand():
    x, kernel, bias = np.array([[1.0, 2]]), np.array([[10.0, 20, 30], [1, 2, 3]]), np.array([0.5, 0, 0])
    assert reference.dense_forward(x, kernel, bias).tolist() == [[12.5, 24, 36]]
    grad_x, grad_kernel, grad_bias = reference.dense_backward(x, kernel, np.array([[1.0, 0, -1]]))
    assert grad_x.tolist() == [[-20, -2]]
    assert grad_kernel.tolist() == [[1, 0, -1], [2, 0, -2]]
    assert grad_bias.tolist() == [1, 0, -1]


def test_relu_by_hand():
    y = reference.relu_forward(np.array([-1.0, 0, 2, np.nan]))
    assert np.array_equal(y, [0, 0, 2, np.nan], equal_nan=True)
    assert reference.relu_backward(np.array([5.0, 6, 7]), y[:3]).tolist() == [0, 0, 7]


UPSAMPLINGS = [(factors, how) for factors in ((2, 2), (3, 1), (1, 4)) for how in ("nearest", "bilinear")]


@pytest.mark.parametrize("factors, how", UPSAMPLINGS)
def test_upsampling_against_torch(factors, how):
    torch = pytest.importorskip("torch")
    x = normal(2, 3, 4, 5)
    y = reference.upsample_forward(x, factors, how)
    grad_y = normal(*y.shape, seed=1)
    x_ = to_torch(torch, x)
    y_ = torch.nn.Upsample(scale_factor=factors, mode=how)(x_)
    y_.backward(to_torch(torch, grad_y).detach())
    assert np.allclose(y, from_torch(y_), atol=1e-14)
    assert np.allclose(reference.upsample_backward(grad_y, factors, how), from_torch(x_.grad), atol=1e-14)


@pytest.mark.parametrize("factors, how", UPSAMPLINGS)
def test_the_layer_upsamples_alike(factors, how):
    x = normal(2, 3, 4, 5)
    layer = UpSample2D(factors, how)
    y = layer.forward(x)
    assert np.allclose(y, reference.upsample_forward(x, factors, how), atol=1e-14)
    assert np.allclose(layer.backward(y), reference.upsample_backward(y, factors, how), atol=1e-14)


@pytest.mark.parametrize("window, strides, padding, dilation, groups", GEOMETRIES)
def test_convolution_gradients_against_differences(window, strides, padding, dilation, groups):
    geometry = strides, padding, dilation, groups
    x, kernel, bias = normal(2, 4, 5, 3), normal(*window, 3 // groups, 3, seed=1), normal(3, seed=2)
    grad_y = normal(*conv2d_forward(x, kernel, bias, *geometry).shape, seed=3)
    gradients = conv2d_backward(x, kernel, grad_y, *geometry)
    arguments = [x, kernel, bias]
    for k, gradient in enumerate(gradients):

        def f(moved, k=k):
            return float(np.sum(grad_y * conv2d_forward(*arguments[:k], moved, *arguments[k + 1 :], *geometry)))

        assert np.allclose(gradient, numerical_gradient(f, arguments[k]), atol=1e-8)


@pytest.mark.parametrize("window, strides, padding", POOLS)
def test_pooling_gradients_against_differences(window, strides, padding):
    x = np.random.default_rng(0).permutation(70).reshape(1, 5, 7, 2) / 10.0  # apart by more than the step: no ties
    y, codes = reference.maxpool_forward(x, window, strides, padding)
    grad_y, geometry = normal(*y.shape, seed=1), (window, strides, padding)
    expected = numerical_gradient(lambda x: float(np.sum(grad_y * reference.maxpool_forward(x, *geometry)[0])), x)
    assert np.allclose(reference.maxpool_backward(grad_y, codes, x.shape, *geometry), expected, atol=1e-8)
    expected = numerical_gradient(lambda x: float(np.sum(grad_y * reference.avgpool_forward(x, *geometry))), x)
    assert np.allclose(reference.avgpool_backward(grad_y, x.shape, *geometry), expected, atol=1e-8)
