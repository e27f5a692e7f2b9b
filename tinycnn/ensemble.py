"""Several networks averaged into one; `tinycnn.members` trains them side by side."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_path, brief, listed
from tinycnn.data.dataset import Dataset
from tinycnn.files import PathLike, is_file_name, read_json, write_json
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
    if not isinstance(names, list) or not all(map(is_file_name, names)):
        raise ValueError(f"{folder / _INDEX} is damaged: its members must be names of files beside it, got {names!r}")
    return names
