"""How far training is: one line that refreshes on a terminal or in a notebook, plain lines elsewhere."""

import io
import sys
import time
from collections.abc import Callable
from typing import TextIO

from tinycnn.arguments import number
from tinycnn.notebook import in_notebook
from tinycnn.training.callbacks import Callback


class Progress(Callback):
    """Prints epoch, batch, running loss and accuracy, speed and time left.

    Parameters
    ----------
    verbose : int
        0 prints nothing, 1 also within an epoch, 2 only at its end.
    stream : file, optional
        Standard output by default.  A terminal or a notebook gets one refreshing line per epoch, anything else a
        plain line per epoch, and within long epochs one every `every` seconds.
    every : float
        Seconds between plain lines.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        verbose: int = 1,
        stream: TextIO | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.verbose = verbose if isinstance(verbose, str) else number(verbose, "verbose")
        self.stream = stream or sys.stdout or io.StringIO()  # the last where a program has no output at all
        self.redraws = verbose == 1 and (self.stream.isatty() or in_notebook(self.stream))
        self.every = 0.1 if self.redraws else every
        self.clock = clock
        self._shown = clock()
        self._start: tuple[float, int] | None = None  # (time, images done) after the first batch, which may compile
        self._width = 0

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        now, run = self.clock(), self.training
        done = run.epoch * run.images + run.totals.seen
        self._trained = run.totals.seconds
        if self._start is None:
            self._start = (now, done)
        if self.verbose == 1 and run.totals.seen < run.images and now - self._shown >= self.every:
            self._shown = now
            speed, left = self._pace(now, done)
            batches = -(-run.images // run.batch_size)
            text = f"{self._epoch(run.epoch)}  batch {batch + 1}/{batches}  {_metrics(logs)}{speed}{left}"
            self._print(text, stays=not self.redraws)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self._shown = self.clock()
        if self.verbose:
            left = self._pace(self._shown, (epoch + 1) * self.training.images)[1]
            speed = f"  {self.training.images / self._trained:.1f} images/s" if self._trained > 0 else ""
            metrics = {key: value for key, value in logs.items() if key not in ("seconds", "learning_rate")}
            self._print(f"{self._epoch(epoch)}  {_metrics(metrics)}  {logs['seconds']:.1f} s{speed}{left}")

    def note(self, text: str) -> None:
        """A line of its own."""
        if self.verbose:
            self._print(text)

    def _epoch(self, epoch: int) -> str:
        epochs = self.training.epochs
        return f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}"

    def _pace(self, now: float, done: int) -> tuple[str, str]:
        """Images per second and the time left of the whole run, validation included, as text."""
        if self._start is None or now <= self._start[0] or done <= self._start[1]:
            return "", ""
        speed = (done - self._start[1]) / (now - self._start[0])
        left = (self.training.epochs * self.training.images - done) / speed
        return f"  {speed:.1f} images/s", f"  {duration(left)} left" if left > 0 else ""

    def _print(self, text: str, stays: bool = True) -> None:
        if self.redraws:
            text = "\r" + text.ljust(self._width) if self._width else text
            self._width = 0 if stays else len(text.strip("\r").rstrip())
        print(text, end="\n" if stays else "", file=self.stream, flush=True)


def duration(seconds: float) -> str:
    """Seconds as a clock shows them.

    >>> duration(59.6), duration(3723)
    ('1:00', '1:02:03')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _metrics(logs: dict[str, float]) -> str:
    return "  ".join(f"{key} {value:.4f}" for key, value in logs.items())
