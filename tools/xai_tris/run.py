"""XAI-TRIS, 8×8 pixels: tests whether methods find the pixels that are known to matter. Writes the tables of docs/validity.md.

    python tools/xai_tris/run.py FOLDER [--heatlens target/release/heatlens] [--images 100] [--linear-only]

Needs numpy, scipy, POT, torch and onnx. The data are generated here, following Clark et al. 2024 (XAI-TRIS, Machine Learning) and
the authors' configuration for 8×8 pixels (braindatalab/xai-tris): a T or an L of four pixels over noise, in four
scenarios, with white and with correlated (smoothed) noise. First the linear rows: a linear network with closed-form weights,
whose gradient and input × gradient must reproduce the reference numbers below, or the script ends with an error. Then one
network for each scenario, trained here, with every applicable method, and the ranking of these methods by
`heatlens audit`, which has no access to the ground truth.
"""
import argparse, json, random, subprocess, sys
from pathlib import Path

import numpy as np
import torch
from ot.lp import emd
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from torch import nn

SEED, N, SIDE = 4000002, 10000, 8
T, L = np.array([[1, 0], [1, 1], [1, 0]], float), np.array([[1, 0], [1, 0], [1, 1]], float)
PLACES = [(1, 1), (4, 5)]
# The signal's share for white and for correlated noise.
SCENARIOS = {'linear': (.18, .0125), 'multiplicative': (.7, .1), 'rigid': (.65, .2), 'xor': (.35, .15)}
# Precision and EMD score of the linear network, by numpy alone.
REFERENCE = {('gradient', 'white'): (1.000, .970), ('input_x_gradient', 'white'): (.930, .926),
             ('gradient', 'correlated'): (.875, .911), ('input_x_gradient', 'correlated'): (.621, .880)}
TOLERANCE = .005
CONTROLS = ['random', 'edges', 'centre']


def put(canvas, shape, place):
    y, x = place
    canvas[y:y + shape.shape[0], x:x + shape.shape[1]] += shape


def patterns(scenario):
    """The signal of every image; the first half are of class 0."""
    out = np.zeros((N, SIDE, SIDE))
    r = np.random.RandomState(SEED)
    for i in range(N):
        if scenario == 'xor':
            signs = [(1, 1), (-1, -1), (1, -1), (-1, 1)][i * 4 // N]
            for shape, place, sign in zip((T, L), PLACES, signs):
                put(out[i], sign * shape, place)
        elif scenario == 'rigid':
            shape = np.rot90((T, L)[i * 2 // N], r.randint(4))
            put(out[i], shape, [r.randint(0, SIDE - n + 1) for n in shape.shape])
        else:
            k = i * 2 // N
            put(out[i], (T, L)[k], PLACES[k])
    return out.reshape(N, -1)


def backgrounds():
    random.seed(SEED)
    np.random.seed(SEED)
    white = np.stack([np.random.normal(0, .5, size=[SIDE, SIDE]).reshape(-1) for _ in range(N)])
    return {'white': white, 'correlated': np.stack([gaussian_filter(b.reshape(SIDE, SIDE), 3).reshape(-1) for b in white])}


def images(scenario, share, noise):
    """Images, and the relevant pixels of each."""
    signal = patterns(scenario)
    truth = signal != 0
    if scenario != 'rigid':
        truth[:] = truth.any(0)  # the absence of a shape is as informative as its presence
    unit = lambda a: a / np.linalg.norm(a, 'fro')
    if scenario == 'multiplicative':
        x = unit(1 - share * signal) * unit(noise)
    else:
        x = share * unit(signal) + (1 - share) * unit(noise)
    return (x / np.abs(x).max()).astype(np.float16).astype(np.float32), truth


COST = cdist(*(np.indices((SIDE, SIDE)).reshape(2, -1).T,) * 2)


def precision(truth, map):
    n = int(truth.sum())
    nonzero = np.flatnonzero(map)
    k = min(n, len(nonzero))
    top = nonzero[np.argpartition(np.abs(map[nonzero]), -k)[-k:]] if k else nonzero
    return truth[top].sum() / n


def emd_score(truth, map):
    size = np.abs(map).astype(float)
    if size.sum() == 0:
        return 0.
    _, log = emd(truth / truth.sum(), size / size.sum(), COST, numItermax=200000, log=True)
    return 1 - log['cost'] / np.sqrt(2 * SIDE ** 2)


def scores(truth, maps):
    maps = maps.reshape(len(maps), -1)
    return tuple(np.mean([of(t, m) for t, m in zip(truth, maps)]) for of in (precision, emd_score))


def heatlens(options, *arguments):
    subprocess.run([options.heatlens, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def export(model, path):
    torch.onnx.export(model.eval(), torch.zeros(1, 1, SIDE, SIDE), path, input_names=['image'], output_names=['scores'],
                      dynamic_axes={'image': {0: 'n'}, 'scores': {0: 'n'}}, dynamo=False)


def linear(options, background, x, y, truth):
    """The rows with closed-form results."""
    a, b = x[y == 0].astype(float), x[y == 1].astype(float)
    covariance = (np.cov(a.T) + np.cov(b.T)) / 2
    w = np.linalg.solve(covariance + 1e-9 * np.trace(covariance) / 64 * np.eye(64), b.mean(0) - a.mean(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with torch.no_grad():
        model[1].weight[:] = torch.tensor(w)
        model[1].bias[:] = -float(w @ (a.mean(0) + b.mean(0)) / 2)
    folder = options.folder / f'lda-{background}'
    folder.mkdir(exist_ok=True)
    export(model, folder / 'model.onnx')
    chosen = np.random.RandomState(0).permutation(N)[:300]
    np.savez(folder / 'images.npz', X=x[chosen].reshape(-1, 1, SIDE, SIDE), y=y[chosen])
    methods = ['gradient', 'input_x_gradient']
    heatlens(options, 'explain', folder / 'model.onnx', folder / 'images.npz', '--class', 1, '--method', ','.join(methods), '--save', 'npz', '--out', folder / 'out', '--force')
    maps = np.load(folder / 'out' / 'maps.npz')
    agree = True
    for method in methods:
        found, expected = scores(truth[chosen], maps[method]), REFERENCE[method, background]
        agree &= all(abs(f - e) <= TOLERANCE for f, e in zip(found, expected))
        print(f'| `{method}` | {background} | {found[0]:.3f} | {expected[0]:.3f} | {found[1]:.3f} | {expected[1]:.3f} |', flush=True)
    return agree


def trained(x, y, path):
    """The authors' convolutional network for 8×8 pixels; the weights of the best epoch on held-out images."""
    torch.manual_seed(0)
    layers, channels = [], 1
    for _ in range(4):
        layers += [nn.Conv2d(channels, 4, 2, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = 4
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 2))
    x, y = torch.tensor(x).reshape(-1, 1, SIDE, SIDE), torch.tensor(y).long()
    optimiser, loss_of = torch.optim.Adam(model.parameters(), 5e-4), nn.CrossEntropyLoss()
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
    export(model, path)


def network(options, name, x, y, truth):
    """Precision and EMD score of every method, test accuracy, and the correlation of the audit's ranking with precision."""
    folder = options.folder / name
    folder.mkdir(exist_ok=True)
    path = folder / 'model.onnx'
    order = np.random.RandomState(0).permutation(N)
    x, y, truth = x[order], y[order], truth[order]
    if not path.exists():
        trained(x, y, path)
    test = slice(9000, N)
    np.savez(folder / 'test.npz', X=x[test].reshape(-1, 1, SIDE, SIDE), y=y[test])
    heatlens(options, 'explain', path, folder / 'test.npz', '--method', 'random', '--save', 'npz', '--out', folder / 'answers', '--force')
    right = np.load(folder / 'answers' / 'maps.npz')['logits'].argmax(1) == y[test]
    chosen = 9000 + np.flatnonzero(right)[:options.images]
    np.savez(folder / 'images.npz', X=x[chosen].reshape(-1, 1, SIDE, SIDE), y=y[chosen])
    heatlens(options, 'explain', path, folder / 'images.npz', '--method', 'all', '--save', 'heat', '--out', folder / 'out', '--force')
    heat = np.load(folder / 'out' / 'heat.npz')
    layer = {m['method']: m['layer'] for m in json.loads((folder / 'out' / 'manifest.jsonl').read_text().splitlines()[0])['maps']}
    found = {method: scores(truth[chosen], heat[method]) for method in layer if method in heat}
    judged = [m for m in options.audited if m in found]
    heatlens(options, 'audit', path, folder / 'images.npz', '--method', ','.join(judged), '--images', min(options.images, 48), '--out', folder / 'audit', '--force')
    audit = json.loads((folder / 'audit' / 'audit.json').read_text())
    ranked = {m['id']: (m['score'], m['verdict']) for m in audit['methods'] if m['id'] not in CONTROLS}
    agreement = spearmanr([ranked[m][0] for m in ranked], [found[m][0] for m in ranked])
    return dict(accuracy=right.mean(), found=found, ranked=ranked, agreement=agreement, recommended=audit.get('recommended'), layer=layer.get('grad_cam'))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--heatlens', default='target/release/heatlens')
    parser.add_argument('--images', type=int, default=100)
    parser.add_argument('--linear-only', action='store_true')
    parser.add_argument('--audited', type=lambda s: s.split(','), default='grad_cam,hires_cam,layer_cam,eigen_cam,score_cam,gradient,guided_backprop,input_x_gradient,integrated_gradients,smooth_grad,lrp_epsilon,lrp_composite,deep_lift,occlusion,rise,random,edges,centre'.split(','))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    y = np.r_[np.zeros(N // 2, int), np.ones(N // 2, int)]
    noise, results, agree = backgrounds(), {}, True
    print('| method | noise | precision | reference | EMD score | reference |\n|---|---|---|---|---|---|')
    for at, background in enumerate(noise):
        x, truth = images('linear', SCENARIOS['linear'][at], noise[background])
        agree &= linear(options, background, x, y, truth)
    if not agree:
        sys.exit(f'the linear rows differ from the reference by more than {TOLERANCE}')
    if options.linear_only:
        return
    for scenario, shares in SCENARIOS.items():
        for share, background in zip(shares, noise):
            x, truth = images(scenario, share, noise[background])
            results[scenario, background] = network(options, f'{scenario}-{background}', x, y, truth)
            print(f'{scenario}, {background}: done', file=sys.stderr, flush=True)
    columns = list(results)
    print('\n| | ' + ' | '.join(f'{s}, {b}' for s, b in columns) + ' |\n|---|' + '---|' * len(columns))
    row = lambda title, of: print(f'| {title} | ' + ' | '.join(of(results[c]) for c in columns) + ' |')
    row('test accuracy', lambda r: f'{r["accuracy"]:.1%}')
    row('layer of Grad-CAM', lambda r: f'`{r["layer"]}`')
    methods = sorted(set().union(*(r['found'] for r in results.values())), key=lambda m: -np.mean([r['found'].get(m, (0,))[0] for r in results.values()]))
    for method in methods:
        row(f'`{method}`', lambda r: '–' if method not in r['found'] else '{:.2f} / {:.2f}'.format(*r['found'][method]))
    print('\n| | ' + ' | '.join(f'{s}, {b}' for s, b in columns) + ' |\n|---|' + '---|' * len(columns))
    row("rank correlation of the audit's score with precision", lambda r: f'{r["agreement"].statistic:+.2f} (p {r["agreement"].pvalue:.2f})')
    row('recommended', lambda r: f'`{r["recommended"]}`')
    row('precision of the recommended method', lambda r: f'{r["found"][r["recommended"]][0]:.2f}' if r['recommended'] in r['found'] else '–')
    row('best precision among those audited', lambda r: f'{max(r["found"][m][0] for m in r["ranked"]):.2f}')
    (options.folder / 'results.json').write_text(json.dumps({f'{s}-{b}': {**r, 'agreement': list(r['agreement']), 'accuracy': float(r['accuracy'])} for (s, b), r in results.items()}, default=float, indent=1))


main()
