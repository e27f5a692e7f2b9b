"""Ctrl-C that waits for the running batch."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def gentle_interrupt():
    """Yield an event that the first Ctrl-C sets, so that no optimizer step is cut in half; a second one raises.

    Yields
    ------
    threading.Event
        To be looked at between batches.  Never set outside the main thread or where SIGINT has another handler.
    """
    asked = threading.Event()

    def handle(signum, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    # Only the main thread may set handlers, and a handler of the user's own stays.
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
