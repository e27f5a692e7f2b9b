"""One pass at a time."""

import threading
import time

from tinycnn.kernels.lock import one_at_a_time


def test_threads_take_turns_and_one_thread_may_enter_again():
    inside, most = [], []

    @one_at_a_time
    def work(depth):
        inside.append(depth)
        most.append(len({threading.get_ident()}) and len(inside))
        time.sleep(0.005)
        if depth:
            work(depth - 1)
        inside.pop()

    threads = [threading.Thread(target=work, args=(1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(most) == 8 and max(most) == 2  # the second is the same thread's second call
