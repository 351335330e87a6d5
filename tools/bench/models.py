"""Times Grad-CAM by heatlens and the forward pass of PyTorch on images of 224 x 224, for models with random weights.

Usage: models.py [--heatlens PROGRAM] [--rounds 3] [--threads 2] [--batch-size 1] [--csv FILE] [MODEL ...]

MODEL is a name of torchvision.models; the default is the eight models of docs/performance.md. heatlens and PyTorch
alternate in each round. A number is the median over rounds of the median of a round's calls, followed by the fastest
and slowest round. Only the calls are timed: models are already open and warmed up.
"""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import torch
import torchvision

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = [
    "resnet18", "resnet50", "vgg16", "mobilenet_v3_large", "densenet121", "efficientnet_b0", "convnext_tiny", "vit_b_16",
]
CALLS = 5
SIDE = 224


def export(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.randn(1, 3, SIDE, SIDE),), str(path), dynamo=False, opset_version=18, input_names=["image"],
            output_names=["logits"], dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}})


def forward(model, batch):
    """Milliseconds of a forward pass in PyTorch, the median of several."""
    x, taken = torch.randn(batch, 3, SIDE, SIDE), []
    with torch.inference_mode():
        model(x)
        for _ in range(CALLS):
            start = time.perf_counter()
            model(x)
            taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken)


def explained(options, path):
    """Milliseconds of a forward pass and of Grad-CAM by heatlens."""
    command = [options.heatlens, "--threads", options.threads, "bench", path, "--json", "--repeat", CALLS,
               "--batch-size", options.batch_size, "--method", "grad_cam"]
    said = json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout)
    times = {row["name"]: row["median_ms"] for row in said["rows"]}
    work = next(row["flops"] for row in said["rows"] if row["name"] == "grad_cam")
    return times["forward pass"], times["grad_cam"], work / times["grad_cam"] / 1e6, said["peak_flops"] / 1e9


def measure(options, name, folder):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    path = folder / f"{name}.onnx"
    export(model, path)
    rounds = [(forward(model, options.batch_size), *explained(options, path)) for _ in range(options.rounds)]
    path.unlink()
    return list(zip(*rounds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heatlens", default=ROOT / "target" / "release" / "heatlens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--csv", type=pathlib.Path)
    parser.add_argument("models", nargs="*", default=MODELS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| model | PyTorch forward, ms | heatlens forward, ms | heatlens Grad-CAM, ms | Grad-CAM ÷ PyTorch | share of peak |")
    print("|---|---|---|---|---|---|")
    ratios, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models or MODELS:
            peer, own, cam, speed, peak = measure(options, name, pathlib.Path(folder))
            spread = lambda all: f"{statistics.median(all):.1f} ({min(all):.1f}–{max(all):.1f})"
            ratios.append(statistics.median(cam) / statistics.median(peer))
            share = 100 * statistics.median(speed) / max(peak)
            print(f"| {name} | {spread(peer)} | {spread(own)} | {spread(cam)} | {ratios[-1]:.2f} | {share:.0f} % |", flush=True)
            rows.append([name, *map(statistics.median, (peer, own, cam)), ratios[-1]])
    print(f"\ngeometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([["model", "peer_ms", "forward_ms", "grad_cam_ms", "ratio"], *rows])


if __name__ == "__main__":
    sys.exit(main())
