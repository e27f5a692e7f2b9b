"""The threads that help with a kernel: how they learn of it without Python, do their part, and are waited for.

Python hands work to another thread in tens of microseconds, which is as long as many a kernel takes.  So the helpers
watch one block of memory, the team, from machine code and without the GIL.  Worker 0 opens it when its kernel
comes to its loop over `tasks`; who sees that enters, calls the same kernel with the same arguments and draws from the
same counter; and at the loop's end worker 0 lets nobody in any more and waits until all have left.  A helper that has
watched in vain for some time sleeps at a lock, until worker 0 opens the team again.  All this lies within one call of
a kernel, so Ctrl-C, which Python looks for between its own steps, never finds a helper at work.

Nobody writes where he is no longer expected: a helper first enters (INSIDE + 1) and then looks whether the team is
still open; worker 0 first closes it and then looks whether somebody is inside.
"""

import ctypes
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.callconv import RETCODE_NONE, RETCODE_OK

from tinycnn.kernels.aligned import aligned_empty
from tinycnn.kernels.compile import jit
from tinycnn.kernels.simd import INDEX, intrinsic, pointer_to

OPEN, LAST, HELPERS, FUNCTION, FAILED = range(5)  # number of the open call, or 0; of the last; who may help with what
INSIDE = 8  # how many helpers are at work; a cache line away from what they watch
ARGUMENTS = 16  # the kernel's, but for the worker
ROOM = 1024  # words for them
SLEEPERS = ARGUMENTS + ROOM  # two words per worker: whether it sleeps, and the lock at which it does
WATCH = 1000  # looks, 0.2 to 0.3 ms: longer than Python takes from one kernel to the next
_BYTES = ir.IntType(8).as_pointer()
_WORKS = ir.FunctionType(ir.VoidType(), [INDEX, INDEX.as_pointer()])


def new_team(helpers: int) -> np.ndarray:
    """A team that is closed, with room for so many helpers; int64."""
    return aligned_empty(SLEEPERS + 2 * (helpers + 1), np.int64, np.zeros)


def add_helper(team: np.ndarray, worker: int) -> None:
    """Give `worker` a lock to sleep at; the thread that helps under this number then calls `help_out`."""
    allocate = ctypes.pythonapi.PyThread_allocate_lock
    allocate.restype = ctypes.c_void_p
    team[SLEEPERS + 2 * worker + 1] = allocate()


def open_team(context: Any, builder: Any, team: Any, wanted: Any) -> Any:
    """Instructions for worker 0 of the kernel that is being compiled: let the helpers in, if `wanted`.

    `team` is the address as a number, 0 for none; the same is returned for `close_team`, or 0 where nothing was opened,
    as in a function whose first argument is not a worker.
    """
    kernel = builder.function
    worker, *arguments = context.call_conv.get_arguments(kernel)
    if worker.type != INDEX:
        return INDEX(0)
    kind = ir.LiteralStructType([argument.type for argument in arguments])
    if context.get_abi_sizeof(kind) > 8 * ROOM:
        raise ValueError(f"the arguments of the kernel {kernel.name} are too many for the {8 * ROOM} bytes of a team")
    first = builder.and_(builder.icmp_signed("==", worker, INDEX(0)), wanted)
    team = builder.select(first, team, INDEX(0))
    with builder.if_then(builder.icmp_signed("!=", team, INDEX(0))):
        words = builder.inttoptr(team, INDEX.as_pointer())
        place = builder.bitcast(_word(builder, words, ARGUMENTS), kind.as_pointer())
        for i, argument in enumerate(arguments):
            builder.store(argument, cgutils.gep_inbounds(builder, place, 0, i))
        function = builder.ptrtoint(_part(context, builder.module, kernel, kind), INDEX)
        builder.store(function, _word(builder, words, FUNCTION))
        number = builder.add(builder.load(_word(builder, words, LAST)), INDEX(1))
        builder.store(number, _word(builder, words, LAST))
        builder.atomic_rmw("xchg", _word(builder, words, OPEN), number, "seq_cst")
        helpers = builder.load(_word(builder, words, HELPERS))
        with cgutils.for_range(builder, helpers, intp=INDEX) as loop:
            _wake(builder, words, builder.add(loop.index, INDEX(1)))
    return team


def close_team(builder: Any, team: Any) -> None:
    """Instructions for who has opened: let nobody in any more, and wait until all have left."""
    words = builder.inttoptr(team, INDEX.as_pointer())
    look, wait, alone = (builder.append_basic_block(name) for name in ("look", "wait", "alone"))
    builder.atomic_rmw("xchg", _word(builder, words, OPEN), INDEX(0), "seq_cst")
    builder.branch(look)
    builder.position_at_end(look)
    inside = builder.load_atomic(_word(builder, words, INSIDE), "seq_cst", 8)
    builder.cbranch(builder.icmp_signed("==", inside, INDEX(0)), alone, wait)
    builder.position_at_end(wait)
    _give_way(builder)
    builder.branch(look)
    builder.position_at_end(alone)


def _give_way(builder):
    """Let a thread run that waits for this core: it may be the one that is being waited for."""
    if sys.platform != "win32":
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])


def _wake(builder, words, worker):
    """Release the lock of a helper that sleeps."""
    sleeps, lock = (
        builder.gep(words, [builder.add(builder.mul(worker, INDEX(2)), INDEX(SLEEPERS + i))]) for i in (0, 1)
    )
    with builder.if_then(builder.icmp_signed("!=", builder.load_atomic(sleeps, "seq_cst", 8), INDEX(0))):
        before = builder.atomic_rmw("xchg", sleeps, INDEX(0), "seq_cst")
        with builder.if_then(builder.icmp_signed("!=", before, INDEX(0))):
            kind = ir.FunctionType(ir.VoidType(), [_BYTES])
            release = cgutils.get_or_insert_function(builder.module, kind, "PyThread_release_lock")
            builder.call(release, [builder.inttoptr(builder.load(lock), _BYTES)])


def _part(context, module, kernel, kind):
    """A function ``(worker, team)`` that calls `kernel` with the arguments that lie in the team."""
    function = ir.Function(module, _WORKS, f"{kernel.name}.part")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    worker, team = function.args
    place = builder.bitcast(_word(builder, team, ARGUMENTS), kind.as_pointer())
    arguments = [builder.load(cgutils.gep_inbounds(builder, place, 0, i)) for i in range(len(kind.elements))]
    result, error = (cgutils.alloca_once(builder, kernel.args[i].type.pointee, zfill=True) for i in (0, 1))
    code = builder.call(kernel, [result, error, worker, *arguments])
    fine = builder.or_(*(builder.icmp_signed("==", code, ok) for ok in (RETCODE_OK, RETCODE_NONE)))
    with builder.if_then(builder.not_(fine)):
        builder.store_atomic(INDEX(1), _word(builder, team, FAILED), "seq_cst", 8)
    builder.ret_void()
    return function


def _word(builder, team, i):
    return builder.gep(team, [INDEX(i)])


@intrinsic
def _look(typing_context, team, i):
    """``team[i]`` as it is now."""

    def generate(context, builder, sig, args):
        return builder.load_atomic(pointer_to(context, builder, team, *args), "seq_cst", 8)

    return types.int64(team, types.intp), generate


@intrinsic
def _set(typing_context, team, i, value):
    """``team[i] = value``, before anything that follows."""

    def generate(context, builder, sig, args):
        builder.atomic_rmw("xchg", pointer_to(context, builder, team, *args[:2]), args[2], "seq_cst")
        return context.get_dummy_value()

    return types.void(team, types.intp, types.int64), generate


@intrinsic
def _enter(typing_context, team, number, worker):
    """Do a helper's part of call `number`, unless that has been closed."""

    def generate(context, builder, sig, args):
        words = pointer_to(context, builder, team, args[0], INDEX(0))
        builder.atomic_rmw("add", _word(builder, words, INSIDE), INDEX(1), "seq_cst")
        now = builder.load_atomic(_word(builder, words, OPEN), "seq_cst", 8)
        with builder.if_then(builder.icmp_signed("==", now, args[1])):
            function = builder.load(_word(builder, words, FUNCTION))
            builder.call(builder.inttoptr(function, _WORKS.as_pointer()), [args[2], words])
        builder.atomic_rmw("sub", _word(builder, words, INSIDE), INDEX(1), "seq_cst")
        return context.get_dummy_value()

    return types.void(team, types.int64, types.int64), generate


@intrinsic
def _watch_on(typing_context):
    def generate(context, builder, sig, args):
        _give_way(builder)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _sleep(typing_context, lock):
    """Until the lock at that address is released."""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(ir.IntType(32), [_BYTES, ir.IntType(32)])
        acquire = cgutils.get_or_insert_function(builder.module, kind, "PyThread_acquire_lock")
        builder.call(acquire, [builder.inttoptr(args[0], _BYTES), ir.IntType(32)(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@jit
def help_out(team, worker, done):
    """Help with every call that is opened after number `done`, for ever; with none if that is negative."""
    looks = 0
    while done >= 0:
        number = _look(team, OPEN)
        if number != 0 and number != done and worker <= _look(team, HELPERS):
            _enter(team, number, worker)
            looks, done = 0, number
        elif looks < WATCH:
            looks += 1
            _watch_on()
        else:
            _set(team, SLEEPERS + 2 * worker, 1)
            _sleep(_look(team, SLEEPERS + 2 * worker + 1))
            looks = 0


@intrinsic
def _close(typing_context, team):
    def generate(context, builder, sig, args):
        close_team(builder, builder.ptrtoint(pointer_to(context, builder, team, args[0], INDEX(0)), INDEX))
        return context.get_dummy_value()

    return types.void(team), generate


@jit
def close(team):
    """Close what a kernel that failed within its loop has left open."""
    _close(team)
