"""What a gradient check found, as a table."""

from dataclasses import dataclass, field

from tinycnn.notebook import html_table


@dataclass
class TensorCheck:
    """One row of the table: what the check of one tensor found."""

    name: str
    shape: tuple[int, ...]
    checked: int  # elements (exact mode) or directions (random mode) that were compared
    skipped: int  # those left out because a kink lies within the smallest step
    max_abs_error: float
    max_rel_error: float
    worst_index: tuple[int, ...] | None  # None in random mode: a direction has no index
    analytic: float  # both gradients at the worst element or direction
    numeric: float
    largest_gradient: float
    ok: bool
    suspicion: str | None = None  # the likely cause with its evidence, where the pattern of the errors tells it


@dataclass
class GradcheckResult:
    """What `gradcheck` returns; ``str(result)`` is the table, and a notebook shows it as one.

    `ok` says whether all is right, `table` holds a `TensorCheck` for the input and each parameter, `worst` is
    the one with the largest relative error (wrong ones first), and `problems` lists in words what is wrong.
    """

    title: str
    table: list[TensorCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def worst(self) -> TensorCheck | None:
        return max(self.table, key=lambda row: (not row.ok, row.max_rel_error), default=None)

    def __str__(self) -> str:
        cells = [HEADING, *self._cells()]
        widths = [max(len(line[i]) for line in cells) for i in range(len(HEADING))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        return "\n".join(line.rstrip() for line in [self.title, *lines, *self._verdict()])

    def _repr_html_(self) -> str:
        return html_table(HEADING, self._cells(), numbers=range(2, 5), above=self.title, below=self._verdict())

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                str(row.shape),
                f"{row.largest_gradient:.2e}",
                f"{row.max_abs_error:.2e}",
                f"{row.max_rel_error:.2e}",
                "-" if row.worst_index is None else str(row.worst_index),
                f"{row.skipped}/{row.skipped + row.checked}",
                "ok" if row.ok else "WRONG",
            )
            for row in self.table
        ]

    def _verdict(self) -> list[str]:
        causes = [f"suspicion, {row.name}: {row.suspicion}" for row in self.table if row.suspicion]
        return [*(self.problems or ["gradients agree"]), *causes]


HEADING = ("tensor", "shape", "largest grad", "max abs error", "max rel error", "worst index", "skipped", "")
