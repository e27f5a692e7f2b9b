import math

import numpy as np
import pytest

from tinycnn import initializers
from tinycnn.initializers import fans, get

DRAWN = ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"]


def test_fans_counted_by_hand():
    assert fans((7, 4)) == (7, 4)
    assert fans((5, 3, 2, 8)) == (30, 120)
    assert fans((6,)) == (6, 6)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2, 2)])
def test_shapes_without_weights_are_refused(shape):
    with pytest.raises(ValueError, match="at least 1"):
        fans(shape)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("shape", [(7, 4), (5, 3, 2, 8), (3, 1, 1, 9)])
def test_spread_is_that_of_keras(name, shape):
    keras = pytest.importorskip("keras")
    theirs = keras.initializers.get(name)
    if "normal" in name:
        # Their scale is read from many draws with the same fans: the kernel's window makes up the rest.
        theirs = np.concatenate([np.ravel(theirs.clone()(shape)) for _ in range(max(1, 4000 // math.prod(shape)))])
        rng = np.random.default_rng(1)
        ours = np.concatenate([get(name)(shape, rng).ravel() for _ in range(max(1, 20000 // math.prod(shape)))])
        assert ours.std() == pytest.approx(theirs.std(), rel=0.06)
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.03)
    else:
        rng = np.random.default_rng(1)
        ours = np.concatenate([get(name)(shape, rng).ravel() for _ in range(200)])
        theirs = np.concatenate([np.ravel(theirs.clone()(shape)) for _ in range(50)])
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.01)
        assert ours.std() == pytest.approx(ours.max() / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("glorot_uniform", 2 / 500), ("glorot_normal", 2 / 500), ("he_uniform", 2 / 200), ("he_normal", 2 / 200)],
)
def test_moments(name, variance):
    weights = get(name)((200, 300), np.random.default_rng(3), np.float64)
    assert weights.var() == pytest.approx(variance, rel=0.02)
    assert abs(weights.mean()) < 4 * math.sqrt(variance / weights.size)


@pytest.mark.parametrize("name", DRAWN)
def test_normal_tails_are_cut_and_blocks_differ(name, monkeypatch):
    monkeypatch.setattr(initializers, "_BLOCK", 1000)
    weights = get(name)((41, 100), np.random.default_rng(0), np.float64).ravel()
    assert np.abs(weights).max() < 2.28 * weights.std()
    assert len(set(weights)) == weights.size


@pytest.mark.parametrize("name", DRAWN)
def test_seed_decides_and_float32_is_float64_rounded(name):
    def draw(seed, dtype):
        return get(name)((3, 2, 5, 4), np.random.default_rng(seed), dtype)

    single, double = draw(7, np.float32), draw(7, np.float64)
    assert single.dtype == np.float32 and double.dtype == np.float64
    assert np.array_equal(single, double.astype(np.float32))
    assert np.array_equal(double, draw(7, np.float64))
    assert not np.array_equal(double, draw(8, np.float64))


def test_zeros_and_ones():
    assert get("zeros")((2, 3), None, np.float64).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert get("ones")((3,)).dtype == np.float32
    assert get("ones")((3,)).tolist() == [1, 1, 1]


def test_get_passes_callables_and_lists_names():
    def mine(shape, rng, dtype):
        return np.full(shape, 2, dtype)

    assert get(mine) is mine
    with pytest.raises(ValueError, match="unknown initializer 'xavier'.*glorot_uniform.*he_normal"):
        get("xavier")
    with pytest.raises(ValueError, match="unknown initializer 3"):
        get(3)
