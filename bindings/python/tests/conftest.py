"""Small models, trained by the command line that the package is held against."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

BINARY = os.environ.get("HEATLENS_BIN") or shutil.which("heatlens") or "heatlens"
SIDE = 32


def heatlens(*words):
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True)


def images(n, channels, seed=0):
    """Class k has its bright square in column k."""
    random = np.random.default_rng(seed)
    classes = 2 if channels == 1 else 3
    x = random.integers(0, 90, (n, SIDE, SIDE, channels), dtype=np.uint8)
    y = np.arange(n) % classes
    for image, label in zip(x, y):
        image[12:18, 4 + 9 * label : 10 + 9 * label] = 255
    return x, y


def train(folder: Path, channels: int) -> Path:
    x, y = images(60, channels)
    np.savez(folder / "data.npz", X=x, y=y)
    done = heatlens("train", folder / "data.npz", "--out", folder / "run", "--epochs", 12)
    assert done.returncode == 0, done.stderr
    return folder / "run" / "model.onnx"


@pytest.fixture(scope="session")
def grey(tmp_path_factory):
    """One sigmoid."""
    return train(tmp_path_factory.mktemp("grey"), 1)


@pytest.fixture(scope="session")
def colour(tmp_path_factory):
    return train(tmp_path_factory.mktemp("colour"), 3)
