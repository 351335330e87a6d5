"""XAI-TRIS, 8×8 pixels: tests whether methods find the pixels that are known to matter. Writes its tables into docs/validity.md.

    python tools/xai_tris/run.py FOLDER [--heatlens target/release/heatlens] [--images 100] [--linear-only]

Needs numpy, scipy, POT, torch and onnx. The data are generated here, following Clark et al. 2024 (XAI-TRIS, Machine Learning) and
the authors' configuration for 8×8 pixels (braindatalab/xai-tris): a T or an L of four pixels over noise, in four
scenarios, with white and with correlated (smoothed) noise. First the linear rows: a linear network with closed-form weights,
whose gradient and input × gradient must reproduce the reference numbers below, or the script ends with an error. Then one
network for each scenario and noise, trained here, with every applicable method, and the ranking of methods by
`heatlens audit`, which has no access to the ground truth. Networks and results in FOLDER are reused.
"""
import argparse, json, subprocess, sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'docs'))
from marked import VALIDITY, table, write_part
from data import LABELS, N, SCENARIOS, SIDE, backgrounds, images
from networks import linear, trained
from scores import scores

# Precision and EMD score of the linear network, by numpy alone.
REFERENCE = {('gradient', 'white'): (1.000, .970), ('input_x_gradient', 'white'): (.930, .926),
             ('gradient', 'correlated'): (.875, .911), ('input_x_gradient', 'correlated'): (.621, .880)}
TOLERANCE = .005
AUDITED = ['grad_cam', 'hires_cam', 'layer_cam', 'eigen_cam', 'score_cam', 'gradient', 'guided_backprop', 'input_x_gradient',
           'integrated_gradients', 'smooth_grad', 'lrp_epsilon', 'lrp_composite', 'deep_lift', 'occlusion', 'rise']
AUDIT_IMAGES = 48


def heatlens(options, *arguments):
    subprocess.run([options.heatlens, *map(str, arguments), '--quiet', '--force'], check=True, stdout=subprocess.DEVNULL)


def save(path, x, y):
    np.savez(path, X=x.reshape(-1, 1, SIDE, SIDE), y=y)


def linear_rows(options, background, x, truth):
    """Rows of the table with closed-form results, and whether all of them agree with it."""
    folder = options.folder / f'linear-network-{background}'
    folder.mkdir(exist_ok=True)
    linear(x, LABELS, folder / 'model.onnx')
    chosen = np.random.RandomState(0).permutation(N)[:300]
    save(folder / 'images.npz', x[chosen], LABELS[chosen])
    methods = ['gradient', 'input_x_gradient']
    heatlens(options, 'explain', folder / 'model.onnx', folder / 'images.npz', '--head', 'classes', '--class', 1, '--method', ','.join(methods),
             '--save', 'npz', '--out', folder / 'out')
    maps, rows, agree = np.load(folder / 'out' / 'maps.npz'), [], True
    for method in methods:
        found, expected = scores(truth[chosen], maps[method]), REFERENCE[method, background]
        agree &= all(abs(f - e) <= TOLERANCE for f, e in zip(found, expected))
        rows.append([f'`{method}`', background, *(f'{v:.3f}' for pair in zip(found, expected) for v in pair)])
    return rows, agree


def network(options, name, x, truth):
    """Accuracy, precision and EMD score of every method, and the audit's ranking, for one trained network."""
    folder = options.folder / name
    folder.mkdir(exist_ok=True)
    path, stored = folder / 'model.onnx', folder / f'result-{options.images}.json'
    if stored.exists():
        return json.loads(stored.read_text())
    order = np.random.RandomState(0).permutation(N)
    x, y, truth = x[order], LABELS[order], truth[order]
    rate = trained(x, y, path)
    save(folder / 'test.npz', x[9000:], y[9000:])
    heatlens(options, 'explain', path, folder / 'test.npz', '--method', 'random', '--save', 'npz', '--out', folder / 'answers')
    right = np.load(folder / 'answers' / 'maps.npz')['logits'].argmax(1) == y[9000:]
    chosen = 9000 + np.flatnonzero(right)[:options.images]
    save(folder / 'images.npz', x[chosen], y[chosen])
    heatlens(options, 'explain', path, folder / 'images.npz', '--method', 'all', '--save', 'heat', '--out', folder / 'out')
    heat = np.load(folder / 'out' / 'heat.npz')
    maps = json.loads((folder / 'out' / 'manifest.jsonl').read_text().splitlines()[0])['maps']
    found = {m['method']: scores(truth[chosen], heat[m['method']]) for m in maps if m['method'] in heat}
    heatlens(options, 'audit', path, folder / 'images.npz', '--method', ','.join(m for m in AUDITED if m in found),
             '--images', min(options.images, AUDIT_IMAGES), '--out', folder / 'audit')
    audit = json.loads((folder / 'audit' / 'audit.json').read_text())
    ranked = {m['id']: (m['score']['mean'], m['verdict']) for m in audit['methods'] if not m['control']}
    result = dict(accuracy=float(right.mean()), rate=rate, found=found, ranked=ranked, recommended=audit['recommended'],
                  layer=next(m['layer'] for m in maps if m['method'] == 'grad_cam'))
    stored.write_text(json.dumps(result, indent=1))
    return result


def image_itself(options, x, truth):
    """Both scores of |x|: what a method gets that shows the image and not the network."""
    chosen = np.random.RandomState(0).permutation(N)[9000:9000 + options.images]
    return scores(truth[chosen], x[chosen])


def correlation(result, score):
    """Spearman's rank correlation of the audit's score with precision (0) or EMD score (1), over the methods audited."""
    ranked = result['ranked']
    return spearmanr([ranked[m][0] for m in ranked], [result['found'][m][score] for m in ranked])


def methods_table(results):
    """Precision and EMD score of all methods, the best mean precision first."""
    pair = lambda p: '{:.2f} / {:.2f}'.format(*p)
    cell = lambda r, m: pair(r['found'][m]) if m in r['found'] else '–'
    methods = set().union(*(r['found'] for r in results.values()))
    mean = lambda m: np.mean([r['found'][m][0] for r in results.values() if m in r['found']])
    return table([['', *(f'{s}, {b}' for s, b in results)],
                  ['test accuracy', *(f'{100 * r["accuracy"]:.1f} %' for r in results.values())],
                  ['learning rate', *(f'{r["rate"]:g}' for r in results.values())],
                  ['the image itself', *(pair(r['image']) for r in results.values())],
                  *([f'`{m}`', *(cell(r, m) for r in results.values())] for m in sorted(methods, key=lambda m: (-mean(m), m)))])


def audit_table(results):
    """The audit's ranking beside the truth."""
    signed = lambda c: f'{c.statistic:+.2f} (p {c.pvalue:.2f})' if c.pvalue >= .005 else f'{c.statistic:+.2f} (p < 0.01)'
    best = lambda r: max(r['ranked'], key=lambda m: r['found'][m][0])
    named = lambda r, m: f'`{m}` {r["found"][m][0]:.2f}'
    faithful = lambda r: [m for m, (_, verdict) in r['ranked'].items() if verdict == 'faithful']
    precision = lambda r, methods: f'{np.mean([r["found"][m][0] for m in methods]):.2f} ({len(methods)})' if methods else '– (0)'
    return table([['scenario, noise', 'with precision', 'with EMD score', 'recommended, its precision', 'best audited, its precision',
                   'mean precision of the faithful', 'of the others'],
                  *([f'{s}, {b}', signed(correlation(r, 0)), signed(correlation(r, 1)), named(r, r['recommended']) if r['recommended'] in r['found'] else 'none',
                     named(r, best(r)), precision(r, faithful(r)), precision(r, [m for m in r['ranked'] if m not in faithful(r)])]
                    for (s, b), r in results.items()),
                  ['mean', *(f'{np.mean([correlation(r, k).statistic for r in results.values()]):+.2f}' for k in (0, 1)), '', '', '', '']])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--heatlens', default='target/release/heatlens')
    parser.add_argument('--images', type=int, default=100)
    parser.add_argument('--linear-only', action='store_true')
    parser.add_argument('--page', type=Path, default=VALIDITY)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    noise, rows, agree = backgrounds(), [['method', 'noise', 'precision', 'reference', 'EMD score', 'reference']], True
    for at, background in enumerate(noise):
        x, truth = images('linear', SCENARIOS['linear'][at], noise[background])
        found, good = linear_rows(options, background, x, truth)
        rows, agree = rows + found, agree & good
    print(table(rows), flush=True)
    if not agree:
        sys.exit(f'the linear rows differ from the reference by more than {TOLERANCE}')
    if options.linear_only:
        return
    results = {}
    for scenario, shares in SCENARIOS.items():
        for share, background in zip(shares, noise):
            x, truth = images(scenario, share, noise[background])
            results[scenario, background] = network(options, f'{scenario}-{background}', x, truth) | {'image': image_itself(options, x, truth)}
            print(f'{scenario}, {background}: done', file=sys.stderr, flush=True)
    write_part(options.page, 'xai-tris linear', table(rows))
    write_part(options.page, 'xai-tris methods', methods_table(results))
    write_part(options.page, 'xai-tris audit', audit_table(results))


main()
