"""Checks that onnxruntime computes the expected outputs of a folder of cases.

Usage: onnxruntime_cases.py FOLDER [TOLERANCE]

Every sub-folder is a case: model.onnx, input_0.npy, input_1.npy … in the order of the model's inputs, and output_0.npy …
in the order of its outputs; outputs without a file are ignored. An output agrees if its shape is equal and its relative
L2 difference is at most TOLERANCE (default 1e-5). Prints the cases that disagree and the number of cases; exits 1 if any
case disagrees, 2 on wrong usage. Needs only `onnxruntime` and `numpy`.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime


def problems(case, tolerance):
    """The problems of a case, one sentence each."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(case / "model.onnx"), options, providers=["CPUExecutionProvider"])
    feeds = {x.name: np.load(case / f"input_{i}.npy") for i, x in enumerate(session.get_inputs())}
    files = {int(path.stem.split("_")[1]): path for path in case.glob("output_*.npy")}
    if not files:
        yield "nothing is expected"
    outputs = session.run(None, feeds)
    for i, path in sorted(files.items()):
        found, expected = outputs[i], np.load(path)
        if found.shape != expected.shape:
            yield f"output {i} is {found.shape}, expected {expected.shape}"
            continue
        found, expected = found.astype(np.float64), expected.astype(np.float64)
        difference = np.linalg.norm(found - expected)
        if not difference <= tolerance * np.linalg.norm(expected):  # a comparison with NaN is false, so NaN fails
            yield f"output {i} differs by {difference:.3e} from a norm of {np.linalg.norm(expected):.3e}"


def main(folder, tolerance="1e-5"):
    cases = sorted(p for p in Path(folder).iterdir() if p.is_dir())
    bad = 0
    for case in cases:
        try:
            found = list(problems(case, float(tolerance)))
        except Exception as error:  # any error of the runtime counts as a failure of the case
            found = [str(error)]
        bad += bool(found)
        for problem in found:
            print(f"{case.name}: {problem}")
    print(f"{len(cases)} cases, {bad} disagree")
    return 1 if bad or not cases else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
