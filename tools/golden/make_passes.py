"""Writes what Captum computes with methods of many passes: crates/heatlens/tests/golden/passes/.

Usage: make_passes.py

One `<case>_<method>.npy` for each, for the three images of the case at once. Only methods without chance have one, and
only settings for which Captum follows the paper: integrated gradients by Gauss-Legendre quadrature (its trapezoid rule
leaves out a share of 1/steps), and occlusion. Float64, from float32 parameters and images, rounded once.
"""

import numpy as np
import torch
from captum.attr import IntegratedGradients, Occlusion

from cases import CASES
from check_against_peers import Logits
from store import ROOT, save

# Case, column of the logits, window and stride of the occlusion.
TWINS = (("branchy", 2, 8, 5), ("gap_cnn_bn", 0, 7, 7), ("no_gap", 0, 9, 4))
STEPS = 20


def main():
    folder = ROOT / "passes"
    folder.mkdir(exist_ok=True)
    for case, column, window, stride in TWINS:
        model, images = CASES[case]()
        logits, x = Logits(model.double()), torch.from_numpy(images).double()
        channels = x.shape[1]
        paths = IntegratedGradients(logits).attribute(x, 0.0, column, n_steps=STEPS, method="gausslegendre")
        save(folder / f"{case}_integrated_gradients.npy", paths.detach().numpy())
        covers = Occlusion(logits).attribute(x, (channels, window, window), (channels, stride, stride), 0.0, column)
        covers = covers.detach().numpy()
        assert np.array_equal(covers, np.repeat(covers[:, :1], channels, 1)), "every channel is covered alike"
        save(folder / f"{case}_occlusion.npy", covers[:, 0])
        print(case, paths.abs().max().item(), np.abs(covers).max())


if __name__ == "__main__":
    main()
