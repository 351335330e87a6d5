"""Compares heatlens with PyTorch models.

Usage: torch_model.py EXPORTER[,EXPORTER] LIBRARY:NAME:SIDE ...

Builds each NAME of `torchvision` or `timm` with random weights, exports it (`torchscript`, `dynamo`), and compares
heatlens with autograd. Prints one JSON object per line for each model and exporter.
"""

import contextlib
import io
import json
import logging
import re
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

import heatlens
from randomise import randomise

OPSET = 18
SEED = 7
# Scale of the norms' weights and seeds of images, tried until float32 and float64 of the framework agree.
ATTEMPTS = [(1.0, seed) for seed in (1, 2, 3)] + [(0.25, seed) for seed in (1, 2, 3, 4, 5, 6)]


def build(library, name, side, gain=1.0):
    """The model in eval mode, with non-trivial weights."""
    torch.manual_seed(SEED)
    if library == "timm":
        import timm

        model = timm.create_model(name, pretrained=False)
    else:
        import torchvision

        extra = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(name, weights=None, **extra)
    model.eval()
    randomise(model, torch.from_numpy(pictures(side, 4, SEED)), gain)
    forget(model)
    return model


def forget(model):
    """Clears the caches that some attention layers keep of their weights: they are not updated for new weights or precision."""
    for module in model.modules():
        getattr(module, "attention_bias_cache", {}).clear()


def pictures(side, count=2, seed=1):
    """Images with large and small structure: noise of several scales, all different."""
    random = np.random.default_rng(seed)
    total = np.zeros((count, 3, side, side))
    for cells in (2, 5, 16, side):
        coarse = torch.from_numpy(random.normal(size=(count, 3, cells, cells)))
        total += torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear").numpy()
    return (total / total.std()).astype(np.float32)


class Recorder(TorchFunctionMode):
    """Keeps every tensor that a function returns, so that a layer can be found by its values."""

    def __init__(self):
        super().__init__()
        self.tensors = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.requires_grad and not tensor.is_leaf and tensor.dim() > 2:
                tensor.retain_grad()
                self.tensors.append(tensor)
        return result


class Reference:
    """Logits, input gradient and all intermediate tensors of the model at one precision."""

    def __init__(self, model, images, dtype, chosen=None):
        model = model.to(dtype)
        forget(model)
        image = torch.from_numpy(images).to(dtype).requires_grad_()
        with Recorder() as recorder:
            output = model(image)
        self.chosen = heatlens.highest(output.detach().numpy()) if chosen is None else chosen
        output[:, self.chosen].sum().backward()
        self.logits, self.gradient = output.detach().numpy(), image.grad.numpy()
        self.tensors = recorder.tensors

    def grad_cam(self, tensor, form):
        """Grad-CAM before its ReLU at one of the intermediate tensors, in the layout `form`."""
        activations, gradient = (form(t.detach().numpy()) for t in (tensor, tensor.grad))
        weights = gradient.mean((2, 3), keepdims=True)
        return (weights * activations).sum(1)


def forms(shape):
    """Layouts in which a tensor can hold N x C x h x w."""
    n, c, h, w = shape
    yield (n, c, h, w), lambda t: t
    yield (n, h, w, c), lambda t: t.transpose(0, 3, 1, 2)
    yield (n, h * w, c), lambda t: t.transpose(0, 2, 1).reshape(shape)
    yield (n, c, h * w), lambda t: t.reshape(shape)


def readings(tensor, shape):
    """All ways to read a tensor as N x C x h x w, without tokens before or after the grid."""
    n, c, h, w = shape
    own = tuple(tensor.shape)
    for wanted, form in forms(shape):
        if own == wanted:
            yield form
    if len(own) == 3 and own[0] == n and own[2] == c and own[1] > h * w:
        for start in range(own[1] - h * w + 1):
            yield lambda t, start=start: t[:, start:start + h * w].transpose(0, 2, 1).reshape(shape)


def matches(exact, single, activations):
    """The intermediate tensors that equal heatlens' A, and their layouts."""
    for index, (tensor, rounded) in enumerate(zip(exact.tensors, single.tensors)):
        for form in readings(tensor, activations.shape):
            best, own = (form(t.detach().numpy()) for t in (tensor, rounded))
            limit = heatlens.limit("layer", heatlens.difference(own, best))
            if tensor.grad is not None and heatlens.difference(activations, best) < limit:
                yield index, form


def export(model, images, path, exporter):
    """Writes the ONNX file, with an open batch dimension if the exporter supports it."""
    example = torch.from_numpy(images)
    names = {"input_names": ["input"], "output_names": ["output"]}
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with warnings.catch_warnings(), quiet[0], quiet[1]:
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            axes = {"input": {0: "N"}, "output": {0: "N"}}
            torch.onnx.export(model, (example,), path, dynamo=False, opset_version=OPSET, dynamic_axes=axes, **names)
            return "free"
        try:
            free = ({0: torch.export.Dim("N")},)
            torch.onnx.export(model, (example,), path, dynamo=True, dynamic_shapes=free, **names)
            return "free"
        except Exception:  # a model that depends on its batch size
            torch.onnx.export(model, (example,), path, dynamo=True, **names)
            return "fixed"


def grad_cams(found, exact, single):
    """Grad-CAM by both references at the tensors that equal heatlens' A."""
    for index, form in matches(exact, single, found["conv_output"]):
        yield tuple(r.grad_cam(r.tensors[index], form) for r in (exact, single))


def compare(path, images, single, exact):
    """The table's entries for one exported file."""
    said, seconds = heatlens.inspect(path)
    row = {"layer": said["default_layer"], "open_s": round(seconds, 2), "notes": said["notes"]}
    if not row["layer"]:
        return {**row, "bad": ["no layer to look at"]}
    found = heatlens.explain(path, images, single.chosen, path.parent)
    row["grid"] = list(found["grad_cam"].shape[1:])
    return {**row, **heatlens.measure(found, exact, single, grad_cams(found, exact, single))}


class Case:
    """A model, two images, and the framework's results in both precisions."""

    def __init__(self, library, name, side, gain, seed):
        self.images = pictures(side, seed=seed)
        self.model = build(library, name, side, gain)
        self.single = Reference(self.model, self.images, torch.float32)
        self.exact = Reference(self.model, self.images, torch.float64, self.single.chosen)
        self.own = heatlens.difference(self.single.gradient, self.exact.gradient)
        self.facts = {"gain": gain, "images": seed, "reference": "float64"}
        self.model.float()
        forget(self.model)


def cases(library, name, side):
    """The model with each pair of images, see `heatlens.smooth`."""
    return heatlens.smooth(Case(library, name, side, *attempt) for attempt in ATTEMPTS)


def written(case, path, exporter):
    """The row of a model for one exporter."""
    try:
        batch = export(case.model, case.images, str(path), exporter)
    except Exception as error:  # a failure of the exporter, not of heatlens
        why = re.sub(r"\x1b\[[0-9;]*m", "", f"{type(error).__name__}: {error}").strip().splitlines()[0][:120]
        return {"not_exported": why}
    row = {**case.facts, "batch": batch, "spread": heatlens.difference(*case.single.logits)}
    try:
        return {**row, **compare(path, case.images, case.single, case.exact)}
    except heatlens.Refused as refused:
        return {**row, "bad": ["refused"], "refused": str(refused)}


def one(library, name, side, exporters):
    """Prints the rows of one model."""
    rows = {}
    for case in cases(library, name, side):
        facts = {"library": library, "name": name, "parameters": sum(p.numel() for p in case.model.parameters())}
        for exporter in exporters:
            if heatlens.is_open(rows.get(exporter)):
                with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
                    row = written(case, Path(folder) / "model.onnx", exporter)
                pairs = rows.get(exporter, {}).get("pairs", 0) + 1
                rows[exporter] = {**facts, "exporter": exporter, "pairs": pairs, **row}
        if not any(map(heatlens.is_open, rows.values())):
            break
    for row in rows.values():
        print(json.dumps(row), flush=True)


def main(exporters, *models):
    logging.disable(logging.WARNING)
    for model in models:
        library, name, side = model.split(":")
        try:
            one(library, name, int(side), exporters.split(","))
        except Exception as error:  # continue with the others
            why = "".join(traceback.format_exception_only(error)).strip()
            row = {"library": library, "name": name, "exporter": exporters, "bad": ["stopped"], "refused": why}
            print(json.dumps(row), flush=True)
        print(json.dumps({"done": model}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
