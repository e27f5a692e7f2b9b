"""Members survive the death of their workers."""

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

import pytest
from toys import spots

from tinycnn.kernels.runtime import get_num_threads, set_num_threads
from tinycnn.members import MemberError, train_members
from tinycnn.optimizers import SGD


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
        runs = [train_members(process_of, [0], executor=pool, threads=n)["0"] for n in (None, 3, None)]
    assert len({run["process"] for run in runs}) == 1
    assert [run["threads"] for run in runs] == [runs[0]["threads"], 3, runs[0]["threads"]] != [3, 3, 3]


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
from tinycnn.members import process_pool
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
