"""The explanation formulas in plain PyTorch, for a twin of any precision.

Target: the logit of one class, summed over the batch (samples are independent, so each has its own gradient).
"""

import torch
from torch import nn
from torch.nn import functional as F

from relevance import DeconvolutionRectifier, deep_lift, relevances


class GuidedRectifier(torch.autograd.Function):
    """ReLU whose backward pass passes a gradient only where input and gradient are positive (Springenberg 2015)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x > 0) * (grad > 0)


class Tap:
    """Keeps the output of a named layer of the last forward pass, guided or not."""

    def __init__(self, model, name):
        self.value = None
        self.handle = getattr(model, name).register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        self.value = output

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.handle.remove()


def gradients(model, x, class_index, layer):
    """(logits, A, dz/dA, dz/dx) for the class, where A is the output of `layer`."""
    x = x.clone().requires_grad_(True)
    with Tap(model, layer) as tap:
        logits = model.logits(x)
        grad_a, grad_x = torch.autograd.grad(score(logits, class_index).sum(), [tap.value, x])
    return logits.detach(), tap.value.detach(), grad_a, grad_x


def score(logits, class_index):
    """The explained logit; the z of a one-output head belongs to class 1."""
    if logits.shape[1] == 1:
        if class_index != 1:
            raise ValueError("a one-output head is explained at class 1")
        return logits[:, 0]
    return logits[:, class_index]


def through_rectifiers(model, x, class_index, rectifier):
    """dz/dx with every ReLU's backward pass replaced, N x C x H x W."""
    rectifiers = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    for module in rectifiers:
        module.forward = rectifier.apply
    try:
        x = x.clone().requires_grad_(True)
        (grad,) = torch.autograd.grad(score(model.logits(x), class_index).sum(), [x])
    finally:
        for module in rectifiers:
            del module.forward
    return grad


def explain(model, x, class_index):
    """Every expected array of a case, by name; `model` and `x` share one dtype."""
    logits, a, grad_a, grad_x = gradients(model, x, class_index, model.default_layer)
    weights = grad_a.mean((2, 3))
    grad_cam = weighted_sum(weights, a)
    _, other, grad_other, _ = gradients(model, x, class_index, model.other_layer)
    guided = through_rectifiers(model, x, class_index, GuidedRectifier)
    heat = F.interpolate(F.relu(grad_cam)[:, None], size=x.shape[2:], mode="bilinear", align_corners=False)
    arrays = {
        "logits": logits,
        "probabilities": model.head(logits),
        "conv_output": a,
        "conv_grad": grad_a,
        "weights": weights,
        "grad_cam": grad_cam,
        "grad_cam_other": weighted_sum(grad_other.mean((2, 3)), other),
        "gradient": grad_x,
        "guided_backprop": guided,
        "guided_grad_cam": guided * heat,
        "deconvnet": through_rectifiers(model, x, class_index, DeconvolutionRectifier),
        "input_x_gradient": x * grad_x,
        "deep_lift": deep_lift(model, x, class_index),
    } | relevances(model, x, class_index)
    if model.head_name == "none":
        del arrays["probabilities"]
    if hasattr(model, "gap"):
        dense = model.dense.weight[0 if logits.shape[1] == 1 else class_index]
        arrays["cam"] = weighted_sum(dense.expand(len(x), -1), a)
    return {name: array.detach().numpy() for name, array in arrays.items()}


def weighted_sum(weights, a):
    """sum_k w_k A_k: (N, C) and (N, C, h, w) to (N, h, w)."""
    return torch.einsum("nc,nchw->nhw", weights, a)
