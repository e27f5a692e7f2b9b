"""What arguments and attributes of Keras's and PyTorch's answer, and that the answers hold."""

import copy
import pickle

import pytest

import tinycnn
from tinycnn.foreign import ARGUMENTS, ATTRIBUTES
from tinycnn.layers import ELU, Augmentation, BatchNorm, Conv2D, Dense, Dropout, Layer, LeakyReLU, MaxPool2D, ReLU


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Conv2D(8, 3, stride=2), "Conv2D takes no stride: use strides"),
        (lambda: Conv2D(out_channels=8, kernel_size=3), "Conv2D takes no out_channels: use filters"),
        (lambda: Conv2D(8, 3, input_shape=(8, 8, 1)), "Conv2D takes no input_shape: put Input"),
        (lambda: Dense(8, bias=False), "Dense takes no bias: use use_bias"),
        (lambda: BatchNorm(axis=-1), "BatchNorm takes no axis: leave it out"),
        (lambda: MaxPool2D(2, stride=2), "MaxPool2D takes no stride: use strides"),
        (lambda: Dropout(p=0.5), "Dropout takes no p: use rate"),
        (lambda: ReLU(inplace=True), "ReLU takes no inplace: leave it out"),
        (lambda: LeakyReLU(alpha=0.1), "LeakyReLU takes no alpha: use negative_slope"),
        (lambda: tinycnn.Adam(lr=1e-3), "Adam takes no lr: use learning_rate"),
        (lambda: Dense(8, nonsense=1), "unexpected keyword argument 'nonsense'"),
    ],
)
def test_arguments_of_others_say_what_to_use(make, says):
    with pytest.raises(TypeError, match=says):
        make()


def test_an_argument_that_a_class_has_is_its_own():
    class Striding(Layer):
        def __init__(self, stride):
            super().__init__()
            self.stride = stride

    assert Striding(stride=2).stride == 2 and ELU(alpha=0.5).alpha == 0.5
    assert Augmentation(scale=0.1).augment.scale == 0.1
    del Layer.registry["Striding"]


def test_attributes_of_others_say_what_to_use():
    model, optimizer = tinycnn.Sequential([Dense(2)]), tinycnn.SGD()
    for thing, name, says in (
        (model, "state_dict", "use get_weights and set_weights"),
        (model, "train", r"use forward\(x, training=True\)"),
        (model.layers[0], "get_weights", r'use params\["kernel"\]'),
        (optimizer, "zero_grad", "use nothing: backward overwrites the gradients"),
        (optimizer, "lr", "use learning_rate"),
        (model, "nonsense", "'Sequential' object has no attribute 'nonsense'$"),
    ):
        with pytest.raises(AttributeError, match=says):
            getattr(thing, name)
        assert not hasattr(thing, name)


def test_copies_and_pickles_are_made_as_ever():
    model = tinycnn.Sequential([Dense(2, "relu")])
    model.build((3,))
    assert copy.deepcopy(model).count_params == model.count_params
    for thing in (tinycnn.Adam(0.5), Dense(2, "relu")):
        assert vars(pickle.loads(pickle.dumps(thing))).keys() == vars(thing).keys()


def test_answers_name_what_is_there():
    classes = (Conv2D, Dense, BatchNorm, Dropout, MaxPool2D, LeakyReLU, tinycnn.Adam)
    taken = {name for kind in classes for name in kind.__init__.__annotations__}
    for says in ARGUMENTS.values():
        first = says.removeprefix("use ").split()[0].rstrip(",")
        assert not says.startswith("use ") or first in taken or hasattr(tinycnn, first), says
    model = tinycnn.Sequential([Dense(2)])
    for name, says in ATTRIBUTES.items():
        first = says.split("(")[0].split(",")[0].split(" ")[0].split("[")[0].rstrip(".,")
        homes = (model, model.layers[0], tinycnn.SGD(), tinycnn)
        known = first.removeprefix("tinycnn.").rstrip(":") in ("nothing", "what")
        assert known or any(hasattr(home, first.removeprefix("tinycnn.")) for home in homes), (name, first)
