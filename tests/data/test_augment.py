import numpy as np
import pytest

from tinycnn.data.augment import Augment, adjust_gamma, equalize


@pytest.fixture
def images():
    """Smooth pictures with a bright square off the centre."""
    y, x = np.mgrid[0:48, 0:64]
    picture = (60 + y + x).astype(np.uint8)
    picture[10:20, 12:22] = 250
    return np.repeat(picture[None, :, :, None], 40, axis=0)


def square_of(image):
    """Centre of the bright square, in (row, column)."""
    return np.argwhere(image[..., 0] > 215).mean(axis=0)


def call(images, seed=0, **options):
    return Augment(**options)(images, np.random.default_rng(seed))


def test_nothing_asked_nothing_changed(images):
    np.testing.assert_array_equal(call(images), images)


def test_seeded_and_input_untouched(images):
    options = dict(rotation=20, flip=0.5, zoom=0.2, scale=0.1, shift=0.1, brightness=0.2, contrast=0.3, noise=0.05)
    kept = images.copy()
    first = call(images, seed=1, equalize=0.5, **options)
    np.testing.assert_array_equal(first, call(images, seed=1, equalize=0.5, **options))
    assert (first != call(images, seed=2, equalize=0.5, **options)).mean() > 0.5
    np.testing.assert_array_equal(images, kept)
    assert first.dtype == np.uint8 and len({image.tobytes() for image in first}) == 40, "every image its own"


@pytest.mark.parametrize("option, axis", [("flip", 2), ("vertical_flip", 1)])
def test_flip_probability(images, option, axis):
    flipped = call(images, **{option: 0.3})
    mirror = np.flip(images, axis)
    changed = [np.array_equal(a, b) for a, b in zip(flipped, mirror, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert 3 <= sum(changed) <= 22 and sum(changed) + sum(same) == 40


def test_rotation_keeps_the_distance_from_the_centre_and_its_limit(images):
    centre = np.array([23.5, 31.5])
    start = square_of(images[0]) - centre
    angles = []
    for image in call(images, rotation=30):
        place = square_of(image) - centre
        assert abs(np.hypot(*place) - np.hypot(*start)) < 0.6
        angles.append(np.rad2deg(np.arctan2(*place) - np.arctan2(*start)))
    assert 20 < max(angles) < 31 and -31 < min(angles) < -20


def test_shift_is_a_fraction_of_each_side(images):
    moves = np.array([square_of(image) - square_of(images[0]) for image in call(images, shift=0.1)])
    assert np.abs(moves[:, 0]).max() <= 4.9 and np.abs(moves[:, 1]).max() <= 6.5
    assert (moves.max(0) > [3, 4]).all() and (moves.min(0) < [-3, -4]).all()


def test_zoom_keeps_proportions_and_scale_does_not(images):
    def sides(image):
        where = np.argwhere(image[..., 0] > 215)
        return np.ptp(where, axis=0) + 1

    zoomed = np.array([sides(image) for image in call(images, zoom=0.3)])
    assert np.abs(zoomed[:, 0] - zoomed[:, 1]).max() <= 1
    assert zoomed.max() >= 12 and zoomed.min() <= 8
    scaled = np.array([sides(image) for image in call(images, scale=0.3)])
    assert np.abs(scaled[:, 0] - scaled[:, 1]).max() >= 3


def test_aspect_stretches_one_side_and_shrinks_the_other():
    y, x = np.mgrid[0:81, 0:81] - 40
    disc = np.repeat(np.where(y**2 + x**2 <= 20**2, 255, 0).astype(np.uint8)[None, :, :, None], 40, axis=0)
    stretched = call(disc, aspect=0.2)[..., 0] > 127
    heights, widths = stretched[:, :, 40].sum(1), stretched[:, 40].sum(1)
    np.testing.assert_allclose(heights * widths, 41**2, rtol=0.06)
    assert 44 < heights.max() <= 50 and 33 <= heights.min() < 37


def test_ramp_is_linear_and_no_change_in_the_middle():
    grey = np.full((40, 21, 31, 3), 100, np.uint8)
    result = call(grey, ramp=0.1)[..., 0].astype(float) - 100
    assert (np.abs(result[:, 10, 15]) <= 0.5).all()
    slopes = (result[:, -1, 15] - result[:, 0, 15]) / 2, (result[:, 10, -1] - result[:, 10, 0]) / 2
    for slope in slopes:
        assert 15 < slope.max() <= 26 and -26 <= slope.min() < -15
    assert abs(np.corrcoef(slopes)[0, 1]) < 0.5, "the two directions are drawn apart"
    y, x = np.mgrid[-1:1:21j, -1:1:31j]
    plane = slopes[0][:, None, None] * y + slopes[1][:, None, None] * x
    assert np.abs(plane - result).max() <= 1.5


def test_blur_some_by_a_share():
    point = np.zeros((60, 9, 9, 1), np.uint8)
    point[:, 4, 4] = 180
    result = call(point, blur=0.4)
    softened = result[result[:, 4, 4, 0] < 180]
    assert 12 <= len(softened) <= 36
    neighbours = softened[:, 3, 3, 0].astype(int)
    assert neighbours.max() <= 20 and neighbours.max() > 14 and neighbours.min() < 6
    np.testing.assert_allclose(softened[:, 3:6, 3:6, 0].sum((1, 2), int), 180, atol=5)


def test_minimum_fills_with_each_images_own_black(images):
    images = np.maximum(images, np.arange(40, dtype=np.uint8)[:, None, None, None] + 60)
    turned = call(images, rotation=45, fill_mode="minimum")
    np.testing.assert_array_equal(turned.min((1, 2, 3)), images.min((1, 2, 3)))


def test_float_images_are_standardised_ones(images):
    floats = np.random.default_rng(0).normal(size=(30, 20, 24, 1)).astype(np.float32)
    geometry = dict(rotation=20, flip=0.5, zoom=0.2, aspect=0.1, shift=0.1, blur=0.5, fill_mode="minimum")
    bytes_result = call(images, **geometry)
    as_floats = call(images.astype(np.float32), **geometry)
    assert as_floats.dtype == np.float32 and np.abs(as_floats - bytes_result).max() <= 0.5001
    gains = call(floats, contrast=0.4) / floats
    assert np.ptp(gains, axis=(1, 2, 3)).max() < 1e-5 and gains.max() > 1.3 and gains.min() < 0.7
    shifts = (call(floats, brightness=0.3) - floats)[:, 0, 0, 0]
    assert 0.2 < shifts.max() <= 0.3 and -0.3 <= shifts.min() < -0.2
    spreads = (call(floats, noise=0.5) - floats).std((1, 2, 3))
    assert 0.35 < spreads.max() < 0.53 and spreads.min() < 0.15
    with pytest.raises(ValueError, match="images must be uint8 of shape .* got float32"):
        call(floats, equalize=0.5)


def test_brightness_and_contrast():
    grey = np.full((60, 4, 4, 3), 100, np.uint8)
    shifts = call(grey, brightness=0.2)[:, 0, 0, 0].astype(int) - 100
    assert shifts.max() <= 51 and shifts.min() >= -51 and shifts.max() > 35 and shifts.min() < -35
    gains = (call(grey, contrast=0.4)[:, 0, 0, 0] - 127.5) / (100 - 127.5)
    assert gains.max() <= 1.42 and gains.min() >= 0.58 and gains.max() > 1.25 and gains.min() < 0.75


def test_noise_levels_vary_up_to_the_limit():
    spreads = call(np.full((40, 40, 40, 1), 128, np.uint8), noise=0.1).std((1, 2, 3))
    assert spreads.max() < 27 and spreads.max() > 18 and spreads.min() < 7


def test_equalize_some(images):
    result = call(images, equalize=0.4)
    equal = equalize(images[:1])[0]
    hits = sum(np.array_equal(image, equal) for image in result)
    assert 6 <= hits <= 26
    assert hits + sum(np.array_equal(image, images[0]) for image in result) == 40


def test_fill(images):
    corners = call(images, rotation=45, fill_value=7.0)[:, 0, 0, 0]
    assert (corners == 7).mean() > 0.7
    assert (call(images, rotation=45, fill_mode="reflect") >= 59).all()
    assert (call(images, rotation=45, fill_mode="nearest") >= 59).all()


def test_switching_one_change_on_leaves_the_others_draws(images):
    only = np.array([square_of(image) for image in call(images, shift=0.1)])
    both = np.array([square_of(image) for image in call(images, shift=0.1, contrast=0.01)])
    np.testing.assert_allclose(only, both, atol=0.6)


@pytest.mark.parametrize(
    "option",
    ["rotation", "flip", "zoom", "scale", "aspect", "shift", "noise", "equalize", "brightness", "ramp", "blur"],
)
def test_out_of_range(option):
    for value in (-0.1, 181):
        with pytest.raises(ValueError, match=option):
            Augment(**{option: value})


def test_other_mistakes(images):
    with pytest.raises(ValueError, match="fill_mode"):
        Augment(fill_mode="wrap")
    with pytest.raises(ValueError, match="float64"):
        call(images / 255)
    assert repr(Augment(rotation=5, flip=0.5)) == "Augment(rotation=5.0, flip=0.5)"
    assert call(images[:0], rotation=5).shape == (0, 48, 64, 1)


def test_equalize_global_is_flat_and_keeps_order():
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(90, 12, (1, 80, 90, 1)), 0, 255).astype(np.uint8)
    result = equalize(image, "global")
    assert result.min() == 0 and result.max() == 255
    assert abs(result.mean() - 127.5) < 5
    order = np.argsort(image.ravel(), kind="stable")
    assert (np.diff(result.ravel()[order].astype(int)) >= 0).all()


def test_clahe_raises_local_contrast_of_a_dark_corner():
    rng = np.random.default_rng(0)
    image = np.full((1, 64, 64, 1), 180, np.uint8)
    image[0, :24, :24, 0] = rng.integers(20, 30, (24, 24))
    dark = image[0, :16, :16].std()
    assert equalize(image)[0, :16, :16].std() > 1.5 * dark
    assert equalize(image, clip_limit=8)[0, :16, :16].std() > equalize(image, clip_limit=2)[0, :16, :16].std()


def test_grey_stays_grey_and_one_image_will_do():
    image = np.repeat(np.random.default_rng(0).integers(0, 99, (9, 7, 1), np.uint8), 3, axis=2)
    result = equalize(image, tiles=20)
    assert result.shape == (9, 7, 3)
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


@pytest.mark.parametrize("options", [{"method": "local"}, {"clip_limit": 0.5}, {"tiles": 0}])
def test_equalize_mistakes(options):
    with pytest.raises(ValueError):
        equalize(np.zeros((1, 8, 8, 1), np.uint8), **options)
    with pytest.raises(ValueError, match="uint8"):
        equalize(np.zeros((1, 8, 8, 1)))


def test_gamma_keeps_black_and_white_and_moves_the_middle():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(adjust_gamma(levels, 1), levels)
    for gamma in (0.5, 2):
        changed = adjust_gamma(levels, gamma).ravel()
        assert changed[0] == 0 and changed[255] == 255 and (np.diff(changed.astype(int)) >= 0).all()
        assert changed[128] == round(255 * (128 / 255) ** gamma)


@pytest.mark.parametrize("images, gamma, words", [(np.zeros(3), 1, "uint8"), (np.zeros(3, np.uint8), 0, "above 0")])
def test_gamma_mistakes(images, gamma, words):
    with pytest.raises(ValueError, match=words):
        adjust_gamma(images, gamma)
