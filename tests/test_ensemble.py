"""Ensembles average, and are never saved by half."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from toys import Affine, spots

from tinycnn.ensemble import Ensemble
from tinycnn.model import Sequential


def member(seed, outputs=3):
    model = Sequential([Affine(outputs, activation="softmax")], seed=seed)
    model.build((4, 4, 1))
    return model


def test_probabilities_are_averaged_and_scored():
    images, labels = spots(7)
    members = [member(seed) for seed in range(3)]
    by_hand = (members[0].predict(images) + members[1].predict(images) + members[2].predict(images)) / 3
    ensemble = Ensemble(members)
    np.testing.assert_allclose(ensemble.predict((images, labels), batch_size=2), by_hand, rtol=1e-6)
    assert ensemble.predict(images).dtype == np.float32
    scores = ensemble.evaluate((images, labels))
    assert scores["accuracy"] == np.mean([row.argmax() == label for row, label in zip(by_hand, labels, strict=True)])
    assert scores["loss"] <= np.mean([one.evaluate((images, labels))["loss"] for one in members]) + 1e-6
    alone = Ensemble(members[:1]).evaluate((images, labels))
    assert alone == pytest.approx(members[0].evaluate((images, labels)), rel=1e-5)


def test_a_certain_mistake_has_a_finite_loss():
    model = member(0)
    weights = {"affine/kernel": np.zeros((16, 3)), "affine/bias": np.array([500.0, 0, 0])}
    model.set_weights(weights)
    assert 50 < Ensemble([model]).evaluate((np.zeros((1, 4, 4, 1), np.uint8), [2]))["loss"] < 200


def test_saved_and_loaded_and_never_half(tmp_path):
    images, _ = spots(4)
    three, two = Ensemble([member(s) for s in range(3)]), Ensemble([member(s) for s in (8, 9)])
    three.save(tmp_path / "it")
    two.save(tmp_path / "it")
    loaded = Ensemble.load(tmp_path / "it")
    assert len(loaded) == 2
    assert (loaded.predict(images) == two.predict(images)).all()
    (tmp_path / "it" / "ensemble.json").write_text("{")
    with pytest.raises(ValueError, match=r"ensemble\.json is damaged"):
        Ensemble.load(tmp_path / "it")
    (tmp_path / "it" / "ensemble.json").unlink()
    with pytest.raises(FileNotFoundError, match="no whole ensemble"):
        Ensemble.load(tmp_path / "it")


@pytest.mark.parametrize("fails", [0, 1, 2, "ensemble.json"])
def test_a_full_disk_keeps_the_old_ensemble_and_leaves_nothing_of_the_new(tmp_path, monkeypatch, fails):
    images, _ = spots(4)
    old, new = Ensemble([member(s) for s in range(2)]), Ensemble([member(s) for s in (7, 8, 9)])
    old.save(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    replace, saved = os.replace, []

    def full(source, target):
        saved.append(Path(target).name)
        if fails == len(saved) - 1 or fails == saved[-1]:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        new.save(tmp_path)
    monkeypatch.undo()
    assert (Ensemble.load(tmp_path).predict(images) == old.predict(images)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    new.save(tmp_path)
    assert (Ensemble.load(tmp_path).predict(images) == new.predict(images)).all()
    assert len(list(tmp_path.iterdir())) == 4, "three members and the list: what it does not name is gone"


def test_an_ensemble_of_the_first_version_is_replaced(tmp_path):
    Ensemble([member(1)]).save(tmp_path)
    (tmp_path / "member-5.npz").write_bytes(b"left by a larger ensemble")
    Ensemble([member(2), member(3)]).save(tmp_path)
    names = json.loads((tmp_path / "ensemble.json").read_text())["members"]
    assert len(names) == 2 and {path.name for path in tmp_path.iterdir()} == {*names, "ensemble.json"}


@pytest.mark.parametrize(
    "members",
    [
        "[1]",
        "null",
        '"ab"',
        '["../away.npz"]',
        '["sub/a.npz"]',
        '["/away.npz"]',
        '["..\\\\a.npz"]',
        '[".."]',
        "[" * 100_000,
    ],
)
def test_a_list_of_anything_but_files_beside_it_is_refused(tmp_path, members):
    folder = tmp_path / "it"
    Ensemble([member(0)]).save(folder)
    for path in (tmp_path / "away.npz", folder / "sub" / "a.npz"):
        member(0).save(path)
    (folder / "ensemble.json").write_text('{"members": ' + members + "}")
    with pytest.raises(ValueError, match=r"ensemble\.json is damaged"):
        Ensemble.load(folder)


def test_members_that_do_not_fit_are_refused():
    plain_end = Sequential([Affine(3)])
    plain_end.build((4, 4, 1))
    for members, message in (
        ([], "at least one"),
        ([Sequential([Affine(3, "softmax")])], "member 0 .* not built"),
        ([member(0), plain_end], "member 1 .* must end in a softmax"),
        ([member(0), member(1, outputs=2)], r"\(2,\), but member 0 .*\(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            Ensemble(members)
    with pytest.raises(ValueError, match="label 5"):
        Ensemble([member(0)]).evaluate((spots(2)[0], [0, 5]))
