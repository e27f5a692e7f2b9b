import _thread
import importlib
import inspect
import multiprocessing
import os
import pkgutil
import threading
import time
import weakref

import numba
import numpy as np
import pytest
from kernel_cases import CASES, EVERY_KERNEL, adam_step, bits, correlate, dense_forward, moments, weight_gradient
from process_scripts import FORK, FORK_WHILE_COMPILING, FORK_WHILE_LOCKED, PROCESS, run_script

import tinycnn.kernels
from tinycnn.kernels import runtime, team
from tinycnn.kernels.tasks import tasks

pytestmark = pytest.mark.filterwarnings("ignore:Code running in object mode")
BODIES = []


@numba.njit(nogil=True)
def in_python(worker, numbers, counter):
    """Every task calls the last of `BODIES` with its worker, who fails at the end if that returned True."""
    failed = False
    for _ in tasks(counter, numbers.size):
        with numba.objmode(fail="boolean"):  # takes the GIL as long as it lasts
            fail = bool(BODIES[-1](worker))
        failed |= fail
    if failed:
        raise ZeroDivisionError("asked to")


def run_python(body, count):
    """`body(worker)` in `count` tasks; where each waits for all others, that is once in every worker."""
    BODIES.append(body)
    try:
        runtime.locked(runtime.run)(in_python, np.zeros(count), runtime.task_counter())
    finally:
        BODIES.pop()


@pytest.fixture(autouse=True)
def threads_as_before():
    before = runtime.get_num_threads()
    yield
    runtime.set_num_threads(before)


def test_the_list_of_cases_is_complete():
    for info in pkgutil.iter_modules(tinycnn.kernels.__path__):
        module = importlib.import_module(f"tinycnn.kernels.{info.name}")
        kernels = {
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
            if hasattr(value, "__wrapped__")  # by runtime.locked
        }
        listed = {case.__name__.removeprefix("winograd_") for case in CASES.get(module, [])}
        assert kernels == listed, f"kernels of {module.__name__} without a case here, or cases without a kernel"


@pytest.mark.parametrize("case", EVERY_KERNEL)
def test_threads_never_change_a_bit(case):
    runtime.set_num_threads(1)
    alone = bits(case())
    for threads in (2, 3, 3):
        runtime.set_num_threads(threads)
        assert bits(case()) == alone


def test_two_python_threads_at_once():
    runtime.set_num_threads(2)
    cases = [correlate, dense_forward, adam_step, weight_gradient, moments]
    expected = [bits(case()) for case in cases]
    wrong, start = [], threading.Barrier(2)

    def work(order):
        try:
            start.wait(20)
            for i in order:
                if bits(cases[i]()) != expected[i]:
                    wrong.append(cases[i].__name__)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in ([0, 1, 2, 3, 4] * 3, [4, 3, 2, 1, 0] * 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads) and wrong == []


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_an_error_in_any_thread_reaches_the_caller_and_the_pool_lives_on(culprit):
    runtime.set_num_threads(3)
    finished, meeting = [], threading.Barrier(3)

    def body(worker):
        meeting.wait(20)
        finished.append(worker)
        return worker == culprit

    error = (RuntimeError, "in_python failed in a helper thread") if culprit else (ZeroDivisionError, "asked to")
    with pytest.raises(error[0], match=error[1]):
        run_python(body, 3)
    assert sorted(finished) == [0, 1, 2]  # nobody is still at work
    finished.clear()
    culprit = None
    run_python(body, 3)
    assert sorted(finished) == [0, 1, 2]


def test_every_worker_is_called_once_and_has_a_thread_of_its_own():
    for threads in (1, 4, 2):
        runtime.set_num_threads(threads)
        meeting, seen = threading.Barrier(threads), []

        def body(worker, meeting=meeting, seen=seen):
            meeting.wait(20)  # passes only if all are here at the same time
            seen.append((worker, threading.get_ident()))

        run_python(body, threads)
        assert sorted(worker for worker, _ in seen) == list(range(threads))
        assert len({ident for _, ident in seen}) == threads
        assert dict(seen)[0] == threading.get_ident()


def test_a_worker_that_is_not_there_yet_is_not_waited_for(monkeypatch):
    runtime.set_num_threads(2)
    monkeypatch.setattr(runtime, "_team", team.new_team(1))
    monkeypatch.setattr(runtime, "_words", runtime._team.data)
    monkeypatch.setattr(runtime, "_address", runtime._team.ctypes.data)
    monkeypatch.setattr(runtime, "_helpers", 0)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    seen = []
    run_python(seen.append, 3)
    assert seen == [0, 0, 0] and runtime._helpers == 1


def test_a_single_task_opens_no_team():
    runtime.set_num_threads(2)
    before = runtime._team[team.LAST]
    for count, opened in ((1, 0), (2, 1)):
        run_python(lambda worker: None, count)
        assert runtime._team[team.LAST] == before + opened


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None, 1025])
def test_set_num_threads_says_what_it_wants(n):
    before = runtime.get_num_threads()
    with pytest.raises(ValueError, match="the number of threads must be a positive int up to 1024"):
        runtime.set_num_threads(n)
    assert runtime.get_num_threads() == before


SHORTAGE = """
started, start = [], threading.Thread.start

def refuse(thread):
    if len(started) == ALLOWED:
        raise ERROR("can't start new thread")
    started.append(thread)
    start(thread)

assert total(1) == 60000
threading.Thread.start = refuse
for _ in range(3):
    assert total(6) == 60000
assert runtime.get_num_threads() == ALLOWED + 1
threading.Thread.start = start
assert total(4) == 60000 and runtime.get_num_threads() == 4
print("done")
"""


@pytest.mark.parametrize("allowed, error", [(0, "RuntimeError"), (2, "MemoryError")])
def test_a_thread_that_cannot_start_leaves_a_smaller_pool(tmp_path, allowed, error):
    text = "import threading\n" + SHORTAGE.replace("ALLOWED", str(allowed)).replace("ERROR", error)
    result = run_script(tmp_path, text)
    assert result.stdout == "done\n", result.stderr
    said = f"tinycnn: {allowed + 1} threads instead of 6: the system started no more (can't start new thread)\n"
    assert result.stderr.count("threads instead of") == 1 and said in result.stderr


def test_too_large_a_request_leaves_scratch_memory_usable():
    with pytest.raises(MemoryError):
        runtime.locked(runtime.scratch)(np.float32, 10**15)
    assert runtime.locked(runtime.scratch)(np.float32, 10)[0].size == 10


def test_a_waiting_helper_keeps_no_array_alive():
    runtime.set_num_threads(2)
    meeting, numbers = threading.Barrier(2), np.zeros(2)
    alive = weakref.ref(numbers)
    BODIES.append(lambda worker: meeting.wait(20) and False)
    runtime.locked(runtime.run)(in_python, numbers, runtime.task_counter())
    BODIES.pop()
    del numbers
    assert alive() is None


def test_ctrl_c_waits_for_helpers_that_are_still_writing():
    runtime.set_num_threads(2)
    meeting, finished = threading.Barrier(2), []

    def body(worker):
        meeting.wait(20)
        if worker:
            _thread.interrupt_main()
            time.sleep(0.2)
            finished.append(worker)

    with pytest.raises(KeyboardInterrupt):
        run_python(body, 2)
        time.sleep(1)
    assert finished == [1]


INTERRUPTS = """
import os, random, signal, threading, time

signal.signal(signal.SIGINT, signal.default_int_handler)
total(), total(3)
stop, hits, calls = threading.Event(), 0, 0

def press():
    pause = random.Random(0)
    while not stop.is_set():
        time.sleep(pause.uniform(0.0002, 0.004))
        os.kill(os.getpid(), signal.SIGINT)

watchdog = threading.Timer(60, os._exit, (3,))  # a hang swallows every further Ctrl-C
watchdog.daemon = True
watchdog.start()
presser = threading.Thread(target=press, daemon=True)
presser.start()
while hits < 600:
    try:
        while True:
            assert total(3) == 60000
            calls += 1
    except KeyboardInterrupt:
        hits += 1
while True:
    try:
        stop.set()
        presser.join()
        break
    except KeyboardInterrupt:
        pass
assert total(3) == 60000 and runtime.scratch
print("done", hits, flush=True)
os._exit(0)
"""


def test_hundreds_of_ctrl_c_never_hang_the_pool(tmp_path):
    result = run_script(tmp_path, INTERRUPTS)
    assert result.stdout == "done 600\n", (result.returncode, result.stderr[-2000:])


@numba.njit(nogil=True)
def fails_in_its_loop(worker, numbers, counter):
    for task in tasks(counter, numbers.size):
        raise ValueError(task)


def test_a_kernel_that_fails_in_its_loop_leaves_no_team_open():
    runtime.set_num_threads(2)
    with pytest.raises((ValueError, RuntimeError)):
        runtime.locked(runtime.run)(fails_in_its_loop, np.zeros(2), runtime.task_counter())
    assert runtime._team[team.OPEN] == runtime._team[team.INSIDE] == 0
    run_python(lambda worker: None, 2)  # and what a helper failed in does not count against the next


def test_scratch_is_aligned_and_apart():
    a, b = runtime.locked(runtime.scratch)(np.float32, 5, 1000)
    c, d = runtime.locked(runtime.scratch)(np.float64, 3, 0)
    assert (a.size, b.size, c.size, d.size) == (5, 1000, 3, 0) and c.dtype == np.float64
    assert a.ctypes.data % 64 == b.ctypes.data % 64 == c.ctypes.data % 64 == 0
    a[:], b[:] = 1, 2
    assert (a == 1).all()
    (more,) = runtime.locked(runtime.scratch)(np.uint8, 2 * runtime._arena.size)
    assert np.may_share_memory(runtime.locked(runtime.scratch)(np.float32, 5, 1000)[0], more)  # no old arena is kept


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("text", [FORK, FORK_WHILE_LOCKED, FORK_WHILE_COMPILING])
def test_a_forked_child_computes(tmp_path, text):
    result = run_script(tmp_path, text)
    assert result.stdout == "done\n", result.stderr


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_process_of_any_kind_computes(tmp_path, method):
    result = run_script(tmp_path, PROCESS.replace("METHOD", method))
    assert result.stdout == "done\n", result.stderr


def test_threads_at_first_come_from_the_environment(tmp_path):
    result = run_script(tmp_path, "print(runtime.get_num_threads())", NUMBA_NUM_THREADS="1")
    assert result.stdout == "1\n", result.stderr
