"""Runs heatlens on a model file, and compares the results with a reference."""

import json
import subprocess
import time
from pathlib import Path

import numpy as np

BINARY = Path(__file__).resolve().parents[2] / "target" / "release" / "heatlens"
LIMITS = {"logits": 1e-4, "gradient": 1e-3, "grad_cam": 1e-3, "layer": 1e-3}
ROUGH = 1e-4  # beyond this, a limit of ten times the framework's own difference means little


class Refused(Exception):
    """heatlens failed; the text is its error message."""


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
    """The output of heatlens for the file, and the seconds it takes to open it."""
    start = time.monotonic()
    said = json.loads(run(["inspect", model, "--json"]))
    return said, time.monotonic() - start


def run(arguments):
    """Returns the program's output; raises `Refused` if it fails."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused((done.stderr.strip() or done.stdout.strip())[-2000:])
    return done.stdout


def highest(logits):
    """The class to explain: the same for all images, and not one that a final ReLU set to zero."""
    return int(logits.mean(0).argmax())


def difference(found, expected):
    """Relative L2 difference; infinite where the shapes differ."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return float("inf")
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-300))


def limit(name, own):
    """The limit for the difference of `name`, if the framework's float32 differs from its float64 by `own`."""
    return max(LIMITS[name], 10 * own)


def judge(found, reference):
    """The entries of a row for all computed arrays: their differences, those of the framework's float32, and the arrays
    over their limits. `reference[name]` is a pair: the framework's most precise result, and its float32 result."""
    row = {"differences": {}, "own": {}, "bad": []}
    for name, (exact, single) in reference.items():
        if not np.linalg.norm(exact) > 0:
            raise ValueError(f"the {name} to compare with is all zeros or not finite")
        row["differences"][name] = found_difference = difference(found[name], exact)
        row["own"][name] = own = difference(single, exact)
        if not found_difference <= limit(name, own):  # a comparison with NaN is false, so NaN fails
            row["bad"].append(f"{name} differs by {found_difference:.1e}, limit {limit(name, own):.1e}")
    return row


def smooth(cases):
    """The cases for which float32 and float64 of the framework agree, followed by the one of the others with the smallest
    difference."""
    least = None
    for case in cases:
        if case.own <= ROUGH:
            yield case
        elif least is None or case.own < least.own:
            least = case
    if least is not None:
        yield least


def is_open(row):
    """True if another pair of images should be tried: if only derivatives differ, one ReLU input may be so close to zero
    that our rounding changes its sign and the framework's does not."""
    if row is None:
        return True
    return bool(row.get("bad")) and row.get("differences", {}).get("logits", 1) <= LIMITS["logits"]


def nearest(found, cams):
    """The pair of Grad-CAMs that agrees best with the given one: values before and after a branch may be equal."""
    return min(cams, key=lambda pair: difference(found["grad_cam"], pair[0]), default=None)


def measure(found, exact, single, cams):
    """The entries of a row for all results of heatlens, from the framework's two precisions; `cams` are Grad-CAM in both
    for each intermediate value that equals heatlens' layer."""
    pairs = {"logits": (exact.logits, single.logits), "gradient": (exact.gradient, single.gradient)}
    cam = nearest(found, cams)
    if cam is not None:
        pairs["grad_cam"] = cam
    row = judge(found, pairs)
    if cam is None:
        row["bad"].append("no inner value of the model holds what the layer does")
    return row
