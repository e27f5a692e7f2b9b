"""A network of `architectures`, exported by PyTorch, in a runtime that only predicts.

Option: engine, "onnxruntime" or "openvino"; the latter is asked for float32, since it may choose bfloat16 itself.
"""

import importlib
import io

import torch
from architectures import images_and_targets
from peer_torch import sequence


def exported(network, images):
    """The network with a softmax at its end, if it classifies, as the bytes of an ONNX file."""
    torch.manual_seed(0)
    model = sequence(network["layers"])
    if network["loss"] == "cross_entropy":
        model.append(torch.nn.Softmax(1))
    model.eval()(images[:1])
    file = io.BytesIO()
    torch.onnx.export(model, (images,), file, dynamo=False)
    return file.getvalue()


def onnxruntime(engine, file, threads):
    """Images -> outputs, NCHW."""
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = engine.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def openvino(engine, file, threads):
    """Images -> outputs, NCHW."""
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    options |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    request = engine.compile_model(engine.Core().read_model(file), "CPU", options).create_infer_request()
    return lambda x: request.infer([x])[0]


class Worker:
    def __init__(self, options):
        self.engine = importlib.import_module(options["engine"])
        self.version = self.engine.__version__

    def setup(self, network, task, threads):
        if task == "train":
            raise ValueError("an ONNX runtime only predicts")
        self.x = images_and_targets(network)[0].transpose(0, 3, 1, 2).copy()
        load = {"onnxruntime": onnxruntime, "openvino": openvino}[self.engine.__name__]
        self.call = load(self.engine, exported(network, torch.from_numpy(self.x)), threads)

    def predict(self):
        outputs = self.call(self.x)
        return outputs.transpose(0, 2, 3, 1) if outputs.ndim == 4 else outputs
