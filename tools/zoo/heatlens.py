"""Running heatlens on a model file, and holding what it gives against a reference."""

import json
import subprocess
import time
from pathlib import Path

import numpy as np

BINARY = Path(__file__).resolve().parents[2] / "target" / "release" / "heatlens"
LIMITS = {"logits": 1e-4, "gradient": 1e-3, "grad_cam": 1e-3}


class Refused(Exception):
    """heatlens said no; the text is its error."""


def explain(model, images, chosen, folder, methods=("gradient", "grad_cam")):
    """The arrays that heatlens computes for class `chosen`: logits, a map for each method, and conv_output (A)."""
    folder = Path(folder)
    np.save(folder / "images.npy", images)
    out = folder / "out"
    command = ["explain", model, folder / "images.npy", "--out", out, "--force", "--class", chosen]
    run([*command, "--method", ",".join(methods), "--save", "npz,tensors"])
    found = dict(np.load(out / "maps.npz"))
    tensors = np.load(out / "tensors.npz")
    found["conv_output"] = tensors["conv_output"]
    return found


def inspect(model):
    """What heatlens says of the file, and the seconds it takes to open it."""
    start = time.monotonic()
    said = json.loads(run(["inspect", model, "--json"]))
    return said, time.monotonic() - start


def run(arguments):
    """What the program prints; raises `Refused` where it fails."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused((done.stderr.strip() or done.stdout.strip())[-2000:])
    return done.stdout


def highest(logits):
    """The class to explain: the same for all images, and not one that a last ReLU switched off."""
    return int(logits.mean(0).argmax())


def difference(found, expected):
    """Relative L2 difference; infinite where the shapes differ."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return float("inf")
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-300))


def judge(found, reference):
    """Differences by name, and a list of those over their limit. `reference[name]` is a pair: float64, float32."""
    differences, bad = {}, []
    for name, (exact, single) in reference.items():
        if not np.linalg.norm(exact) > 0:
            raise ValueError(f"the {name} to compare with is all zeros or not finite")
        differences[name] = difference(found[name], exact)
        limit = max(LIMITS[name], 10 * difference(single, exact))
        if not differences[name] <= limit:  # a NaN compares false and fails
            bad.append(f"{name} differs by {differences[name]:.1e}, limit {limit:.1e}")
    return differences, bad
