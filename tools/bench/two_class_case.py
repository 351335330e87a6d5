"""The two-class case of the epoch benchmark: 2237 binary noise images with random labels.

Usage: two_class_case.py OUT.npz     writes `X` (2237, 95, 95, 1) and `y` (2237, 1), float32
"""

import sys

import numpy as np

TRAIN = slice(0, 1900)
VALIDATION = slice(1900, 2000)
BATCH = 64
LEARNING_RATE = 1e-4


def two_class_case():
    """Images (N, H, W, 1) and labels (N, 1); the same for every timed program."""
    rng = np.random.RandomState(37)
    images = rng.randint(0, 2, size=(2237, 95, 95, 1)).astype(np.float32)
    labels = rng.randint(0, 2, size=(2237, 1)).astype(np.float32)
    return images, labels


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    X, y = two_class_case()
    np.savez(sys.argv[1], X=X, y=y)
