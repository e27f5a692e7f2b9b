"""Each pattern must be told, and nothing said where there is none."""

import numpy as np
import pytest

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
