"""Weights for PyTorch models that nobody trained: random, but such that every part of a network matters.

A fresh model is a poor test: its BatchNorm statistics are 0 and 1, its layer scales 1e-6, the last layer of a residual
branch zero. Here every vector that starts as a constant becomes random, and the statistics of each BatchNorm are
measured on images like those to be compared and then moved, so that activations neither explode nor vanish however deep
the network is.

Such a network may still be so rough that float32 and float64 disagree about its gradient. A `gain` below 1 makes it
gentler: the norms' scales shrink, and the shifts of BatchNorm, which stay away from zero, put most values where an
activation has no kink.
"""

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def randomise(model, images, gain=1.0, seed=0):
    """Gives `model` (in eval mode) weights that matter; `images` are such as it will be shown."""
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
    """Shifts by a half to one, up or down."""
    if norm.bias is not None and norm.bias.numel() > 1:
        sign = torch.empty_like(norm.bias).normal_(generator=generator).sign()
        norm.bias.copy_(sign * torch.empty_like(norm.bias).uniform_(0.5, 1.0, generator=generator))


def _vary(parameter, gain, generator):
    """Random numbers instead of a constant; what is drawn so small that nothing comes through is enlarged."""
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
        # A whole matrix of zeros is the end of a branch that would say nothing.
        fan = max(parameter[0].numel(), 1) if parameter.dim() > 1 else 25
        parameter.copy_(noise.normal_(0, fan**-0.5, generator=generator))
    elif abs(start) < 0.1:  # a layer scale
        parameter.copy_(noise.uniform_(0.2, 0.6, generator=generator))
    else:
        parameter.mul_(gain * noise.uniform_(0.7, 1.3, generator=generator))


def _has_statistics(module):
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def _settle(generator):
    """A hook that measures what a BatchNorm is given, and stores that with an error."""

    def hook(module, inputs):
        x = inputs[0].detach()
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance = x.var(axes, unbiased=False) + 1e-3
        noise = torch.empty_like(variance)
        mean = x.mean(axes) + 0.3 * variance.sqrt() * noise.normal_(generator=generator)
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance * noise.uniform_(0.6, 1.5, generator=generator))

    return hook
