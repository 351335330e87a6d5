"""Small PyTorch models that the tests of heatlens use as references, and their input images.

Weights and images come from NumPy's frozen `RandomState`, never from PyTorch's generator, so that a newer PyTorch
produces the same files. Every model has a method `logits(x)`; calling the model adds the head (sigmoid, softmax or none).
"""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn


class SpatialMean(nn.Module):
    """Global average pooling written as a mean over H and W: exports `ReduceMean`, as Keras files do."""

    def forward(self, x):
        return x.mean((2, 3))


class Twin(nn.Module):
    """A chain of named layers; the names become the ONNX node names (`pool2` -> `/pool2/MaxPool`)."""

    def __init__(self, layers, head, default_layer, other_layer):
        super().__init__()
        self.chain = list(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.head = {"sigmoid": nn.Sigmoid(), "softmax": nn.Softmax(1), "none": nn.Identity()}[head]
        self.head_name, self.default_layer, self.other_layer = head, default_layer, other_layer

    def logits(self, x):
        for name in self.chain:
            x = getattr(self, name)(x)
        return x

    def wiring(self):
        """Each value in order, by the name of the layer that produces it, and the values it is computed from; "" is the image."""
        return dict(zip(self.chain, [[name] for name in ["", *self.chain]]))

    def trace(self, x):
        """All values by name, and the wiring; a name without a layer is the sum of its sources."""
        values, wiring = {"": x}, self.wiring()
        for name, sources in wiring.items():
            layer, inputs = getattr(self, name, None), [values[source] for source in sources]
            values[name] = sum(inputs) if layer is None else layer(*inputs)
        return values, wiring

    def forward(self, x):
        return self.head(self.logits(x))


class Branchy(Twin):
    """A stem, an overlapping padded max-pool, a fan-out into two branches that are added, grouped convolutions."""

    def __init__(self):
        layers = OrderedDict(
            stem=nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), stem_bn=nn.BatchNorm2d(8), stem_relu=nn.ReLU(),
            pool=nn.MaxPool2d(3, stride=2, padding=1),
            main=nn.Conv2d(8, 8, 3, padding=1), main_bn=nn.BatchNorm2d(8), main_relu=nn.ReLU(),
            depthwise=nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), depthwise_bn=nn.BatchNorm2d(8),
            skip=nn.Conv2d(8, 8, 1), join_relu=nn.ReLU(),
            grouped=nn.Conv2d(8, 12, 3, padding=1, groups=4), grouped_relu=nn.ReLU(),
            average=nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
            gap=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dense=nn.Linear(12, 3),
        )
        super().__init__(layers, "softmax", "average", "join_relu")

    def logits(self, x):
        x = self.pool(self.stem_relu(self.stem_bn(self.stem(x))))
        main = self.depthwise_bn(self.depthwise(self.main_relu(self.main_bn(self.main(x)))))
        x = self.join_relu(main + self.skip(x))
        x = self.average(self.grouped_relu(self.grouped(x)))
        return self.dense(self.flatten(self.gap(x)))

    def wiring(self):
        wiring = super().wiring()
        wiring |= {"skip": ["pool"], "join_relu": ["join"]}
        names = list(wiring)
        wiring["join"] = ["depthwise_bn", "skip"]
        names.insert(names.index("join_relu"), "join")
        return {name: wiring[name] for name in names}


def gap_cnn(channels=20, batch_norm=False, reduce_mean=False):
    """Conv 3x3 valid, ReLU, MaxPool 2, twice; global average pooling; Dense(1), sigmoid."""
    layers = OrderedDict()
    for block, inputs in ((1, 1), (2, channels)):
        layers[f"conv{block}"] = nn.Conv2d(inputs, channels, 3)
        if batch_norm:
            layers[f"bn{block}"] = nn.BatchNorm2d(channels)
        layers[f"relu{block}"] = nn.ReLU()
        layers[f"pool{block}"] = nn.MaxPool2d(2)
    layers["gap"] = SpatialMean() if reduce_mean else nn.AdaptiveAvgPool2d(1)
    if not reduce_mean:
        layers["flatten"] = nn.Flatten()
    layers["dense"] = nn.Linear(channels, 1)
    return Twin(layers, "sigmoid", "pool2", "relu2")


def no_gap():
    """Flatten and two dense layers after the convolutions, one output without sigmoid: CAM is not defined."""
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 4, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(4, 6, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(), dense1=nn.Linear(6 * 8 * 8, 16), relu3=nn.ReLU(), dense2=nn.Linear(16, 1),
    )
    return Twin(layers, "none", "pool2", "relu1")


def initialise(model, seed, grid=None):
    """Glorot-uniform kernels, small biases and non-trivial BatchNorm statistics.

    With `grid`, convolution parameters are multiples of it: on images with few significant bits every activation is then exact
    in float32 for any order of summation, so max-pool ties are exact ties in every program.
    """
    rng = np.random.RandomState(seed)

    def fill(tensor, values):
        tensor.data.copy_(torch.from_numpy(values.astype(np.float32)))

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            receptive = layer.weight[0, 0].numel() if layer.weight.ndim == 4 else 1
            fans = (layer.weight.shape[1] + layer.weight.shape[0]) * receptive
            kernel = rng.uniform(-1, 1, layer.weight.shape) * np.sqrt(6.0 / fans)
            bias = rng.uniform(-0.1, 0.1, layer.weight.shape[0])
            if grid and isinstance(layer, nn.Conv2d):
                kernel, bias = np.round(kernel / grid) * grid, np.round(bias / grid) * grid
            fill(layer.weight, kernel)
            if layer.bias is not None:
                fill(layer.bias, bias)
        elif isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.weight, 0.5, 1.5), (layer.bias, -0.3, 0.3),
                (layer.running_mean, -0.4, 0.4), (layer.running_var, 0.2, 2.0),
            ):
                fill(tensor, rng.uniform(low, high, tensor.shape))
    return model.eval()


def kill_channel(conv, channel):
    """Makes the ReLU after `conv` zero in one channel, for every image."""
    conv.weight.data[channel] = 0.0
    conv.bias.data[channel] = -0.5


def noise(seed, *shape):
    """Random pixels of 0 and 1."""
    return np.random.RandomState(seed).randint(0, 2, size=shape).astype(np.float32)


def smooth(seed, *shape):
    """Low-frequency waves between 0 and 1, each image and channel with its own directions; shape (N, C, H, W)."""
    rng = np.random.RandomState(seed)
    rows, columns = np.meshgrid(np.linspace(0, 1, shape[2]), np.linspace(0, 1, shape[3]), indexing="ij")
    images = np.zeros(shape)
    for plane in images.reshape(-1, shape[2], shape[3]):
        for _ in range(6):
            u, v, phase = rng.uniform(-9, 9), rng.uniform(-9, 9), rng.uniform(0, 2 * np.pi)
            plane += np.sin(u * rows + v * columns + phase)
        plane -= plane.min()
        plane /= plane.max()
    return images.astype(np.float32)
