import numpy as np
import pytest

from tinycnn.kernels import runtime
from tinycnn.kernels.images import CONSTANT, NEAREST, REFLECT, Warp, equalize_images, scale_u8, warp_images
from tinycnn.kernels.sweep import TASK

IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def warp(images, matrices=IDENTITY, levels=(1, 0, 0), keys=0, border=CONSTANT, fill=0.0, ramps=(0, 0), blurs=0.0):
    n = len(images)
    out = np.empty_like(images)
    matrices = np.ascontiguousarray(np.broadcast_to(np.float32(matrices), (n, 2, 3)))
    levels = np.ascontiguousarray(np.broadcast_to(np.float32(levels), (n, 3)))
    ramps = np.ascontiguousarray(np.broadcast_to(np.float32(ramps), (n, 2)))
    blurs = np.full(n, blurs, np.float32)
    keys = np.arange(n, dtype=np.uint64) + np.uint64(keys)
    warp_images(images, out, Warp(matrices, levels, keys, border, np.full(n, fill, np.float32), ramps, blurs))
    return out


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 11, 14, 2), np.uint8)


def test_identity_is_exact(images):
    np.testing.assert_array_equal(warp(images), images)


@pytest.mark.parametrize("border, mode", [(CONSTANT, "constant"), (NEAREST, "edge"), (REFLECT, "symmetric")])
def test_whole_pixel_shift_is_numpys_pad(images, border, mode):
    moved = warp(images, [[1, 0, -3], [0, 1, 4]], border=border, fill=0)
    padded = np.pad(images, ((0, 0), (3, 0), (0, 4), (0, 0)), mode=mode)
    np.testing.assert_array_equal(moved, padded[:, :11, 4:])


def test_reflection_far_outside(images):
    far = warp(images, [[1, 0, 22], [0, 1, -28]], border=REFLECT)
    np.testing.assert_array_equal(far, images, "two whole periods away")


def test_quarter_turn():
    image = np.arange(25, dtype=np.uint8).reshape(1, 5, 5, 1)
    turned = warp(image, [[0, 1, 0], [-1, 0, 4]])
    np.testing.assert_array_equal(turned[0, :, :, 0], np.rot90(image[0, :, :, 0]))


def test_half_way_between_pixels_and_fill():
    image = np.array([[10, 20, 41]], np.uint8).reshape(1, 1, 3, 1)
    assert warp(image, [[1, 0, 0], [0, 1, 0.5]], fill=100)[0, 0, :, 0].tolist() == [15, 31, 71]  # halves go up


@pytest.mark.parametrize("border, mode", [(CONSTANT, "grid-constant"), (NEAREST, "nearest"), (REFLECT, "reflect")])
def test_any_affine_map_against_scipy(images, border, mode):
    ndimage = pytest.importorskip("scipy.ndimage")
    matrix = np.array([[0.9, -0.35, 1.3], [0.4, 1.2, -2.1]])
    got = warp(images, matrix, (1.2, -9, 0), border=border, fill=30)
    for n in range(3):
        for c in range(2):
            options = {"order": 1, "mode": mode, "cval": 30, "prefilter": False}
            source = ndimage.affine_transform(images[n, :, :, c].astype(float), matrix[:, :2], matrix[:, 2], **options)
            expected = np.clip(np.floor(1.2 * source - 9 + 0.5), 0, 255)
            assert np.abs(got[n, :, :, c] - expected).max() <= 1


@pytest.mark.parametrize("shape", [(2, 37, 5, 2), (1, 9, 11, 1), (2, 3, 1, 1), (1, 1, 6, 3)])
def test_blur_against_scipy(shape):
    ndimage = pytest.importorskip("scipy.ndimage")
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    mean = ndimage.uniform_filter(images.astype(float), (0, 3, 3, 0), mode="nearest")
    np.testing.assert_allclose(warp(images, blurs=1.0), mean, atol=1e-5)
    np.testing.assert_allclose(warp(images, blurs=0.25), 0.75 * images + 0.25 * mean, atol=1e-5)


def test_ramp_by_hand():
    image = np.full((1, 3, 5, 1), 50, np.uint8)
    rising = warp(image, ramps=(10, 20))
    assert rising[0, :, :, 0].tolist() == [[20, 30, 40, 50, 60], [30, 40, 50, 60, 70], [40, 50, 60, 70, 80]]
    assert warp(image[:, :1, :1], ramps=(10, 20)).item() == 50


def test_floats_are_neither_rounded_nor_cut_off():
    image = np.float32([-300.25, 0.125, 400.5]).reshape(1, 1, 3, 1)
    assert warp(image).ravel().tolist() == [-300.25, 0.125, 400.5]
    assert warp(image, levels=(2, -1, 0)).ravel().tolist() == [-601.5, -0.75, 800]


def test_each_image_its_own_fill(images):
    moved = warp(images, [[1, 0, -3], [0, 1, 0]], fill=np.float32([7, 8, 9]))
    assert moved[:, 0, 0, 0].tolist() == [7, 8, 9]


def test_exposure_saturates():
    image = np.array([0, 100, 200], np.uint8).reshape(1, 1, 3, 1)
    assert warp(image, levels=(2, -50, 0)).ravel().tolist() == [0, 150, 255]


def test_noise_is_normal_grey_and_from_its_key():
    images = np.full((2, 200, 150, 3), 128, np.uint8)
    noisy = warp(images, levels=(1, 0, 10), keys=5)
    np.testing.assert_array_equal(noisy[..., 0], noisy[..., 2], "channels share their noise")
    values = noisy[..., 0].astype(float) - 128
    assert abs(values.mean()) < 0.2 and abs(values.std() - 10) < 0.2
    assert 0.66 < (np.abs(values) <= 10).mean() < 0.72 and 0.94 < (np.abs(values) <= 20).mean() < 0.97
    assert abs(np.corrcoef(values[0].ravel(), values[1].ravel())[0, 1]) < 0.02, "images do not share it"
    assert abs(np.corrcoef(values[0, :, 1:].ravel(), values[0, :, :-1].ravel())[0, 1]) < 0.02, "nor do neighbours"
    np.testing.assert_array_equal(warp(images[:1], levels=(1, 0, 10), keys=6), noisy[1:])


def test_threads_do_not_matter(images):
    before = runtime.get_num_threads()
    results = []
    try:
        for n in (1, 3):
            runtime.set_num_threads(n)
            out = np.empty_like(images)
            equalize_images(images, out, 3, 2.0)
            warped = warp(images, [[0.9, -0.35, 1.3], [0.4, 1.2, -2.1]], (1.1, 3, 20), ramps=(5, -9), blurs=0.7)
            results.append((warped, out))
    finally:
        runtime.set_num_threads(before)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def equalized(images, tiles=1, clip_limit=np.inf):
    out = np.empty_like(images)
    equalize_images(images, out, tiles, clip_limit)
    return out


def test_each_tile_alone_where_tiles_are_far_apart():
    """In the outer half of a corner tile only that tile's curve counts."""
    images = np.random.default_rng(1).integers(60, 90, (1, 40, 36, 1), np.uint8)
    result = equalized(images, tiles=2)
    corner = equalized(np.ascontiguousarray(images[:, 20:, :18]))
    np.testing.assert_array_equal(result[0, 30:, :9], corner[0, 10:, :9])


def test_between_tiles_their_curves_are_mixed():
    image = np.random.default_rng(2).integers(50, 58, (8, 12), np.uint8)
    y, x = (np.clip((np.arange(size) + 0.5) / size * 2 - 0.5, 0, 1) for size in image.shape)  # 0 and 1: tiles' centres
    expected = np.zeros(image.shape)
    for i, j in np.ndindex(2, 2):
        counts = np.bincount(image[4 * i : 4 * i + 4, 6 * j : 6 * j + 6].ravel(), minlength=256)
        darkest = counts[counts > 0][0]
        curve = (counts.cumsum() - darkest).clip(0) / (24 - darkest) * 255
        expected += np.outer(abs(1 - i - y), abs(1 - j - x)) * curve[image]
    assert abs(equalized(image[None, :, :, None], tiles=2)[0, :, :, 0] - expected).max() <= 0.5 + 1e-4


def test_clipping_by_hand():
    """Levels 0, 128, 255 with 11, 1 and 4 of 16 pixels; limit 64/16 = 4: 7 pixels are cut, 7/256 go to each level."""
    image = np.zeros((1, 4, 4, 1), np.uint8)
    image[0, 3] = 255
    image[0, 2, 0] = 128
    darkest = 4 + 7 / 256
    up_to_128 = 4 + 1 + 129 * 7 / 256
    result = equalized(image, clip_limit=64)
    assert result[0, 0, 0, 0] == 0 and result[0, 3, 0, 0] == 255
    assert abs(result[0, 2, 0, 0] - (up_to_128 - darkest) / (16 - darkest) * 255) <= 0.5


def test_constant_image_stays():
    images = np.full((1, 9, 7, 3), 77, np.uint8)
    np.testing.assert_array_equal(equalized(images), images)
    assert np.ptp(equalized(images, tiles=3, clip_limit=2.0)) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(256,), (3, 5, 7, 2), (TASK + 1,)])
def test_scale_u8(shape, dtype):
    images = np.resize(np.arange(256, dtype=np.uint8), shape)
    out = np.full(shape, np.nan, dtype)
    scale_u8(images, out, 1 / 255)
    assert np.array_equal(out, images.astype(dtype) * dtype(1 / 255))
