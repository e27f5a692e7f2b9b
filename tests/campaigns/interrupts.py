"""Ctrl-C at any moment of training or prediction: the process ends within two seconds, and never hangs."""

import os
import signal
import time

import numpy as np
from toys import spots

import tinycnn

COUNT = 300
SECONDS = 2
IMAGES, LABELS = spots(64, (32, 32, 1))


def prepare(folder):
    model = network()
    for task in (training, predicting, one_kernel):  # all is compiled then
        task(model, once=True)
    return model


def attack(model, rng):
    task, threads = TASKS[rng.integers(len(TASKS))], int(rng.integers(1, 4))
    after, twice = rng.uniform(0, 0.15), bool(rng.integers(2))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the child is where it can only end itself
    child = os.fork()
    if child == 0:
        in_the_child(task, model, threads)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    time.sleep(after)
    os.kill(child, signal.SIGINT)
    pressed = time.monotonic()
    if twice:
        time.sleep(rng.uniform(0, 0.01))
        os.kill(child, signal.SIGINT)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() - pressed > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"{task.__name__} with {threads} threads went on {SECONDS} s after Ctrl-C")
        time.sleep(0.002)
    status = os.waitstatus_to_exitcode(ended[1])
    assert status == 0, f"{task.__name__} with {threads} threads ended with status {status}"


def in_the_child(task, model, threads):
    status = 1
    try:
        try:
            signal.alarm(0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            tinycnn.set_num_threads(threads)
            task(model)
        except KeyboardInterrupt:
            status = 0
        finally:
            os._exit(status)
    finally:  # the second Ctrl-C, between two steps of the above
        os._exit(0)


def predicting(model, once=False):
    while True:
        model.predict(IMAGES, 8)
        if once:
            return


def training(model, once=False):
    history = model.fit((IMAGES, LABELS), epochs=1 if once else 10**6, batch_size=8, verbose=0)
    if not once and history.epochs < 10**6:  # `fit` ends in good order, with what it has learnt
        raise KeyboardInterrupt


def one_kernel(model, once=False):
    while True:
        model.run(IMAGES, training=True)
        model.backward(np.ones((64, 3), np.float32))
        if once:
            return


TASKS = [predicting, training, one_kernel]


def network():
    layers = [tinycnn.Conv2D(16, 3, activation="relu"), tinycnn.MaxPool2D(), tinycnn.Flatten()]
    model = tinycnn.Sequential([*layers, tinycnn.Dense(3, activation="softmax")])
    model.build((32, 32, 1))
    return model
