"""Random weights for PyTorch models with which every part of a network affects the output.

A freshly initialised model is a poor test: its BatchNorm statistics are 0 and 1, its layer scales 1e-6, the last layer
of a residual branch zero. Here every vector that starts as a constant becomes random, and the statistics of each BatchNorm are
measured on images like those to be compared and then perturbed, so that activations neither explode nor vanish in deep
networks.

Such a network may still be so rough that its gradients in float32 and float64 disagree. A `gain` below 1 makes it
smoother: the norms' scales shrink, and the shifts of BatchNorm, which stay away from zero, move most values away from
the kinks of the activations.
"""

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def randomise(model, images, gain=1.0, seed=0):
    """Gives `model` (in eval mode) non-trivial weights; `images` are like those it will be run on."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            _vary(parameter, gain, generator)
        norms = [m for m in model.modules() if _has_statistics(m)]
        if gain < 1:
            for norm in norms:
                _shift(norm, generator)
        hooks = [norm.register_forward_pre_hook(_settle(generator)) for norm in norms]
        model(images)
    for hook in hooks:
        hook.remove()


def _shift(norm, generator):
    """Shifts of 0.5 to 1, up or down."""
    if norm.bias is not None and norm.bias.numel() > 1:
        sign = torch.empty_like(norm.bias).normal_(generator=generator).sign()
        norm.bias.copy_(sign * torch.empty_like(norm.bias).uniform_(0.5, 1.0, generator=generator))


def _vary(parameter, gain, generator):
    """Random numbers instead of a constant; weights so small that they block the signal are enlarged."""
    if not parameter.is_floating_point() or parameter.numel() < 2:
        return
    if parameter.min() != parameter.max():
        gain = parameter.std() * parameter[0].numel() ** 0.5
        if parameter.dim() > 1 and gain < 1:
            parameter.div_(gain)
        return
    start = parameter.flatten()[0].item()
    noise = torch.empty_like(parameter)
    if start == 0:
        # A matrix of zeros ends a branch that would otherwise have no effect.
        fan = max(parameter[0].numel(), 1) if parameter.dim() > 1 else 25
        parameter.copy_(noise.normal_(0, fan**-0.5, generator=generator))
    elif abs(start) < 0.1:  # a layer scale
        parameter.copy_(noise.uniform_(0.2, 0.6, generator=generator))
    else:
        parameter.mul_(gain * noise.uniform_(0.7, 1.3, generator=generator))


def _has_statistics(module):
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def _settle(generator):
    """A hook that measures the statistics of a BatchNorm's input and stores them with an error."""

    def hook(module, inputs):
        x = inputs[0].detach()
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance = x.var(axes, unbiased=False) + 1e-3
        noise = torch.empty_like(variance)
        mean = x.mean(axes) + 0.3 * variance.sqrt() * noise.normal_(generator=generator)
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance * noise.uniform_(0.6, 1.5, generator=generator))

    return hook
