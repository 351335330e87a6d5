"""Compares the golden files with pytorch-grad-cam, Captum and zennit, and prints the largest differences.

Usage: check_against_peers.py

Differences are relative to the largest absolute value of the golden array. pytorch-grad-cam returns maps that are
clipped at zero and rescaled to 0...1, so its raw map is taken before that (`get_cam_image`). Its guided back-propagation
explains one image per call. Exits 1 if a peer that implements the same formula differs by more than 1e-6.
"""

import copy
import json
import sys
import warnings

import numpy as np
import torch
from captum.attr import (
    Deconvolution, DeepLift, GuidedBackprop, GuidedGradCam, InputXGradient, LayerGradCam, Saliency)
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite
from zennit.rules import AlphaBeta, Epsilon, Gamma, Norm, Pass, ZPlus
from zennit.types import Activation, AvgPool, BatchNorm, Convolution, Linear

from cases import CASES, LEFT_OUT
from explain import Tap
from relevance import deep_lift, one_hot
from store import ROOT, relative_difference
from twins import SpatialMean

LIMIT = 1e-6
# zennit merges a normalisation but leaves its epsilon of 1e-5 in the network.
LIMIT_OF_MERGED = 2e-5


class Logits(nn.Module):
    """The twin in the form that the peers require: a module whose output is the logits, one column per class."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.logits(x)


def grad_cam_raw(logits, layer, x, column):
    """pytorch-grad-cam's weighted sum before it clips, resizes and rescales."""
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
    yield "deconvnet", "captum", Deconvolution(logits).attribute(x, column).numpy()
    yield "input_x_gradient", "captum", InputXGradient(logits).attribute(x, column).detach().numpy()
    if not any(len(sources) > 1 for sources in model.wiring().values()):  # zennit does not see sums outside modules
        yield from zennit(logits, model, x, column)
    # Last: it swaps the ReLU modules of the model it is given.
    one_by_one = GuidedBackpropReLUModel(model=logits, device="cpu")
    images = [one_by_one(x[n:n + 1], target_category=column) for n in range(len(x))]
    images = [image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in images]
    yield "guided_backprop", "pytorch-grad-cam", np.stack(images)


def zennit(logits, model, x, column):
    """The relevance maps; those of convolutions and dense layers by zennit's rules of the same names."""
    norm = [(Activation, Pass()), (AvgPool, Norm()), (SpatialMean, Norm()), (BatchNorm, Pass())]
    both = Linear  # all kinds of weighted layers
    composites = {
        "lrp_epsilon": [(both, Epsilon(1e-6))],
        "lrp_gamma": [(both, Gamma(0.25))],
        "lrp_alpha_beta": [(both, AlphaBeta(2.0, 1.0))],
        "lrp_composite": [(Convolution, ZPlus()), (nn.Linear, Epsilon(1e-6))],
    }
    z = logits(x).detach()
    start = one_hot(z, column)
    for name, rules in composites.items():
        composite = LayerMapComposite(norm + rules, canonizers=[SequentialMergeBatchNorm()])
        with Gradient(model=logits, composite=composite) as attributor:
            _, found = attributor(x.clone(), z * start)
        yield name, "zennit", found.numpy()
    composite = LayerMapComposite(norm + [(both, ZPlus(zero_params="bias"))], canonizers=[SequentialMergeBatchNorm()])
    with composite.context(logits) as hooked, Tap(model, model.default_layer) as tap:
        found = torch.autograd.grad((hooked(x.clone().requires_grad_(True)) * start).sum(), [tap.value])[0]
    yield "excitation_backprop", "zennit", found.sum(1).numpy()


def without_max_pools(model):
    """The twin with mean pools: Captum attributes the whole difference of a max-pool to the maximum of the image."""
    model = copy.deepcopy(model)
    for name, layer in model.named_children():
        if isinstance(layer, nn.MaxPool2d):
            setattr(model, name, nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding))
    return model


def main():
    warnings.simplefilter("ignore")
    failed = False
    print(f"{'case':12} {'array':16} {'peer':17} {'relative difference':>19}")
    for case, build in CASES.items():
        model, images = build()
        column = 0 if json.loads((ROOT / case / "case.json").read_text())["outputs"] == 1 else 1
        for name, peer, got in peers(model.double(), torch.from_numpy(images).double(), column):
            if name in LEFT_OUT.get(case, []):
                continue
            difference = relative_difference(got, np.load(ROOT / case / f"expected_{name}.npy").astype(np.float64))
            merged = peer == "zennit" and any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
            limit = LIMIT_OF_MERGED if merged else LIMIT
            print(f"{case:12} {name:16} {peer:17} {difference:19.2e}{'' if difference <= limit else '  <-- differs'}")
            failed |= difference > limit
        plain = without_max_pools(CASES[case]()[0].double())
        x = torch.from_numpy(images).double()
        got = DeepLift(Logits(plain), eps=1e-10).attribute(x, target=column).detach().numpy()
        difference = relative_difference(got, deep_lift(plain, x, max(column, 1)).detach().numpy())
        print(f"{case:12} {'deep_lift, means':16} {'captum':17} {difference:19.2e}")
        failed |= difference > LIMIT
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
