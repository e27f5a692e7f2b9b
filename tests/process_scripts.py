"""Programs that compute in threads, in forked children and in other processes, and how the tests run them."""

import os
import subprocess
import sys

USE = """
import os, sys
import numpy as np
from tinycnn.kernels import runtime
from tinycnn.kernels.dense import dense_forward

def total(threads=2):
    runtime.set_num_threads(threads)
    y = np.empty((3, 4), np.float32)
    dense_forward(np.ones((3, 5000), np.float32), np.ones((5000, 4), np.float32), None, y)
    return float(y.sum())
"""

FORK = """
assert total() == 60000
child = os.fork()
if child == 0:
    os._exit(0 if total(3) == 60000 else 1)
_, status = os.waitpid(child, 0)
assert status == 0 and total() == 60000
print("done")
"""

FORK_WHILE_LOCKED = """
import threading, time
assert total() == 60000
held = threading.Event()

@runtime.locked
def hold():
    held.set()
    time.sleep(1)

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(0 if total() == 60000 else 1)
_, status = os.waitpid(child, 0)
thread.join()
assert status == 0 and total() == 60000
print("done")
"""

FORK_WHILE_COMPILING = """
import threading, time, numba
assert total() == 60000
compiling, go = threading.Event(), threading.Event()

class Slow(numba.core.event.Listener):
    def on_start(self, event):
        compiling.set()
        go.wait(1)
    def on_end(self, event):
        pass

numba.core.event.register("numba:compile", Slow())
thread = threading.Thread(target=numba.njit(lambda: 1))
thread.start()
compiling.wait()
child = os.fork()
if child == 0:
    go.set()
    os._exit(numba.njit(lambda: 0)())
for _ in range(300):
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        break
    time.sleep(0.1)
else:
    os.kill(child, 9)
thread.join()
assert pid == child and status == 0
print("done")
"""

PROCESS = """
import multiprocessing

def send(connection):
    connection.send(total())

if __name__ == "__main__":
    assert total() == 60000
    context = multiprocessing.get_context("METHOD")
    receiver, sender = context.Pipe()
    process = context.Process(target=send, args=(sender,))
    process.start()
    assert receiver.poll(60) and receiver.recv() == 60000
    process.join(60)
    assert process.exitcode == 0
    print("done")
"""


def run_script(tmp_path, text, **environment):
    script = tmp_path / "script.py"
    script.write_text(USE + text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path])), **environment}
    return subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
