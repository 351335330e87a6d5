"""Exports the node tests of the ONNX project, which the PyPI package `onnx` contains as Python code, as files.

    python tools/node_tests/export.py FOLDER

One folder for each test: `model.onnx`, and `test_data_set_0/input_0.pb`, `output_0.pb`, ... as serialised
TensorProto, SequenceProto or OptionalProto (by the declared type of the input or output). The arrays are drawn
with a fixed seed, so that failures are reproducible.
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests


def to_proto(value, info):
    if info.type.HasField("sequence_type"):
        return numpy_helper.from_list(value, info.name)
    if info.type.HasField("optional_type"):
        return numpy_helper.from_optional(value, info.name)
    if isinstance(value, onnx.TensorProto):
        named = onnx.TensorProto()
        named.CopyFrom(value)
        named.name = info.name
        return named
    return numpy_helper.from_array(np.asarray(value), info.name)


def write(case, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir(exist_ok=True)
        for kind, values, infos in (
            ("input", inputs, case.model.graph.input),
            ("output", outputs, case.model.graph.output),
        ):
            for j, (value, info) in enumerate(zip(values, infos, strict=True)):
                (data / f"{kind}_{j}.pb").write_bytes(to_proto(value, info).SerializeToString())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    np.random.seed(0)
    cases = load_model_tests(kind="node")
    for case in cases:
        write(case, folder / case.name)
    print(f"onnx {onnx.__version__}: {len(cases)} node tests in {folder}")


if __name__ == "__main__":
    main()
