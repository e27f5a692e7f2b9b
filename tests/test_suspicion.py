"""Each pattern must be told, and nothing said where there is none."""

import sys

import numpy as np
import pytest
from toys_gradcheck import Correlate, Linear, broken

from tinycnn.gradcheck import GradientError, gradcheck
from tinycnn.suspicion import suspicion

RIGHT = np.random.default_rng(0).normal(size=(3, 4, 2))
SQUARE = np.random.default_rng(1).normal(size=(3, 3))


@pytest.mark.parametrize(
    "wrong, right, words",
    [
        (-RIGHT, RIGHT, "wrong sign"),
        (0 * RIGHT, RIGHT, "it is 0 throughout"),
        (RIGHT / 3, RIGHT, "scaled: it is 1/3 of the right one throughout"),
        (1.5 * RIGHT, RIGHT, "scaled: it is 1.5 times the right one throughout"),
        (SQUARE.T, SQUARE, "axes in the order (1, 0)"),
        (RIGHT.transpose(2, 0, 1), RIGHT, "axes in the order (2, 0, 1)"),
        (RIGHT.swapaxes(0, 1).reshape(3, 4, 2), RIGHT, "transposed to (1, 0, 2), then reshaped"),
        (RIGHT[:, ::-1], RIGHT, "flipped along axis 1"),
        (RIGHT[::-1, ::-1], RIGHT, "flipped along axes 0 and 1"),
        (np.roll(RIGHT, 1, 1), RIGHT, "off by 1: along axis 1 each number stands 1 later"),
        (
            np.concatenate([RIGHT[:, 2:], np.zeros((3, 2, 2))], axis=1),
            RIGHT,
            "off by 2: along axis 1 each number stands 2 earl",
        ),
        (RIGHT * [[2], [3], [1], [1]], RIGHT, "scaled by another factor at each index of axis 1: 2, 3, 1, 1 times"),
        (RIGHT * [[[1]], [[1]], [[0]]], RIGHT, "wrong at index 2 of axis 0 alone, of 3: it is 0 there"),
        (
            RIGHT + [[[0]], [[1 + RIGHT[1, 1, 1]]], [[0]]],
            RIGHT,
            "wrong at index 1 of axis 0 alone, of 3: it is right e",
        ),
        (RIGHT + [0.5, -0.25], RIGHT, "one number for each index of axis 2 is added; is a mean not subtracted?"),
    ],
)
def test_patterns(wrong, right, words):
    assert words in suspicion(wrong, right)


def test_what_is_not_known_is_left_out():
    right = RIGHT.copy()
    right[1, 1, 1] = np.nan
    assert "wrong sign" in suspicion(-RIGHT, right)
    assert "flipped along axis 0" in suspicion(RIGHT[::-1], right)
    assert suspicion(-RIGHT, np.full_like(RIGHT, np.nan)) is None


def test_factors_by_what_there_is_so_often():
    counts = {"images": 5, "outputs of an image": 12}
    assert "5 times the right one throughout, and there are 5 images" in suspicion(5 * RIGHT, RIGHT, counts=counts)
    assert "it is 1/12 of the right one throughout, and there are 12 outputs" in suspicion(
        RIGHT / 12, RIGHT, counts=counts
    )
    assert "there are 5 images" in suspicion(np.array([10.0]), np.array([2.0]), counts=counts)
    assert suspicion(np.array([7.0]), np.array([2.0]), counts=counts) is None, "any number is a multiple of any other"


TERMS = np.random.default_rng(2).normal(size=(4, 3, 2, 5))  # four gradients; of three images two places, five channels
UPSTREAM = np.random.default_rng(3).normal(size=(3, 2, 5))


@pytest.mark.parametrize(
    "wrong, words",
    [
        (TERMS[:, -1].sum(axis=(1, 2)), "a sum over images is missing: it equals the share of the last"),
        (TERMS[:, 0].sum(axis=(1, 2)), "a sum over images is missing: it equals the share of the first"),
        (TERMS[..., -1].sum(axis=(1, 2)), "a sum over the outputs' axis 2 is missing"),
        (TERMS[:, :-1].sum(axis=(1, 2, 3)), "the last of images is left out: it equals the sum over the others"),
        (TERMS[..., 1:].sum(axis=(1, 2, 3)), "the first of the outputs' axis 2 is left out"),
        (TERMS[:, -1, -1].sum(axis=-1), "= for +=: it equals the share of the last output"),
        (TERMS[:, 0, 0].sum(axis=-1), "= for +=: it equals the share of the first output"),
        ((TERMS / UPSTREAM).sum(axis=(1, 2, 3)), "the upstream gradient is not used"),
    ],
)
def test_sums_of_which_a_part_is_missing(wrong, words):
    assert words in suspicion(wrong, TERMS.sum(axis=(1, 2, 3)), TERMS, UPSTREAM)


@pytest.mark.parametrize("shape", [(1,), (2,), (3, 3), (2, 3, 2)])
def test_nothing_is_said_of_random_errors(shape):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        terms = rng.normal(size=(*shape, 2, 3))
        right = terms.sum(axis=(-1, -2))
        upstream = rng.normal(size=(2, 3))
        one = right.copy()
        one.flat[-1] += 0.1
        for wrong in (rng.normal(size=shape), right + rng.normal(size=shape) * 1e-3, *([one] if one.size > 1 else [])):
            assert suspicion(wrong, right, terms, upstream, {"images": 2}) is None


def test_nothing_is_said_of_what_is_right():
    assert suspicion(RIGHT.copy(), RIGHT) is None


def test_constant_gradients_prove_nothing():
    """Whatever is moved looks the same, and so does what is right."""
    assert suspicion(np.array([1.0, 1.0, 2.0]), np.ones(3)) is None
    assert "scaled: it is 2 times" in suspicion(2 * np.ones((3, 3)), np.ones((3, 3)))


def test_a_sum_over_the_pixels_of_each_image():
    terms = np.random.default_rng(4).normal(size=(3, 3, 2, 4, 5, 2))  # a 3x3 kernel; two images of 4x5 outputs
    for at, which in ((-1, "last"), (0, "first")):
        text = suspicion(terms[..., :, at, at, :].sum(axis=(2, 3)), terms.sum(axis=(2, 3, 4, 5)), terms)
        assert f"a sum over output pixels is missing: it equals the share of the {which} one of each image" in text


def test_an_upstream_gradient_that_is_handed_on():
    assert "the layer's own slope is missing" in suspicion(UPSTREAM, UPSTREAM * (UPSTREAM > 0), upstream=UPSTREAM)


@pytest.mark.parametrize("cut", [0, 1])
def test_windows_turned_around(cut):
    """A row of 6 pixels under a kernel of 3; with padding, the windows at the edge show a part of it."""
    rng = np.random.default_rng(5)
    kernel, upstream = rng.normal(size=(3, 3)), rng.normal(size=4 + 2 * cut)  # (places, channels)
    terms, turned = np.zeros((2, 2, 6, 3, 4 + 2 * cut))
    for o, factor in enumerate(upstream):
        seen = np.arange(3) + o - cut
        inside = (seen >= 0) & (seen < 6)
        for made, weights in ((terms, kernel), (turned, kernel[::-1])):
            made[..., o][:, seen[inside]] = factor * weights[inside]
    text = suspicion(turned.sum(axis=-1), terms.sum(axis=-1), terms[..., None], upstream[:, None])
    assert text == "the kernel is turned around: it equals each output's share flipped within its window"


def test_nothing_is_suspected_of_what_is_right():
    """Equal numbers look the same from either end."""
    assert suspicion(np.full(4, 0.25), np.full(4, 0.25)) is None


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(4, 5))


def suspected(layer, x, mode="exact"):
    """The suspicion of each wrong tensor."""
    result = gradcheck(layer, x, raise_on_error=False, mode=mode)
    assert not result.ok
    assert all(row.suspicion in str(result) for row in result.table if row.suspicion)
    return {row.name: row.suspicion for row in result.table if not row.ok}


def in_steps(layer, grad_y, order=1):
    """The gradient to x where windows overwrite one another."""
    grad_x = np.zeros_like(layer.x)
    for i, j in list(np.ndindex(grad_y.shape[1:3]))[::order]:
        grad_x[:, i : i + 2, j : j + 2] = np.tensordot(grad_y[:, i, j], layer.params["kernel"], (1, 3))
    return grad_x


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    "name, change, words",
    [
        ("input", lambda layer, grad, grad_y: -grad, "wrong sign"),
        ("bias", lambda layer, grad, grad_y: 0 * grad, "it is 0 throughout"),
        (
            "kernel",
            lambda layer, grad, grad_y: 3 * grad,
            "it is 3 times the right one throughout, and there are 3 images",
        ),
        (
            "kernel",
            lambda layer, grad, grad_y: grad / 6,
            "1/6 of the right one throughout, and there are 6 output pixels of",
        ),
        (
            "bias",
            lambda layer, grad, grad_y: grad / 18,
            "1/18 of the right one throughout, and there are 18 output pixels",
        ),
        ("input", lambda layer, grad, grad_y: 2 * grad, "it is 2 times the right one throughout"),
        ("kernel", lambda layer, grad, grad_y: grad.swapaxes(0, 1), "its axes in the order (1, 0, 2, 3)"),
        ("kernel", lambda layer, grad, grad_y: grad.transpose(0, 1, 3, 2).reshape(grad.shape), "then reshaped"),
        ("kernel", lambda layer, grad, grad_y: grad[::-1, ::-1], "flipped along axes 0 and 1"),
        (
            "input",
            lambda layer, grad, grad_y: np.roll(grad, 1, axis=2),
            "off by 1: along axis 2 each number stands 1 later",
        ),
        ("bias", lambda layer, grad, grad_y: grad_y[-1].sum(axis=(0, 1)), "a sum over images is missing"),
        (
            "kernel",
            lambda layer, grad, grad_y: np.tensordot(layer.x[0, :2, :2], grad_y[0, 0, 0], 0),
            "= for +=: it equals",
        ),
        (
            "bias",
            lambda layer, grad, grad_y: grad_y[:, 0].sum(axis=(0, 1)),
            "a sum over the outputs' axis 1 is missing",
        ),
        ("input", lambda layer, grad, grad_y: in_steps(layer, grad_y), "= for +=: it equals the share of the last"),
        (
            "input",
            lambda layer, grad, grad_y: in_steps(layer, grad_y, -1),
            "= for +=: it equals the share of the first",
        ),
        ("bias", lambda layer, grad, grad_y: 0 * grad + 18, "the upstream gradient is not used"),
    ],
)
def test_the_cause_is_suspected_where_the_pattern_tells_it(name, change, words):
    images = np.random.default_rng(0).normal(size=(3, 3, 4, 2))
    assert gradcheck(Correlate(), images).ok
    found = suspected(broken(Correlate, name, change), images)
    assert list(found) == [name] and words in found[name]


@pytest.mark.usefixtures("kernels")
def test_a_sign_and_a_factor_are_told_from_random_directions(x):
    assert "wrong sign" in suspected(broken(Linear, "kernel", lambda layer, grad, grad_y: -grad), x, "random")["kernel"]
    scaled = suspected(broken(Linear, "bias", lambda layer, grad, grad_y: grad / 4), x, "random")
    assert scaled == {"bias": "scaled: it is 1/4 of the right one throughout, and there are 4 images"}


@pytest.mark.usefixtures("kernels")
def test_an_exchange_of_axes_that_changes_the_shape(x):
    with pytest.raises(GradientError) as caught:
        gradcheck(broken(Linear, "kernel", lambda layer, grad, grad_y: grad.T), x)
    text = str(caught.value)
    assert "kernel: gradient of shape (3, 5) for a tensor of shape (5, 3): transposed?" in text


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("mode", ["exact", "random"])
def test_errors_without_a_pattern_raise_no_suspicion(mode):
    images = np.random.default_rng(0).normal(size=(3, 3, 3, 2))
    for seed, name in enumerate(["input", "kernel", "bias"] * 3):

        def change(layer, grad, grad_y, seed=seed):
            return grad + 0.1 * np.random.default_rng(seed).normal(size=grad.shape)

        assert suspected(broken(Correlate, name, change, strides=(2, 1)), images, mode) == {name: None}


@pytest.mark.usefixtures("kernels")
def test_a_large_tensor_is_judged_without_each_outputs_share(x, monkeypatch):
    monkeypatch.setattr(sys.modules["tinycnn.gradcheck"], "LARGEST", 50)
    last = broken(Linear, "bias", lambda layer, grad, grad_y: grad_y[-1])
    assert "a sum over images is missing" in suspected(last, x)["bias"]  # 3 x 4 x 3 numbers
    monkeypatch.setattr(sys.modules["tinycnn.gradcheck"], "LARGEST", 35)
    assert suspected(last, x) == {"bias": None}
