"""Ensembles average; members survive the death of their workers."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from toys import Affine, spots

from tinycnn.ensemble import Ensemble, MemberError, train_members
from tinycnn.kernels.runtime import get_num_threads, set_num_threads
from tinycnn.model import Sequential
from tinycnn.optimizers import SGD


def member(seed, outputs=3):
    model = Sequential([Affine(outputs, activation="softmax")], seed=seed)
    model.build((4, 4, 1))
    return model


def trained(job):
    """A small network trained in whatever process this runs in."""
    from tinycnn.models.report_cnn import report_cnn

    model = report_cnn(seed=job["seed"])
    images, labels = spots(8, (8, 8, 1))
    model.fit((images, labels), epochs=1, optimizer=SGD(0.01), verbose=0)
    return model


def process_of(job):
    return {"process": os.getpid(), "threads": get_num_threads()}


def killed_once(folder, job):
    """The member called so kills its own process at its first try, once another member is on the disk."""
    mark = Path(folder) / "killed"
    if job == "victim" and not mark.exists():
        while not (Path(folder) / "members" / "quick.json").exists():
            time.sleep(0.02)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"job": job, "process": os.getpid()}


def always_killed(job):
    os.kill(os.getpid(), signal.SIGKILL)


def asleep(job):
    time.sleep(job)
    return job


def refuses_seven(job):
    if job == 7:
        raise ValueError("seven is not to my taste")
    return job


def counted(folder, job):
    Path(folder, f"run-{job}-{time.monotonic_ns()}").touch()
    return job


def spawned(workers):
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


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


def test_in_this_process_in_threads_and_in_spawned_processes_the_same_bits():
    jobs = {f"seed-{seed}": {"seed": seed} for seed in (3, 1)}
    here = train_members(trained, jobs)
    assert list(here) == ["seed-3", "seed-1"]
    with ThreadPoolExecutor(2) as threads:
        others = [train_members(trained, jobs, executor=threads), train_members(trained, jobs, executor=2)]
    for other in others:
        for name, model in here.items():
            theirs = other[name].get_weights()
            assert all((array == theirs[key]).all() for key, array in model.get_weights().items())


def test_processes_share_the_cores_out():
    before = get_num_threads()
    set_num_threads(4)
    try:
        found = train_members(process_of, range(2), executor=2)
    finally:
        set_num_threads(before)
    assert {value["threads"] for value in found.values()} == {2}
    assert all(value["process"] != os.getpid() for value in found.values())


@pytest.mark.parametrize("executor", [None, "threads"])
def test_the_thread_count_is_put_back(executor):
    before = get_num_threads()
    set_num_threads(3)
    try:
        with ThreadPoolExecutor(2) as pool:
            found = train_members(process_of, range(5), executor=executor and pool, threads=2)
        assert get_num_threads() == 3
        with pytest.raises(MemberError):
            train_members(refuses_seven, [7], threads=2)
        assert get_num_threads() == 3
    finally:
        set_num_threads(before)
    assert {value["threads"] for value in found.values()} == {2}


def test_a_process_that_is_used_again_has_its_own_thread_count():
    with spawned(1) as pool:
        first, second = (train_members(process_of, [0], executor=pool, threads=n)["0"] for n in (3, None))
    assert first["process"] == second["process"]
    assert first["threads"] == 3 and second["threads"] == get_num_threads()


@pytest.mark.parametrize("options", [{"executor": 0}, {"executor": -1}, {"retries": -1}])
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match="processes, must be a positive int, got|retries must be an int from 0 to"):
        train_members(process_of, [0], **options)


def test_finished_members_are_not_trained_again(tmp_path):
    (tmp_path / "runs").mkdir()
    train = partial(counted, tmp_path / "runs")
    told = []
    train_members(train, {"a": 1, "b": 2}, folder=tmp_path / "m")
    found = train_members(
        train, {"a": 1, "b": 2, "c": 3}, folder=tmp_path / "m", on_member=lambda *news: told.append(news)
    )
    assert found == {"a": 1, "b": 2, "c": 3}
    assert sorted(path.name[:5] for path in (tmp_path / "runs").iterdir()) == ["run-1", "run-2", "run-3"]
    assert told == [("a", 1, False), ("b", 2, False), ("c", 3, True)]


def test_a_member_trained_for_another_job_is_not_taken(tmp_path):
    train_members(process_of, {"a": {"epochs": 1}}, folder=tmp_path)
    with pytest.raises(ValueError, match=r"'a' trained for \{'epochs': 1\}.*'epochs': 2"):
        train_members(process_of, {"a": {"epochs": 2}}, folder=tmp_path)
    for damage in ("half", "[]", '{"result": 1}', "[" * 100_000, '{"job": {"epochs": 1}, "result": [[NaN, 1.0]]}'):
        (tmp_path / "a.json").write_text(damage)
        with pytest.raises(ValueError, match=r"a\.json is damaged"):
            train_members(process_of, {"a": {"epochs": 1}}, folder=tmp_path)


def test_a_killed_worker_loses_no_finished_member_and_is_tried_again(tmp_path):
    train = partial(killed_once, str(tmp_path))
    jobs = {"quick": "quick", "victim": "victim", "later": "later"}
    found = train_members(train, jobs, executor=2, folder=tmp_path / "members")
    assert (tmp_path / "killed").exists()
    assert {name: value["job"] for name, value in found.items()} == jobs
    # The first pool's process is gone with its member: the finished one was read from the disk, not made again.
    assert json.loads((tmp_path / "members" / "quick.json").read_text())["result"] == found["quick"]


def test_a_pool_that_cannot_be_replaced_keeps_what_was_finished_for_the_next_call(tmp_path):
    train, jobs = partial(killed_once, str(tmp_path)), {"quick": "quick", "victim": "victim"}
    with spawned(2) as pool, pytest.raises(MemberError, match=r"(?s)1 of 2 .*1 are kept .*victim: its worker was lost"):
        train_members(train, jobs, executor=pool, folder=tmp_path / "members")
    first = json.loads((tmp_path / "members" / "quick.json").read_text())["result"]
    found = train_members(train, jobs, executor=partial(spawned, 1), folder=tmp_path / "members")
    assert found["quick"] == first
    assert found["victim"]["process"] != first["process"]


def test_a_member_that_kills_every_worker_is_given_up():
    with pytest.raises(MemberError, match=r"1 of 1 members could not be trained, none was finished"):
        train_members(always_killed, {"bad": 0}, executor=1, retries=1)


def test_a_stop_does_not_wait_for_running_members_and_keeps_the_finished(tmp_path):
    def stop(name, result, fresh):
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        train_members(asleep, {"a": 0, "b": 300, "c": 300}, executor=2, folder=tmp_path, on_member=stop)
    assert time.monotonic() - began < 100
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("executor", [None, 2])
def test_an_exception_fails_its_member_only(executor, tmp_path):
    with pytest.raises(MemberError, match=r"(?s)1 of 3 .*2 are kept .*b: ValueError: seven is not to my taste \(test_"):
        train_members(refuses_seven, {"a": 6, "b": 7, "c": 8}, executor=executor, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "c.json"]


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden"])
def test_names_that_are_no_file_names(name):
    with pytest.raises(ValueError, match="name of its file"):
        train_members(process_of, {name: 1})


def test_dask_with_real_worker_processes_one_of_which_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    # Workers import this file by its name, which they know only from the path.
    script = Path(__file__).parent
    with (
        distributed.LocalCluster(**options, silence_logs="CRITICAL", local_directory=tmp_path / "dask") as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(_import_from, str(script))
        found = train_members(
            partial(killed_once, str(tmp_path)),
            {"quick": "quick", "victim": "victim", "later": "later"},
            executor=client.get_executor(),
            folder=tmp_path / "members",
        )
        models = train_members(trained, {"s": {"seed": 5}}, executor=client.get_executor(), threads=1)
    assert (tmp_path / "killed").exists()
    assert [value["job"] for value in found.values()] == ["quick", "victim", "later"]
    assert os.getpid() not in {value["process"] for value in found.values()}
    here = trained({"seed": 5}).get_weights()
    assert all((array == here[key]).all() for key, array in models["s"].get_weights().items())


def _import_from(folder):
    import sys

    sys.path.insert(0, folder)


ORPHANS = """
import os, sys
from tinycnn.ensemble import process_pool
if __name__ == "__main__":
    pool = process_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), 9)
"""


def test_the_workers_of_a_killed_process_end(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE)
    worker = int(process.stdout.readline())
    process.wait()
    try:
        assert process.communicate(timeout=10) == (b"", None)  # the worker has the same pipe: open as long as it lives
    except subprocess.TimeoutExpired:
        os.kill(worker, signal.SIGKILL)
        raise
