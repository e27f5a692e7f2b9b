"""What the examples have in common: images that were looked through, members that train side by side, and results."""

import argparse
import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn import __version__, files
from tinycnn.data.dataset import Dataset, Splits
from tinycnn.model import Sequential
from tinycnn.npz import field, read_npz
from tinycnn.study.command_line import executor_of, load_audited, teller
from tinycnn.study.cross_validation import evaluation_lines, summarise, undivided_groups
from tinycnn.study.films.audit import Audit
from tinycnn.study.notices import NOTICE, SYNTHETIC
from tinycnn.study.provenance import dataset_hash, environment, environment_line


@dataclass
class Experiment:
    """An example's options and images, what is known of these, and the folder ``options.out`` for what comes out.

    Attributes
    ----------
    options : argparse.Namespace
    data : Splits
    audit : Audit
    path : str or None
        Where the images lie; None for synthetic ones.
    began : float
        `time.perf_counter` at the start.
    loaded : float
        Seconds until the images were there.
    groups : ndarray of int, (images,)
        What no split may divide, training images first: `undivided_groups`.
    lines : dict of str to ndarray of int
        The test images of each line of a table: `evaluation_lines`.
    """

    options: argparse.Namespace
    data: Splits
    audit: Audit
    path: str | None
    began: float

    def __post_init__(self) -> None:
        self.loaded = self.seconds
        self.groups, self._patients = undivided_groups(self.audit)
        self.lines = evaluation_lines(self.audit.groups, self.audit.in_test, self._patients)

    @property
    def synthetic(self) -> bool:
        """Whether the images are drawings."""
        return self.path is None

    @property
    def note(self) -> str:
        """What every picture says of the images."""
        return SYNTHETIC if self.synthetic else NOTICE

    @property
    def test(self) -> Dataset:
        """The test images, which `load_audited` never leaves out."""
        assert self.data.test is not None
        return self.data.test

    @property
    def train_groups(self) -> np.ndarray:
        """`groups` of the training images."""
        return self.groups[~self.audit.in_test]

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.began

    def settings(self, *names: str) -> dict[str, Any]:
        """These options by name."""
        return {name: getattr(self.options, name) for name in names}

    def print_lines(self) -> None:
        """Say which lines the results will have."""
        unknown = "  Nothing is known of the patients." if self._patients is None else ""
        print(f"Test images: {', '.join(self.lines)}.{unknown}")

    def split(self, validation_fraction: float) -> dict[str, Dataset]:
        """The images as "train", "validation" (unless the fraction is 0) and "test", no group divided.

        Raises
        ------
        ValueError
            As `Dataset.split`.
        """
        train, test = self.data.train, self.test
        if not validation_fraction:
            return {"train": train, "test": test}
        try:
            chosen, held_out = train.split(validation_fraction, groups=self.train_groups)
        except ValueError as error:
            raise ValueError(f"no {validation_fraction:g} of these training images can be held out: {error}") from error
        return {"train": chosen, "validation": held_out, "test": test}

    def members(self, heading: str, total: int, about: Callable[[Any], str] = lambda result: "") -> dict[str, Any]:
        """Options of `tinycnn.members.train_members` for `total` members, after the heading; `about` as of `teller`.

        They are trained by ``options.executor`` and kept in the folder ``members``, where the same command finds them.
        """
        print(f"\n{heading}", flush=True)
        executor = executor_of(self.options.executor)
        return {"executor": executor, "folder": self.options.out / "members", "on_member": teller(total, about)}

    def score_lines(self, runs: np.ndarray | Sequence[np.ndarray]) -> dict[str, dict[str, Any]]:
        """`summarise` of each line, for probabilities (runs, test images, classes)."""
        test, groups = self.test, self.groups[self.audit.in_test]
        return {
            line: summarise(test.labels[rows], np.asarray(runs)[:, rows], test.class_names, groups[rows])
            for line, rows in self.lines.items()
        }

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write ``options.out / name``: the content, beside the notice, the images, the software and the time taken."""
        common = {
            "notice": NOTICE,
            "synthetic": self.synthetic,
            "data_sha256": dataset_hash(self.data.train, self.data.test),
            "audit": self.audit.to_dict(),
            **environment(),
            "seconds": self.seconds,
        }
        files.write_json(self.options.out / name, {**common, **content})

    def print_saved(self) -> None:
        """Say what the folder holds, and how long it took."""
        print(f"\nSaved in {self.options.out}: " + ", ".join(sorted(path.name for path in self.options.out.iterdir())))
        print(f"{self.seconds:.0f} s in all. {self.note}")


def begin(options: argparse.Namespace, title: str, size: int, mode: str = "RGB") -> Experiment:
    """Say what begins, load the images that the options name as `load_audited` does, and look them through.

    Raises
    ------
    ValueError, OSError
        As `load_audited`; for an executor that cannot be had.

    Examples
    --------
    >>> from tinycnn.study.command_line import example_parser
    >>> options = example_parser("", "", "runs/x").parse_args(["--phantoms", "4"])
    >>> experiment = begin(options, "a test", 32)  # doctest: +ELLIPSIS
    tinycnn ...: a test. For research and teaching only, never for diagnosis.
    python ...; kernels ... threads
    <BLANKLINE>
    SYNTHETIC images...
    >>> list(experiment.lines), {name: len(part) for name, part in experiment.split(0.25).items()}
    (['6 as published', '6 without near-copies', '6 without repeats'], {'train': 9, 'validation': 3, 'test': 6})
    """
    began = time.perf_counter()
    if "executor" in options:
        executor_of(options.executor)  # before the images, which take their time
    print(f"tinycnn {__version__}: {title}. {NOTICE}\n{environment_line()}")
    return Experiment(options, *load_audited(options, size, mode), began)


def checkpoint_to_resume(path: str | os.PathLike[str], model: Sequential, resume: bool) -> Path | None:
    """Make the folder of the checkpoint, see that everything fits, and say what `fit` goes on from: None for nothing.

    Parameters
    ----------
    path : path-like
        Of the checkpoint, which may not exist.
    model : Sequential
        Built; its ``metadata`` must be that of the model in the checkpoint.
    resume : bool
        Whether the user asks to go on.

    Raises
    ------
    OSError
        If the disk has too little room for the checkpoint and the model.
    ValueError
        If the checkpoint is of a run with other metadata, or damaged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Model, checkpoint (weights and Adam's two moments), and the next checkpoint before it replaces the last.
    needed = 7 * 4 * model.count_params + 20_000_000
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{path.parent} needs {needed / 1e6:.0f} MB, the disk has {free / 1e6:.0f} MB free")
    if not path.exists():
        if resume:
            print(f"No checkpoint in {path.parent} yet: starting from the beginning.\n")
        return None
    if not resume:
        print(f"The earlier run in {path.parent} will be replaced (--resume would go on from it).\n")
        return None
    header, where = read_npz(path)[0], str(path)
    network = field(field(header, "architecture", dict, where), "name", str, where)
    theirs = {"network": network, **field(header, "metadata", dict, where)}
    for key, ours in {"network": model.name, **files.plain(model.metadata)}.items():
        if theirs.get(key) != ours:
            raise ValueError(
                f"cannot resume {path}: it was written with {key} {theirs.get(key)!r}, this run has {ours!r}; "
                "use the same options and data, or another --out"
            )
    return path
