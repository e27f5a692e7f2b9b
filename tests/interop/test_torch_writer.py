"""`to_torch`: outputs and gradients of the modules equal those of the layers, and they come back as they were."""

import numpy as np
import pytest
from chains import CHAINS, differ, images, network

import tinycnn
from tinycnn.interop.torch_reader import from_torch
from tinycnn.interop.torch_writer import to_torch

torch = pytest.importorskip("torch")


def nchw(x):
    return torch.tensor(x).permute(0, 3, 1, 2) if x.ndim == 4 else torch.tensor(x)


def nhwc(y):
    return (y.permute(0, 2, 3, 1) if y.ndim == 4 else y).detach().numpy()


@pytest.mark.parametrize("name", CHAINS)
def test_outputs_and_gradients_agree_and_it_comes_back(name):
    model, x = network(name), images()
    module = to_torch(model)
    ours = model.forward(x)
    theirs_x = nchw(x).requires_grad_()
    theirs = module(theirs_x)
    assert differ(ours, nhwc(theirs)) < 1e-10
    weights = np.random.default_rng(7).normal(size=ours.shape)
    grad_x = model.backward(weights)
    (theirs * nchw(weights)).sum().backward()
    assert differ(grad_x, nhwc(theirs_x.grad)) < 1e-10
    back = from_torch(module, model.input_shape)
    assert back.dtype == np.float64 and differ(back.forward(x), ours) < 1e-10
    back.backward(weights)
    found = sorted(abs(grad).sum() for _, _, grad in back.parameters())
    np.testing.assert_allclose(found, sorted(abs(grad).sum() for _, _, grad in model.parameters()), rtol=1e-8)
    torch_grads = sorted(float(p.grad.abs().sum()) for p in module.parameters())
    np.testing.assert_allclose(torch_grads, found, rtol=1e-8)


def test_names_stay_and_frozen_layers_are_frozen():
    model = network("plain", np.float32)
    model.get_layer("conv2d").trainable = False
    module = to_torch(model)
    assert [name for name, _ in module.named_children()][:3] == ["conv2d", "conv2d_relu", "max_pooling2d"]
    assert not module.conv2d.weight.requires_grad and module.dense.weight.requires_grad
    assert module.dense.weight.dtype == torch.float32
    assert [layer.name for layer in from_torch(module, model.input_shape).layers] == [x.name for x in model.layers]


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([tinycnn.Flatten()], "end with a Dense"),
        ([tinycnn.Reshape((2, 6))], "Reshape.*put a Dense|reshape images differently"),
        ([tinycnn.AveragePool2D(3, padding=((0, 2), (1, 0)), strides=1)], "AveragePool2D .*cannot average"),
    ],
)
def test_what_does_not_convert_is_named(layers, says):
    model = tinycnn.Sequential(layers)
    model.build((2, 3, 2))
    with pytest.raises(ValueError, match=says):
        to_torch(model)


def test_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="to_torch: the model has no weights yet; call model.build"):
        to_torch(tinycnn.Sequential([tinycnn.Dense(2)]))


def test_augmentation_is_nothing_in_inference():
    model = tinycnn.Sequential([tinycnn.Augmentation(flip=0.5), tinycnn.Conv2D(2, 1)])
    model.build((4, 4, 1))
    x = images(np.float32, (4, 4, 1))
    assert differ(model.forward(x), nhwc(to_torch(model)(nchw(x)))) < 1e-5
