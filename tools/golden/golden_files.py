"""Location of the golden files, and writing of arrays and descriptions; needs NumPy only."""

import json
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2] / "crates/heatlens/tests/golden"


def save(path, array):
    """Writes float32 in C order, rejecting arrays that a test could not distinguish from a failure."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{path} is not finite")
    if not array.any():
        raise ValueError(f"{path} is all zeros")
    np.save(path, array)


def save_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")
