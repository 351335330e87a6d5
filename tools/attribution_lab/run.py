"""AttributionLab: networks whose weights are set by hand, so that the pixels they use are known exactly. Writes its table into docs/validity.md.

    python tools/attribution_lab/run.py FOLDER [--heatlens target/release/heatlens] [--images 40]

Needs numpy and onnx. The idea is that of Zhang et al. 2024 (AttributionLab, arXiv 2310.06514): data and network are designed together.
The colours, sizes and weights are our own. An image has coloured squares on white; a 1×1 convolution with a rectifier recognises
each colour exactly, a 4×4 convolution with uniform weights counts pixels, and global average pooling and a dense layer add up the counts:

- `count`: the number of red pixels. Truth: the red pixels.
- `dominant`: red against green, two classes. Truth for the predicted colour: its pixels speak for it, those of the other one against.
- `unseen`: `count`, plus the number of black pixels. No image has any, so on the images it equals `count`, and so does the truth.

Every network is first compared with a count in numpy, and the script ends with an error if they differ.
"""
import argparse, json, subprocess, sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'docs'))
from marked import VALIDITY, table, write_part

SIDE, SQUARE, CELL = 32, 4, 4
COLOURS = {'red': (1, 0, 0), 'green': (0, 1, 0), 'black': (0, 0, 0)}
OTHERS = [(0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)]
# Each network: the dense layer's weight of each colour's count, one row for each output.
NETWORKS = {'count': [[1, 0, 0]], 'dominant': [[1, -1, 0], [-1, 1, 0]], 'unseen': [[1, 0, 1]]}
# Methods whose values are sensitivities: the sign says in which direction to change a pixel, not whether it speaks for the score.
SENSITIVITIES = {'gradient', 'guided_backprop', 'guided_grad_cam', 'deconvnet', 'smooth_grad', 'var_grad', 'square_grad', 'full_grad'}
# A map for each of several patterns, of no class.
LEFT_OUT = {'deep_feature_factorization'}
SETTINGS = ['--set', f'occlusion.window={SQUARE},occlusion.stride={SQUARE // 2}']
RECEIVES = .05


def network(dense):
    """The network as ONNX. A colour c is recognised by max(0, 2(s·x − |c|) + 1) with s = 2c − 1: 1 at c, 0 at other corners of the cube."""
    corners = np.array(list(COLOURS.values()), 'f4')
    kinds = len(corners)
    count = np.zeros((kinds, kinds, CELL, CELL), 'f4')
    count[range(kinds), range(kinds)] = 1
    cells = (SIDE // CELL) ** 2
    values = {'colour_w': (2 * (2 * corners - 1))[..., None, None], 'colour_b': 1 - 2 * corners.sum(1), 'count_w': count,
              'dense_w': np.array(dense, 'f4') * cells}
    node = helper.make_node
    nodes = [node('Conv', ['image', 'colour_w', 'colour_b'], ['colour']), node('Relu', ['colour'], ['recognised']),
             node('Conv', ['recognised', 'count_w'], ['counted'], strides=[CELL, CELL]), node('Relu', ['counted'], ['counts']),
             node('GlobalAveragePool', ['counts'], ['pooled']), node('Flatten', ['pooled'], ['flat']),
             node('Gemm', ['flat', 'dense_w'], ['scores'], transB=1)]
    port = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n', *shape])
    graph = helper.make_graph(nodes, 'attribution_lab', [port('image', 3, SIDE, SIDE)], [port('scores', len(dense))],
                              [numpy_helper.from_array(v.astype('f4'), k) for k, v in values.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def pictures(n, seed=0):
    """Squares anywhere on white that do not overlap: 2 to 6 red, 2 to 6 green (never as many), 6 of other colours."""
    r = np.random.default_rng(seed)
    x = np.ones((n, 3, SIDE, SIDE), 'f4')
    for image in x:
        red, green = r.choice(np.arange(2, 7), 2, replace=False)
        for colour in [COLOURS['red']] * red + [COLOURS['green']] * green + [OTHERS[k] for k in r.integers(0, len(OTHERS), 6)]:
            square = free(r, image)
            square[:] = np.array(colour)[:, None, None]
    return x


def free(r, image):
    """A square of the image that is still white."""
    while True:
        a, b = r.integers(0, SIDE - SQUARE + 1, 2)
        square = image[:, a:a + SQUARE, b:b + SQUARE]
        if square.min() == 1:
            return square


def where(x, colour):
    return (x == np.array(COLOURS[colour])[:, None, None]).all(1)


def truths(name, x):
    """Pixels that speak for the explained score, and pixels that speak against it."""
    red, green = where(x, 'red'), where(x, 'green')
    if name != 'dominant':
        return red, np.zeros_like(red)
    wins = (red.sum((1, 2)) > green.sum((1, 2)))[:, None, None]
    return np.where(wins, red, green), np.where(wins, green, red)


def attribution(method, raw):
    """One signed number for each pixel: channels added up, and each cell of a coarser map repeated over its pixels."""
    if raw.ndim == 4:
        return np.abs(raw).sum(1) if method in SENSITIVITIES else raw.sum(1)
    cell = np.arange(SIDE) * raw.shape[-1] // SIDE
    return raw[:, cell][:, :, cell]


def precision_and_recall(size, truth):
    """Share of the attribution on true pixels, and share of true pixels that receive more than a twentieth of the largest value."""
    size = np.maximum(size, 0)
    total, largest = size.sum((1, 2)), size.max((1, 2), keepdims=True)
    on = (size * truth).sum((1, 2)) / np.maximum(total, 1e-30)
    receives = ((size > RECEIVES * largest) & truth).sum((1, 2)) / truth.sum((1, 2))
    return on.mean(), receives.mean()


def scored(options, name, x):
    """Precision and recall of every method, for the score and, where the truth has a sign, against it."""
    folder = options.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(network(NETWORKS[name]), folder / 'model.onnx')
    np.savez(folder / 'images.npz', X=x)
    subprocess.run([options.heatlens, 'explain', folder / 'model.onnx', folder / 'images.npz', '--head', 'classes' if name == 'dominant' else 'regression',
                    '--method', 'all', *SETTINGS, '--save', 'npz', '--out', folder / 'out', '--quiet', '--force'], check=True, stdout=subprocess.DEVNULL)
    maps = np.load(folder / 'out' / 'maps.npz')
    counts = np.stack([where(x, c).sum((1, 2)) for c in COLOURS], 1) @ np.array(NETWORKS[name]).T
    if not np.array_equal(maps['logits'].reshape(counts.shape), counts):
        sys.exit(f'{name}: the network does not count the pixels: {maps["logits"][0]}, expected {counts[0]}')
    methods = [m['method'] for m in json.loads((folder / 'out' / 'manifest.jsonl').read_text().splitlines()[0])['maps'] if m['method'] not in LEFT_OUT]
    good, bad = truths(name, x)
    found = {}
    for method in methods:
        values = attribution(method, maps[method])
        against = bad.any() and method not in SENSITIVITIES and (values < 0).any()
        found[method] = precision_and_recall(values, good), precision_and_recall(-values, bad) if against else None
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--heatlens', default='target/release/heatlens')
    parser.add_argument('--images', type=int, default=40)
    parser.add_argument('--page', type=Path, default=VALIDITY)
    options = parser.parse_args()
    x = pictures(options.images)
    results = {name: scored(options, name, x) for name in NETWORKS}
    cell = lambda pair: '–' if pair is None else '{:.2f} / {:.2f}'.format(*pair)
    columns = [('count', 0), ('dominant', 0), ('dominant', 1), ('unseen', 0)]
    of = lambda method, column: results[column[0]].get(method, (None, None))[column[1]]
    methods = sorted(set().union(*results.values()), key=lambda m: (-np.mean([p[0] for c in columns for p in [of(m, c)] if p]), m))
    share = x.shape[0] * SIDE * SIDE
    chance = [truths(name, x)[k].sum() / share for name, k in columns]
    write_part(options.page, 'attribution-lab', table(
        [['', '`count`', '`dominant`: for', '`dominant`: against', '`unseen`'], ['share of pixels', *(f'{c:.2f}' for c in chance)],
         *([f'`{m}`', *(cell(of(m, c)) for c in columns)] for m in methods)]))


main()
