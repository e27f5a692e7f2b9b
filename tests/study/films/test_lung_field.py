"""The lung outline on films drawn here, where the lungs' true place is known."""

import numpy as np
import pytest

from tinycnn.study.films.lung_field import lung_field_mask


def film(height=128, width=128, contrast=1.0, shift=0.0, seed=0):
    """A grey film, uint8, with two dark ellipses in a bright body on black, and the mask of the ellipses."""
    rng = np.random.default_rng(seed)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :] - shift
    left = ((x + 0.42) / 0.27) ** 2 + ((y + 0.1) / 0.55) ** 2 < 1
    right = ((x - 0.42) / 0.24) ** 2 + ((y + 0.12) / 0.52) ** 2 < 1
    body = (np.abs(x) < 0.84) & (y > -0.85)
    grey = np.where(body, 170, 10) + 30 * np.exp(-((x / 0.12) ** 2)) * body
    grey = np.where(left | right, 170 - 110 * contrast, grey) + rng.normal(0, 6, (height, width))
    return grey.clip(0, 255).astype(np.uint8), left | right


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("options", [{}, {"contrast": 0.35}, {"shift": 0.06}, {"height": 90, "width": 200}])
def test_finds_the_lungs(options):
    image, lungs = film(**options)
    assert overlap(lung_field_mask(image[None])[0], lungs) > 0.75


def test_black_surroundings_are_no_lungs():
    image, lungs = film()
    mask = lung_field_mask(image[None])[0]
    assert not mask[:, :8].any() and not mask[:8].any() and not mask[:, -8:].any()
    assert (mask & ~lungs).mean() < 0.08


def test_grey_colour_and_float_films_give_one_mask():
    image, _ = film()
    mask = lung_field_mask(image[None, :, :, None])
    assert np.array_equal(lung_field_mask(np.repeat(image[None, :, :, None], 3, axis=3)), mask)
    assert overlap(lung_field_mask(image[None] / 255), mask) > 0.98
    assert np.array_equal(lung_field_mask(np.stack([image, image]))[1], mask[0])


def test_size_hardly_matters():
    small, large = (lung_field_mask(film(n, n)[0][None])[0] for n in (64, 256))
    assert overlap(np.repeat(np.repeat(small, 4, 0), 4, 1), large) > 0.85


def test_a_white_lung_and_an_empty_film_get_the_usual_place():
    image, lungs = film()
    image[:, 64:] = 200
    mask = lung_field_mask(image[None])[0]
    assert overlap(mask[:, :60], lungs[:, :60]) > 0.7
    assert 0.1 < mask[:, 64:].mean() < 0.6
    blank = lung_field_mask(np.full((1, 50, 70), 128, np.uint8))[0]
    assert 0.1 < blank.mean() < 0.5
    assert blank[:, :35].any() and blank[:, 35:].any()


def test_errors():
    with pytest.raises(ValueError, match=r"got \(128, 128\)"):
        lung_field_mask(film()[0])
    with pytest.raises(ValueError, match=r"16x16"):
        lung_field_mask(np.zeros((1, 10, 64)))
    with pytest.raises(ValueError, match=r"\(0, 64, 64\)"):
        lung_field_mask(np.zeros((0, 64, 64)))
