"""Checks that onnxruntime computes the same probabilities from a model file.

Usage: onnxruntime_check.py MODEL.onnx INPUT.npy PROBABILITIES.npy [TOLERANCE]

Runs the model on the whole input (in groups if the file has a fixed batch size, the last one padded), prints the largest
absolute difference, and exits 1 if it exceeds TOLERANCE (default 1e-5) or a value is not finite, 2 on wrong usage.
Needs only `onnxruntime` and `numpy`.
"""

import sys

import numpy as np
import onnxruntime


def run(path, images):
    """The first output of the file for all images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    batch = feed.shape[0] if isinstance(feed.shape[0], int) else len(images)
    groups = []
    for start in range(0, len(images), batch):
        group = images[start:start + batch]
        padding = np.repeat(group[-1:], batch - len(group), axis=0)
        output = session.run(None, {feed.name: np.concatenate([group, padding])})[0]
        groups.append(output[:len(group)])
    return np.concatenate(groups)


def main(model, images, probabilities, tolerance="1e-5"):
    expected = np.load(probabilities).astype(np.float64)
    got = run(model, np.load(images).astype(np.float32)).astype(np.float64)
    if got.size != expected.size or len(got) != len(expected):
        print(f"onnxruntime gives {got.shape}, expected {expected.shape}")
        return 1
    difference = np.abs(got - expected.reshape(got.shape)).max()
    print(f"max abs difference {difference:.3e} over {got.size} probabilities, tolerance {float(tolerance):g}")
    return 0 if difference <= float(tolerance) else 1  # a comparison with NaN is false, so NaN fails


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
