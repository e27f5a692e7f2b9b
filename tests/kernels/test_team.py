import threading
import time

import numba
import numpy as np
import pytest

from tinycnn.kernels import team
from tinycnn.kernels.tasks import tasks


@numba.njit(nogil=True)
def write(worker, seen, number, flag, counter):
    """In every task `seen` = the worker, once all of `number` workers are here: arguments of every kind arrive."""
    for task in tasks(counter, seen[0].size):
        seen[0][task], seen[1][worker] = worker + number, 1 if flag else -1
        while seen[1][:2].sum() < number:
            pass


@numba.njit
def enter(words, number, worker):
    team._enter(words, number, worker)


def counter_of(words):
    return np.array([0, words.ctypes.data])


@pytest.fixture
def helped():
    """A team of two, whose helper is at work."""
    words = team.new_team(1)
    words[team.HELPERS] = 1
    team.add_helper(words, 1)
    threading.Thread(target=team.help_out, args=(words, 1, 0), daemon=True).start()
    return words


def sleeps(words):
    return words[team.SLEEPERS + 2] == 1


def test_a_helper_does_its_part_with_the_same_arguments_asleep_or_awake(helped):
    write(1, (np.zeros(1), np.ones(2)), 0.5, True, np.zeros(2, np.int64))  # compiled
    for pause in (0, 0, 0.1, 0, 0.1):
        time.sleep(pause)
        seen, arrived = np.zeros(2), np.zeros(2)
        write(0, (seen, arrived), 2.0, True, counter_of(helped))
        assert sorted(seen) == [2, 3] and list(arrived) == [1, 1]
    assert helped[team.INSIDE] == helped[team.OPEN] == helped[team.FAILED] == 0 and helped[team.LAST] == 5


def test_a_helper_that_has_nothing_to_do_goes_to_sleep(helped):
    for _ in range(1000):
        if sleeps(helped):
            break
        time.sleep(0.01)
    assert sleeps(helped)


def test_who_comes_after_the_close_does_nothing():
    words = team.new_team(1)
    words[team.OPEN] = 4  # and no function that could be called
    enter(words, 3, 1)
    assert words[team.INSIDE] == 0


def test_only_worker_0_opens_and_only_with_a_team():
    words = team.new_team(1)
    write(1, (np.zeros(2), np.ones(2)), 0.5, True, counter_of(words))
    write(0, (np.zeros(2), np.ones(2)), 0.5, True, np.zeros(2, np.int64))
    assert words[team.LAST] == 0


def test_close_waits_until_all_have_left():
    words = team.new_team(1)
    team.close(words)  # compiled
    words[[team.OPEN, team.INSIDE]] = 1
    left = []

    def leave():
        left.append(words[team.OPEN])
        words[team.INSIDE] = 0

    helper = threading.Timer(0.1, leave)
    helper.start()
    team.close(words)
    assert left == [0]
    helper.join()


def test_arguments_that_do_not_fit_are_refused_when_the_kernel_is_compiled():
    arrays = tuple(np.zeros(1) for _ in range(team.ROOM // 7 + 1))
    with pytest.raises(Exception, match="are too many for the 8192 bytes of a team"):
        too_many(0, arrays, np.zeros(2, np.int64))


@numba.njit
def too_many(worker, arrays, counter):
    for task in tasks(counter, 1):
        arrays[0][task] = 1
