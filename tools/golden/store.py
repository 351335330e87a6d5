"""Writes a case: the ONNX file, and the arrays and `case.json` by `golden_files.py`."""

import warnings

import numpy as np
import onnx
import onnxruntime
import torch

from golden_files import ROOT, save, save_json  # noqa: F401

OPSET = 17


def export(model, images, path):
    """Writes `model` (float32) as ONNX with an open batch dimension; BatchNorm stays a separate node."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.from_numpy(images),), str(path), dynamo=False, opset_version=OPSET,
            input_names=["input"], output_names=["output"],
            dynamic_axes={"input": {0: "N"}, "output": {0: "N"}},
            # EVAL would fold BatchNorm into the convolutions; PRESERVE on a model in eval mode does not.
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    onnx.checker.check_model(str(path), full_check=True)


def layer_names(path, layer):
    """The ONNX node and value of a named layer of the twin."""
    nodes = [node for node in onnx.load(str(path)).graph.node if node.name.startswith(f"/{layer}/")]
    return {"node": nodes[-1].name, "tensor": nodes[-1].output[0]}


def run_onnx(path, images, tensors):
    """Output and named intermediate tensors as computed by onnxruntime."""
    model = onnx.load(str(path))
    model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["output", *tensors], {"input": images})


def relative_difference(got, expected):
    """Largest absolute difference divided by the largest absolute expected value."""
    scale = np.abs(expected).max()
    return float(np.abs(np.asarray(got, np.float64) - expected).max() / (scale if scale > 0 else 1.0))
