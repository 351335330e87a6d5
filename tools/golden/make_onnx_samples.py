"""Small ONNX files with the same operations in different operator sets, for the tests of the reader.

Usage: make_onnx_samples.py [NAME ...]

Writes crates/heatlens-graph/tests/onnx/NAME.onnx. Each file carries, in its own metadata, an input (`test.input`,
`test.shape`) and the output of onnxruntime for it (`test.output`), as decimal numbers.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).resolve().parents[2] / "crates" / "heatlens-graph" / "tests" / "onnx"
IR_VERSIONS = {9: 4, 13: 7, 17: 8, 18: 8}


class Sample:
    """A graph builder: nodes form a chain unless inputs are given; weights come from one seed."""

    def __init__(self, name, opset, shape):
        self.name, self.opset, self.shape = name, opset, shape
        self.random = np.random.default_rng(len(name) + opset)
        self.nodes, self.weights, self.last = [], [], "x"

    def store(self, array):
        """Stores an array and returns its name."""
        name = f"stored_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape, kind=np.float32):
        return self.store(self.random.normal(0, 0.5, shape).astype(kind))

    def ints(self, *values):
        return self.store(np.array(values, np.int64))

    def then(self, op, *more, outputs=1, **attributes):
        """Applies an operator to the last value and further inputs."""
        return self.node(op, self.last, *more, outputs=outputs, **attributes)

    def node(self, op, *inputs, outputs=1, **attributes):
        name = f"{op.lower()}_{len(self.nodes)}"
        names = [f"{name}_out"] + [f"{name}_out{i}" for i in range(1, outputs)]
        node = helper.make_node(op, list(inputs), names, name=name, **attributes)
        self.nodes.append(node)
        self.last = names[0]
        return self.last

    def save(self):
        """Checks the file, runs it, and writes it with the output."""
        declared = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *self.shape])
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, self.name, [declared], [output], self.weights)
        opset = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSIONS[self.opset])
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        del model.graph.value_info[:]
        onnx.checker.check_model(model, full_check=True)
        images = self.random.normal(size=(2, *self.shape)).round(2).astype(np.float32)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        result = session.run(None, {"x": images})[0]
        assert np.isfinite(result).all() and np.ptp(result) > 1e-3, result
        numbers = {"test.input": images, "test.shape": np.array(images.shape), "test.output": result}
        for key, values in sorted(numbers.items()):
            model.metadata_props.add(key=key, value=" ".join(str(v) for v in values.ravel()))
        FOLDER.mkdir(exist_ok=True)
        onnx.save(model, FOLDER / f"{self.name}.onnx")
        print(f"{self.name}: {len(self.nodes)} nodes, output {result.shape}")


def conv_auto_pad():
    s = Sample("conv_auto_pad", 13, (2, 11, 10))
    s.then("Conv", s.weight(4, 2, 3, 4), s.weight(4), auto_pad="SAME_UPPER", strides=[2, 1])
    s.then("Relu")
    s.then("Conv", s.weight(4, 2, 4, 3), auto_pad="SAME_LOWER", group=2, kernel_shape=[4, 3])
    s.then("MaxPool", kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[1, 2], outputs=2)
    s.then("AveragePool", kernel_shape=[2, 2], strides=[2, 2], pads=[1, 0, 0, 1], count_include_pad=1)
    s.then("Conv", s.weight(3, 4, 2, 2), s.weight(3), auto_pad="VALID", dilations=[1, 2])
    s.then("GlobalAveragePool")
    s.then("Flatten")
    s.then("Gemm", s.weight(1, 3), s.weight(1), transB=1, alpha=0.5, beta=2.0)
    s.then("Sigmoid")
    s.save()


def pools_ceil():
    s = Sample("pools_ceil", 17, (1, 20, 17))
    s.then("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, auto_pad="VALID")
    s.then("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    s.then("AveragePool", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
    s.then("GlobalMaxPool")
    s.then("Tanh")
    s.save()


def unpooling():
    """A small SegNet; the outer pooling leaves a row and a column over."""
    s = Sample("unpooling", 13, (2, 9, 13))
    s.then("Conv", s.weight(3, 2, 3, 3), pads=[1, 1, 1, 1])
    features = s.last
    sizes = s.then("Shape")
    s.node("MaxPool", features, kernel_shape=[2, 2], strides=[2, 2], outputs=2)
    outer = s.nodes[-1].output[1]
    s.then("Conv", s.weight(3, 3, 3, 3), pads=[1, 1, 1, 1])
    s.then("MaxPool", kernel_shape=[1, 2], strides=[1, 2], outputs=2)
    inner = s.nodes[-1].output[1]
    s.then("Conv", s.weight(3, 3, 1, 1), s.weight(3))
    s.then("MaxUnpool", inner, kernel_shape=[1, 2], strides=[1, 2])
    s.then("Conv", s.weight(3, 3, 3, 3), pads=[1, 1, 1, 1])
    s.then("MaxUnpool", outer, sizes, kernel_shape=[2, 2], strides=[2, 2])
    s.then("Conv", s.weight(1, 3, 1, 1))
    s.then("Reshape", s.ints(-1, 9 * 13))
    s.save()


def opset9():
    s = Sample("opset9", 9, (3, 4, 5))
    variances = s.store(np.float32([0.001, 0.002, 3]))  # small, so that the default epsilon matters
    s.then("BatchNormalization", s.weight(3), s.weight(3), s.weight(3), variances, momentum=0.9)
    s.then("Pad", mode="constant", pads=[0, 0, 1, 0, 0, 0, 0, 2], value=0.25)
    s.then("Clip", min=-5.0, max=6.0)
    s.then("Dropout", ratio=0.5, outputs=2)
    s.then("Softmax")
    s.then("Slice", starts=[1, 0], ends=[2**31 - 1, -1], axes=[2, 3])
    s.then("ReduceMean", axes=[2])
    s.then("Squeeze", axes=[2])
    s.then("Unsqueeze", axes=[1, 4])
    s.then("Reshape", s.ints(0, -1))
    s.then("MatMul", s.weight(18, 2))
    s.save()


def opset13():
    s = Sample("opset13", 13, (3, 4, 5))
    s.then("Pad", s.ints(0, 0, 1, 0, 0, 0, 0, 2), s.store(np.float32(0.25)), mode="constant")
    s.then("Clip", s.store(np.float32(-0.5)), "")
    s.then("Dropout", s.store(np.float32(0.5)), s.store(np.array(False)))
    s.then("Slice", s.ints(1, -6), s.ints(2**62, -1), s.ints(2, -1), s.ints(2, 1))
    s.then("ReduceSum", s.ints(2), keepdims=1)
    s.then("ReduceMax", axes=[-1], keepdims=1)
    s.then("Squeeze", s.ints(-1, -2))
    s.then("Unsqueeze", s.ints(1))
    s.then("Softmax", axis=-1)
    value = s.last
    forms = [
        s.node("Constant", value=numpy_helper.from_array(np.float32([0.5]))),
        s.node("Constant", value_float=2.0),
        s.node("Constant", value_floats=[1.0, -1.0, 3.0]),
    ]
    s.last = value
    for form in forms:
        s.then("Mul", form)
    value = s.last
    shape = s.node("Constant", value_ints=[-1, 3])
    s.node("Reshape", value, shape)
    s.save()


def opset17():
    s = Sample("opset17", 17, (4, 3))
    x = s.then("Transpose", perm=[0, 2, 1])
    positive = s.node("Greater", x, s.store(np.float32(0)))
    square = s.node("Pow", x, s.store(np.array(2, np.int64)))
    chosen = s.node("Where", positive, x, square)
    mask = s.node("Cast", positive, to=TensorProto.FLOAT)
    total = s.node("Sum", chosen, mask, square)
    top = s.node("Max", total, x, s.store(np.float32(0.3)))
    joined = s.node("Concat", top, x, axis=-1)
    s.node("MatMul", joined, s.weight(8))
    s.then("BatchNormalization", s.weight(3), s.weight(3), s.weight(3), s.store(np.float32([1, 2, 3])), epsilon=1e-3)
    s.then("LogSoftmax", axis=1)
    s.save()


def opset18():
    s = Sample("opset18", 18, (3, 4, 5))
    s.then("Pad", s.ints(1, 2), "", s.ints(-1))
    s.then("ReduceMean", s.ints(2, 3), keepdims=0)
    s.then("ReduceMin", noop_with_empty_axes=1)
    s.then("Unsqueeze", s.ints(2))
    s.then("Expand", s.ints(1, 1, 4))
    s.then("Softplus")
    for op in ["Exp", "Log", "Sqrt", "Reciprocal", "Neg", "Abs", "Identity"]:
        s.then(op)
    s.then("Mul", s.weight(3, 4))
    s.then("Div", s.store(np.float32([2, 4, 8, 16])))
    s.then("Sub", s.weight(3, 1))
    s.save()


def half_weights():
    s = Sample("half_weights", 17, (1, 5, 5))
    weights = s.node("Cast", s.weight(2, 1, 3, 3, kind=np.float16), to=TensorProto.FLOAT)
    s.node("Conv", "x", weights)
    flat = s.then("Flatten")
    weights = s.node("Cast", s.weight(18, 2, kind=np.float64), to=TensorProto.FLOAT)
    s.node("MatMul", flat, weights)
    s.save()


def conv(s, x, inside, outside, size, **attributes):
    """A convolution and a batch normalisation with non-trivial statistics."""
    group = attributes.get("group", 1)
    x = s.node("Conv", x, s.weight(outside, inside // group, size, size), **attributes)
    variances = s.store(np.abs(s.random.normal(1, 0.4, outside)).astype(np.float32) + 0.1)
    return s.node("BatchNormalization", x, s.weight(outside), s.weight(outside), s.weight(outside), variances)


def residual():
    """A small ResNet: a strided stem, overlapping max pooling, two blocks."""
    s = Sample("residual", 17, (3, 22, 20))
    s.node("Relu", conv(s, "x", 3, 8, 5, strides=[2, 2], pads=[2, 2, 2, 2]))
    x = s.then("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for inside, outside, step in [(8, 8, 1), (8, 12, 2)]:
        y = s.node("Relu", conv(s, x, inside, outside, 3, strides=[step, step], pads=[1, 1, 1, 1]))
        y = conv(s, y, outside, outside, 3, pads=[1, 1, 1, 1])
        skip = x if step == 1 else conv(s, x, inside, outside, 1, strides=[step, step])
        x = s.node("Relu", s.node("Add", y, skip))
    s.then("GlobalAveragePool")
    s.then("Flatten")
    s.then("Gemm", s.weight(4, 12), s.weight(4), transB=1)
    s.then("Softmax", axis=-1)
    s.save()


def squeeze_excite():
    """A small MobileNetV3: depthwise convolution, squeeze and excitation, hard swish as separate operators."""
    s = Sample("squeeze_excite", 13, (3, 15, 16))
    three, six = s.store(np.float32(3)), s.store(np.float32(6))
    gate = lambda x: s.node("Div", s.node("Clip", s.node("Add", x, three), s.store(np.float32(0)), six), six)
    x = conv(s, "x", 3, 8, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    x = s.node("Mul", x, gate(x))
    y = s.node("Relu", conv(s, x, 8, 8, 5, group=8, strides=[2, 1], pads=[2, 2, 2, 2]))
    squeezed = s.node("AveragePool", y, kernel_shape=[4, 8])
    squeezed = s.node("Relu", s.node("Conv", squeezed, s.weight(4, 8, 1, 1), s.weight(4)))
    y = s.node("Mul", y, gate(s.node("Conv", squeezed, s.weight(8, 4, 1, 1), s.weight(8))))
    y = conv(s, y, 8, 6, 1)
    y = s.node("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=0)
    s.node("Mul", y, gate(y))
    s.then("ReduceMean", axes=[2, 3], keepdims=0)
    s.then("MatMul", s.weight(6, 1))
    s.then("Add", s.weight(1))
    s.save()


def tokens():
    """A small vision transformer: patches, one block of attention with one head, the mean of the tokens."""
    s = Sample("tokens", 17, (3, 12, 16))
    normal = lambda x: s.node("LayerNormalization", x, s.weight(6), s.weight(6))
    dense = lambda x, a, b: s.node("Add", s.node("MatMul", x, s.weight(a, b)), s.weight(b))
    s.node("Conv", "x", s.weight(6, 3, 4, 4), s.weight(6), strides=[4, 4])
    s.then("Reshape", s.ints(0, 6, 12))
    s.then("Transpose", perm=[0, 2, 1])
    x = s.then("Add", s.weight(12, 6))
    y = normal(x)
    q, k, v = dense(y, 6, 6), dense(y, 6, 6), dense(y, 6, 6)
    scores = s.node("MatMul", q, s.node("Transpose", k, perm=[0, 2, 1]))
    weights = s.node("Softmax", s.node("Mul", scores, s.store(np.float32(6**-0.5))), axis=-1)
    x = s.node("Add", x, dense(s.node("MatMul", weights, v), 6, 6))
    hidden = dense(normal(x), 6, 10)
    half = s.node("Mul", hidden, s.store(np.float32(0.5)))
    erf = s.node("Erf", s.node("Div", hidden, s.store(np.float32(2**0.5))))
    gelu = s.node("Mul", half, s.node("Add", erf, s.store(np.float32(1))))
    normal(s.node("Add", x, dense(gelu, 10, 6)))
    s.then("ReduceMean", axes=[1], keepdims=0)
    s.then("Gemm", s.weight(3, 6), s.weight(3), transB=1)
    s.save()


SAMPLES = {
    f.__name__: f
    for f in [
        conv_auto_pad,
        pools_ceil,
        opset9,
        opset13,
        opset17,
        opset18,
        half_weights,
        residual,
        squeeze_excite,
        tokens,
        unpooling,
    ]
}

if __name__ == "__main__":
    for name in sys.argv[1:] or SAMPLES:
        SAMPLES[name]()
