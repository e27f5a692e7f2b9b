import json

import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.activation import LeakyReLU, ReLU, Sigmoid, Tanh
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.registry import describe, restore
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.model import Sequential


def random(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def block(**more):
    return Residual(
        [BatchNorm(), Tanh(), UpSample2D((2, 1), "bilinear"), BatchNorm(epsilon=0.1), Dropout(0.3)],
        shortcut=[UpSample2D((2, 1)), BatchNorm()],
        **more,
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        block,
        lambda: block(activation="leaky_relu"),
        lambda: Residual([BatchNorm(), Sigmoid()]),
        lambda: Residual([Tanh(), Residual([BatchNorm()], activation="sigmoid")], activation=LeakyReLU(0.1)),
    ],
)
def test_gradients_of_input_and_every_sublayer(make, training):
    result = gradcheck(make(), random((3, 4, 5, 2)), training=training)
    assert result.ok
    assert len(result.table) > 2


def test_by_hand():
    layer = Residual([LeakyReLU(0.5), LeakyReLU(0.5)], shortcut=[LeakyReLU(3)], activation="relu")
    x = np.array([[-4.0, 2.0]])
    # Branch -1 and 2, shortcut -12 and 2.
    assert layer.forward(x).tolist() == [[0, 4]]
    assert layer.backward(np.array([[7.0, 5.0]])).tolist() == [[0, 10]]


def test_torch_agrees_both_ways():
    torch = pytest.importorskip("torch")
    x, grad_y = random((4, 3, 5, 2)), random((4, 3, 5, 2), 1)
    ours = Residual([BatchNorm(), ReLU(), BatchNorm()], activation="relu")
    first, second = (torch.nn.BatchNorm2d(2, eps=1e-3, dtype=torch.float64) for _ in range(2))
    x_torch = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y = torch.relu(x_torch + second(torch.relu(first(x_torch))))
    y.backward(torch.tensor(grad_y.transpose(0, 3, 1, 2)))
    assert ours.forward(x, training=True) == pytest.approx(y.detach().numpy().transpose(0, 2, 3, 1), abs=1e-12)
    assert ours.backward(grad_y) == pytest.approx(x_torch.grad.numpy().transpose(0, 2, 3, 1), abs=1e-12)
    assert ours.layers[0].grads["gamma"] == pytest.approx(first.weight.grad.numpy(), abs=1e-12)
    assert ours.layers[2].grads["beta"] == pytest.approx(second.bias.grad.numpy(), abs=1e-12)


def test_sublayers_and_counts():
    layer = block(activation="relu")
    layer.build((4, 5, 3))
    assert [type(part) for part in layer.sublayers()] == [
        BatchNorm,
        Tanh,
        UpSample2D,
        BatchNorm,
        Dropout,
        UpSample2D,
        BatchNorm,
        ReLU,
    ]
    assert layer.count_params == 3 * 4 * 3
    assert layer.output_shape == (8, 5, 3)
    assert layer.params == {}


def test_names_are_unique_and_lead_with_the_block():
    layer = Residual(
        [BatchNorm(), BatchNorm(name="batch_normalization_1"), BatchNorm()], [BatchNorm()], "relu", name="residual_4"
    )
    layer.index = 6
    layer.build((3,))
    assert [part.name.removeprefix("residual_4/") for part in layer.sublayers()] == [
        "batch_normalization",
        "batch_normalization_1",
        "batch_normalization_2",
        "batch_normalization_3",
        "re_lu",
    ]
    assert all(part.name.startswith("residual_4/") and part.index == 6 for part in layer.sublayers())
    layer.name = "other"
    layer.build((3,))
    assert [part.name for part in layer.sublayers()][:3] == [
        "other/batch_normalization",
        "other/batch_normalization_1",
        "other/batch_normalization_2",
    ]


def test_names_within_a_nested_block():
    inner = Residual([Tanh()])
    Residual([inner, Tanh()], name="outer").build((3,))
    assert (inner.name, inner.layers[0].name) == ("outer/residual", "outer/residual/tanh")


def test_names_that_the_user_gave_are_kept_with_what_follows_from_them():
    layer = Residual([Tanh(name="mine"), Tanh()], name="block")
    layer.build((3,))
    assert [part.name for part in layer.layers] == ["block/mine", "block/tanh"]
    model = Sequential([Residual([Conv2D(3, 3, padding="same", activation="relu", name="first")])])
    model.build((5, 5, 3))
    assert [part.name for part in model.all_layers()] == ["residual", "residual/first", "residual/first/re_lu"]


def test_architecture_survives_json():
    layer = Residual(
        [LeakyReLU(0.1), Residual([Dropout(0.2), BatchNorm(0.5, name="stem")])], [Tanh()], "sigmoid", name="r"
    )
    before = layer.config()
    layer.build((4, 3))
    assert layer.config() == before  # names made by building are not arguments
    copy = restore(json.loads(json.dumps(describe(layer))))
    assert copy.config() == before and copy.name == "r"
    copy.build((4, 3))
    assert [part.name for part in copy.sublayers()] == [part.name for part in layer.sublayers()]
    assert copy.layers[1].layers[1].name == layer.layers[1].layers[1].name == "r/residual/stem"
    x = random((2, 4, 3), dtype=np.float32)
    assert np.array_equal(copy.forward(x), layer.forward(x))
    assert Residual([Tanh()]).config()["shortcut"] is None


def test_dicts_are_accepted():
    layer = Residual([{"class": "LeakyReLU", "config": {"negative_slope": 0.5}}], activation="relu")
    assert layer.forward(np.array([[-2.0, 2.0]])).tolist() == [[0, 4]]


def test_a_sublayer_sees_the_batch_mode():
    x = random((4, 6))
    layer = Residual([Dropout(0.5)])
    assert np.array_equal(layer.forward(x), 2 * x)
    assert not np.array_equal(layer.forward(x, training=True), 2 * x)


def test_freezing_reaches_every_layer():
    kept = BatchNorm()
    kept.trainable = False
    layer = Residual([BatchNorm(), kept], [BatchNorm()])
    assert [part.trainable for part in layer.sublayers()] == [True, False, True]
    layer.trainable = False
    assert not any(part.trainable for part in layer.sublayers())


def test_reused_buffers_give_the_same_and_arguments_are_left_alone():
    fresh, reusing = (Residual([BatchNorm(), Tanh()], [LeakyReLU()], "sigmoid") for _ in range(2))
    reusing.build((3, 4))
    for part in (reusing, *reusing.sublayers()):
        part._workspace = {}
    for images in (5, 2, 3):
        x, grad_y = random((images, 3, 4), images, np.float32), random((images, 3, 4), 9, np.float32)
        kept = x.copy(), grad_y.copy()
        assert np.array_equal(reusing.forward(x, True), fresh.forward(x, True))
        assert np.array_equal(reusing.backward(grad_y), fresh.backward(grad_y))
        assert np.array_equal(x, kept[0]) and np.array_equal(grad_y, kept[1])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="at least one layer"):
        Residual([])
    twice = Tanh()
    with pytest.raises(ValueError, match="appears twice"):
        Residual([twice], [twice])
    with pytest.raises(ValueError, match="expected a layer or a dict"):
        Residual(["relu"])
    layer = Residual([Flatten()], name="r")
    with pytest.raises(ValueError, match=r"Residual 'r': the branch gives \(12,\) and the shortcut \(4, 3\)"):
        layer.build((4, 3))
    with pytest.raises(ValueError, match=r"Reshape 'r/reshape'"):
        Residual([Reshape((5,))], name="r").build((4, 3))
