"""Writes the maps of multi-pass methods computed by Captum: crates/heatlens/tests/golden/passes/.

Usage: make_passes.py

One `<case>_<method>.npy` for each, for the three images of the case at once. Only deterministic methods have one, and
only with settings for which Captum follows the paper: integrated gradients by Gauss-Legendre quadrature (its trapezoid
rule omits a fraction of 1/steps), and occlusion. Float64, from float32 parameters and images, rounded once.

Integrated gradients use separate images. On the path to an image with few significant bits, max-pool windows hold
numbers that are equal except for rounding, and rounding decides where the gradient goes: on `no_gap`'s original images
Captum in double precision changes 70 of 3072 pixels if the images are brighter by one in 10^12. The seeds give images for
which single and double precision agree, and for which the double-precision result does not change if the images are
perturbed by about the rounding error of single precision: then the order of summation does not matter.
"""

import numpy as np
import torch
from captum.attr import IntegratedGradients, Occlusion

from cases import CASES
from check_against_peers import Logits
from store import ROOT, relative_difference, save
from twins import smooth

# Case, column of the logits, window and stride of the occlusion.
TWINS = (("branchy", 2, 8, 5), ("gap_cnn_bn", 0, 7, 7), ("no_gap", 0, 9, 4))
STEPS = 20
LIMIT = 1e-6
MOVES = 8  # number of perturbed copies of the images
FAR = 1e-6  # size of the perturbation


def integrated(case, images, column, kind):
    model, x = CASES[case]()[0].to(kind), torch.from_numpy(images).to(kind)
    found = IntegratedGradients(Logits(model)).attribute(x, 0.0, column, n_steps=STEPS, method="gausslegendre")
    return found.detach().numpy()


def moved(images, seed):
    """The images with noise of the size of rounding errors."""
    return images * (1 + FAR * np.random.default_rng(seed).uniform(-1, 1, images.shape))


def clear_of_rounding(case, shape, column):
    """The first images for which rounding decides nothing on the path, and their integrated gradients."""
    for seed in range(1, 1000):
        images = smooth(seed, *shape)
        exact = integrated(case, images, column, torch.float64)
        others = [integrated(case, images, column, torch.float32)]
        others += [integrated(case, moved(images, move), column, torch.float64) for move in range(MOVES)]
        if all(relative_difference(other, exact) < limit for other, limit in zip(others, [LIMIT] + MOVES * [5 * FAR])):
            print(case, "seed", seed)
            return images, exact
    raise LookupError(f"no images for {case}")


def main():
    folder = ROOT / "passes"
    folder.mkdir(exist_ok=True)
    for case, column, window, stride in TWINS:
        model, images = CASES[case]()
        logits, x = Logits(model.double()), torch.from_numpy(images).double()
        channels = x.shape[1]
        on_the_way, paths = clear_of_rounding(case, images.shape, column)
        save(folder / f"{case}_on_the_way.npy", on_the_way)
        save(folder / f"{case}_integrated_gradients.npy", paths)
        covers = Occlusion(logits).attribute(x, (channels, window, window), (channels, stride, stride), 0.0, column)
        covers = covers.detach().numpy()
        assert np.array_equal(covers, np.repeat(covers[:, :1], channels, 1)), "every channel is covered alike"
        save(folder / f"{case}_occlusion.npy", covers[:, 0])
        print(case, np.abs(paths).max(), np.abs(covers).max())


if __name__ == "__main__":
    main()
