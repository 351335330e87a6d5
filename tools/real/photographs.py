"""The photographs, as files and as arrays that a network takes."""
import io
import re

import numpy as np
from PIL import Image

from reference import package


def labelled():
    """The 20 ImageNet photographs of foolbox, and their classes."""
    files = sorted((package('foolbox') / 'data').glob('imagenet_*.jpg'))
    return files, [int(re.search(r'_(\d+)\.jpg$', f.name)[1]) for f in files]


def dogs():
    """The two photographs of dogs among them: a bull mastiff and a dalmatian."""
    return [f for f in labelled()[0] if f.stem in ('imagenet_00_243', 'imagenet_16_251')]


def sample(name):
    return package('skimage') / 'data' / name


def pixels(file, side, mode='RGB'):
    """Squashed to a square (side) or to (width, height); 0…255."""
    size = side if isinstance(side, tuple) else (side, side)
    return np.asarray(Image.open(file).convert(mode).resize(size, Image.BILINEAR), dtype='f4')


def channels_first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def face():
    """The astronaut's face, grey, 64×64, −1…1, as fer prepares it."""
    grey = Image.open(sample('astronaut.png')).convert('L').crop((165, 60, 285, 190)).resize((64, 64), Image.BILINEAR)
    return (np.asarray(grey, dtype='f4') / 127.5 - 1)[None, :, :, None]


def turned_pages(folder):
    """A printed page, upright and turned clockwise by 90, 180 and 270 degrees, as files."""
    page, files = Image.open(sample('page.png')), []
    for turn in (0, 90, 180, 270):
        files.append(folder / f'page-{turn}.png')
        page.rotate(-turn, expand=True).save(files[-1])
    return files


def cropped(file):
    """Shorter side 256, the central 224×224, ImageNet's mean and standard deviation."""
    image = Image.open(file).convert('RGB')
    scale = 256 / min(image.size)
    image = image.resize([round(s * scale) for s in image.size], Image.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    x = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype='f4') / 255
    return (x - np.float32([.485, .456, .406])) / np.float32([.229, .224, .225])


def lines():
    """A printed line upright and turned by 180 degrees, 48 pixels high and padded to 192, −1…1, as rapidocr prepares it."""
    line = Image.open(sample('page.png')).convert('RGB').crop((4, 12, 190, 36))
    out = np.zeros((2, 3, 48, 192), 'f4')
    for x, turn in zip(out, (0, 180)):
        width = min(192, int(np.ceil(48 * line.width / line.height)))
        x[:, :, :width] = np.asarray(line.rotate(turn).resize((width, 48), Image.BILINEAR), dtype='f4').transpose(2, 0, 1) / 127.5 - 1
    return out


def caffe(file):
    """256×256 through JPEG, the central 224×224, BGR minus the mean, as both packages of the ResNet-50 do."""
    store = io.BytesIO()
    Image.open(file).convert('RGB').resize((256, 256), Image.BILINEAR).save(store, 'JPEG')
    x = np.asarray(Image.open(store).convert('RGB'), dtype='f4')[16:240, 16:240]
    return x[:, :, ::-1] - np.float32([104, 117, 123])
