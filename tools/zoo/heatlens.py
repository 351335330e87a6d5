"""Running heatlens on a model file, and holding what it gives against a reference."""

import json
import subprocess
import time
from pathlib import Path

import numpy as np

BINARY = Path(__file__).resolve().parents[2] / "target" / "release" / "heatlens"
LIMITS = {"logits": 1e-4, "gradient": 1e-3, "grad_cam": 1e-3, "layer": 1e-3}
ROUGH = 1e-4  # beyond this, a limit of ten times the framework's own difference says little


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


def limit(name, own):
    """What `name` may differ by, where the framework's own float32 differs by `own` from its float64."""
    return max(LIMITS[name], 10 * own)


def judge(found, reference):
    """What a row says of everything that was computed: how it differs, how the framework's own float32 does, and what is
    over its limit. `reference[name]` is a pair: the best the framework can do, and its float32."""
    row = {"differences": {}, "own": {}, "bad": []}
    for name, (exact, single) in reference.items():
        if not np.linalg.norm(exact) > 0:
            raise ValueError(f"the {name} to compare with is all zeros or not finite")
        row["differences"][name] = found_difference = difference(found[name], exact)
        row["own"][name] = own = difference(single, exact)
        if not found_difference <= limit(name, own):  # a NaN compares false and fails
            row["bad"].append(f"{name} differs by {found_difference:.1e}, limit {limit(name, own):.1e}")
    return row


def smooth(cases):
    """Those cases whose framework hardly differs from itself, and at last the least rough of the others."""
    least = None
    for case in cases:
        if case.own <= ROUGH:
            yield case
        elif least is None or case.own < least.own:
            least = case
    if least is not None:
        yield least


def is_open(row):
    """Whether another pair of images may settle a row: where derivatives alone differ, one ReLU may lie so near its kink
    that our rounding tips it over, and not the framework's."""
    if row is None:
        return True
    return bool(row.get("bad")) and row.get("differences", {}).get("logits", 1) <= LIMITS["logits"]


def nearest(found, cams):
    """The pair of Grad-CAMs that the found one agrees with best: the same numbers may lie before and behind a branch."""
    return min(cams, key=lambda pair: difference(found["grad_cam"], pair[0]), default=None)


def measure(found, exact, single, cams):
    """What a row says of everything heatlens computed, from the framework's two precisions; `cams` are Grad-CAM by both
    for each inner value that holds what heatlens' layer does."""
    pairs = {"logits": (exact.logits, single.logits), "gradient": (exact.gradient, single.gradient)}
    cam = nearest(found, cams)
    if cam is not None:
        pairs["grad_cam"] = cam
    row = judge(found, pairs)
    if cam is None:
        row["bad"].append("no inner value of the model holds what the layer does")
    return row
