"""Ctrl-C between two batches."""

import os
import signal
import sys
import threading

import pytest

from tinycnn.training.interrupt import Interruption, gentle_interrupt


def test_the_first_ctrl_c_asks_and_the_second_raises():
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt), gentle_interrupt(interruption):
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.asked
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second one should have raised")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no clock that interrupts a wait")
def test_a_second_ctrl_c_within_the_handling_of_the_first_is_never_waited_for():
    def press(frame, event, _):
        steps.append(event)
        if len(steps) == at:
            signal.raise_signal(signal.SIGINT)
        return press

    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"it hangs at step {at}"))
    try:
        for at in range(1, 100):
            steps, interruption = [], Interruption()
            signal.setitimer(signal.ITIMER_REAL, 2)
            try:
                with gentle_interrupt(interruption):
                    sys.settrace(press)  # of all that Python does from here on
                    signal.raise_signal(signal.SIGINT)
                    sys.settrace(None)
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)
            assert interruption.asked
            if len(steps) < at:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert 3 < at < 99


def test_another_handler_and_another_thread_are_left_alone():
    def mine(signum, frame):
        pressed.append(signum)

    pressed, interruption = [], Interruption()
    before = signal.signal(signal.SIGINT, mine)
    try:
        with gentle_interrupt(interruption):
            os.kill(os.getpid(), signal.SIGINT)
        assert pressed == [signal.SIGINT] and not interruption.asked
    finally:
        signal.signal(signal.SIGINT, before)
    inside = []

    def work():
        with gentle_interrupt(interruption):
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [signal.default_int_handler]


def test_interruption_raises_after_a_batch_and_after_an_epoch_once_asked():
    interruption = Interruption()
    interruption.on_train_batch_end(0, {})
    interruption.on_epoch_end(0, {})
    interruption.asked = True
    for call in (interruption.on_train_batch_end, interruption.on_epoch_end):
        with pytest.raises(KeyboardInterrupt):
            call(0, {})
