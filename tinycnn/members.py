"""Several networks trained side by side, wherever there are processors; `tinycnn.Ensemble` averages them.

`train_members` hands each member (a seed, a fold, an architecture) to any ``concurrent.futures.Executor``::

    train_members(train, jobs, folder="runs/seeds")                              # one after another, in this process
    train_members(train, jobs, folder="runs/seeds", executor=2)                  # two processes, the cores shared out
    with distributed.Client("scheduler:8786") as client:                         # dask: as many machines as it has
        train_members(train, jobs, folder="/shared/seeds", executor=client.get_executor(), threads=4)
    with mpi4py.futures.MPIPoolExecutor() as executor:                           # MPI: mpiexec -n 9 python -m \
        train_members(train, jobs, folder="/shared/seeds", executor=executor)    #   mpi4py.futures script.py

On several machines `folder` must be on a file system that they share, and `train` in a module that they can import.
"""

import json
import os
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

from tinycnn.arguments import as_path, count, function, listed, positive_int
from tinycnn.files import PathLike, is_file_name, plain, read_json, write_json
from tinycnn.kernels.runtime import get_num_threads, set_num_threads
from tinycnn.model import Sequential


class MemberError(RuntimeError):
    """Members could not be trained; the message names them, and every other one has been kept."""


def train_members(
    make_and_train: Callable[[Any], Any],
    jobs: Mapping[str, Any] | Sequence[Any],
    executor: int | Executor | Callable[[], Executor] | None = None,
    folder: PathLike | None = None,
    retries: int = 1,
    threads: int | None = None,
    on_member: Callable[[str, Any, bool], object] | None = None,
) -> dict[str, Any]:
    """Train every member and return them all, in the order of `jobs`.

    Each member is written to `folder`, whole or not at all, by the process that trained it, as soon as it is done.
    A worker that dies (killed, out of memory, its machine gone) therefore loses only the member it was at; that
    member is tried again, and a later call with the same `folder` starts from what is there.

    Parameters
    ----------
    make_and_train : callable
        ``make_and_train(job)`` returns a trained `Sequential`, or a JSON-able value such as a dict of predictions
        (arrays become lists).  For other processes it must be importable: a module's function, or a
        `functools.partial` of one.
    jobs : mapping of str to object, or sequence
        What to train: name and the argument for `make_and_train`.  A sequence gets the names ``0, 1, ...``.
    executor : None, int, Executor or callable
        None trains in this process.  An int uses as many fresh processes on this machine.  An executor is used and
        left open.  A callable makes an executor; only then, or with an int, can a broken pool be replaced.
    folder : path-like, optional
        ``NAME.npz`` (a model) or ``NAME.json`` for each member.  None keeps nothing after the call.
    retries : int
        How often a member whose worker was lost is tried again.  An exception raised by `make_and_train` itself
        would only come again, so it is not retried.
    threads : int, optional
        `set_num_threads` for each job, put back after it.  With an int as executor the default shares the cores
        out; otherwise nothing is changed.
    on_member : callable, optional
        ``on_member(name, result, fresh)`` is told of each member as it is there; `fresh` is False for one found in
        `folder`.

    Returns
    -------
    dict of str to Sequential or value

    Raises
    ------
    MemberError
        After all others have finished: if a member failed, or was lost `retries` + 1 times.
    ValueError
        For names that are no file names, or if `folder` holds a member of that name trained for another job.

    Examples
    --------
    >>> train_members(lambda job: {"square": job**2}, {"two": 2, "three": 3})
    {'two': {'square': 4}, 'three': {'square': 9}}
    """
    if on_member is not None:
        function(on_member, "on_member")
    function(make_and_train, "make_and_train")
    jobs = dict(jobs) if isinstance(jobs, Mapping) else {str(i): job for i, job in enumerate(listed(jobs, "jobs"))}
    for name in jobs:
        if not is_file_name(name):
            raise ValueError(f"a member's name is the name of its file, so {name!r} will not do")
    count(retries, "retries")
    if isinstance(executor, int):
        positive_int(executor, "executor, a number of processes,", most=1024)
    kept = as_path(tempfile.mkdtemp(prefix="tinycnn-") if folder is None else folder, "folder").absolute()
    try:
        kept.mkdir(parents=True, exist_ok=True)
        return _train(make_and_train, jobs, executor, kept, retries, threads, on_member or (lambda *_: None))
    finally:
        if folder is None:
            shutil.rmtree(kept, ignore_errors=True)


def process_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of `workers` fresh processes ("spawn": forked ones would inherit locks held by threads they lack)."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent():
    """A worker of a killed process would train on for nobody, and then wait for work for ever."""
    threading.Thread(target=_outlive, args=(parent_process(),), daemon=True, name="tinycnn-parent").start()


def _outlive(parent):
    parent.join()
    os._exit(1)


def _train(make_and_train, jobs, executor, folder, retries, threads, on_member):
    results: dict[str, Any] = {}
    failures: dict[str, str] = {}

    def found(name: str, fresh: bool) -> bool:
        """Whether `folder` holds the member, which then is a result that `on_member` is told of."""
        stored = _read(folder, name, jobs[name])
        if stored:
            results[name] = stored[0]
            failures.pop(name, None)
            on_member(name, stored[0], fresh)
        return bool(stored)

    if isinstance(executor, int):
        threads = threads or max(1, get_num_threads() // executor)
        executor = partial(process_pool, executor)
    work = partial(_work, make_and_train, folder, threads)
    waiting = [name for name in jobs if not found(name, fresh=False)]
    for _ in range(retries + 1):
        lost = []
        for name, failure, error in _finished(work, jobs, waiting, executor):
            if failure or not found(name, fresh=True):  # found also where the worker died between writing and saying so
                failures[name] = failure or f"its worker was lost ({error!r})"
                lost += [] if failure else [name]
        waiting = lost
        if not waiting:
            break
    if failures:
        listing = "\n".join(f"{name}: {text}" for name, text in failures.items())
        kept = f"{len(results)} are kept in {folder}" if results else "none was finished"
        raise MemberError(f"{len(failures)} of {len(jobs)} members could not be trained, {kept}\n{listing}")
    return {name: results[name] for name in jobs}


def _finished(work, jobs, names, executor):
    """Yield, as members end, ``(name, what make_and_train raised or None, how the worker was lost or None)``."""
    if executor is None:
        for name in names:
            yield name, work(name, jobs[name]), None
        return
    of_others = set(active_children())
    with nullcontext(executor) if isinstance(executor, Executor) else _made(executor) as pool:
        futures: dict[Future, str] = {}
        try:
            try:
                for name in names:
                    futures[pool.submit(work, name, jobs[name])] = name
            except BrokenExecutor as error:  # a worker died while the others were still being handed over
                for unsent in names[len(futures) :]:
                    yield unsent, None, error
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result(), None
                except Exception as error:
                    yield futures[future], None, error
        except BaseException:  # Ctrl-C, mostly: do not wait for members that nobody will ask for
            for future in futures:
                future.cancel()
            if pool is not executor:
                for process in set(active_children()) - of_others:
                    process.terminate()  # there are no half-written members, so none is lost
            raise


def _made(maker):
    try:
        executor = maker()
    except TypeError as error:
        raise ValueError(f"{maker!r} must make an executor when called without arguments: {error}") from error
    if not isinstance(executor, Executor):
        raise ValueError(f"{maker!r} made {executor!r}, which is no concurrent.futures.Executor")
    return executor


def _work(make_and_train, folder, threads, name, job):
    """Train and write one member, wherever this runs; the text of an exception, or None."""
    try:
        with _threads(threads) if threads else nullcontext():
            result = make_and_train(job)
        if isinstance(result, Sequential):
            result.metadata["job"] = _described(job)
            result.save(folder / f"{name}.npz")
        else:
            write_json(folder / f"{name}.json", {"job": _described(job), "result": result})
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
    return None


_lock = threading.Lock()
_before: list[int] = []  # the thread count that each job now running in this process has found


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """`set_num_threads` for jobs of one process, maybe in several of its threads; the last to end puts it back."""
    with _lock:
        _before.append(get_num_threads())
        set_num_threads(n)
    try:
        yield
    finally:
        with _lock:
            first = _before[0]
            _before.pop()
            if not _before:
                set_num_threads(first)


def _read(folder, name, job):
    """``(result,)`` of a member that `folder` holds, else None."""
    path = folder / f"{name}.json"
    if path.with_suffix(".npz").exists():
        result = Sequential.load(path.with_suffix(".npz"))
        stored = result.metadata.get("job")
    elif path.exists():
        content = read_json(path)
        if not isinstance(content, dict) or not {"result", "job"} <= set(content):
            raise ValueError(f"{path} is damaged or no member; remove it")
        result, stored = content["result"], content["job"]
    else:
        return None
    if stored != _described(job):
        raise ValueError(
            f"{folder} holds a member '{name}' trained for {stored}, but it is now wanted for {_described(job)}; use "
            "another folder"
        )
    return (result,)


def _described(job):
    """`job` as JSON will give it back; what JSON has no notion of by its type alone."""
    return json.loads(json.dumps(plain(job), default=lambda value: type(value).__name__))
