"""Small models, trained by the command line that the package is held against."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

BINARY = os.environ.get("HEATLENS_BIN") or shutil.which("heatlens") or "heatlens"
SIDE = 32


def heatlens(*words):
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True)


def assert_ctrl_c_ends(work, *words, seconds):
    """Ctrl-C ends this line of Python within so many seconds. ``words`` are in ``sys.argv``."""
    program = (
        "import heatlens as hl, numpy as np, signal, sys\n"
        # A shell starts background jobs with SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('begun', flush=True)\n"
        f"try: {work}\n"
        "except KeyboardInterrupt: print('stopped')"
    )
    child = subprocess.Popen([sys.executable, "-c", program, *map(str, words)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "begun\n"
        time.sleep(2)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=seconds)[0] == "stopped\n"
    finally:
        child.kill()


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
