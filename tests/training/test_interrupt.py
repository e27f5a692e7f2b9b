"""Ctrl-C between two batches."""

import os
import signal
import threading

import pytest

from tinycnn.training.interrupt import Interruption, gentle_interrupt


def test_the_first_ctrl_c_asks_and_the_second_raises():
    asked = threading.Event()
    with pytest.raises(KeyboardInterrupt), gentle_interrupt(asked):
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second one should have raised")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_and_another_thread_are_left_alone():
    def mine(signum, frame):
        pressed.append(signum)

    pressed, asked = [], threading.Event()
    before = signal.signal(signal.SIGINT, mine)
    try:
        with gentle_interrupt(asked):
            os.kill(os.getpid(), signal.SIGINT)
        assert pressed == [signal.SIGINT] and not asked.is_set()
    finally:
        signal.signal(signal.SIGINT, before)
    inside = []

    def work():
        with gentle_interrupt(asked):
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [signal.default_int_handler]


def test_interruption_raises_after_a_batch_and_after_an_epoch_once_asked():
    asked = threading.Event()
    interruption = Interruption(asked)
    interruption.on_train_batch_end(0, {})
    interruption.on_epoch_end(0, {})
    asked.set()
    for call in (interruption.on_train_batch_end, interruption.on_epoch_end):
        with pytest.raises(KeyboardInterrupt):
            call(0, {})
