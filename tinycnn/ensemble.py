"""Several networks: averaged into one, and trained side by side wherever there are processors.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_path, brief, count, function, listed, positive_int
from tinycnn.data.dataset import Dataset
from tinycnn.files import PathLike, plain, read_json, write_json
from tinycnn.kernels.runtime import get_num_threads, set_num_threads
from tinycnn.model import Sequential
from tinycnn.training.batches import check_labels, split_pair

_INDEX = "ensemble.json"


class Ensemble:
    """Networks that vote with their probabilities: ``p(x) = mean over members of p_m(x)``.

    The average is at least as good, in log-loss, as the members are on average (Jensen's inequality), and better
    the more their mistakes differ.

    Parameters
    ----------
    members : iterable of Sequential
        Built, of one input shape and number of classes, each ending in a softmax.

    Raises
    ------
    ValueError
        For no members, or members that do not fit together.

    References
    ----------
    Hansen and Salamon, Neural network ensembles, IEEE PAMI 12, 1990; Lakshminarayanan, Pritzel and Blundell, Simple
    and scalable predictive uncertainty estimation using deep ensembles, NeurIPS 2017.

    Examples
    --------
    >>> from tinycnn.models.networks import small_vgg
    >>> members = [small_vgg(filters=(2,), seed=seed) for seed in (0, 1)]
    >>> _ = [member.build((8, 8, 1)) for member in members]
    >>> ensemble = Ensemble(members)
    >>> images = np.zeros((5, 8, 8, 1), np.uint8)
    >>> ensemble.predict(images).shape, ensemble
    ((5, 3), Ensemble of 2: small_vgg, small_vgg)
    """

    def __init__(self, members: Iterable[Sequential]) -> None:
        self.members = listed(members, "members")
        if not self.members:
            raise ValueError("an Ensemble needs at least one member")
        first = self.members[0]
        for i, member in enumerate(self.members):
            if not isinstance(member, Sequential):
                raise ValueError(f"member {i} must be a Sequential, got {brief(member)}")
            if not member.built:
                raise ValueError(f"member {i} ('{member.name}') is not built: call build(input_shape), or train it")
            if not member.ends_in_softmax:
                raise ValueError(f"member {i} ('{member.name}') gives no probabilities: it must end in a softmax")
            if (member.input_shape, member.output_shape) != (first.input_shape, first.output_shape):
                raise ValueError(
                    f"member {i} ('{member.name}') maps {member.input_shape} to {member.output_shape}, but member 0 "
                    f"('{first.name}') {first.input_shape} to {first.output_shape}"
                )

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"Ensemble of {len(self)}: {', '.join(member.name for member in self.members)}"

    def predict(self, data: Dataset | tuple[ArrayLike, ArrayLike] | ArrayLike, batch_size: int = 16) -> np.ndarray:
        """The members' mean probabilities, float32 (images, classes); arguments as of `Sequential.predict`."""
        return np.mean([member.predict(data, batch_size) for member in self.members], axis=0)

    def evaluate(self, data: Dataset | tuple[ArrayLike, ArrayLike], batch_size: int = 16) -> dict[str, float]:
        """``{"loss": ..., "accuracy": ...}`` of the averaged probabilities: mean ``-log p(true class)``, share right.

        Parameters
        ----------
        data : Dataset or (images, labels)
        batch_size : int
        """
        labels = split_pair(data, "data")[1]
        check_labels(labels, self.members[0].output_shape[0], "data")
        probabilities = self.predict(data, batch_size)
        of_truth = np.maximum(probabilities[np.arange(len(labels)), labels], np.finfo(np.float32).tiny)
        return {
            "loss": float(-np.log(of_truth, dtype=np.float64).mean()),
            "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        }

    def save(self, folder: PathLike) -> None:
        """Write the members as ``member-0.npz``, ... and then ``ensemble.json``, which names them, in one step.

        An ensemble that was there stays whole until then: the new members get numbers that are free, and only at the
        end are those files ``member-*.npz`` removed that the list does not name.

        Raises
        ------
        OSError
            Naming the file.
        """
        folder = as_path(folder, "folder")
        old = {path.name for path in folder.glob("member-*.npz")}
        names = [n for i in range(len(old) + len(self)) if (n := f"member-{i}.npz") not in old][: len(self)]
        try:
            for name, member in zip(names, self.members, strict=True):
                member.save(folder / name)
            write_json(folder / _INDEX, {"members": names})
        finally:  # after an error the old list stands, and the new members make room
            with suppress(ValueError):
                named = set(_member_names(folder)) if (folder / _INDEX).exists() else old
                for name in old.union(names) - named:
                    (folder / name).unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: PathLike) -> "Ensemble":
        """The ensemble saved in `folder`.

        Raises
        ------
        FileNotFoundError
            If there is none, or a member is missing.
        ValueError
            If a file is damaged, or the list names a file outside `folder`.
        """
        folder = as_path(folder, "folder")
        return cls(Sequential.load(folder / name) for name in _member_names(folder))


def _member_names(folder: Path) -> list[str]:
    """Files of the ensemble in `folder`, as its list has them."""
    try:
        content = read_json(folder / _INDEX)
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds no whole ensemble: there is no {_INDEX}") from None
    names = content.get("members") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and _is_file_name(name) for name in names):
        raise ValueError(f"{folder / _INDEX} is damaged: its members must be names of files beside it, got {names!r}")
    return names


def _is_file_name(name: Any) -> bool:
    plain = isinstance(name, str) and bool(name) and not name.startswith(".") and "\\" not in name
    return plain and Path(name).name == name


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
        if not _is_file_name(name):
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
    for name, job in jobs.items():
        found = _read(folder, name, job)
        if found:
            results[name] = found[0]
            on_member(name, found[0], False)
    if isinstance(executor, int):
        threads = threads or max(1, get_num_threads() // executor)
        executor = partial(process_pool, executor)
    work = partial(_work, make_and_train, folder, threads)
    waiting = [name for name in jobs if name not in results]
    for _ in range(retries + 1):
        lost = []
        for name, failure, error in _finished(work, jobs, waiting, executor):
            found = None if failure else _read(folder, name, jobs[name])
            if found:  # also where the worker died between writing and saying so
                results[name] = found[0]
                failures.pop(name, None)
                on_member(name, found[0], True)
            else:
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
