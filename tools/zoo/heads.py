"""Exports detectors, segmentation networks and other heads with random weights, and checks that heatlens reads them.

Usage: heads.py [--heatlens BINARY] [--results FILE] [NAME ...]

Each file comes from the exporter that its users use. Its outputs by onnxruntime for one picture are compared with
`heatlens predict`, and PyTorch's derivative of the explained score with `heatlens explain --method gradient`. The default
`heatlens explain` must succeed. Appends a row for each file to FILE (default target/zoo-heads.jsonl) and writes
docs/zoo-heads.md from the last row of each.
"""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

import heatlens
import heads_results
import numpy as np
import torch
from heads_models import FILES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zoo-heads.md"
HEAD = """# The zoo: other heads, inputs and types

Files of detectors, segmentation networks, embeddings and others, each written by its usual exporter. This page is written by
`tools/zoo/heads.py`; see [tools/zoo](../tools/zoo/README.md). [The zoo](zoo.md) has the classifiers.

The networks have random weights; detectors' scores are raised so that there are boxes. Of each file:

- `heatlens predict` is compared with onnxruntime: class, probability and corners of the best box (corners within 0.05
  pixels); the share of each class among the pixels or steps; the numbers of other outputs (Keras: the framework's own).
  The column *outputs* has the difference of probability or shares, or the relative L2 difference of the numbers.
- `heatlens explain` runs with its defaults, and writes a map at the layer that it chooses.
- `heatlens explain --method gradient` is compared with PyTorch's derivative of the explained score (the box's logit before
  the sigmoid, the mean logit of the pixels of the largest class, the similarity) by the image: relative L2 difference, in
  float64 where the network allows it. PyTorch's own difference between float32 and float64 stands in brackets where it
  exceeds 1e-4: one ReLU that rounding tips over moves a gradient by a percent.

Limits: 1e-4 for outputs, 1e-3 for gradients, or ten times PyTorch's own difference. fp16: 5e-3 for YOLO and 2e-2 for logits, because
onnxruntime computes in half precision. int8: 2e-2, because rounding to 255 steps may go the other way; noise of 1e-5 in the picture
moves onnxruntime's own logits by 1e-2. The gradients of both are not compared: exporters round their weights in other places.

"""


def explained(binary, case, path, picture, folder, *methods):
    out = folder / ("out" + "".join(methods))
    heads_results.run(binary, "explain", path, picture, "--out", out, "--force", *case.flags, *methods)
    return out


def outputs(case, found, expected):
    """The difference of the outputs, and what is wrong with them."""
    if len(found) != len(expected):
        return float("inf"), f"{len(found)} numbers instead of {len(expected)}"
    if case.kind in heads_results.BOXES:
        corners = max(abs(a - b) for a, b in zip(found[2:], expected[2:], strict=True))
        wrong = "another class" if found[0] != expected[0] else f"corners {corners:.2f} off" if corners > 0.05 else ""
        return abs(found[1] - expected[1]), wrong
    if case.kind in heads_results.SHARES:
        return max(abs(a - b) for a, b in zip(found, expected, strict=True)), ""
    return heatlens.difference(found, expected), ""


def derivative(binary, case, path, picture, folder):
    """The difference of the gradients, and PyTorch's own."""
    out = explained(binary, case, path, picture, folder, "--method", "gradient", "--save", "npz")
    maps = np.load(out / "maps.npz")
    found = maps[next(name for name in maps if name.startswith("gradient"))]
    single, weights = heads_results.gradient(case, torch.float32)
    try:
        exact, _ = heads_results.gradient(case, torch.float64, weights)
    except (RuntimeError, ValueError):  # the network mixes precisions
        exact = single
    return heatlens.difference(found, exact), heatlens.difference(single, exact)


def check(name, binary, folder):
    """A row: head, layer, differences, result."""
    path, picture = folder / ("model.keras" if "Keras" in name else "model.onnx"), folder / "picture.npy"
    row = {"head": "", "layer": "", "outputs": "", "gradient": "", "result": ""}
    try:
        case = FILES[name](path)
    except Exception as error:
        return {**row, "result": f"not exported: {type(error).__name__}: {str(error).splitlines()[0][:100]}"}
    np.save(picture, case.image)
    try:
        flags = [flag for flag in case.flags if flag != "--class" and flag != "1"]
        said = json.loads(heads_results.run(binary, "inspect", path, "--json", *flags))
        row |= {"head": said["head"], "layer": f"`{said['default_layer']}`"}
        expected = heads_results.expected(case, path)
        found = heads_results.predicted(case, binary, path, picture, len(expected))
        off, wrong = outputs(case, found, expected)
        row["outputs"] = f"{off:.0e}"
        explained(binary, case, path, picture, folder)
        bad = [wrong] if wrong else [] if off <= case.limit else ["outputs differ"]
        if case.scores is not None:
            off, own = derivative(binary, case, path, picture, folder)
            row["gradient"] = f"{off:.0e}" + (f" ({own:.0e})" if own > heatlens.ROUGH else "")
            bad += ["gradient differs"] if off > heatlens.limit("gradient", own) else []
        return {**row, "result": "; ".join(bad) or "pass"}
    except heads_results.Refused as refused:
        return {**row, "result": f"refused: {refused}"}


def is_wrong(name, row):
    if row["result"].startswith("refused: "):
        return not any(stages in name for stages in ("R-CNN", "RT-DETR"))
    return not row["result"].startswith(("pass", "not exported"))


def write_page(results):
    """Returns the names of the files whose row is wrong."""
    rows = dict(map(json.loads, results.read_text().splitlines()))
    rows = {name: rows[name] for name in FILES if name in rows}
    passed = sum(row["result"] == "pass" for row in rows.values())
    lines = [f"{passed} of {len(rows)} files pass.", "", "| file | head | default layer | outputs | gradient | result |",
             "|---|---|---|---|---|---|"]
    lines += [f"| {name} | " + " | ".join(row.values()) + " |" for name, row in rows.items()]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")
    return [name for name, row in rows.items() if is_wrong(name, row)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heatlens", default=str(heatlens.BINARY))
    parser.add_argument("--results", type=Path, default=PAGE.parents[1] / "target" / "zoo-heads.jsonl")
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    for name in chosen.names or FILES:
        with tempfile.TemporaryDirectory(prefix="heads-") as folder:
            row = check(name, chosen.heatlens, Path(folder))
        with chosen.results.open("a") as results:
            results.write(json.dumps([name, row]) + "\n")
        print(name, row, flush=True)
    sys.exit(bool(write_page(chosen.results)))


if __name__ == "__main__":
    main()
