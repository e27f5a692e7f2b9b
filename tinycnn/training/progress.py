"""How far training is: one line that refreshes on a terminal, plain lines elsewhere."""

import sys
import time


class Progress:
    """Prints epoch, batch, running loss and accuracy, speed and time left.

    Parameters
    ----------
    epochs : int
        Where the run ends.
    images : int
        Training images per epoch.
    batches : int
        Batches per epoch.
    verbose : int
        0 prints nothing, 1 also within an epoch, 2 only at its end.
    stream : file, optional
        Standard output by default.  A terminal gets one refreshing line per epoch, anything else a plain
        line per epoch, and within long epochs one every `every` seconds.
    every : float
        Seconds between plain lines.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, epochs, images, batches, verbose=1, stream=None, every=10.0, clock=time.perf_counter):
        self.epochs, self.images, self.batches = epochs, images, batches
        self.verbose = verbose
        self.stream = sys.stdout if stream is None else stream
        self.terminal = verbose == 1 and self.stream.isatty()
        self.every = 0.1 if self.terminal else every
        self.clock = clock
        self._shown = clock()
        self._start = None  # (time, images done): set after the first batch, which may compile kernels
        self._width = 0

    def batch(self, epoch, batch, seen, logs):
        """After `batch` (from 1) of `epoch` (from 0), when `seen` images of the epoch are done."""
        now = self.clock()
        done = epoch * self.images + seen
        if self._start is None:
            self._start = (now, done)
        if self.verbose == 1 and batch < self.batches and now - self._shown >= self.every:
            self._shown = now
            speed, left = self._pace(now, done)
            text = f"{self._epoch(epoch)}  batch {batch}/{self.batches}  {_metrics(logs)}{speed}{left}"
            self._print(text, stays=not self.terminal)

    def epoch(self, epoch, logs, seconds):
        """After all of `epoch`; `seconds` went into its training batches."""
        self._shown = self.clock()
        if self.verbose:
            left = self._pace(self._shown, (epoch + 1) * self.images)[1]
            speed = f"  {self.images / seconds:.1f} images/s" if seconds > 0 else ""
            metrics = {key: value for key, value in logs.items() if key not in ("seconds", "learning_rate")}
            self._print(f"{self._epoch(epoch)}  {_metrics(metrics)}  {logs['seconds']:.1f} s{speed}{left}")

    def note(self, text):
        """A line of its own."""
        if self.verbose:
            self._print(text)

    def _epoch(self, epoch):
        return f"epoch {epoch + 1:{len(str(self.epochs))}}/{self.epochs}"

    def _pace(self, now, done):
        """Images per second and the time left of the whole run, validation included, as text."""
        if self._start is None or now <= self._start[0] or done <= self._start[1]:
            return "", ""
        speed = (done - self._start[1]) / (now - self._start[0])
        left = (self.epochs * self.images - done) / speed
        return f"  {speed:.1f} images/s", f"  {duration(left)} left" if left > 0 else ""

    def _print(self, text, stays=True):
        if self.terminal:
            text = "\r" + text.ljust(self._width) if self._width else text
            self._width = 0 if stays else len(text.strip("\r").rstrip())
        print(text, end="\n" if stays else "", file=self.stream, flush=True)


def duration(seconds):
    """Seconds as a clock shows them.

    >>> duration(59.6), duration(3723)
    ('1:00', '1:02:03')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _metrics(logs):
    return "  ".join(f"{key} {value:.4f}" for key, value in logs.items())
