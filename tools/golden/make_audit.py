"""Writes metrics of given maps as computed by other programs: crates/heatlens/tests/golden/audit/.

Usage: make_audit.py torch      with requirements.txt: Captum's infidelity and sensitivity, pytorch-grad-cam's ROAD and
                                drop in confidence
       make_audit.py quantus    with requirements-quantus.txt: Quantus' sparseness, complexity, mass accuracy and
                                similarities

Only where the definitions coincide; docs/trust.md explains where they do not.
"""

import json
import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "crates/heatlens/tests/golden/audit"
SIZE = (12, 16)


def maps(count, seed):
    """Maps without ties or negative values, as float32."""
    return np.random.default_rng(seed).uniform(0.01, 1, (count, *SIZE)).astype(np.float32)


def numbers(array):
    return [float(v) for v in np.asarray(array, np.float64).ravel()]


def save(name, value):
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(json.dumps(value) + "\n")
    print(name, {key: np.shape(v) for key, v in value.items()})


def quantus_part():
    import quantus
    from quantus.functions.similarity_func import correlation_spearman, ssim

    given, other = maps(3, 1), maps(3, 2)
    mask = np.zeros((3, *SIZE), bool)
    for i, (top, left) in enumerate(((2, 3), (0, 0), (7, 10))):
        mask[i, top : top + 5, left : left + 4] = True
    common = {"disable_warnings": True, "abs": False, "normalise": False}
    flat = lambda: given.astype(np.float64)[:, None].copy()  # Quantus modifies its input in place
    save("quantus.json", {
        "size": list(SIZE),
        "maps": [numbers(m) for m in given],
        "others": [numbers(m) for m in other],
        "masks": [[bool(v) for v in m.ravel()] for m in mask],
        "sparseness": numbers(quantus.Sparseness(**common).evaluate_batch(x_batch=None, a_batch=flat())),
        "complexity": numbers(quantus.Complexity(**common).evaluate_batch(x_batch=None, a_batch=flat())),
        "energy_pointing": numbers(
            quantus.RelevanceMassAccuracy(**common).evaluate_batch(a_batch=flat(), s_batch=mask[:, None])),
        "spearman": [float(correlation_spearman(a.ravel(), b.ravel())) for a, b in zip(given, other)],
        "ssim": [float(ssim(a.astype(np.float64), b.astype(np.float64))) for a, b in zip(given, other)],
        "ssim_range": [float(max(a.max(), b.max()) - min(a.min(), b.min())) for a, b in zip(given, other)],
    })


def torch_part():
    import torch
    from captum.metrics import infidelity, sensitivity_max
    from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer, ROADCombined
    from pytorch_grad_cam.metrics.road import ROADLeastRelevantFirstAverage, ROADMostRelevantFirstAverage
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    from cases import CASES
    from check_against_peers import Logits

    model, images = CASES["branchy"]()
    logits = Logits(model.eval().double())
    x = torch.from_numpy(images).double()
    column = 1

    # Infidelity: the predicted and the actual drop of the score, and Captum's result for them.
    rng = np.random.default_rng(3)
    grad = x.clone().requires_grad_()
    logits(grad)[:, column].sum().backward()
    attribution = grad.grad * x
    count = 8
    corners = rng.integers(0, (x.shape[2] - 10, x.shape[3] - 14), (len(x), count, 2))
    squares = torch.zeros(len(x), count, *x.shape[1:], dtype=torch.double)
    for i in range(len(x)):
        for k, (top, left) in enumerate(corners[i]):
            squares[i, k, :, top : top + 10, left : left + 14] = x[i, :, top : top + 10, left : left + 14]
    squares = squares.flatten(0, 1)
    perturb = lambda inputs: (squares, inputs - squares)
    of = lambda normalise: infidelity(
        lambda v: logits(v)[:, column], perturb, x, attribution, n_perturb_samples=count, normalize=normalise)
    with torch.no_grad():
        told = (attribution.repeat_interleave(count, 0) * squares).flatten(1).sum(1)
        repeated = x.repeat_interleave(count, 0)
        fall = logits(repeated)[:, column] - logits(repeated - squares)[:, column]
    noisy = maps(4, 7) - 0.5
    # An input that encodes which of the maps is its explanation.
    explained = lambda inputs: (torch.from_numpy(noisy)[(inputs[0] if isinstance(inputs, tuple) else inputs).long()[:, 0]],)
    copies = lambda _: torch.tensor([[1.0], [2.0], [3.0]])
    sensitivity = sensitivity_max(explained, torch.zeros(1, 1), copies, n_perturb_samples=3)
    save("captum.json", {
        "told": [numbers(t) for t in told.view(len(x), count)],
        "fall": [numbers(f) for f in fall.view(len(x), count)],
        "infidelity": numbers(of(False).detach()),
        "infidelity_scaled": numbers(of(True).detach()),
        "sensitivity_maps": [numbers(m) for m in noisy],
        "max_sensitivity": numbers(sensitivity),
    })

    # ROAD without noise and drop in confidence, for Grad-CAM's maps at the size of the images.
    class Quiet(NoisyLinearImputer):
        def __init__(self):
            super().__init__(noise=0)

    import pytorch_grad_cam.metrics.road as road
    road.NoisyLinearImputer = Quiet
    # Each image is explained for its predicted class.
    classes = logits(x).argmax(1).tolist()
    files = {1: "expected_grad_cam.npy", 2: "expected_grad_cam_class2.npy"}
    raw = np.stack([np.load(FOLDER.parent / "branchy" / files[k])[i] for i, k in enumerate(classes)])
    raw = torch.from_numpy(raw).double()
    heat = torch.nn.functional.interpolate(raw.clamp(min=0)[:, None], x.shape[2:], mode="bilinear")[:, 0]
    signed = torch.nn.functional.interpolate(raw[:, None], x.shape[2:], mode="bilinear")[:, 0]
    probabilities = lambda v: torch.softmax(logits(v.double()), 1)
    targets = [ClassifierOutputTarget(k) for k in classes]
    stretched = lambda m: ((m - m.amin((1, 2), True)) / (m.amax((1, 2), True) - m.amin((1, 2), True))).numpy()
    shares = [20, 40, 60, 80]
    keep = np.float32(np.random.default_rng(8).uniform(size=x.shape[2:]) < 0.35)
    keep[10:30, 12:40] = 0
    imputed = Quiet()(x[0].float(), torch.from_numpy(keep))
    measure = lambda metric, m: numbers(metric(x.float(), stretched(m), targets, probabilities))
    save("grad_cam.json", {
        "classes": classes,
        "drop": measure(DropInConfidence(), heat),
        "increase": measure(IncreaseInConfidence(), heat),
        "road_morf": measure(ROADMostRelevantFirstAverage(shares), signed),
        "road_lerf": measure(ROADLeastRelevantFirstAverage(shares), signed),
        "road_combined": measure(ROADCombined(shares), signed),
        "shape": list(x.shape[1:]),
        "missing": [bool(v) for v in (keep == 0).ravel()],
        "imputed": [round(v, 6) for v in numbers(imputed)],
    })


if __name__ == "__main__":
    {"torch": torch_part, "quantus": quantus_part}[sys.argv[1]]()
