"""Compares the golden files with pytorch-grad-cam and Captum, and prints the largest differences.

Usage: check_against_peers.py

Differences are relative to the largest absolute value of the golden array. pytorch-grad-cam hands out maps that are
cut at zero and stretched to 0...1, so its raw map is taken before that (`get_cam_image`). Its guided back-propagation
explains one image a call. Exits 1 if a peer that implements the same formula differs by more than 1e-6.
"""

import json
import sys
import warnings

import numpy as np
import torch
from captum.attr import GuidedBackprop, GuidedGradCam, LayerGradCam, Saliency
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from cases import CASES
from store import ROOT, relative_difference

LIMIT = 1e-6


class Logits(nn.Module):
    """The twin as the peers want it: a module whose output is the logits, one column per class."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.logits(x)


def grad_cam_raw(logits, layer, x, column):
    """pytorch-grad-cam's weighted sum before it cuts, resizes and stretches."""
    kept = []

    class Raw(GradCAM):
        def get_cam_image(self, *arguments, **options):
            kept.append(super().get_cam_image(*arguments, **options))
            return kept[-1]

    with Raw(model=logits, target_layers=[layer]) as cam:
        cam(input_tensor=x, targets=[ClassifierOutputTarget(column)] * len(x))
    return kept[0]


def peers(model, x, column):
    """(golden name, peer, what the peer computed) for one case."""
    logits = Logits(model)
    for name, layer in (("grad_cam", model.default_layer), ("grad_cam_other", model.other_layer)):
        layer = getattr(model, layer)
        yield name, "pytorch-grad-cam", grad_cam_raw(logits, layer, x, column)
        attribution = LayerGradCam(logits, layer).attribute(x, column)
        yield name, "captum", attribution[:, 0].detach().numpy()
    yield "gradient", "captum", Saliency(logits).attribute(x, column, abs=False).numpy()
    yield "guided_backprop", "captum", GuidedBackprop(logits).attribute(x, column).numpy()
    guided = GuidedGradCam(logits, getattr(model, model.default_layer))
    yield "guided_grad_cam", "captum", guided.attribute(x, column, interpolate_mode="bilinear").detach().numpy()
    # Last: it swaps the ReLU modules of the model it is given.
    one_by_one = GuidedBackpropReLUModel(model=logits, device="cpu")
    images = [one_by_one(x[n:n + 1], target_category=column) for n in range(len(x))]
    images = [image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in images]
    yield "guided_backprop", "pytorch-grad-cam", np.stack(images)


def main():
    warnings.simplefilter("ignore")
    worst = 0.0
    print(f"{'case':12} {'array':16} {'peer':17} {'relative difference':>19}")
    for case, build in CASES.items():
        model, images = build()
        column = 0 if json.loads((ROOT / case / "case.json").read_text())["outputs"] == 1 else 1
        for name, peer, got in peers(model.double(), torch.from_numpy(images).double(), column):
            difference = relative_difference(got, np.load(ROOT / case / f"expected_{name}.npy").astype(np.float64))
            print(f"{case:12} {name:16} {peer:17} {difference:19.2e}{'' if difference <= LIMIT else '  <-- differs'}")
            worst = max(worst, difference)
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
