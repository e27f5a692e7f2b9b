"""The recipe's parts, small: what preprocessing removes, that training follows its seed, and the ten views."""

import numpy as np
import pytest

from tinycnn.data import Dataset
from tinycnn.ensemble import Ensemble
from tinycnn.members import train_members
from tinycnn.study import recipe
from tinycnn.study.films.phantoms import chest_phantoms
from tinycnn.training.loop import History


@pytest.fixture(scope="module")
def films():
    return chest_phantoms(n_train=3, n_test=1, size=100, mode="L").train


@pytest.fixture(scope="module")
def train(films):
    return recipe.prepare(films, 32)


def same(a, b):
    one, other = a.get_weights(), b.get_weights()
    return all((one[key] == other[key]).all() for key in one)


def test_prepared_images_are_standardised(films):
    images = recipe.prepare_images(films.images, 32)
    assert images.shape == (9, 32, 32, 1) and images.dtype == np.float32
    np.testing.assert_allclose(images.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std((1, 2, 3)), 1, atol=1e-4)


def test_every_exposure_is_of_the_same_film_and_another(films, train):
    exposed, labels = train
    assert exposed.shape == (9, 5, 32, 32, 1) and exposed.dtype == np.uint8
    np.testing.assert_array_equal(labels, films.labels)
    plain = exposed[:, recipe.EXPOSURES.index(1)]
    standard = plain - plain.mean((1, 2, 3), keepdims=True, dtype=np.float32)
    standard /= standard.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(standard, recipe.prepare_images(films.images, 32), atol=1e-4)
    for i in range(5):
        likeness = [np.corrcoef(exposed[k, i].ravel(), plain[k].ravel())[0, 1] for k in range(9)]
        assert 0.8 < min(likeness) and (max(likeness) < 0.9999 or recipe.EXPOSURES[i] == 1)


def test_a_network_learns_from_every_exposure_of_a_film_with_its_label(train, monkeypatch):
    seen = []
    monkeypatch.setattr("tinycnn.training.fit", lambda model, data, *_, **__: seen.append(data) or History(loss=[1.0]))
    recipe.train_member(train, epochs=1)
    images, labels = seen[0]
    assert images.shape == (45, 32, 32, 1)
    np.testing.assert_array_equal(labels.reshape(9, 5), train[1][:, None].repeat(5, 1))
    restored = images.reshape(9, 5, 32, 32, 1)[3, 2]
    assert np.corrcoef(restored.ravel(), train[0][3, 2].ravel())[0, 1] > 0.9999


def test_exposure_and_copies_of_grey_make_no_difference(films):
    darker = (films.images * 0.5).astype(np.uint8) + 40
    plain, changed = (recipe.prepare_images(images, 32) for images in (films.images, darker))
    assert np.corrcoef(plain.ravel(), changed.ravel())[0, 1] > 0.95
    assert np.abs(plain - recipe.prepare_images(films.images.repeat(3, axis=3), 32)).max() < 0.1


def test_a_blank_film_is_no_division_by_zero():
    prepared = recipe.prepare_images(np.full((1, 40, 40, 1), 7, np.uint8), 32)
    assert np.isfinite(prepared).all() and np.ptp(prepared) == 0


def test_augmentation_varies_standardised_images(films):
    images = recipe.prepare_images(films.images, 32)
    varied = recipe.augmentation()(images, np.random.default_rng(0))
    assert varied.dtype == np.float32 and (np.abs(varied - images).mean((1, 2, 3)) > 0.05).all()


def test_a_member_follows_its_seed_alone(train):
    first, again, other = (recipe.train_member(train, seed, epochs=2) for seed in (3, 3, 4))
    assert same(first, again) and not same(first, other)
    assert len(first.metadata["history"]["loss"]) == 2


def test_the_rate_climbs_and_falls_to_a_thousandth(train):
    history = recipe.train_member(train, epochs=20, batch_size=45).metadata["history"]
    rates = history["learning_rate"]
    assert max(rates[:3]) == pytest.approx(recipe.LEARNING_RATE)
    assert rates[-1] == pytest.approx(1e-3 * recipe.LEARNING_RATE)
    assert history["loss"][-1] < history["loss"][0]


def test_members_of_jobs_in_other_processes(train, tmp_path):
    common = {"classes": 3, "epochs": 1}
    jobs = {"whole": {"seed": 1, **common}, "part": {"seed": 1, "rows": [0, 1, 3, 4, 6, 7], **common}}

    def job_of(job):
        return recipe.train_job(train, job)

    found = train_members(job_of, jobs, folder=tmp_path)
    assert same(found["whole"], recipe.train_member(train, 1, epochs=1))
    rows = jobs["part"]["rows"]
    assert same(found["part"], recipe.train_member((train[0][rows], train[1][rows]), 1, epochs=1))
    assert (tmp_path / "part.npz").exists()


def test_half_a_training_is_no_member(train, monkeypatch):
    monkeypatch.setattr("tinycnn.training.fit", lambda *_, **__: History(loss=[1.0]))
    with pytest.raises(KeyboardInterrupt):
        recipe.train_member(train, epochs=2)


def test_views_are_five_places_and_their_mirror_images():
    images = np.arange(40 * 70, dtype=np.float32).reshape(1, 40, 70, 1)
    seen = list(recipe.views(images, 0.05))
    assert len(seen) == 10 and all(view.shape == images.shape for view in seen)
    np.testing.assert_array_equal(seen[0], images)
    for plain, mirrored in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    up, down, left, right = seen[2::2]
    np.testing.assert_array_equal(up[:, :-2], images[:, 2:])
    np.testing.assert_array_equal(down[:, 2:], images[:, :-2])
    np.testing.assert_array_equal(left[:, :, :-4], images[:, :, 4:])
    np.testing.assert_array_equal(right[:, :, :4], images[:, :, [0, 0, 0, 0]])


def test_probabilities_of_views_are_means_over_members_and_views(films, train):
    images = recipe.prepare_images(films.images, 32)
    members = [recipe.train_member(train, seed, epochs=1) for seed in (0, 1)]
    together = recipe.predict_with_views(Ensemble(members), images)
    apart = [recipe.predict_with_views(member, images) for member in members]
    np.testing.assert_allclose(together, np.mean(apart, axis=0), atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-6)


def test_an_unknown_network_is_told_which_there_are(train):
    with pytest.raises(ValueError, match="one of film_cnn, small_vgg, small_resnet, deep_encoder, got 'big_vgg'"):
        recipe.train_member(train, network="big_vgg")


def test_wrong_images_are_named():
    with pytest.raises(ValueError, match="must be uint8"):
        recipe.prepare_images(np.zeros((2, 40, 40, 1)))
    data = Dataset(np.zeros((2, 40, 40, 2), np.uint8), [0, 1], ("Covid", "Normal"))
    with pytest.raises(ValueError, match="1 or 3"):
        recipe.prepare(data)
