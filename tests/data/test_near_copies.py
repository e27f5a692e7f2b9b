import io

import numpy as np
import pytest
from PIL import Image

from tinycnn.data.near_copies import find_pairs, fingerprint
from tinycnn.study.films.phantoms import chest_phantoms


@pytest.fixture(scope="module")
def films():
    return chest_phantoms(n_train=8, n_test=0, size=128, seed=1, mode="L").train.images


def pairs_of(*images, **options):
    return find_pairs([fingerprint(image) for image in images], **options)


def test_different_films_are_no_pairs(films):
    assert pairs_of(*films) == []
    assert find_pairs([]) == []


def recompressed(film):
    file = io.BytesIO()
    Image.fromarray(film[:, :, 0]).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))[:, :, None]


def lettered(top):
    top = top.copy()
    top[5:15, 8:18] = 255
    return top


CHANGES = {
    "recompressed": recompressed,
    "other size": lambda film: np.asarray(Image.fromarray(film[:, :, 0]).resize((301, 200)))[:, :, None],
    "other exposure": lambda film: (255 * (film / 255.0) ** 0.6 * 0.8 + 20).astype(np.uint8),
    "colour": lambda film: np.repeat(film, 3, axis=2),
    "shifted by a pixel": lambda film: np.roll(film, 1, axis=1),
    "letter": lambda film: np.concatenate([lettered(film[:20]), film[20:]]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found(films, change):
    for film in films[::6]:
        (pair,) = pairs_of(film, films[1], CHANGES[change](film))
        assert (pair.a, pair.b, pair.kind) == (0, 2, "near copy")
        assert 0.96 <= pair.correlation <= 1 and pair.dhash <= 32 and pair.phash <= 20


def test_identical_and_mirrored(films):
    first, second, third = pairs_of(films[0], films[0].copy(), films[0][:, ::-1])
    assert first[:6] == (0, 1, "identical", 1.0, 0, 0)
    assert {(p.a, p.b, p.kind) for p in (second, third)} == {(0, 2, "mirrored copy"), (1, 2, "mirrored copy")}


def test_bytes_of_the_file_count_where_there_is_one(films):
    one, other = fingerprint(films[0], b"file 1"), fingerprint(films[0], b"file 2")
    assert find_pairs([one, other])[0].kind == "near copy"
    assert find_pairs([one, fingerprint(films[1], b"file 1")])[0].kind == "identical"


def test_blank_images_are_copies_only_of_the_same_blank():
    blank = [np.full((20, 20, 1), level, np.uint8) for level in (0, 0, 9)]
    assert [(p.a, p.b) for p in pairs_of(*blank)] == [(0, 1)]


def test_blocks_cover_all_pairs(films, monkeypatch):
    images = [film for film in films for _ in range(2)]
    expected = pairs_of(*images)
    monkeypatch.setattr("tinycnn.data.near_copies._BLOCK", 5)
    assert [p[:3] for p in pairs_of(*images)] == [p[:3] for p in expected]
    assert len(expected) == len(films)


def test_thresholds(films):
    noisy = np.clip(films[0] + np.random.default_rng(0).normal(0, 40, films[0].shape), 0, 255).astype(np.uint8)
    assert len(pairs_of(films[0], noisy, min_correlation=0.8, max_dhash=128)) == 1
    assert pairs_of(films[0], noisy, min_correlation=0.9999) == []
    assert pairs_of(films[0], noisy, min_correlation=0.8, max_dhash=0) == []
