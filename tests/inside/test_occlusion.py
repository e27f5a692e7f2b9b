import numpy as np
import pytest
from seen import brute_score, small_cnn, tiny_network

from tinycnn.inside.occlusion import occlusion


def brute_occlusion(model, image, k, window, stride, fill):
    """For every pixel, the squares that cover it, one by one."""
    height, width, _ = image.shape
    tops = [top for top in range(height - window + 1) if top % stride == 0 or top == height - window]
    lefts = [left for left in range(width - window + 1) if left % stride == 0 or left == width - window]
    found = np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        drops = []
        for top in tops:
            for left in lefts:
                if top <= i < top + window and left <= j < left + window:
                    hidden = image.copy()
                    hidden[top : top + window, left : left + window] = fill
                    drops.append(brute_score(model, image, k) - brute_score(model, hidden, k))
        found[i, j] = np.mean(drops)
    return found


@pytest.mark.parametrize("window, stride, fill", [(1, 1, 0.0), (3, 2, 0.5), (2, 2, None), (4, 3, None)])
def test_it_equals_brute_force(window, stride, fill):
    model = tiny_network()
    images = np.random.default_rng(0).random((2, 6, 4, 2))
    found = occlusion(model, images, [1, 2], window, stride, fill, batch_size=5)
    for image, k, ours in zip(images, (1, 2), found, strict=True):
        filling = image.mean(axis=(0, 1)) if fill is None else fill
        assert np.allclose(ours, brute_occlusion(model, image, k, window, stride, filling))


def test_defaults_bytes_and_the_model_left_as_it_was():
    images = np.random.default_rng(5).integers(0, 256, (2, 24, 32, 3), dtype=np.uint8)
    model = small_cnn()
    before = model.predict(images)
    found = occlusion(model, images)
    assert found.shape == (2, 24, 32) and found.dtype == np.float32
    assert np.allclose(found, occlusion(model, images, before.argmax(axis=1), window=3, stride=1), atol=1e-5)
    assert np.array_equal(model.predict(images), before)


@pytest.mark.parametrize("window, stride", [(25, 1), (4, 5), (0, 1)])
def test_impossible_windows(window, stride):
    with pytest.raises(ValueError, match="window"):
        occlusion(small_cnn(), np.zeros((1, 24, 32, 3), np.uint8), window=window, stride=stride)
