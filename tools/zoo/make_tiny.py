"""Tiny models of many families with reference results by PyTorch, for the tests that always run.

Usage: make_tiny.py [FAMILY ...]

Writes crates/heatlens/tests/zoo/FAMILY/: model.onnx, logits.npy (both images), gradient.npy (of the second),
grad_cam.npy (both) at the default layer, and case.json with that layer's name. The images come from a formula that the test
repeats. Some families come from the TorchScript exporter, the others from the dynamo exporter.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch

import heatlens
import tiny_families
from randomise import randomise
from torch_model import Reference, export, grad_cams

FOLDER = Path(__file__).resolve().parents[2] / "crates" / "heatlens" / "tests" / "zoo"
LARGEST = 100_000  # bytes of a model file
KEPT = "pkg.torch.onnx.name_scopes"


def images(side, count=2):
    """N x 3 x side x side: waves, and ripples whose frequency grows towards the lower right corner."""
    n, c, y, x = np.meshgrid(*(np.arange(k, dtype=np.float64) for k in (count, 3, side, side)), indexing="ij")
    return (np.sin(0.8 * (n + 1) * y + 0.6 * x + c) + np.cos(0.37 * x * y + n - c)).astype(np.float32)


def strip(path):
    """Removes what the exporter records about its environment: source lines and local folders."""
    model = onnx.load(path)
    for part in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        kept = [entry for entry in part.metadata_props if entry.key == KEPT]
        del part.metadata_props[:]
        part.metadata_props.extend(kept)
        part.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, path)


def make(family, exporter):
    torch.manual_seed(len(family))
    model = tiny_families.FAMILIES[family]().eval()
    side = tiny_families.SIDE
    randomise(model, torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(3)))
    pictures = images(side)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(model, pictures, str(path), exporter)
        strip(path)
        said, _ = heatlens.inspect(path)
        single = Reference(model, pictures, torch.float32)
        exact = Reference(model, pictures, torch.float64, single.chosen)
        found = heatlens.explain(path, pictures, exact.chosen, folder)
        row = heatlens.measure(found, exact, single, grad_cams(found, exact, single))
        cam = heatlens.nearest(found, grad_cams(found, exact, single))
        own, bad, differences = max(row["own"].values()), row["bad"], row["differences"]
        size, spread = path.stat().st_size, heatlens.difference(*exact.logits)
        print(family, exporter, f"{size} bytes", said["default_layer"], found["grad_cam"].shape, differences, bad, f"{spread:.2f}")
        # The test's limits are fixed, so the seed must keep values away from kinks by more than float32 rounding.
        assert not bad and spread > 1e-2 and own < 1e-5 and size <= LARGEST, (own, spread, size)
        target = FOLDER / family
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(path, target / "model.onnx")
    for name, array in {"logits": exact.logits, "gradient": exact.gradient[1], "grad_cam": cam[0]}.items():
        np.save(target / f"{name}.npy", np.ascontiguousarray(array, np.float32))
    (target / "case.json").write_text(json.dumps({"file": "model.onnx", "side": side, "class": exact.chosen, "layer": said["default_layer"]}) + "\n")


if __name__ == "__main__":
    failed = []
    for family in sys.argv[1:] or tiny_families.FAMILIES:
        try:
            make(family, "torchscript" if family in tiny_families.TORCHSCRIPT else "dynamo")
        except Exception as error:  # continue with the others
            failed.append(f"{family}: {error}")
            print("FAILED", failed[-1][:1500], flush=True)
    sys.exit(1 if failed else 0)
