"""What an exercise is: a task, cases to try an answer on, and mistakes that are known."""

import ast
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tinycnn.layers.base import Layer

Answer = Callable[..., Any]  # what the student writes: a function, or a class of layers


class Suspect(NamedTuple):
    """A mistake that is often made: the solution with one text in place of another.

    Attributes
    ----------
    cause : str
        The mistake in words.
    right, wrong : str
        A text that the solution has once, and what stands there instead.
    """

    cause: str
    right: str
    wrong: str


@dataclass(frozen=True, eq=False)  # no two are equal, so that results may be kept by exercise
class Exercise:
    """A task and all that is known about it.

    Attributes
    ----------
    solution : callable
        Its docstring is the task; the stub is its source with the bodies taken out.
    outputs : tuple of str
        Names of what it returns.
    oracle : callable
        Gives the right outputs, computed in another way.
    cases : mapping of str to dict
        Arguments by the name of the case, simple ones first.
    suspects : sequence of Suspect
    hints : sequence of str
        One step further each.
    run : callable
        ``run(answer, **arguments)`` gives the outputs of an answer; by default it is called.
    """

    solution: Answer
    outputs: tuple[str, ...]
    oracle: Answer
    cases: Mapping[str, dict[str, Any]]
    suspects: Sequence[Suspect]
    hints: Sequence[str]
    run: Answer = lambda answer, **arguments: answer(**arguments)

    @property
    def name(self) -> str:
        """Also of its file, and of the student's."""
        return self.solution.__module__.rpartition(".")[2]

    @property
    def title(self) -> str:
        """The first line of its file."""
        return (sys.modules[self.solution.__module__].__doc__ or "").splitlines()[0]

    @cached_property
    def source(self) -> str:
        """The solution as text."""
        return inspect.getsource(self.solution)

    @cached_property
    def code(self) -> str:
        """The solution's source without docstrings, whose lines are left empty."""
        lines = self.source.splitlines()
        for node in ast.walk(ast.parse(self.source)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
                text = node.body[0]
                lines[text.lineno - 1 : text.end_lineno] = [""] * len(lines[text.lineno - 1 : text.end_lineno])
        return "\n".join(lines)

    @property
    def stub(self) -> str:
        """The text of the file that the student completes."""
        lines, kept, after = self.source.splitlines(), [], 0
        for node in ast.walk(ast.parse(self.source)):
            if isinstance(node, ast.FunctionDef):
                documented = ast.get_docstring(node) is not None
                first, last = node.body[1 if documented else 0], node.body[-1]
                kept += [*lines[after : first.lineno - 1], " " * first.col_offset + "raise NotImplementedError"]
                after = last.end_lineno or 0
        body = "\n".join(kept)
        imports = ["\nimport numpy as np\n"] if "np." in body else []
        imports += (
            ["from numpy.typing import ArrayLike\n\nfrom tinycnn.layers.base import Layer\n"]
            if inspect.isclass(self.solution)
            else []
        )
        head = f'"""{self.title}\n\nChecked by ``python -m tinycnn.exercises {self.name}``.\n"""\n'
        return "".join([head, *imports]) + f"\n\n{body}\n"

    def variant(self, right: str, wrong: str) -> Answer:
        """The solution with the text `wrong` instead of `right`.

        Raises
        ------
        ValueError
            If the solution does not have `right` exactly once.
        """
        if self.code.count(right) != 1:
            raise ValueError(f"{self.name}: the solution has {right!r} {self.code.count(right)} times, not once")
        names = dict(vars(sys.modules[self.solution.__module__]))
        registered = dict(Layer.registry)
        exec(self.code.replace(right, wrong), names)
        Layer.registry.update(registered)  # a wrong layer is not to be the one that a saved model names
        return names[self.solution.__name__]


def window_mistakes(first: str) -> list[Suspect]:
    """What goes wrong with strides and padding wherever a window moves; `first` is the first line of the solution."""
    turned = "*[side[::-1] for side in padding]"
    return [
        Suspect("the stride is ignored", first, f"strides = (1, 1)\n    {first}"),
        Suspect(
            "the window does not move by the stride, only their number is right",
            "i * strides[0], j * strides[1]",
            "i, j",
        ),
        Suspect("vertical and horizontal stride are exchanged", first, f"strides = strides[::-1]\n    {first}"),
        Suspect("the padding is ignored", first, f"padding = ((0, 0), (0, 0))\n    {first}"),
        Suspect("the padding of rows and of columns is exchanged", first, f"padding = padding[::-1]\n    {first}"),
        Suspect("the padding is on the wrong side: top and left come first", "*padding", turned),
        Suspect(
            "padding is taken for ((top, left), (bottom, right)): it is ((top, bottom), (left, right))",
            "*padding",
            "*zip(*padding)",
        ),
        Suspect(
            "one number is used for both sides: bottom and right have their own",
            "*padding",
            "*[(side[0], side[0]) for side in padding]",
        ),
    ]


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Normal random numbers, the same for the same seed.

    >>> numbers(0, 2).round(3)
    array([ 0.126, -0.132])
    """
    return np.random.default_rng(seed).normal(size=shape)
