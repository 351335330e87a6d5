"""Writes networks whose answer is known, for a quantity and for an embedding: crates/heatlens/tests/golden/planted/.

Usage: make_planted.py [regression] [similarity]

A regression on the area of the bright one of two discs: a small network trained on the spot. An embedding of scenes of two
figures out of four; two scenes share one of them. Its weights are the figures themselves, so that each number is how much of a
figure there is. The maps of its cosine similarity with the other scene's are stored, by torch's autograd in float64: the
derivative by the image, and Grad-CAM.
"""

import sys

import numpy as np
import torch
from torch import nn

from store import ROOT, export, layer_names, save, save_json

FOLDER = ROOT / "planted"
SIZE = 40
FIGURES = 4
CONTRAST = 0.6


class Network(nn.Module):
    """Convolutions, means over the image, and a dense layer."""

    def __init__(self, outputs):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 5, 2, 2), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3, 1, 1), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU())
        self.last = nn.Linear(16, outputs)

    def features(self, x):
        return self.third(self.second(self.first(x)))

    def forward(self, x):
        return self.last(self.features(x).mean((2, 3)))


class Templates(nn.Module):
    """How much of each figure there is: correlation with the figure, cut off below three quarters of its full value."""

    def __init__(self):
        super().__init__()
        y, x = np.mgrid[-5:6, -5:6]
        masks = np.stack([figure(kind, y, x) for kind in range(FIGURES)]).astype(np.float32)
        counts = masks.sum((1, 2))
        masks /= counts[:, None, None]
        full = (CONTRAST * (1 - counts / masks[0].size)).astype(np.float32)
        self.third = nn.Sequential(nn.Conv2d(1, FIGURES, 11, 1, 5), nn.ReLU())
        self.last = nn.Linear(FIGURES, FIGURES, bias=False)
        with torch.no_grad():
            self.third[0].weight.copy_(torch.from_numpy(masks - 1 / masks[0].size)[:, None])
            self.third[0].bias.copy_(torch.from_numpy(-0.75 * full))
            self.last.weight.copy_(torch.diag(torch.from_numpy(SIZE * SIZE / full)))

    def features(self, x):
        return self.third(x)

    def forward(self, x):
        return self.last(self.features(x).mean((2, 3)))


def places(random):
    """Centres of two objects that do not touch."""
    centres = random.integers(9, SIZE - 9, (2, 2))
    while np.abs(centres[0] - centres[1]).max() < 20:
        centres = random.integers(9, SIZE - 9, (2, 2))
    return centres


def box(centre, half):
    row, column = centre
    return [int(column - half), int(row - half), int(column + half + 1), int(row + half + 1)]


def discs(count, seed):
    """Noise with a bright and a dim disc, the area of the bright one, and the boxes of both."""
    random = np.random.default_rng(seed)
    pixels = random.normal(0.2, 0.04, (count, 1, SIZE, SIZE)).astype(np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    areas, boxes = np.zeros((count, 1), np.float32), np.zeros((count, 2, 4))
    for i in range(count):
        for k, ((row, column), more) in enumerate(zip(places(random), (0.7, 0.3))):
            radius = random.integers(3, 9)
            inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
            pixels[i, 0][inside] += more
            boxes[i, k] = box((row, column), radius)
            areas[i] = inside.sum() if k == 0 else areas[i]
    return pixels, areas, boxes


def figure(kind, dy, dx):
    """The pixels of a ring, a cross, a square or a diagonal cross, given the distances from its centre."""
    far = np.maximum(abs(dy), abs(dx))
    lines = [far >= 4, np.minimum(abs(dy), abs(dx)) < 1, far <= 2, abs(abs(dy) - abs(dx)) < 1]
    return lines[kind] & (far <= 5)


def scene(random, kinds):
    """Noise with figures of these kinds, and their boxes."""
    pixels = random.normal(0.2, 0.04, (1, SIZE, SIZE)).astype(np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    centres = places(random)
    for kind, (row, column) in zip(kinds, centres):
        pixels[0][figure(kind, y - row, x - column)] += CONTRAST
    return pixels, [box(centre, 5) for centre in centres]


def fit(parameters, loss, steps):
    optimiser = torch.optim.Adam(parameters, 4e-3)
    for step in range(steps):
        value = loss(1000 + step)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {value.item():.4f}", flush=True)


def regression():
    torch.manual_seed(1)
    model = Network(1)
    model.last.bias.data.fill_(100.0)

    def loss(seed):
        pixels, areas, _ = discs(16, seed)
        return ((model(torch.from_numpy(pixels)) - torch.from_numpy(areas)) / 100).square().mean()

    fit(model.parameters(), loss, 800)
    pixels, areas, boxes = discs(6, 1)
    print("areas", areas.ravel(), model(torch.from_numpy(pixels)).detach().numpy().ravel())
    export(model.eval(), pixels, FOLDER / "regression.onnx")
    save(FOLDER / "discs.npy", pixels)
    save_json(FOLDER / "regression.json", {"areas": areas.ravel().tolist(), "boxes": boxes.tolist()})


def similarity():
    model = Templates()
    random = np.random.default_rng(2)
    pairs, images, boxes = [], [], []
    for shared in range(FIGURES):
        own, other = (shared + 1) % FIGURES, (shared + 2) % FIGURES
        first, found = scene(random, [shared, own])
        images += [first, scene(random, [shared, other])[0]]
        boxes.append(found)
    pixels = np.stack(images)
    export(model.eval(), pixels, FOLDER / "similarity.onnx")
    save(FOLDER / "figures.npy", pixels)
    layer = layer_names(FOLDER / "similarity.onnx", "third")["tensor"]
    model = model.double()
    gradients, maps = [], []
    for k in range(FIGURES):
        image, other = (torch.from_numpy(pixels[[i]]).double() for i in (2 * k, 2 * k + 1))
        image.requires_grad_()
        features = model.features(image)
        features.retain_grad()
        embedding = model.last(features.mean((2, 3)))
        cosine = nn.functional.cosine_similarity(embedding, model(other).detach())
        cosine.backward()
        gradients.append(image.grad.numpy()[0])
        maps.append((features.grad.mean((2, 3), keepdim=True) * features).sum(1).detach().numpy()[0])
        pairs.append({"cosine": cosine.item(), "shared": boxes[k][0], "other": boxes[k][1]})
    save(FOLDER / "similarity_gradient.npy", np.stack(gradients))
    save(FOLDER / "similarity_grad_cam.npy", np.stack(maps))
    save_json(FOLDER / "similarity.json", {"layer": layer, "pairs": pairs})
    print([round(pair["cosine"], 3) for pair in pairs])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or ["regression", "similarity"]:
        {"regression": regression, "similarity": similarity}[name]()
