"""Exports detectors, segmentation networks and other heads with random weights, and checks that heatlens reads them.

Usage: heads.py [--heatlens BINARY] [NAME ...]

Each file comes from the exporter that its users use. onnxruntime runs the file on one picture, and its best box (class,
score, corners), shares of pixels, labels of steps or embedding are compared with `heatlens predict`; `heatlens explain`
must succeed. Prints one row of a Markdown table for each file.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import onnxruntime
import torch
from torch import nn

from heatlens import BINARY
from randomise import randomise

SEED = 7
LIMIT = 1e-4
SURE = 0.25


def pictures(side, count=1, channels=3, width=None, seed=1):
    """Images from 0 to 1 with large and small structure."""
    random = np.random.default_rng(seed)
    size = (side, width or side)
    total = np.zeros((count, channels, *size))
    for cells in (2, 5, 16, side):
        coarse = torch.from_numpy(random.normal(size=(count, channels, cells, cells)))
        total += nn.functional.interpolate(coarse, size=size, mode="bilinear").numpy()
    return torch.from_numpy(((total / total.std() + 2) / 4).clip(0, 1).astype(np.float32))


def torch_export(model, example, path, exporter="torchscript"):
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            torch.onnx.export(model, example, str(path), dynamo=False, opset_version=17)
        else:
            torch.onnx.export(model, example, str(path), dynamo=True, external_data=False)


def ultralytics(yaml, **options):
    def write(path):
        from ultralytics import YOLO

        torch.manual_seed(SEED)
        model = YOLO(yaml)
        randomise(model.model.eval(), pictures(320, 2))
        # Untrained scores are so low that no box would be kept.
        for name in ("cv3", "one2one_cv3"):
            for level in getattr(model.model.model[-1], name, None) or []:
                level[-1].bias.data.fill_(-3.0)
        with contextlib.chdir(path.parent):
            shutil.move(model.export(format="onnx", imgsz=320, **options), path)
        return pictures(320)

    return write


def torchvision_detector(name, side, **options):
    def write(path):
        import torchvision

        torch.manual_seed(SEED)
        model = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None, **options).eval()
        image = pictures(side)
        torch_export(model, ([image[0]],), path)
        return image

    return write


class Field(nn.Module):
    """One entry, or several, of a model's outputs."""

    def __init__(self, model, *fields, keyword=None):
        super().__init__()
        self.model, self.fields, self.keyword = model, fields, keyword

    def forward(self, x):
        found = self.model(**{self.keyword: x}) if self.keyword else self.model(x)
        found = tuple(found[field] for field in self.fields)
        return found if len(found) > 1 else found[0]


def plain(build, side, exporter="torchscript", channels=3, width=None):
    def write(path):
        torch.manual_seed(SEED)
        model, image = build().eval(), pictures(side, 1, channels, width)
        torch_export(model, (image,), path, exporter)
        return image

    return write


def deeplab():
    import torchvision

    build = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large
    return Field(build(weights=None, weights_backbone=None, num_classes=5), "out")


def unet():
    import segmentation_models_pytorch

    return segmentation_models_pytorch.Unet("resnet18", encoder_weights=None, classes=3)


def segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return Field(SegformerForSemanticSegmentation(SegformerConfig(num_labels=7)), "logits", keyword="pixel_values")


class Reader(nn.Module):
    """Convolutions and an LSTM over the columns, as in text recognition."""

    def __init__(self):
        super().__init__()
        self.columns = nn.Sequential(
            nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 32, (8, 1)),
        )
        self.steps, self.last = nn.LSTM(32, 24, bidirectional=True), nn.Linear(48, 11)

    def forward(self, x):
        steps, _ = self.steps(self.columns(x).squeeze(2).permute(2, 0, 1))
        return self.last(steps).log_softmax(2)


# name: (writes the file and returns the picture, kind of the outputs)
FILES = {
    "yolov5nu": (ultralytics("yolov5n.yaml"), "raw"),
    "yolov8n": (ultralytics("yolov8n.yaml"), "raw"),
    "yolov8n half": (ultralytics("yolov8n.yaml", half=True), "raw"),
    "yolov8n nms": (ultralytics("yolov8n.yaml", nms=True), "rows"),
    "yolov8n-seg": (ultralytics("yolov8n-seg.yaml"), "raw"),
    "yolov8n-pose": (ultralytics("yolov8n-pose.yaml"), "raw"),
    "yolo11n": (ultralytics("yolo11n.yaml"), "raw"),
    "yolov10n end to end": (ultralytics("yolov10n.yaml", nms=False), "rows"),
    "yolo26n end to end": (ultralytics("yolo26n.yaml", nms=False), "rows"),
    "ssdlite320": (torchvision_detector("ssdlite320_mobilenet_v3_large", 320), "lists"),
    "retinanet": (torchvision_detector("retinanet_resnet50_fpn", 320, min_size=320, max_size=320), "lists"),
    "fcos": (torchvision_detector("fcos_resnet50_fpn", 320, min_size=320, max_size=320), "lists"),
    "deeplabv3": (plain(deeplab, 128), "pixels"),
    "unet": (plain(unet, 128), "pixels"),
    "unet dynamo": (plain(unet, 128, "dynamo"), "pixels"),
    "segformer-b0": (plain(segformer, 128), "pixels"),
    "segformer-b0 dynamo": (plain(segformer, 128, "dynamo"), "pixels"),
    "crnn": (plain(Reader, 32, channels=1, width=100), "steps"),
}


def reference(path, image, kind):
    """What onnxruntime computes: the best box (class, score, corners), or the share of each class."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    feed = image.numpy()[0] if len(given.shape) == 3 else image.numpy()
    feed = feed.astype(np.float16) if "float16" in given.type else feed
    found = [value.astype(np.float64) for value in session.run(None, {given.name: feed})]
    if kind == "raw":
        names = json.loads(session.get_modelmeta().custom_metadata_map["names"].replace("'", '"').replace(
            "{", '{"').replace(": ", '": ').replace(", ", ', "'))
        x, y, w, h = found[0][0, :4]
        scores = found[0][0, 4:4 + len(names)]
        label, place = np.unravel_index(scores.argmax(), scores.shape)
        corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2])[:, place]
        return [label, scores[label, place], *corners]
    if kind == "rows":
        row = found[0][0][found[0][0][:, 4].argmax()]
        return [row[5], row[4], *row[:4]]
    if kind == "lists" and not all(map(len, found)):
        return []
    if kind == "lists":
        boxes = next(value for value in found if value.ndim == 2)
        scores = next(value for value in found if value.ndim == 1 and not np.array_equal(value, value.round()))
        labels = next(value for value in found if value.ndim == 1 and np.array_equal(value, value.round()))
        return [labels[0], scores[0], *boxes[0]] if len(scores) else []
    values = found[0][0] if kind == "pixels" else found[0][:, 0].T
    best = values.argmax(0)
    return [(best == label).mean() for label in range(len(values))]


def ours(binary, path, array, kind, classes):
    """The same by heatlens."""
    top = ["--top", str(classes)] if kind in ("pixels", "steps") and classes > 5 else []
    said = subprocess.run([binary, "predict", path, array, *top], capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(said.stderr.strip().splitlines()[0])
    head, *rows = (line.split(",") for line in said.stdout.strip().splitlines())
    if kind in ("pixels", "steps"):
        row = dict(zip(head, rows[0], strict=True))
        named = {int(row[f"class {i}"]): float(row[f"p {i}"]) for i in range(1, classes + 1) if f"class {i}" in row}
        return [named[i] if named else float(row[f"share({i})"]) for i in range(classes)]
    if not rows or rows[0][head.index("rank")] != "1":
        return []
    row = dict(zip(head, rows[0], strict=True))
    x, y, w, h = (float(row[key]) for key in ("x", "y", "width", "height"))
    return [float(row["class"]), float(row["p"]), x, y, x + w, y + h]


def check(name, binary, folder):
    write, kind = FILES[name]
    path, array = folder / f"{name.replace(' ', '_')}.onnx", folder / "picture.npy"
    try:
        image = write(path)
    except Exception as error:
        return f"not exported: {type(error).__name__}"
    np.save(array, image.numpy())
    expected = reference(path, image, kind)
    if kind not in ("pixels", "steps"):
        # heatlens drops unlikely boxes, and clips boxes to the image.
        expected = [*expected[:2], *np.clip(expected[2:], 0, image.shape[-1])] if expected and expected[1] >= SURE else []
    try:
        found = ours(binary, path, array, kind, len(expected))
    except RuntimeError as error:
        return str(error)
    done = subprocess.run([binary, "explain", path, array, "--out", folder / "out", "--force"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[0]
    if not expected or not found:
        return "pass; no box above the threshold to compare" if not expected and not found else f"{found} for {expected}"
    # Scores and shares to 1e-4; `predict` prints corners with two digits.
    scores = [1] if len(expected) == 6 and kind not in ("pixels", "steps") else range(len(expected))
    off = max(abs(found[i] - expected[i]) for i in scores)
    corners = max((abs(a - b) for a, b in zip(found[2:], expected[2:], strict=True)), default=0) if scores == [1] else 0
    same = scores != [1] or found[0] == expected[0]
    return f"pass, {off:.0e}" if same and off < LIMIT and corners < 0.05 else f"differs: {found} for {expected}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heatlens", default=str(BINARY))
    parser.add_argument("names", nargs="*", default=list(FILES))
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| file | result |\n|---|---|")
    failed = False
    for name in chosen.names or FILES:
        with tempfile.TemporaryDirectory(prefix="heads-") as folder:
            result = check(name, chosen.heatlens, Path(folder))
        failed |= not result.startswith(("pass", "not exported"))
        print(f"| {name} | {result} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
