"""Measures the position of the heat, with placement by receptive field and even enlargement. Prints the table of docs/placement.md.

    python tools/placement/benchmark.py FOLDER [ARCHITECTURE...] [--heatlens target/release/heatlens]

Needs torch, onnx and numpy. Each network learns whether a small ring is among bright squares (96×96 pixels); Grad-CAM has to
find the ring. Networks and data are stored in FOLDER and reused. All maps come from `heatlens explain`.
"""
import argparse, json, subprocess
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIDE, TRAIN, TEST, EPOCHS = 96, 1600, 1000, 12


def planted(n, seed):
    """Noise, four squares, and in half of the images a ring anywhere; the mask covers the ring and its interior."""
    r = np.random.default_rng(seed)
    x = r.normal(0, .25, (n, 1, SIDE, SIDE)).astype('f4')
    y, mask = r.integers(0, 2, n), np.zeros((n, SIDE, SIDE), bool)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for i in range(n):
        for _ in range(4):
            a, b = r.integers(0, SIDE - 8, 2)
            x[i, 0, a:a + 8, b:b + 8] += r.uniform(.5, 1.)
        if y[i]:
            a, b = r.integers(8, SIDE - 8, 2)
            d = np.hypot(rows - a, columns - b)
            x[i, 0, (d > 4) & (d < 7)] += 1.2
            mask[i] = d < 8
    return x, y, mask


def conv(a, b, stride=1, pad=1, dilation=1, kernel=3):
    return [nn.Conv2d(a, b, kernel, stride, pad, dilation, bias=False), nn.BatchNorm2d(b), nn.ReLU()]


class Same(nn.Module):
    """A 3×3 convolution with stride 2, padded as by TensorFlow for even sizes: only at the end."""

    def __init__(self, a, b):
        super().__init__()
        self.conv = nn.Sequential(*conv(a, b, 2, 0))

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Tokens(nn.Module):
    """Patches of 8×8 pixels, two transformer blocks, and the tokens reshaped to a grid."""

    def __init__(self, width=64):
        super().__init__()
        self.embed = nn.Sequential(*conv(1, 32, 2, 1), nn.Conv2d(32, width, 4, 4))
        self.place = nn.Parameter(torch.randn(1, (SIDE // 8) ** 2, width) * .02)
        block = lambda: nn.TransformerEncoderLayer(width, 4, 2 * width, 0., 'gelu', batch_first=True, norm_first=True)
        self.blocks = nn.Sequential(block(), block())
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2) + self.place
        return self.norm(self.blocks(x)).transpose(1, 2).unflatten(2, (SIDE // 8, SIDE // 8))


class Patches(nn.Module):
    """Patches of 8×8 pixels without overlap, then 1×1 and 3×3 convolutions."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(*conv(1, 64, 8, 0, kernel=8), *conv(64, 64, 1, 0, kernel=1), *conv(64, 64), *conv(64, 64))

    def forward(self, x):
        return self.net(x)


ARCHITECTURES = {
    'valid': lambda: (nn.Sequential(*conv(1, 16, 1, 0), *conv(16, 16, 1, 0), nn.MaxPool2d(2), *conv(16, 32, 1, 0), *conv(32, 32, 1, 0), nn.MaxPool2d(2)), 32),
    'strided': lambda: (nn.Sequential(*conv(1, 16, 2), *conv(16, 16), *conv(16, 24, 2), *conv(24, 24), *conv(24, 32, 2), *conv(32, 32)), 32),
    'same': lambda: (nn.Sequential(Same(1, 16), *conv(16, 16), Same(16, 24), *conv(24, 24), Same(24, 32), *conv(32, 32)), 32),
    'pooled': lambda: (nn.Sequential(*conv(1, 16), nn.MaxPool2d(2), *conv(16, 24), nn.MaxPool2d(2), *conv(24, 32), *conv(32, 32), nn.MaxPool2d(2)), 32),
    'dilated': lambda: (nn.Sequential(*conv(1, 16, 2), *conv(16, 24, 2), *conv(24, 32, 1, 2, 2), *conv(32, 32, 1, 2, 2)), 32),
    'patches': lambda: (Patches(), 64),
    'tokens': lambda: (Tokens(), 64),
}


class Classifier(nn.Module):
    def __init__(self, net, channels):
        super().__init__()
        self.net, self.dense = net, nn.Linear(channels, 1)

    def forward(self, x):
        return self.dense(self.net(x).mean((2, 3)))


def trained(name, folder, x, y):
    path = folder / f'{name}.onnx'
    if path.exists():
        return path
    torch.manual_seed(0)
    model = Classifier(*ARCHITECTURES[name]())
    optimiser = torch.optim.Adam(model.parameters(), 2e-3 if name != 'tokens' else 1e-3)
    epochs = EPOCHS if name != 'tokens' else 3 * EPOCHS
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * (len(x) // 64))
    for _ in range(epochs):
        for i in torch.randperm(len(x))[:len(x) // 64 * 64].split(64):
            loss = F.binary_cross_entropy_with_logits(model(x[i])[:, 0], y[i])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    torch.onnx.export(model, x[:1], path, input_names=['image'], output_names=['logit'], dynamic_axes={'image': {0: 'n'}, 'logit': {0: 'n'}}, dynamo=False)
    return path


def interpolated(maps, step, offset, beyond):
    """The maps over the image; beyond the outermost cells their value is held for `beyond` cells and fades over one more."""
    def weights(n, step, offset):
        at = (np.arange(SIDE) - offset) / step
        held = np.clip(at, 0, n - 1)
        low = np.floor(held).astype(int)
        w = np.zeros((SIDE, n))
        w[np.arange(SIDE), low] += 1 - (held - low)
        w[np.arange(SIDE), np.minimum(low + 1, n - 1)] += held - low
        return w * np.clip(1 + beyond - np.abs(at - held), 0, 1)[:, None]
    return np.einsum('yi,nij,xj->nyx', weights(maps.shape[1], step[0], offset[0]), np.maximum(maps, 0), weights(maps.shape[2], step[1], offset[1]))


def measures(heat, mask):
    """Peak inside, heat on the ring over chance, offset of the heat's centroid (rows, columns) and its standard error, share of the heat on the
    ring, IoU of the box."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    found = []
    for h, m in zip(heat, mask):
        if h.sum() <= 0:
            continue
        share = (h * m).sum() / h.sum()
        # The centroid includes only pixels with at least half of the peak value.
        hot = np.where(h >= h.max() / 2, h, 0)
        centre = [(hot * axis).sum() / hot.sum() - axis[m].mean() for axis in (rows, columns)]
        all_heat = [(h * axis).sum() / h.sum() - axis[m].mean() for axis in (rows, columns)]
        box = h >= .5 * h.max()
        ends = lambda b: [(i.min(), i.max() + 1) for i in np.nonzero(b)]
        (a, b), (c, d) = ends(box), ends(m)
        inside = max(0, min(a[1], c[1]) - max(a[0], c[0])) * max(0, min(b[1], d[1]) - max(b[0], d[0]))
        area = lambda p, q: (p[1] - p[0]) * (q[1] - q[0])
        found.append([m.ravel()[h.argmax()], share / m.mean(), *centre, *all_heat, share, inside / (area(a, b) + area(c, d) - inside)])
    f, random = np.array(found, float), np.random.RandomState(0)
    samples = np.array([np.median(f[random.randint(0, len(f), len(f)), 4:6], 0) for _ in range(1000)])
    return dict(images=len(f), peak_inside=f[:, 0].mean(), times_chance=np.median(f[:, 1]), rows=np.median(f[:, 2]), columns=np.median(f[:, 3]),
                all_rows=np.median(f[:, 4]), all_columns=np.median(f[:, 5]),
                all_rows_error=samples[:, 0].std(), all_columns_error=samples[:, 1].std(), energy=f[:, 6].mean(), iou=f[:, 7].mean())


def compare(name, options, x, y, test):
    """Prints the measures of one network by placement."""
    path, heats, (labels, mask) = trained(name, options.folder, x, y), {}, test
    for placing in ('resize', 'receptive-field'):
        out = options.folder / f'{name}-{placing}'
        subprocess.run([options.heatlens, 'explain', str(path), str(options.folder / 'test.npz'), '--out', str(out), '--force', '--method', 'grad_cam', '--class', '1',
                        '--placement', placing, '--save', 'heat,npz'], check=True, capture_output=True)
        heats[placing] = np.load(out / 'heat.npz')['grad_cam']
    raw = np.load(out / 'maps.npz')
    place = json.loads((out / 'manifest.jsonl').read_text().splitlines()[0])['maps'][0]['placement']
    right = (raw['logits'][:, 0] > 0) == (labels > 0)
    at = np.nonzero(right & (labels > 0))[0]
    print(f'{name}: accuracy {right.mean():.3f}, map {raw["grad_cam"].shape[1:]}, {place}')
    if place['kind'] == 'receptive-field':
        for beyond, label in ((np.inf, 'held'), (0, 'fading at once')):
            heats[label] = interpolated(raw['grad_cam'], place['step'], place['offset'], beyond)
        same = interpolated(raw['grad_cam'], place['step'], place['offset'], 1)
        print('  differs from numpy by at most', np.abs(same[at] / raw['grad_cam'].max((1, 2), keepdims=True)[at] - heats['receptive-field'][at]).max())
    for placing, heat in heats.items():
        m = measures(heat[at].astype(float), mask[at])
        print('  ' + f'{placing:16}' + ' '.join(f'{key} {value:.3g}' for key, value in m.items()), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('names', nargs='*', default=list(ARCHITECTURES))
    parser.add_argument('--heatlens', default='target/release/heatlens')
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    x, y, _ = planted(TRAIN, 1)
    v, w, mask = planted(TEST, 2)
    x, y = torch.tensor(x), torch.tensor(y).float()
    np.savez(options.folder / 'test.npz', X=v, y=w)
    for name in options.names or ARCHITECTURES:
        compare(name, options, x, y, (w, mask))


main()
