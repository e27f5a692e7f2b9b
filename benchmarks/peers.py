"""Libraries side by side: each in a process of its own, taking turns, so that a noisy minute hits all alike.

`Peer` is one such process; `alternate` lets a list of them take turns; `summary` is median and spread; `measure` is all
of it for one network.  While one works the others are stopped (SIGSTOP), since several libraries' idle threads spin for
a while.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

# Big buffers are neither given back to the system nor taken from it afresh: each fresh page costs a page fault.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "8000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "1000000000",
}
FUSED, NHWC, COMPILED = {"fused": True}, {"channels_last": True}, {"compiled": True}


class Spec(NamedTuple):
    """What a label stands for; of several labels of one kind the fastest counts."""

    kind: str
    library: str  # the module ``peer_LIBRARY``
    options: dict  # of its Worker
    environment: dict
    title: str  # in pictures


PEERS = {
    "tinycnn": Spec("tinycnn", "tinycnn", {}, {}, "tinycnn"),
    "torch": Spec("torch", "torch", {}, {}, "PyTorch as installed"),
    "torch_tuned_nchw": Spec("torch_tuned", "torch", FUSED, KEEP_MEMORY, "PyTorch tuned"),
    "torch_tuned_nhwc": Spec("torch_tuned", "torch", FUSED | NHWC, KEEP_MEMORY, "PyTorch tuned,\nchannels last"),
    "torch_tuned_compiled_nchw": Spec(
        "torch_tuned", "torch", FUSED | COMPILED, KEEP_MEMORY, "PyTorch tuned,\ncompiled"
    ),
    "torch_tuned_compiled_nhwc": Spec(
        "torch_tuned", "torch", FUSED | COMPILED | NHWC, KEEP_MEMORY, "PyTorch tuned,\ncompiled, channels last"
    ),
    "keras": Spec("keras", "keras", {}, {}, "Keras"),
    "keras_plain": Spec("keras", "keras", {"jit_compile": False}, {}, "Keras without XLA"),
    "keras_keep_memory": Spec("keras", "keras", {}, KEEP_MEMORY, "Keras,\nallocator keeps memory"),
    "onnxruntime": Spec("onnxruntime", "onnx", {"engine": "onnxruntime"}, {}, "ONNX Runtime"),
    "openvino": Spec("openvino", "onnx", {"engine": "openvino"}, {}, "OpenVINO"),
}
KINDS = list(dict.fromkeys(spec.kind for spec in PEERS.values()))
PEERS_HELP = (
    "comma-separated; torch is PyTorch as installed; torch_tuned_* has glibc's allocator keep its memory and a fused "
    "Adam, in either memory format (nhwc is channels_last), eager or compiled; keras chooses XLA itself, keras_plain "
    "goes without, keras_keep_memory has the allocator's settings; onnxruntime and openvino only predict. Of several "
    "of one kind the fastest counts."
)


class PeerFailed(RuntimeError):
    """A peer is not installed or raised an error."""


class Peer:
    """A worker process (`peer_worker`), stopped except while it answers.

    Parameters
    ----------
    label : str
        Key of `PEERS`.
    environment : dict, optional
        Variables beside those of the label.

    Attributes
    ----------
    info : dict
        ``import_s`` and ``version``, then also what `setup` answered.
    """

    def __init__(self, label, environment=None):
        self.label = label
        spec = PEERS[label]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("peer_worker.py")), spec.library, json.dumps(spec.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
            env={**os.environ, **spec.environment, **(environment or {})},
        )
        try:
            self.info = self._read()
        except BaseException:
            self.close()
            raise

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise PeerFailed("ended early: " + self.errors.read()[-600:].strip())
        answer = json.loads(line)
        for key in ("missing", "failed"):
            if key in answer:
                raise PeerFailed(answer[key])
        return answer

    def ask(self, do, **arguments):
        """Wake the worker, give it a command, return its answer and stop it again."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        try:
            return self._read()
        finally:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGSTOP)

    def setup(self, network, task, threads=None):
        """Build the network, as `architectures` describes it, and its batch, to "train" or to "predict"."""
        self.info |= self.ask("setup", network=network, task=task, threads=threads)

    def run(self, steps):
        """``{"seconds": [...], "cpu": [...], "value": ...}`` of that many steps."""
        return self.ask("run", steps=steps)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def say(text):
    """To standard error, so that standard output holds results only."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def started(labels, environments=None):
    """``(list of Peer, {label: why it was left out})``: what can be started, and is closed at the end."""
    peers, left_out = [], {}
    try:
        for label in labels:
            say(f"starting {label} ...")
            try:
                peers.append(Peer(label, (environments or {}).get(label)))
            except PeerFailed as error:
                leave_out(label, error, left_out)
        yield peers, left_out
    finally:
        for peer in peers:
            peer.close()


def leave_out(label, error, left_out):
    left_out[label] = str(error)
    say(f"{label} is LEFT OUT: {error}")


def for_each(peers, left_out, action):
    """``{label: action(peer)}``; a peer that fails is said so, closed and taken off the list."""
    results = {}
    for peer in list(peers):
        try:
            results[peer.label] = action(peer)
        except PeerFailed as error:
            leave_out(peer.label, error, left_out)
            peers.remove(peer)
            peer.close()
    return results


def alternate(peers, left_out, rounds, steps=1, lead_in=1, quiet=False):
    """Let peers take turns: in each round every peer runs `lead_in` uncounted and `steps` counted steps.

    The lead-in refills the caches that the peer before has emptied.  Odd rounds go backwards, so that nobody is always
    behind the same neighbour.

    Returns
    -------
    dict
        ``{label: {"seconds": [...], "cpu": [...], "value": ...}}``
    """
    results = {peer.label: {"seconds": [], "cpu": [], "value": None} for peer in peers}
    for i in range(rounds):
        order = peers if i % 2 == 0 else peers[::-1]
        for label, turn in for_each(order, left_out, lambda peer: peer.run(lead_in + steps)).items():
            results[label]["seconds"] += turn["seconds"][lead_in:]
            results[label]["cpu"] += turn["cpu"][lead_in:]
            results[label]["value"] = turn["value"]
        peers[:] = [peer for peer in peers if peer.label not in left_out]
        if not quiet:
            say(f"round {i + 1} of {rounds}")
    return {label: result for label, result in results.items() if result["seconds"]}


def summary(seconds):
    """Median, quartiles and extremes of a list of times."""
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return {
        "median_s": statistics.median(seconds),
        "quartiles_s": [low, high],
        "min_s": min(seconds),
        "max_s": max(seconds),
        "n": len(seconds),
    }


def measure(labels, network, task, turns, environments=None, warm_up=3):
    """One network in every library.

    Parameters
    ----------
    turns : callable
        ``turns(seconds) -> (rounds, counted steps of each in a round)``, where the slowest's step takes `seconds`.
    warm_up : int
        Uncounted steps of each after its first.

    Returns
    -------
    dict
        ``{"peers": {label: times, memory, ...}, "left_out": {label: why}}`` and `ratios`.
    """
    with started(labels, environments) as (peers, left_out):
        for_each(peers, left_out, lambda peer: peer.setup(network, task))
        first = for_each(peers, left_out, lambda peer: peer.run(1)["seconds"][0])
        warm = for_each(peers, left_out, lambda peer: peer.run(warm_up)["seconds"][-1])
        times = alternate(peers, left_out, *turns(max(warm.values(), default=1)))
        memory = for_each(peers, left_out, lambda peer: peer.ask("memory"))
        found = {
            peer.label: summary(times[peer.label]["seconds"])
            | {"cpu_median_s": statistics.median(times[peer.label]["cpu"]), "value": times[peer.label]["value"]}
            | {"first_step_s": first[peer.label]}
            | memory[peer.label]
            | peer.info
            for peer in peers
        }
    return ratios({label: peer["median_s"] for label, peer in found.items()}) | {"peers": found, "left_out": left_out}


def best_of_kind(medians):
    """``{kind: label of its fastest}`` for ``{label: median}``."""
    best = {}
    for label, median in medians.items():
        kind = PEERS[label].kind
        if kind not in best or median < medians[best[kind]]:
            best[kind] = label
    return best


def ratios(medians):
    """What ``--json`` promises: seconds per kind, and tinycnn's time divided by each peer's (None: left out)."""
    best = best_of_kind(medians)
    result = {f"{kind}_s": medians.get(best.get(kind)) for kind in KINDS}
    ours = result["tinycnn_s"]
    for kind in KINDS[1:]:
        theirs = result[f"{kind}_s"]
        result[f"ratio_{kind}"] = ours / theirs if ours and theirs else None
    return result | {"fastest_of_kind": best}


def say_ratios(result):
    """The lines below a table of peers: what counts, and who was left out."""
    print("\n* the fastest of its kind, which counts below\n")
    for kind in KINDS[1:]:
        if result[f"ratio_{kind}"]:
            fastest = result["fastest_of_kind"][kind]
            print(f"tinycnn takes {result[f'ratio_{kind}']:.2f} of the time of {kind} ({fastest})")
    say_left_out(result["left_out"])


def say_left_out(left_out):
    for label, why in left_out.items():
        print(f"LEFT OUT: {label}: {why.strip().splitlines()[0]}")


def processor():
    """The processor's name and the widest vectors that it has, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    widest = [
        name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in found.get("flags", "").split()
    ]
    return ", ".join([found.get("model name", platform.machine()), *widest[:1]])


def load_warning():
    """The machine, as results begin; says so if other work keeps it busy.

    Threads that spin at a barrier then wait long for their neighbour.
    """
    load, cores = os.getloadavg()[0], os.cpu_count()
    if load > 0.3 * cores:
        say(f"note: the machine is not idle (load {load:.1f} on {cores} cores): that slows libraries, and unequally")
    return {"processor": processor(), "cores": cores, "load_before": load}


def table(rows, header):
    """A table in Markdown, its columns right-aligned but for the first."""
    widths = [max(3, *(len(row[i]) for row in (header, *rows))) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in aligned)


def parse_labels(text):
    """`text` split at commas, checked against `PEERS`, tinycnn first."""
    labels = [label.strip() for label in text.split(",") if label.strip()]
    unknown = [label for label in labels if label not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown peer {', '.join(unknown)}; known are {', '.join(PEERS)}")
    return ["tinycnn", *(label for label in dict.fromkeys(labels) if label != "tinycnn")]
