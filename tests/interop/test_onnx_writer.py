"""`to_onnx`: ONNX Runtime runs the file and gives the model's numbers, and it comes back as it was."""

import numpy as np
import pytest
from chains import CHAINS, differ, images, network

import tinycnn
from tinycnn.interop.onnx_reader import from_onnx
from tinycnn.interop.onnx_writer import OPSET, to_onnx

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize("name", CHAINS)
def test_runtime_gives_the_same_numbers_and_it_comes_back(tmp_path, name):
    runtime = pytest.importorskip("onnxruntime")
    model, x = network(name, np.float32), images(np.float32)
    to_onnx(model, tmp_path / "m.onnx")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    ours = model.forward(x)
    assert differ(ours, session.run(None, {"images": x})[0]) < 1e-5
    back = from_onnx(tmp_path / "m.onnx")
    assert back.input_shape == model.input_shape and differ(back.forward(x), ours) < 1e-5
    weights = np.random.default_rng(7).normal(size=ours.shape)
    assert differ(back.backward(weights), model.backward(weights)) < 1e-5


def test_float64_and_opset(tmp_path):
    model, x = network("plain"), images()
    to_onnx(model, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    assert [one.version for one in proto.opset_import] == [min(OPSET, onnx.defs.onnx_opset_version())]
    back = from_onnx(tmp_path / "m.onnx")
    assert back.dtype == np.float64 and differ(back.forward(x), model.forward(x)) < 1e-12


def test_what_does_not_convert_is_named_and_no_file_is_left(tmp_path):
    class Doubled(tinycnn.Layer):
        def forward(self, x, training=False):
            return 2 * self._enter(x)

    model = tinycnn.Sequential([Doubled()])
    with pytest.raises(ValueError, match="to_onnx: the model has no weights"):
        to_onnx(model, tmp_path / "m.onnx")
    model.build((3,))
    with pytest.raises(ValueError, match="to_onnx: Doubled 'doubled' .* has no counterpart in ONNX"):
        to_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
