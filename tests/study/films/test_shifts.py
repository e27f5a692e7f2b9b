import numpy as np
import pytest

from tinycnn.study.films.shifts import simulated_shifts


@pytest.fixture(params=[(3, 60, 50, 1), (2, 50, 75, 3)], ids=["grey", "colour"])
def films(request):
    """Wavy, grainy pictures in the middle greys."""
    rng = np.random.default_rng(0)
    n, height, width, channels = request.param
    y, x = np.mgrid[0:height, 0:width]
    phase = rng.uniform(0, 6, (n, 1, 1, channels))
    waves = 110 + 60 * np.sin(y[:, :, None] / 9 + x[:, :, None] / 7 + phase)
    return (waves + rng.normal(0, 4, waves.shape)).astype(np.uint8)


@pytest.mark.parametrize("name", simulated_shifts())
def test_each_changes_the_films_and_not_their_kind(films, name):
    kept = films.copy()
    changed = simulated_shifts()[name](films)
    assert changed.shape == films.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(films, kept)
    assert (changed != films).any((1, 2, 3)).all()
    similar = np.corrcoef(changed.ravel(), films.ravel())[0, 1]
    assert similar > (0.1 if "8 %" in name else 0.4)
    np.testing.assert_array_equal(changed, simulated_shifts()[name](films), "the same each time")


def test_exposures(films):
    shifts = simulated_shifts()
    assert (shifts["gamma 0.5"](films) >= films).all() and (shifts["gamma 2"](films) <= films).all()
    assert np.ptp(shifts["half the contrast"](films)) == pytest.approx(np.ptp(films) / 2, abs=1)
    right, left = (shifts[f"brighter {where}"](films).astype(int) - films for where in ("below right", "above left"))
    assert right[:, -1, -1].min() > 60 and right[:, 0, 0].max() < -40
    assert left[:, -1, -1].max() < -40 and left[:, 0, 0].min() > 60


def test_frames(films):
    shifts = simulated_shifts()
    edge = round(0.08 * films.shape[1])
    bordered = shifts["black border of 8 %"](films)
    assert (
        not bordered[:, :edge].any() and not bordered[:, -edge:].any() and bordered[:, edge, films.shape[2] // 2].all()
    )
    back = shifts["cropped by 8 %"](bordered)
    assert np.abs(back.astype(int) - films).mean() < 5, "the crop undoes the border"


def test_blur_noise_and_markers(films):
    shifts = simulated_shifts()
    rough = np.random.default_rng(0).integers(0, 256, films.shape, np.uint8)
    assert np.diff(shifts["blurred"](rough).astype(int), axis=2).std() < 0.85 * np.diff(rough.astype(int), axis=2).std()
    noise = shifts["noise"](films).astype(int) - films
    assert 11 < noise.std() < 13
    np.testing.assert_array_equal(noise[..., 0], noise[..., -1], "channels share it")
    assert (simulated_shifts(seed=1)["noise"](films) != shifts["noise"](films)).any()
    changed = (shifts["markers"](films) != films).any(3).mean()
    assert 0.03 < changed < 0.08
