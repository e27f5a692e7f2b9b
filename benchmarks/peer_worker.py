"""One library in a process of its own: builds the report's network, and times steps when its parent asks.

Started by `peers.Peer`, not by hand.  Each line on standard input is a JSON command, each line on the original
standard output its JSON answer; whatever the libraries print goes to standard error.

    {"do": "setup", "task": "train" | "predict", "batch": 16, "side": 256, "filters": [32, 64, 128], "threads": null}
    {"do": "run", "steps": 2}       -> {"seconds": [...], "cpu": [...], "value": last loss or first probability}
    {"do": "memory"}                -> {"peak_mb": ..., "imported_mb": ...}
"""

import json
import os
import resource
import sys
import time

import numpy as np

CLASSES = 3


def images_and_labels(batch, side):
    """The batch that every library gets: float32 in 0..1, NHWC."""
    rng = np.random.default_rng(0)
    return rng.random((batch, side, side, 3), np.float32), rng.integers(0, CLASSES, batch)


class TinycnnWorker:
    """What one turn of the loop in `tinycnn.fit` does."""

    def __init__(self, options):
        # scikit-learn, a peer of others, brings scipy along; where numba finds that, it imports it (16 MB).  An
        # installation of tinycnn has none.
        sys.modules["scipy"] = None
        import tinycnn

        self.library = tinycnn
        self.version = tinycnn.__version__

    def setup(self, task, batch, side, filters, threads):
        lib = self.library
        if threads:
            lib.set_num_threads(threads)
        layers = []
        for n in filters:
            layers += [lib.Conv2D(n, 3, padding="same", activation="relu"), lib.MaxPool2D(2)]
        layers += [lib.Dropout(0.3), lib.Flatten(), lib.Dense(128, activation="relu"), lib.Dropout(0.3)]
        layers += [lib.Dense(128, activation="relu"), lib.Dense(CLASSES, activation="softmax")]
        self.model = lib.Sequential(layers)
        self.model.build((side, side, 3))
        self.x, self.y = images_and_labels(batch, side)
        self.loss, self.optimizer = lib.CrossEntropy(), lib.Adam()
        self.step = self.train if task == "train" else self.predict

    def train(self):
        logits = self.model.run(self.x, training=True, logits=True)
        loss = self.loss.forward(logits, self.y)
        self.model.backward(self.loss.backward(), input_grad=False)
        self.optimizer.step(self.model.parameters())
        return float(loss)

    def predict(self):
        return float(self.model.predict(self.x, batch_size=len(self.x))[0, 0])


class TorchWorker:
    """As the tutorials write it; options: fused (Adam), channels_last, compiled."""

    def __init__(self, options):
        import torch

        self.library, self.options = torch, options
        self.version = torch.__version__

    def setup(self, task, batch, side, filters, threads):
        torch, options = self.library, self.options
        nn = torch.nn
        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(0)
        layers, channels = [], 3
        for n in filters:
            layers += [nn.Conv2d(channels, n, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels = n
        features = channels * (side >> len(filters)) ** 2
        layers += [nn.Dropout(0.3), nn.Flatten(), nn.Linear(features, 128), nn.ReLU(), nn.Dropout(0.3)]
        self.model = nn.Sequential(*layers, nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, CLASSES))
        x, y = images_and_labels(batch, side)
        self.x, self.y = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)
        if options.get("channels_last"):
            self.x = self.x.contiguous(memory_format=torch.channels_last)
            self.model = self.model.to(memory_format=torch.channels_last)
        self.model.train(task == "train")
        self.call = self.model
        if options.get("compiled"):
            import torch._inductor.config

            torch._dynamo.reset()
            torch._inductor.config.freezing = task == "predict"  # lets it pack the weights beforehand
            self.call = torch.compile(self.model, dynamic=False)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=options.get("fused") or None)
        self.step = self.train if task == "train" else self.predict

    def train(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.call(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self):
        with self.library.inference_mode():
            return self.library.softmax(self.call(self.x), 1)[0, 0].item()


class KerasWorker:
    """Keras on TensorFlow; `jit_compile` as in ``compile``, "auto" by default."""

    def __init__(self, options):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ["KERAS_BACKEND"] = "tensorflow"
        import keras
        import tensorflow

        self.library, self.tensorflow, self.options = keras, tensorflow, options
        self.version = f"{keras.__version__} on TensorFlow {tensorflow.__version__}"

    def setup(self, task, batch, side, filters, threads):
        keras, kl = self.library, self.library.layers
        if threads:
            self.tensorflow.config.threading.set_intra_op_parallelism_threads(threads)  # only before the first step
        keras.utils.set_random_seed(0)
        layers = [keras.Input((side, side, 3))]
        for n in filters:
            layers += [kl.Conv2D(n, 3, padding="same", activation="relu"), kl.MaxPooling2D(2)]
        layers += [kl.Dropout(0.3), kl.Flatten(), kl.Dense(128, activation="relu"), kl.Dropout(0.3)]
        layers += [kl.Dense(128, activation="relu"), kl.Dense(CLASSES, activation="softmax")]
        self.model = keras.Sequential(layers)
        self.model.compile(
            "adam", "sparse_categorical_crossentropy", jit_compile=self.options.get("jit_compile", "auto")
        )
        self.x, self.y = images_and_labels(batch, side)
        self.step = self.train if task == "train" else self.predict

    def train(self):
        self.model.reset_metrics()
        return float(self.model.train_on_batch(self.x, self.y))

    def predict(self):
        return float(self.model.predict_on_batch(self.x)[0, 0])


WORKERS = {"tinycnn": TinycnnWorker, "torch": TorchWorker, "keras": KerasWorker}


def megabytes():
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def run(worker, steps):
    """Wall-clock and processor seconds of each of `steps` steps."""
    seconds, cpu = [], []
    for _ in range(steps):
        began, began_cpu = time.perf_counter(), time.process_time()
        value = worker.step()
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return {"seconds": seconds, "cpu": cpu, "value": value}


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**content):
        answers.write(json.dumps(content) + "\n")

    began = time.perf_counter()
    try:
        worker = WORKERS[sys.argv[1]](json.loads(sys.argv[2]))
    except ImportError as error:
        answer(missing=str(error))
        return
    imported = megabytes()
    answer(import_s=time.perf_counter() - began, version=worker.version)
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        try:
            if do == "setup":
                began = time.perf_counter()
                worker.setup(**command)
                answer(build_s=time.perf_counter() - began)
            elif do == "run":
                answer(**run(worker, command["steps"]))
            elif do == "memory":
                answer(peak_mb=megabytes(), imported_mb=imported)
        except Exception as error:  # the parent decides what a failing peer means
            answer(failed=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
