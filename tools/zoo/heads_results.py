"""What onnxruntime, PyTorch and heatlens compute for an exported file."""

import ast
import csv
import json
import subprocess
from copy import deepcopy

import numpy as np
import onnxruntime
import torch

SURE = 0.25
BOXES = ("raw", "rows", "lists", "queries")
SHARES = ("pixels", "steps")


class Refused(Exception):
    """heatlens failed; the text is its error, or the part that names two-stage detectors."""


def run(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if not line.startswith("note")]
        raise Refused(next((line.split(";")[0] for line in lines if "two-stage" in line), lines[0]))
    return done.stdout


def outputs(case, path):
    """The file's outputs, by onnxruntime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    feed = case.image if case.layout is None else case.layout
    feed = feed[0] if len(given.shape) == 3 else feed
    feed = feed.astype(np.float16) if "float16" in given.type else feed
    metadata = session.get_modelmeta().custom_metadata_map
    names = ast.literal_eval(metadata["names"]) if "names" in metadata else None
    return [value.astype(np.float64) for value in session.run(None, {given.name: feed, **case.feeds})], names


def best_box(case, found, names):
    """Class, score and corners of the most confident box."""
    if case.kind == "queries":
        logits, boxes = found[0][0], found[1][0]
        p = np.exp(logits - logits.max(1, keepdims=True))
        p = (p / p.sum(1, keepdims=True))[:, :-1]
        place, label = np.unravel_index(p.argmax(), p.shape)
        x, y, w, h = boxes[place] * case.image.shape[-1]
        return [label, p[place, label], x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    if case.kind == "raw":
        x, y, w, h = found[0][0, :4]
        scores = found[0][0, 4:4 + len(names)]
        label, place = np.unravel_index(scores.argmax(), scores.shape)
        return [label, scores[label, place], *np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2])[:, place]]
    if case.kind == "rows":
        row = found[0][0][found[0][0][:, 4].argmax()]
        return [row[5], row[4], *row[:4]]
    if not all(map(len, found)):
        return []
    boxes = next(value for value in found if value.ndim == 2)
    scores = next(value for value in found if value.ndim == 1 and not np.array_equal(value, value.round()))
    labels = next(value for value in found if value.ndim == 1 and np.array_equal(value, value.round()))
    return [labels[0], scores[0], *boxes[0]]


def expected(case, path):
    """The best box; the share of each class; or the numbers of the output."""
    if case.output is not None:
        return list(case.output[0])
    found, names = outputs(case, path)
    if case.kind in BOXES:
        box = best_box(case, found, names)
        if not box or box[1] < SURE:
            raise ValueError("the network finds no box")
        # heatlens clips boxes to the image.
        return [*box[:2], *np.clip(box[2:], 0, case.image.shape[-1])]
    if case.kind in SHARES:
        values = found[0][0] if case.kind == "pixels" else found[0][:, 0].T
        return [(values.argmax(0) == label).mean() for label in range(len(values))]
    values = found[0].ravel()
    if case.kind == "similarity":
        reference = np.load(path.with_suffix(".npy")).astype(np.float64)
        return [values @ reference / np.linalg.norm(values) / np.linalg.norm(reference)]
    return [np.log(values[0] / (1 - values[0]))] if case.kind == "one logit" else list(values)


def predicted(case, binary, path, picture, count):
    """The same by heatlens; `count` numbers."""
    flags = [flag for i, flag in enumerate(case.flags) if "--class" not in case.flags[max(i - 1, 0):i + 1]]
    if case.kind not in (*BOXES, *SHARES):
        said = json.loads(run(binary, "predict", path, picture, "--json", *flags))["images"][0]
        return said.get("logits", said.get("values"))
    top = ["--top", count] if case.kind in SHARES and count > 5 else []
    rows = list(csv.DictReader(run(binary, "predict", path, picture, *flags, *top).splitlines()))
    row = rows[0]
    if case.kind in SHARES:
        named = {int(row[f"class {i}"]): float(row[f"p {i}"]) for i in range(1, count + 1) if f"class {i}" in row}
        return [named[i] if named else float(row[f"share({i})"]) for i in range(count)]
    x, y, w, h = (float(row[key]) for key in ("x", "y", "width", "height"))
    return [float(row["class"]), float(row["p"]), x, y, x + w, y + h]


def target(case, scores, confidence):
    """The weights of the scores in the explained one: the best box, the pixels of the largest class, or a class."""
    weights = torch.zeros(scores.shape)
    if case.kind in SHARES:
        best = confidence.argmax(0)
        counts = torch.bincount(best, minlength=len(scores))
        counts[0] = 0  # background
        label = counts.argmax()
        weights[label] = (best == label) / counts[label]
    else:
        weights.view(-1)[confidence.argmax()] = 1
    return weights


def gradient(case, dtype, weights=None):
    """The derivative of the explained score by PyTorch, and the score's weights."""
    model = deepcopy(case.model).to(dtype) if isinstance(case.model, torch.nn.Module) else case.model
    image = torch.from_numpy(case.image).to(dtype).requires_grad_()
    scores, confidence = case.scores(model, image)
    weights = target(case, scores.detach(), confidence.detach()) if weights is None else weights
    (scores * weights.to(dtype)).sum().backward()
    return image.grad.numpy(), weights
