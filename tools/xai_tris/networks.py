"""The networks: linear with closed-form weights, and the authors' convolutional network for 8×8 pixels."""
import numpy as np
import torch
from torch import nn

from data import SIDE

torch.set_num_threads(1)
RATES, LEARNED = (5e-4, 5e-3), .6


def export(model, path):
    torch.onnx.export(model.eval(), torch.zeros(1, 1, SIDE, SIDE), path, input_names=['image'], output_names=['scores'],
                      dynamic_axes={'image': {0: 'n'}, 'scores': {0: 'n'}}, dynamo=False)


def linear(x, y, path):
    """Linear discriminant analysis as a network with one output."""
    a, b = x[y == 0].astype(float), x[y == 1].astype(float)
    covariance = (np.cov(a.T) + np.cov(b.T)) / 2
    w = np.linalg.solve(covariance + 1e-9 * np.trace(covariance) / 64 * np.eye(64), b.mean(0) - a.mean(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with torch.no_grad():
        model[1].weight[:] = torch.tensor(w)
        model[1].bias[:] = -float(w @ (a.mean(0) + b.mean(0)) / 2)
    export(model, path)


def trained(x, y, path):
    """Trains the convolutional network and exports it; returns the learning rate.

    The first of RATES that learns anything is used: the first is the authors'."""
    x, y = torch.tensor(x).reshape(-1, 1, SIDE, SIDE), torch.tensor(y).long()
    for rate in RATES:
        model, accuracy = fitted(x, y, rate)
        if accuracy > LEARNED:
            break
    export(model, path)
    return rate


def fitted(x, y, rate):
    """The network after 500 epochs on the first 8000 images, with the weights of the epoch that is best on the next 1000, and its accuracy there."""
    torch.manual_seed(0)
    layers, channels = [], 1
    for _ in range(4):
        layers += [nn.Conv2d(channels, 4, 2, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = 4
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 2))
    optimiser, loss_of = torch.optim.Adam(model.parameters(), rate), nn.CrossEntropyLoss()
    best = (-1., None)
    for _ in range(500):
        for i in torch.randperm(8000).split(512):
            loss = loss_of(model(x[i]), y[i])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            right = (model(x[8000:9000]).argmax(1) == y[8000:9000]).float().mean().item()
        if right > best[0]:
            best = right, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best[1])
    return model, best[0]
