import numpy as np
import pytest

from tinycnn.study.films import phantoms
from tinycnn.study.films.phantoms import CLASS_NAMES, chest_phantom_masks, chest_phantoms


@pytest.fixture(scope="module")
def splits():
    return chest_phantoms(n_train=(9, 8, 7), n_test=4, size=64, seed=3, mode="L")


def test_sizes_labels_and_honest_names(splits):
    train, test, skipped = splits
    assert train.images.shape == (24, 64, 64, 1) and train.images.dtype == np.uint8
    assert list(train.counts().values()) == [9, 8, 7] and list(test.counts().values()) == [4, 4, 4]
    assert train.class_names == test.class_names == CLASS_NAMES
    assert all(name.startswith("Synthetic") for name in CLASS_NAMES)
    assert all(path.startswith("synthetic/") for path in train.paths + test.paths)
    assert len(set(train.paths + test.paths)) == 36 and skipped == []


def test_default_counts_are_the_reports():
    train, test, _ = chest_phantoms(size=8, mode="L")
    assert list(train.counts().values()) == [111, 70, 70] and list(test.counts().values()) == [26, 20, 20]


def test_same_seed_same_films_whatever_the_threads(splits):
    again = chest_phantoms(n_train=(9, 8, 7), n_test=4, size=64, seed=3, mode="L", workers=1)
    np.testing.assert_array_equal(again.train.images, splits.train.images)
    other = chest_phantoms(n_train=(9, 8, 7), n_test=4, size=64, seed=4, mode="L")
    assert (other.train.images != splits.train.images).mean() > 0.5


def test_a_film_does_not_depend_on_how_many_are_drawn(splits):
    fewer = chest_phantoms(n_train=(0, 2, 0), n_test=0, size=64, seed=3, mode="L").train
    np.testing.assert_array_equal(fewer.images, splits.train.images[9:11])


def test_no_film_twice(splits):
    every = np.concatenate([splits.train.images, splits.test.images]).reshape(36, -1)
    assert len(np.unique(every, axis=0)) == 36


def test_colour_is_three_equal_channels_and_sizes_may_differ():
    images = chest_phantoms(n_train=1, n_test=0, size=(40, 56)).train.images
    assert images.shape == (3, 40, 56, 3)
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


def test_films_look_like_films():
    """Dark lungs beside a bright middle; air at the top corner darker than the chest."""
    images = chest_phantoms(n_train=12, n_test=0, size=64, mode="L").train.images[..., 0].astype(float)
    spine, lungs = images[:, 20:40, 30:34].mean((1, 2)), images[:, 20:40, 16:22].mean((1, 2))
    assert (spine > lungs + 20).mean() > 0.9
    assert images[:, 50:, 20:44].mean() > images[:, :6, :6].mean() + 40


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_brightness_and_thumbnails_do_not_tell_the_classes():
    linear_model = pytest.importorskip("sklearn.linear_model")
    train, test, _ = chest_phantoms(n_train=40, n_test=20, size=32, mode="L")

    def accuracy(features):
        model = linear_model.LogisticRegression(max_iter=300)
        return model.fit(features(train), train.labels).score(features(test), test.labels)

    mean_and_spread = accuracy(lambda d: np.stack([d.images.mean((1, 2, 3)), d.images.std((1, 2, 3))], 1) / 50)
    thumbnail = accuracy(lambda d: d.images.reshape(-1, 16, 2, 16, 2).mean((2, 4)).reshape(len(d), -1) / 100)
    assert mean_and_spread < 0.55
    assert thumbnail < 0.8


@pytest.mark.parametrize("options", [{"n_train": -1}, {"n_test": (1, 2)}, {"size": 0}, {"mode": "P"}, {"n_train": 1.5}])
def test_bad_arguments(options):
    with pytest.raises((ValueError, TypeError)):
        chest_phantoms(**options)


def test_masks_are_where_the_pattern_was_drawn(splits, monkeypatch):
    """Without the pattern, but with every random number drawn, films change inside the masks and hardly elsewhere."""
    masks, of_test = chest_phantom_masks(n_train=(9, 8, 7), n_test=4, size=64, seed=3)
    assert masks.shape == (24, 64, 64) and of_test.shape == (12, 64, 64) and masks.dtype == bool
    for name in ("_patches", "_net"):
        drawn = getattr(phantoms, name)
        monkeypatch.setattr(phantoms, name, lambda *arguments, drawn=drawn: 0 * drawn(*arguments))
    bare = chest_phantoms(n_train=(9, 8, 7), n_test=0, size=64, seed=3, mode="L").train
    change = np.abs(splits.train.images.astype(float) - bare.images)[..., 0]
    labels = splits.train.labels
    assert not masks[labels == 1].any() and not change[labels == 1].any()
    for mask, difference in zip(masks[labels != 1], change[labels != 1], strict=True):
        assert 0.01 < mask.mean() < 0.35
        assert difference[mask].mean() > 8 * difference[~mask].mean()


def test_masks_of_no_films():
    train, test = chest_phantom_masks(n_train=0, n_test=(0, 1, 0), size=(8, 12))
    assert train.shape == (0, 8, 12) and test.shape == (1, 8, 12)
