"""How the workers of a kernel share its work: a loop that draws numbers from one counter.

::

    for task in tasks(counter, count):
        ...

looks like ``range(count)``, but each number goes to one worker only, whoever comes next, so that a core that is
interrupted does not hold up the others.  Of many, a worker draws some in a row: between two cores a draw takes as long
as a short task.  Its atomic instruction also waits for the stores of the tasks before.

Worker 0's loop is where the other workers come in, and at its end they have left, see `team`.  So a kernel has one loop
over tasks, which it neither leaves early nor fails in.
"""

from numba import types
from numba.core import cgutils
from numba.core.imputils import RefType, iternext_impl, lower_builtin
from numba.extending import models, register_model

from tinycnn.kernels.compile import IN_PYTHON, inlined
from tinycnn.kernels.simd import INDEX, intrinsic, pointer_to
from tinycnn.kernels.team import close_team, open_team

DRAWS = 64  # about as many times are tasks drawn, if there are that many


class _Tasks(types.SimpleIteratorType):
    def __init__(self):
        super().__init__("Tasks", types.int64)


_TASKS = _Tasks()


@register_model(_Tasks)
class _TasksModel(models.StructModel):
    def __init__(self, manager, kind):
        number, address = types.int64, types.CPointer(types.int64)
        members = [("counter", address), ("next", address), ("stop", address), ("count", number), ("team", number)]
        super().__init__(manager, kind, members)


@intrinsic
def tasks(typing_context, counter, count):
    """The numbers of ``range(count)`` that fall to this worker; `counter` is a `runtime.task_counter`."""

    def generate(context, builder, sig, args):
        iterator = cgutils.create_struct_proxy(_TASKS)(context, builder)
        iterator.counter, iterator.count = pointer_to(context, builder, counter, args[0], INDEX(0)), args[1]
        iterator.next, iterator.stop = (cgutils.alloca_once_value(builder, INDEX(0)) for _ in range(2))
        team = builder.load(pointer_to(context, builder, counter, args[0], INDEX(1)))
        iterator.team = open_team(context, builder, team, wanted=builder.icmp_signed(">", args[1], INDEX(1)))
        return iterator._getvalue()

    return _TASKS(counter, types.int64), generate


@lower_builtin("getiter", _Tasks)
def _iterate(context, builder, sig, args):
    return args[0]


@lower_builtin("iternext", _Tasks)
@iternext_impl(RefType.UNTRACKED)
def _draw(context, builder, sig, args, result):
    iterator = cgutils.create_struct_proxy(_TASKS)(context, builder, value=args[0])
    drawn = builder.icmp_signed("<", builder.load(iterator.next), builder.load(iterator.stop))
    with builder.if_then(builder.not_(drawn)):
        some = builder.add(builder.sdiv(iterator.count, INDEX(DRAWS)), INDEX(1))
        first = builder.atomic_rmw("add", iterator.counter, some, "monotonic")
        builder.store(first, iterator.next)
        builder.store(builder.add(first, some), iterator.stop)
    task = builder.load(iterator.next)
    builder.store(builder.add(task, INDEX(1)), iterator.next)
    left = builder.icmp_signed("<", task, iterator.count)
    last = builder.and_(builder.not_(left), builder.icmp_signed("!=", iterator.team, INDEX(0)))
    with builder.if_then(last, likely=False):
        close_team(builder, iterator.team)
    result.set_valid(left)
    result.yield_(task)


if IN_PYTHON:

    def tasks(counter, count):  # noqa: F811
        while counter[0] < count:
            counter[0] += 1
            yield counter[0] - 1


@inlined
def share(size, part, count):
    """First and one past the last index of one of `count` parts of `size`, as equal as can be."""
    return size * part // count, size * (part + 1) // count
