"""`from_onnx`: files as other exporters write them, in NCHW, and what does not convert."""

import numpy as np
import pytest
from chains import differ

from tinycnn.interop.onnx_reader import from_onnx
from tinycnn.layers import GlobalAveragePool2D, Residual

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
RNG = np.random.default_rng(3)


def write(path, nodes, constants, shape):
    """A file of ``(operator, inputs, output, attributes)``, from input x to output y."""
    helper = onnx.helper
    graph = helper.make_graph(
        [
            helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **more)
            for kind, inputs, output, more in nodes
        ],
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return model


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def test_an_exporters_residual_network_in_nchw(tmp_path):
    nodes = [
        ("Conv", ["x", "k1"], "a", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("BatchNormalization", ["a", "gamma", "beta", "mean", "var"], "b", {}),
        ("Relu", ["b"], "c", {}),
        ("MaxPool", ["c"], "d", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        ("Conv", ["d", "k2", "b2"], "e", {"auto_pad": "SAME_UPPER", "group": 2}),
        ("Add", ["e", "d"], "f", {}),
        ("Relu", ["f"], "g", {}),
        ("Flatten", ["g"], "h", {}),
        ("Gemm", ["h", "k3", "b3"], "i", {"transB": 1}),
        ("Reshape", ["i", "shape"], "j", {}),
        ("ReduceMean", ["j"], "m", {"axes": [2, 3], "keepdims": 0}),
        ("MatMul", ["m", "k4"], "y", {}),
    ]
    constants = {"k1": normal(4, 3, 3, 3), "k2": normal(4, 2, 2, 2), "b2": normal(4), "k3": normal(24, 48)}
    constants |= {"b3": normal(24), "k4": normal(2, 5), "shape": np.int64([-1, 2, 3, 4])}
    constants |= {"gamma": normal(4), "beta": normal(4), "mean": normal(4), "var": abs(normal(4)) + 0.5}
    proto = write(tmp_path / "m.onnx", nodes, constants, ["n", 3, 12, 16])
    x = normal(2, 3, 12, 16)
    theirs = reference.ReferenceEvaluator(proto).run(None, {"x": x})[0]
    model = from_onnx(tmp_path / "m.onnx")
    assert differ(model.forward(x.transpose(0, 2, 3, 1)), theirs) < 1e-5
    kinds = [type(layer) for layer in model.layers]
    assert Residual in kinds and GlobalAveragePool2D in kinds and model.input_shape == (12, 16, 3)


def test_numbers_for_all_and_a_swish_of_an_exporters(tmp_path):
    nodes = [
        ("Mul", ["two", "x"], "a", {}),
        ("Add", ["a", "half"], "b", {}),
        ("Sigmoid", ["b"], "c", {}),
        ("Mul", ["c", "b"], "d", {}),
        ("GlobalMaxPool", ["d"], "e", {}),
        ("Flatten", ["e"], "f", {}),
        ("LayerNormalization", ["f", "gamma"], "g", {"axis": 1}),
        ("Mul", ["g", "ten"], "h", {}),
        ("Clip", ["h", "zero", "six"], "y", {}),
    ]
    constants = {"two": np.float32([2]), "half": np.float32(0.5), "gamma": normal(3)}
    constants |= {"ten": np.float32(10), "zero": np.float32(0), "six": np.float32(6)}
    proto = write(tmp_path / "m.onnx", nodes, constants, ["n", 3, 4, 5])
    x = normal(2, 3, 4, 5)
    theirs = reference.ReferenceEvaluator(proto).run(None, {"x": x})[0]
    assert differ(from_onnx(tmp_path / "m.onnx").forward(x.transpose(0, 2, 3, 1)), theirs) < 1e-5


@pytest.mark.parametrize(
    ("nodes", "constants", "says"),
    [
        ([("Erf", ["x"], "y", {})], {}, "'Erf_y': Erf does not convert; Add, "),
        ([("Transpose", ["x"], "y", {"perm": [0, 1, 3, 2]})], {}, "'Transpose_y': a transpose by "),
        ([("Add", ["x", "c"], "y", {})], {"c": np.float32([[[1]], [[2]]])}, "'Add_y': a constant for each channel"),
        ([("Mul", ["x", "x"], "y", {})], {}, "'Mul_y': a product of two tensors does not convert"),
        (
            [("LayerNormalization", ["x", "c"], "y", {})],
            {"c": np.ones(4, np.float32)},
            "'LayerNormalization_y': it normalizes along the rows of NCHW",
        ),
        ([("MatMul", ["x", "x"], "y", {})], {}, "'MatMul_y': its weights are computed"),
        ([("Clip", ["x", "c"], "y", {})], {"c": np.float32(0)}, "'Clip_y': limits of 0.0 and None do not convert"),
        ([("Softmax", ["x"], "y", {"axis": 2})], {}, "'Softmax_y': a softmax converts over the channels only"),
        (
            [("AveragePool", ["x"], "y", {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1})],
            {},
            "'AveragePool_y': .*count_include_pad=0",
        ),
    ],
)
def test_what_does_not_convert_is_named(tmp_path, nodes, constants, says):
    write(tmp_path / "m.onnx", nodes, constants, ["n", 2, 4, 4])
    with pytest.raises(ValueError, match=f"from_onnx: {says}"):
        from_onnx(tmp_path / "m.onnx")


def test_files_and_shapes_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="bad.onnx is no ONNX model"):
        from_onnx(tmp_path / "bad.onnx")
    write(tmp_path / "m.onnx", [("Relu", ["x"], "y", {})], {}, ["n", 3, "h", "w"])
    with pytest.raises(ValueError, match="input 'x' has no fixed shape"):
        from_onnx(tmp_path / "m.onnx")
