from pathlib import Path

import numpy as np
import pytest

from tinycnn.arguments import (
    as_array,
    as_path,
    at_home,
    brief,
    chosen,
    count,
    flag,
    float_type,
    function,
    generator,
    listed,
    number,
    numbers,
    of_class,
    one_of,
    pair,
    positive,
    positive_int,
    share,
    whole_number,
    whole_shape,
)
from tinycnn.data.dataset import Dataset
from tinycnn.data.decode import load_image
from tinycnn.data.source import open_source
from tinycnn.ensemble import Ensemble
from tinycnn.files import read_json
from tinycnn.inside import grad_cam, heat_map
from tinycnn.inside.film import Film
from tinycnn.kernels.sets import set_kernels
from tinycnn.layers import BatchNorm, Conv2D, Dense, LeakyReLU, Parallel, Residual
from tinycnn.losses import CrossEntropy
from tinycnn.members import train_members
from tinycnn.model import Sequential
from tinycnn.models import add_noise
from tinycnn.optimizers import Adam
from tinycnn.scores import (
    bootstrap_interval,
    classification_report,
    confusion_matrix,
    expected_calibration_error,
    roc_curve,
)
from tinycnn.scores.plots import plot_confusion_matrix
from tinycnn.study.films import chest_phantoms
from tinycnn.training import Checkpoint, CSVLogger, EarlyStopping, fit

IMAGES = np.zeros((3, 8, 8, 1), np.uint8)


class Animal:
    pass


class Cat(Animal):
    pass


@pytest.mark.parametrize("value, below", [(0, 1), (0.999, 1), ("0.5", 1), (1e9, float("inf"))])
def test_numbers(value, below):
    result = number(value, "it", below)
    assert type(result) is float and result == float(value)


@pytest.mark.parametrize(
    "value, below", [(-1e-9, 1), (1, 1), (1.5, 1), (float("nan"), 1), ("x", 1), (None, 1), ([1], 2)]
)
def test_what_is_no_number_from_0_on(value, below):
    with pytest.raises(ValueError, match=rf"it must be in \[0, {below}\), got "):
        number(value, "it", below)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1])
def test_numbers_are_finite_without_a_bound(value):
    with pytest.raises(ValueError, match=f"it must be finite and not negative, got {value}"):
        number(value, "it")


def test_whole_numbers():
    assert [whole_number(value, "it") for value in (1, 2.0, 1e3)] == [1, 2, 1000]
    for value in (0, 0.5, "3", None, -2):
        with pytest.raises(ValueError, match="it must be "):
            whole_number(value, "it")


def test_chosen_by_name_or_as_they_are():
    cat = Cat()
    assert chosen(cat, "animal", Animal, {"cat": Cat}) is cat
    assert type(chosen("cat", "animal", Animal, {"cat": Cat})) is Cat
    with pytest.raises(ValueError, match=r"write animal=Cat\(\)"):
        chosen(Cat, "animal", Animal, {"cat": Cat})
    with pytest.raises(ValueError, match=r"class Animal, an object such as Cat\(\), or one of cat; got 'dog'"):
        chosen("dog", "animal", Animal, {"cat": Cat})


def test_an_error_shows_no_page():
    assert brief("same") == "'same'" and len(brief("a" * 10**6)) < 300
    assert brief(IMAGES) == "an array of uint8 (3, 8, 8, 1)"


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "3", None, 2**31, 10**30, np.arange(3)])
def test_what_is_no_positive_int(value):
    with pytest.raises(ValueError, match="it must be "):
        positive_int(value, "it")
    with pytest.raises(ValueError, match="it must be a positive int or a pair of them"):
        pair((1, value), "it")


def test_shares_pairs_types_shapes_and_generators():
    assert (share(1, "it"), share("0.5", "it"), share(180, "it", 180)) == (1.0, 0.5, 180.0)
    assert pair(np.array([2, 3]), "it") == (2, 3) and positive_int(np.int8(3), "it") == 3 and count(0, "it") == 0
    assert float_type("f8", "it") == np.float64 and whole_shape(np.array([4, 1]), "it") == (4, 1)
    rng = generator(3)
    assert generator(rng) is rng and generator(3).random() == generator(3).random()
    of_class(3, int, "it")
    function(len, "it")
    assert positive("0.5", "it") == 0.5 and listed(np.arange(2), "it") == [0, 1] and listed("ab", "it") == ["a", "b"]
    assert numbers([[1, 2]], "it").shape == (1, 2) and numbers(IMAGES, "it") is IMAGES


NEITHER = [np.nan, np.arange(3), np.array(["a"]), "x", None, [1], 1j, 10**400]


@pytest.mark.parametrize(
    "call, wrong",
    [
        (lambda value: share(value, "it"), [*NEITHER, 1.5, -1]),
        (lambda value: count(value, "it", 17), [*NEITHER, -1, 18, 2.0, True]),
        (lambda value: float_type(value, "it"), ["a", "f2", {"class": "Dense", "config": 1}, object()]),
        (lambda value: whole_shape(value, "it"), ["a", 3, [], [0], [-1, 2], [np.nan], [10**30], [2**16, 2**16]]),
        (lambda value: generator(value, "it"), ["a", 3.5, -1, 1e300, {}, np.array(["a"]), object()]),
        (lambda value: of_class(value, int, "it"), ["a", None]),
        (lambda value: function(value, "it"), ["a", None, 3]),
        (lambda value: listed(value, "it"), [None, 3, 1j, np.array(3), len]),
        (lambda value: positive(value, "it"), [*NEITHER, 0, -1, np.inf, np.zeros(2, "M8[s]")]),
        (lambda value: positive(value, "it", below=1), [1, 1.5]),
        (lambda value: numbers(value, "it"), ["a", None, {}, [[1], [1, 2]], [1j], [None], np.zeros(2, "M8[s]"), len]),
    ],
)
def test_nonsense_is_refused_in_plain_words(call, wrong):
    for value in wrong:
        with pytest.raises(ValueError, match="^it"):
            call(value)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: chest_phantoms(n_train=10**30), "have more than 2147483647 pixels"),
        (lambda: chest_phantoms(1, 1, 16, workers=float("nan")), "workers must be an int from 1 to 1024, got nan"),
        (lambda: chest_phantoms(1, 1, 16, workers=100_000), "workers must be an int from 1 to 1024"),
        (lambda: chest_phantoms(1, 1, 10**8), "more than 2147483647|more than 2,147,483,647"),
        (lambda: chest_phantoms(1, 1, 16, seed=-1), "seed must be an int from 0 on"),
        (lambda: BatchNorm(np.array("x")), "BatchNorm: momentum must be from 0 to 1"),
        (lambda: LeakyReLU(np.array(["a"])), "LeakyReLU: negative_slope must be finite"),
        (lambda: Dense(2).build((4,), rng=3.5), "Dense: rng must be an int from 0 on"),
        (lambda: Conv2D(2, 3, padding=10**30), "Conv2D: padding must be"),
        (lambda: Dataset(IMAGES, [0, 1, 1], "ab")[[10**8]], "indices must be a mask or ints below 3"),
        (lambda: Dataset(IMAGES, [0, 1, 1], "ab")[[10**30]], "indices must be a mask or ints below 3"),
        (lambda: Ensemble([1]), "member 0 must be a Sequential, got 1"),
        (lambda: grad_cam("model", IMAGES), "model must be of class Sequential, got 'model'"),
        (lambda: add_noise(IMAGES, 0.1, "rng"), "rng must be an int from 0 on"),
        (lambda: CrossEntropy(class_weight=np.zeros((6, 3))), "must be one row of weights"),
        (lambda: EarlyStopping(min_delta=np.array("x")), "min_delta must be finite"),
        (lambda: confusion_matrix([0], [0], 10**30), "num_classes must be at most 10000"),
        (lambda: confusion_matrix([10**9], [0]), "label 1000000000 at index 0"),
        (lambda: classification_report([0, 1], [0, 1], digits=10**8), "digits must be an int from 0 to 17"),
        (lambda: Sequential([Dense(2)], seed=3.5), "seed must be an int from 0"),
        (lambda: Sequential(3), "layers must be a list, got 3"),
        (lambda: Parallel([3, 4]), "a branch must be a list, got 3"),
        (lambda: Conv2D(2, 3).output_shape_of(None), r"needs inputs of shape \(height, width, channels\), got None"),
        (lambda: Residual([Dense(2)]).output_shape_of(3), "input shape must be a tuple of positive ints, got 3"),
        (lambda: Dense(2, {"class": "Residual", "config": {}}), "Residual: .*missing 1 required"),
        (lambda: EarlyStopping(3), "monitor must be of class str, got 3"),
        (lambda: heat_map([[1], [1, 2]]), "attributions must be an array, with rows of one length"),
        (lambda: train_members(None, [1]), "make_and_train must be a function, got None"),
        (lambda: train_members(len, [1], executor=10**30), "processes, must be at most 1024"),
        (lambda: Dataset(IMAGES, [0, 1, 1], "ab").split("x"), "fraction must be above 0 and at most 0.5, got 'x'"),
        (lambda: Dataset(IMAGES, [0, 1, 1], "ab").split(0.5, groups=3), "groups must be one for each image"),
        (lambda: plot_confusion_matrix(np.eye(2, dtype=int), ["a", "b"], ax=3), "ax must be of class Axes, got 3"),
        (lambda: expected_calibration_error([[1.0, 0.0]], [0], bins=10**9), "bins must be at most"),
        (lambda: Sequential([Dense(2)]).forward([[1], [1, 2]]), "images must be an array, with rows of one length"),
        (lambda: Dense(2).output_shape_of(3), "input_shape must be a list, got 3"),
        (lambda: Dense(2, use_bias=np.zeros(2)), "Dense: use_bias must be one value"),
        (lambda: EarlyStopping(mode=[]), 'mode must be "auto" or "min" or "max", got \\[\\]'),
        (lambda: Ensemble(3), "members must be a list, got 3"),
        (lambda: train_members(len, {1: 2}), "a member's name is the name of its file, so 1 will not do"),
        (lambda: Adam().step([3]), r"each of parameters must be \(key, parameter, gradient\), got 3"),
        (lambda: Adam().load_state_dict(3), "state must be of class Mapping, got 3"),
        (lambda: set_kernels(["fast"]), "choose one of"),
        (lambda: Sequential([Dense(2)]).get_layer([]), "no layer"),
        (lambda: plot_confusion_matrix(np.eye(2, dtype=int), 3), "class_names must be a list, got 3"),
        (lambda: plot_confusion_matrix([[1]], "a", title=IMAGES), "title must be one value"),
        (lambda: bootstrap_interval(3, [1, 2]), "statistic must be a function, got 3"),
        (lambda: roc_curve([0, 1], ["a", "b"]), "scores must be an array of numbers"),
        (lambda: fit(Sequential([Dense(2)]), (np.ones((2, 3)), [0, 1]), shuffle=IMAGES), "shuffle must be one value"),
        (lambda: fit(Sequential([Dense(2)]), (np.ones((2, 3)), [0, 1]), verbose=IMAGES), "verbose must be finite"),
    ],
)
def test_nonsense_at_the_public_doors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call", [Sequential.load, Ensemble.load, Checkpoint, CSVLogger, Film, load_image, read_json, open_source]
)
def test_nonsense_as_a_path(call):
    with pytest.raises(TypeError, match="ath must be a str or a Path, got 3|folder must be a str or a Path, got 3"):
        call(3)
    with pytest.raises(ValueError, match="must not hold a null byte, got 'a"):
        call("a\0.npz")


def test_paths_and_arrays(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("~/a") == Path("~/a") and at_home("~/a") == tmp_path / "a"
    assert at_home("~nobody-of-that-name/a") == Path("~nobody-of-that-name/a")  # pathlib raises a RuntimeError
    assert as_array(["a"], "it").shape == (1,)
    with pytest.raises(ValueError, match="it must be an array, with rows of one length, got"):
        as_array([[1], [1, 2]], "it")


def test_masked_values_are_refused_and_never_taken_as_they_are():
    images, labels = np.ones((2, 3), np.float32), np.ma.masked_array([0, 1], [False, True])
    model = Sequential([Dense(2)])
    for call in (lambda: fit(model, (images, labels)), lambda: confusion_matrix(labels, [0, 1])):
        with pytest.raises(ValueError, match="holds masked values"):
            call()
    hidden = np.ma.masked_array(images, images > 0)
    for call in (model.forward, model.predict):
        with pytest.raises(ValueError, match="holds masked values"):
            call(hidden)
    assert as_array(np.ma.masked_array([1, 2]), "it").sum() == 3


def test_flags_and_words():
    assert flag(np.ones(1), "it") is True and flag(None, "it") is False
    for value in (np.zeros(0), np.zeros(2)):
        with pytest.raises(ValueError, match="it must be one value, such as True or False, got an array"):
            flag(value, "it")
    one_of(None, "it", ("a", None))
    for value in ("b", ["a"], None, IMAGES):
        with pytest.raises(ValueError, match='it must be "a" or "c", got '):
            one_of(value, "it", ("a", "c"))
