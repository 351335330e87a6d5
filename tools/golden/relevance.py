"""Propagation rules in plain PyTorch, for a twin of any precision.

A twin is traversed backwards layer by layer: `back[type of layer]` computes the relevance of its inputs. The gradients
of linear layers come from autograd, so the formula of a convolution is not repeated; only the rules are implemented here.
"""

import torch
from torch import nn
from torch.nn import functional as F

from twins import SpatialMean

STABILISER = 1e-6
WEIGHTED = (nn.Conv2d, nn.Linear)
MEANS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, SpatialMean)


def stable(z, epsilon=STABILISER):
    """z moved away from 0, where the sign of 0 is +."""
    return z + torch.where(z < 0, -epsilon, epsilon).to(z)


def apply(layer, x, weight, bias):
    """The convolution or dense layer with other parameters."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def pull(function, x, s):
    """The gradient of sum(s * function(x)) with respect to x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (grad,) = torch.autograd.grad((function(x) * s).sum(), [x])
    return grad


def divide(parts, bias, relevance, epsilon=STABILISER):
    """`relevance` in proportion to the terms of sum f(x) + bias; `parts` are (f, x) with f linear."""
    z = sum(function(x) for function, x in parts) + bias
    s = relevance / stable(z, epsilon)
    return sum(x * pull(function, x, s) for function, x in parts)


class Merged:
    """A convolution or dense layer merged with the batch normalisation that follows it."""

    def __init__(self, layer, norm=None):
        self.layer, self.weight = layer, layer.weight.detach()
        out = self.weight.shape[0]
        self.bias = layer.bias.detach() if layer.bias is not None else self.weight.new_zeros(out)
        if norm is not None:
            factor = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
            self.weight = self.weight * factor.reshape(-1, *[1] * (self.weight.ndim - 1))
            self.bias = (self.bias - norm.running_mean) * factor + norm.bias.detach()

    def terms(self, weight):
        return lambda x: apply(self.layer, x, weight, None)

    def spread(self, bias):
        """One number per output channel, in a shape that can be added to the output."""
        return bias.reshape(1, -1, *[1] * (self.weight.ndim - 2))

    def epsilon(self, x, relevance, epsilon=STABILISER):
        return divide([(self.terms(self.weight), x)], self.spread(self.bias), relevance, epsilon)

    def signed(self, x, relevance, same, other, bias):
        """Positive x with the weights `same`, negative x with `other`."""
        parts = [(self.terms(same), x.clamp(min=0)), (self.terms(other), x.clamp(max=0))]
        return divide(parts, self.spread(bias), relevance)

    def alpha_beta(self, x, relevance, alpha, with_bias=True):
        up, down = self.weight.clamp(min=0), self.weight.clamp(max=0)
        bias = self.bias * with_bias
        gain = self.signed(x, relevance, up, down, bias.clamp(min=0))
        loss = self.signed(x, relevance, down, up, bias.clamp(max=0))
        return alpha * gain - (alpha - 1) * loss

    def gamma(self, x, relevance, gamma):
        w, b = self.weight, self.bias
        up, down = w + gamma * w.clamp(min=0), w + gamma * w.clamp(max=0)
        z = self.terms(w)(x) + self.spread(b)
        positive = self.signed(x, relevance * (z > 0), up, down, b + gamma * b.clamp(min=0))
        return positive + self.signed(x, relevance * (z < 0), down, up, b + gamma * b.clamp(max=0))

    def flat(self, x, relevance):
        return divide([(self.terms(torch.ones_like(self.weight)), torch.ones_like(x))], 0.0, relevance)

    def absorbed(self, x, relevance):
        """Relevance absorbed by the bias under the epsilon rule, for each sample."""
        b = self.spread(self.bias)
        z = self.terms(self.weight)(x) + b
        return (b * relevance / stable(z)).flatten(1).sum(1)


def relevance(model, x, start, rule):
    """(relevance of every value by name of the layer that produces it, the image under ""; relevance absorbed by biases).

    `start(logits)` is the relevance of the logits. `rule(merged, layer, first)` is a function of x and relevance.
    """
    norms = batch_norms(model)
    with torch.no_grad():
        values, sources = model.trace(x)
        assert torch.equal(values[list(sources)[-1]], model.logits(x)), "the wiring is not the network's"
    arrived = {name: torch.zeros_like(value) for name, value in values.items()}
    last = list(sources)[-1]
    arrived[last] = start(values[last])
    absorbed = torch.zeros(len(x), dtype=x.dtype)
    merged_away = set(norms.values())
    for name in reversed(list(sources)):
        layer, inputs, r = getattr(model, name, None), sources[name], arrived[name]
        if layer is None:  # a sum of branches
            z = sum(values[source] for source in inputs)
            for source in inputs:
                arrived[source] += values[source] * r / stable(z)
            continue
        (source,) = inputs
        value = values[source]
        if isinstance(layer, WEIGHTED):
            merged = Merged(layer, getattr(model, norms[name]) if name in norms else None)
            back = rule(merged, layer, source == "")(value, r)
            absorbed += merged.absorbed(value, r)
        elif isinstance(layer, MEANS):
            back = divide([(layer, value)], 0.0, r)
        elif isinstance(layer, (nn.MaxPool2d, nn.Flatten)):
            back = pull(layer, value, r)
        elif isinstance(layer, nn.ReLU) or name in merged_away:
            back = r
        else:
            raise TypeError(f"no rule for {layer}")
        arrived[source] += back
    return arrived, absorbed


def batch_norms(model):
    """Pairs of a batch normalisation and the layer before it."""
    names = [name for name, _ in model.named_children()]
    return {before: name for before, name in zip(names, names[1:]) if isinstance(getattr(model, name), nn.BatchNorm2d)}


def one_hot(logits, class_index):
    start = torch.zeros_like(logits)
    start[:, 0 if logits.shape[1] == 1 else class_index] = 1.0
    return start


def relevances(model, x, class_index):
    """Every map of the relevance methods with its default settings, and the relevance that biases absorb in LRP-epsilon."""
    score = lambda logits: logits * one_hot(logits, class_index)  # noqa: E731
    everywhere = {
        "lrp_epsilon": lambda m, layer, first: m.epsilon,
        "lrp_gamma": lambda m, layer, first: lambda x, r: m.gamma(x, r, 0.25),
        "lrp_alpha_beta": lambda m, layer, first: lambda x, r: m.alpha_beta(x, r, 2.0),
        "lrp_composite": lambda m, layer, first:
            m.epsilon if isinstance(layer, nn.Linear) else lambda x, r: m.alpha_beta(x, r, 1.0),
    }
    arrays = {}
    for name, rule in everywhere.items():
        arrived, absorbed = relevance(model, x, score, rule)
        arrays[name] = arrived[""]
        if name == "lrp_epsilon":
            arrays["lrp_epsilon_absorbed"] = absorbed
    votes, _ = relevance(
        model, x, lambda logits: one_hot(logits, class_index),
        lambda m, layer, first: lambda x, r: m.alpha_beta(x, r, 1.0, with_bias=False))
    arrays["excitation_backprop"] = votes[model.default_layer].sum(1)
    return arrays


class DeconvolutionRectifier(torch.autograd.Function):
    """ReLU whose backward pass passes positive gradients, whatever the input was (Zeiler and Fergus 2014)."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        return grad.clamp(min=0)


def deep_lift(model, x, class_index):
    """(x - x0) times the multipliers of the Rescale rule from a reference of zeros."""
    with torch.no_grad():
        values, sources = model.trace(x)
        there, _ = model.trace(torch.zeros_like(x))
    m = {name: torch.zeros_like(value) for name, value in values.items()}
    last = list(sources)[-1]
    m[last] = one_hot(values[last], class_index)
    for name in reversed(list(sources)):
        layer, inputs, arrived = getattr(model, name, None), sources[name], m[name]
        if layer is None:
            for source in inputs:
                m[source] += arrived
            continue
        (source,) = inputs
        value, value0 = values[source], there[source]
        dx, y, y0 = value - value0, values[name], there[name]
        if isinstance(layer, nn.ReLU):
            apart = dx.abs() > 1e-5 * (value.abs() + value0.abs())  # closer together, the quotient is rounding noise
            slope = torch.where(apart, (y - y0) / dx, (value > 0).to(dx))
            m[source] += arrived * slope
        elif isinstance(layer, nn.MaxPool2d):
            best = torch.maximum(y, y0)
            owed = pull(layer, value, arrived * (best - y0)) + pull(layer, value0, arrived * (y - best))
            m[source] += torch.where(dx == 0, torch.zeros_like(dx), owed / dx)
        else:
            m[source] += pull(layer, value, arrived)
    return x * m[""]
