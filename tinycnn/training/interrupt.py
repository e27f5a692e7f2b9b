"""Ctrl-C that waits for the running batch."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tinycnn.training.callbacks import Callback


class Interruption(Callback):
    """Ends training between two batches, once `asked` is true, after all other callbacks had their say."""

    def __init__(self) -> None:
        self.asked = False  # no threading.Event: a second Ctrl-C while the first one sets it would wait for its lock

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.on_batch_end(0, logs)


@contextmanager
def gentle_interrupt(interruption: Interruption) -> Iterator[None]:
    """The first Ctrl-C asks `interruption`, so that no optimizer step is cut in half; a second one raises.

    Outside the main thread, or where SIGINT has another handler, it does nothing.
    """

    def handle(signum: int, frame: object) -> None:
        if interruption.asked:
            raise KeyboardInterrupt
        interruption.asked = True

    # Only the main thread may set handlers, and a handler of the user's own stays.
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
