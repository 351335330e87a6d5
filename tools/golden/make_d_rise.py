"""Writes golden/dense/d_rise.json and its arrays: D-RISE maps by xaitk-saliency, for the masks that heatlens draws.

The detector is that of make_dense.py, run by onnxruntime. Its boxes and class probabilities are handed to the peer in
three layouts: as they are (no objectness), with an objectness of their own, and as a softmax with "no object". The
probabilities are computed from the logits, because the smallest are 0 in float32 and 0 has no cosine.

The peer's map is Σ wM ÷ Σ M before it is scaled to a maximum of 1. With the masks inverted it is Σ w(1 − M) ÷ Σ (1 − M);
heatlens's map is the difference. The paper's, Σ wM ÷ (p N), is the former times Σ M ÷ (p N).
"""

from unittest import mock

import numpy as np
import onnx
import onnxruntime
from sklearn.preprocessing import maxabs_scale
from xaitk_saliency.impls.gen_detector_prop_sal import drise_scoring

from golden_files import ROOT, save, save_json
from random_masks import masks

FOLDER = ROOT / "dense"
IMAGE, SEED, COUNT, GRID, PROBABILITY = 0, 7, 200, 5, 0.7


def peer(wanted, found, shown):
    """The peer's map before it is scaled."""
    kept = []

    def keep(values, axis):
        kept.append(values.copy())
        return maxabs_scale(values, axis=axis)

    with mock.patch.object(drise_scoring, "maxabs_scale", keep):
        drise_scoring.DRISEScoring().generate(wanted, found, shown)
    return kept[0].reshape(len(wanted), *shown.shape[1:])


def run(images):
    """Boxes and logits, N x P x 4 and N x P x 2."""
    model = onnx.load(str(FOLDER / "detector.onnx"))
    logits = next(node.input[0] for node in reversed(model.graph.node) if node.op_type == "Sigmoid")
    model.graph.output.append(onnx.ValueInfoProto(name=logits))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output, logits = session.run(None, {"input": images})
    return output[:, :4].astype(np.float64).transpose(0, 2, 1), logits.astype(np.float64).transpose(0, 2, 1)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def vectors(boxes, logits, layout):
    """Left, top, right, bottom, objectness and classes of all boxes, N x P x 7. The peer's boxes include their last pixel."""
    centre, half, classes = boxes[..., :2], boxes[..., 2:] / 2, sigmoid(logits)
    objectness = np.ones_like(centre[..., :1])
    if layout == "objectness":
        objectness = sigmoid(0.05 * centre[..., :1])
    if layout == "no_object":
        odds = np.exp(logits)
        classes = odds / (1 + odds.sum(-1, keepdims=True))
        objectness = classes.sum(-1, keepdims=True)
    return np.concatenate([centre - half, centre + half - 1, objectness, classes], -1)


def main():
    pixels = np.load(FOLDER / "input.npy")[IMAGE]
    shown = masks(COUNT, SEED, GRID, PROBABILITY, pixels.shape[1:])
    images = np.concatenate([pixels[None], (pixels * shown[:, None]).astype(np.float32)])
    boxes, logits = run(images)
    entries = []
    for layout in ["plain", "objectness", "no_object"]:
        found = vectors(boxes, logits, layout)
        confidence = found[0, :, 5:] * (found[0, :, 4:5] if layout == "objectness" else 1)
        places = confidence.argmax(0)
        wanted = found[0, places]
        visible, hidden = peer(wanted, found[1:], shown), peer(wanted, found[1:], 1 - shown)
        print(layout, "places", places, "visible", visible.min(), visible.max(), "hidden", hidden.min(), hidden.max())
        file = f"d_rise_{layout}.npy"
        save(FOLDER / file, visible - hidden)
        published = None
        if layout == "plain":
            published = "d_rise_published.npy"
            save(FOLDER / published, visible * shown.sum(0) / (PROBABILITY * COUNT))
        entries.append({"layout": layout, "file": file, "published": published, "places": places.tolist()})
    settings = {"image": IMAGE, "seed": SEED, "masks": COUNT, "grid": GRID, "probability": PROBABILITY}
    save_json(FOLDER / "d_rise.json", settings | {"layouts": entries})


if __name__ == "__main__":
    main()
