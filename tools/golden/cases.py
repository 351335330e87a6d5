"""The method cases: one twin, three images and one sentence each.

The seeds are not arbitrary: `make_methods.py --search CASE` finds seeds whose maps have both signs and
whose ReLU and max-pool decisions have a margin above float32 rounding, since a gradient jumps where such a decision flips.
"""

import numpy as np
import torch

from twins import Branchy, gap_cnn, initialise, kill_channel, no_gap, noise, smooth

SATURATED = np.array([40.0, -40.0, 38.0])
WEIGHT_STEP = 2.0**-9
PIXEL_STEP = 2.0**-4


def stepped(images, step=PIXEL_STEP):
    """Pixels rounded to multiples of `step`."""
    return (np.round(images / step) * step).astype(np.float32)


def gap_cnn_case(seed=41):
    """The two-class model on two images of 0/1 noise and a smooth one. Convolution parameters and pixels have few
    bits: float32 is exact up to the second pooling, and the many max-pool ties are real ties."""
    model = initialise(gap_cnn(), seed, grid=WEIGHT_STEP)
    return model, np.concatenate([noise(seed + 1, 2, 1, 95, 95), stepped(smooth(seed + 2, 1, 1, 95, 95))])


def gap_cnn_bn_case(seed=19):
    """The two-class model with BatchNorm after each convolution and ReduceMean as pooling, non-square images."""
    model = initialise(gap_cnn(channels=12, batch_norm=True, reduce_mean=True), seed)
    return model, smooth(seed + 1, 3, 1, 42, 36)


def branchy_case(seed=3):
    """Skip connection, strides, padding, overlapping max-pool, BatchNorm, grouped and depthwise convolution, average
    pool, a dead channel, three colours, non-square images, softmax over three classes."""
    model = initialise(Branchy(), seed)
    kill_channel(model.grouped, 5)
    return model, smooth(seed + 1, 3, 3, 40, 56)


def no_gap_case(seed=25):
    """Flatten and dense layers in place of global pooling, one output without sigmoid; CAM does not apply."""
    model = initialise(no_gap(), seed, grid=WEIGHT_STEP)
    return model, np.concatenate([noise(seed + 1, 1, 1, 32, 32), stepped(smooth(seed + 2, 2, 1, 32, 32))])


def saturated_case(seed=1):
    """The two-class model scaled so that z is about +40, -40 and +38: the sigmoid is flat, the logit is not."""
    model = initialise(gap_cnn(channels=8, reduce_mean=True), seed, grid=WEIGHT_STEP)
    shade = np.linspace(0, 1, 24, dtype=np.float32)
    slope = np.tile(shade, (1, 1, 24, 1))
    images = stepped(np.concatenate([noise(seed + 1, 1, 1, 24, 24), slope, smooth(seed + 2, 1, 1, 24, 24)]))
    with torch.no_grad():
        features = model.gap(model.pool2(model.relu2(model.conv2(model.pool1(model.relu1(model.conv1(
            torch.from_numpy(images))))))))
    bias = model.dense.bias.item()
    solution = np.linalg.lstsq(features.numpy().astype(np.float64), SATURATED - bias, rcond=None)[0]
    model.dense.weight.data.copy_(torch.from_numpy(solution[None].astype(np.float32)))
    return model, images


def dead_image_case(seed=2):
    """Image 0 is constant and leaves the last ReLU zero everywhere; image 1 is constant and does not (every max-pool
    window is a tie); image 2 is ordinary. Parameters and pixels have few bits: float32 is exact here."""
    model = initialise(gap_cnn(channels=6), seed, grid=2.0**-6)
    model.conv1.bias.data.zero_()
    model.conv2.bias.data.copy_(-model.conv2.bias.data.abs() - 2.0**-6)
    images = np.concatenate([np.zeros((1, 1, 24, 24)), np.full((1, 1, 24, 24), 0.75), smooth(seed + 1, 1, 1, 24, 24)])
    return model, stepped(images)


CASES = {
    "gap_cnn": gap_cnn_case,
    "gap_cnn_bn": gap_cnn_bn_case,
    "branchy": branchy_case,
    "no_gap": no_gap_case,
    "saturated": saturated_case,
    "dead_image": dead_image_case,
}

# Images whose map must have both signs, for cases where not all images do.
BOTH_SIGNS = {"saturated": [2], "dead_image": [2]}

# Maps that a case cannot contain, because they depend on rounding. An image of zeros makes planes of equal numbers after
# the first convolution; with full-precision weights, the order of summation decides which of them a max-pool selects.
LEFT_OUT = {"gap_cnn_bn": ["deep_lift"]}
