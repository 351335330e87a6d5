"""Compares self-explaining models in onnxruntime with `heatlens explain`.

Usage: explained.py [EXPORTER]

Exports a ResNet, an EfficientNet and a vision transformer of torchvision with random weights, converts each by heatlens
with Grad-CAM and the gradient as second output, and runs these files on two images. Prints the relative L2 difference
from `heatlens explain`; exits 1 if one exceeds 1e-4, or ten times the difference between PyTorch's float32 and
float64 gradients if that is larger.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import heatlens
from torch_model import cases, export

FAMILIES = {"resnet18": 160, "efficientnet_b0": 128, "vit_b_16": 224}
LIMIT = 1e-4


def difference(model, method, images, folder):
    """The relative difference of the two maps."""
    written = Path(folder) / f"{method}.onnx"
    heatlens.run(["convert", model, written, "--with-explanation", method, "--class", 1])
    session = onnxruntime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(["explanation"], {session.get_inputs()[0].name: images})[0]
    expected = heatlens.explain(model, images, 1, folder, [method])[method]
    assert np.linalg.norm(expected) > 0 and len(names) == 2, names
    return heatlens.difference(found, expected)


def main(exporter="torchscript"):
    over = False
    for name, side in FAMILIES.items():
        case = next(cases("torchvision", name, side))
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
            path = Path(folder) / "model.onnx"
            export(case.model, case.images, str(path), exporter)
            for method in ("grad_cam", "gradient"):
                found = difference(path, method, case.images, folder)
                over |= not found <= max(LIMIT, 10 * case.own)
                print(f"{name} {method}: {found:.1e} (PyTorch's own gradient: {case.own:.1e})", flush=True)
    return int(over)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
