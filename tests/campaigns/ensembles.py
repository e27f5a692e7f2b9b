"""Saved ensembles, and what a training side by side left behind, with nonsense in their lists and bits turned over."""

import json

from campaign_tools import bits_turned, spoiled
from toys import small_model

from tinycnn.ensemble import Ensemble
from tinycnn.members import MemberError, train_members

COUNT = 1500
JOBS = {"two": 2, "three": 3}


def square(job):
    return {"square": job**2, "history": [0.5, 0.25]}


def prepare(folder):
    Ensemble([small_model(seed) for seed in range(2)]).save(folder / "ensemble")
    train_members(square, JOBS, folder=folder / "members")
    files = [folder / "ensemble" / "ensemble.json", folder / "members" / "two.json"]
    return [(path, path.read_bytes()) for path in files]


def attack(files, rng):
    path, whole = files[rng.integers(2)]
    changed = json.dumps(spoiled(json.loads(whole), rng)).encode() if rng.integers(2) else bits_turned(whole, rng)
    path.write_bytes(changed)
    try:
        if path.name == "ensemble.json":
            assert len(Ensemble.load(path.parent)) > 0
        else:
            assert train_members(square, JOBS, folder=path.parent).keys() == JOBS.keys()
    except (ValueError, FileNotFoundError, MemberError) as error:
        assert 5 < len(str(error)) < 100_000
    finally:
        path.write_bytes(whole)
