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
import shutil
import tempfile
import traceback
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tinycnn.files import atomic_write, plain, write_json
from tinycnn.kernels.runtime import get_num_threads, set_num_threads
from tinycnn.model import Sequential
from tinycnn.training.batches import check_labels, split_pair


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

    def __init__(self, members):
        self.members = list(members)
        if not self.members:
            raise ValueError("an Ensemble needs at least one member")
        first = self.members[0]
        for i, member in enumerate(self.members):
            if not member.built:
                raise ValueError(f"member {i} ('{member.name}') is not built: call build(input_shape), or train it")
            if not member.ends_in_softmax:
                raise ValueError(f"member {i} ('{member.name}') gives no probabilities: it must end in a softmax")
            if (member.input_shape, member.output_shape) != (first.input_shape, first.output_shape):
                raise ValueError(
                    f"member {i} ('{member.name}') maps {member.input_shape} to {member.output_shape}, but member 0 "
                    f"('{first.name}') {first.input_shape} to {first.output_shape}"
                )

    def __len__(self):
        return len(self.members)

    def __repr__(self):
        return f"Ensemble of {len(self)}: {', '.join(member.name for member in self.members)}"

    def predict(self, data, batch_size=16):
        """The members' mean probabilities, float32 (images, classes); arguments as of `Sequential.predict`."""
        return np.mean([member.predict(data, batch_size) for member in self.members], axis=0)

    def evaluate(self, data, batch_size=16):
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

    def save(self, folder):
        """Write the members as ``member-0.npz``, ... and then ``ensemble.json``, without which `load` sees no ensemble.

        Raises
        ------
        OSError
            Naming the file.
        """
        folder = Path(folder)
        index = folder / "ensemble.json"
        index.unlink(missing_ok=True)  # a crash must not leave the new members under the old list
        names = [f"member-{i}.npz" for i in range(len(self))]
        for name, member in zip(names, self.members, strict=True):
            member.save(folder / name)
        with atomic_write(index) as temporary:
            temporary.write_text(json.dumps({"members": names}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder):
        """The ensemble saved in `folder`.

        Raises
        ------
        FileNotFoundError
            If there is none, or a member is missing.
        ValueError
            If a file is damaged.
        """
        index = Path(folder) / "ensemble.json"
        try:
            names = json.loads(index.read_text(encoding="utf-8"))["members"]
        except FileNotFoundError:
            raise FileNotFoundError(f"{folder} holds no whole ensemble: there is no {index.name}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{index} is damaged: {error!r}") from error
        return cls(Sequential.load(Path(folder) / name) for name in names)


class MemberError(RuntimeError):
    """Members could not be trained; the message names them, and every other one has been kept."""


def train_members(make_and_train, jobs, executor=None, folder=None, retries=1, threads=None, on_member=None):
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
        `set_num_threads` for each job.  With an int as executor the default shares the cores out; otherwise
        nothing is changed.
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
    jobs = dict(jobs) if isinstance(jobs, Mapping) else {str(i): job for i, job in enumerate(jobs)}
    for name in jobs:
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"a member's name is the name of its file, so {name!r} will not do")
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, got {retries}")
    temporary = tempfile.mkdtemp(prefix="tinycnn-") if folder is None else None
    try:
        folder = Path(temporary or folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return _train(make_and_train, jobs, executor, folder, retries, threads, on_member or (lambda *_: None))
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def process_pool(workers):
    """A pool of `workers` fresh processes ("spawn": forked ones would inherit locks held by threads they lack)."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _train(make_and_train, jobs, executor, folder, retries, threads, on_member):
    results, failures = {}, {}
    for name, job in jobs.items():
        found = _read(folder, name, job)
        if found:
            results[name] = found[0]
            on_member(name, found[0], False)
    if isinstance(executor, int):
        threads = threads or max(1, get_num_threads() // executor)
        executor = partial(process_pool, executor)
    waiting = [name for name in jobs if name not in results]
    for _ in range(retries + 1):
        lost = []
        for name, failure, error in _finished(make_and_train, jobs, waiting, executor, folder, threads):
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


def _finished(make_and_train, jobs, names, executor, folder, threads):
    """Yield, as members end, ``(name, what make_and_train raised or None, how the worker was lost or None)``."""
    if executor is None:
        for name in names:
            yield name, _work(make_and_train, name, jobs[name], folder, threads), None
        return
    with nullcontext(executor) if isinstance(executor, Executor) else _made(executor) as pool:
        futures = {}
        try:
            for position, name in enumerate(names):
                try:
                    futures[pool.submit(_work, make_and_train, name, jobs[name], folder, threads)] = name
                except BrokenExecutor as error:  # a worker died while the others were still being handed over
                    for unsent in names[position:]:
                        yield unsent, None, error
                    break
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result(), None
                except Exception as error:
                    yield futures[future], None, error
        except BaseException:  # Ctrl-C, mostly: do not wait for members that nobody will ask for
            for future in futures:
                future.cancel()
            if pool is not executor:
                for process in list((getattr(pool, "_processes", None) or {}).values()):
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


def _work(make_and_train, name, job, folder, threads):
    """Train and write one member, wherever this runs; the text of an exception, or None."""
    if threads:
        set_num_threads(threads)
    try:
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


def _read(folder, name, job):
    """``(result,)`` of a member that `folder` holds, else None."""
    if (folder / f"{name}.npz").exists():
        result = Sequential.load(folder / f"{name}.npz")
        stored = result.metadata.get("job")
    elif (folder / f"{name}.json").exists():
        try:
            content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            result, stored = content["result"], content["job"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder / name}.json is damaged or no member ({error!r}); remove it") from error
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
