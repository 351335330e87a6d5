"""Times a forward pass by ONNX Runtime, and a forward pass and Grad-CAM by heatlens, of the same ONNX file.

    pip install torch torchvision onnx onnxruntime
    cargo build --release
    python tools/bench/onnx_runtime.py [--isa avx2,avx512] [--rounds 3] [--threads 2] [--models FOLDER] [--csv FILE] [MODEL ...]

MODEL is a name of torchvision.models (random weights, one image of 224 x 224); the default is the eight models of
docs/performance.md. With --models, exported files are kept in FOLDER and used again. The programs alternate in each round; a
number is the median over rounds of the median of a round's calls, followed by the fastest and slowest round. Only the calls
are timed: models are already open and warmed up. --isa pins the instruction set of heatlens; ONNX Runtime chooses its own.

With --profile, prints the time by operator of both programs instead, in ms per pass: the sum over nodes of a node's fastest
run in ONNX Runtime (whose fused and reordered operators have names of its own), one of several runs in heatlens;
`cargo bench -p heatlens-cpu --bench steps` prints the fastest.

The file is not called onnxruntime.py, because scripts beside it would import it instead of the library.
"""

import argparse
import collections
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = [
    "resnet18", "resnet50", "vgg16", "mobilenet_v3_large", "densenet121", "efficientnet_b0", "convnext_tiny", "vit_b_16",
]
SIDE = 224
IMAGE = np.random.default_rng(0).standard_normal((1, 3, SIDE, SIDE), dtype=np.float32)


def exported(name, folder):
    path = folder / f"{name}.onnx"
    if not path.exists():
        import models  # beside this file; needs torch and torchvision, which nothing else here does
        import torch
        import torchvision

        torch.manual_seed(0)
        models.export(torchvision.models.get_model(name, weights=None).eval(), path)
    return path


def session(path, threads, profile=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def forward(path, options):
    """Milliseconds of a forward pass by ONNX Runtime, the median of several."""
    opened, taken = session(path, options.threads), []
    for _ in range(options.repeat + 2):
        start = time.perf_counter()
        opened.run(None, {"image": IMAGE})
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken[2:])


def bench(path, options, isa, *words):
    command = [options.heatlens, "--threads", options.threads, *(["--isa", isa] if isa else []), "bench", path, "--json",
               "--repeat", options.repeat, *words]
    return json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout)


def explained(path, options, isa):
    """Milliseconds of a forward pass and of Grad-CAM by heatlens."""
    said = bench(path, options, isa, "--method", "grad_cam")
    times = {row["name"]: row["median_ms"] for row in said["rows"]}
    return times["forward pass"], times["grad_cam"]


def shown(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def compare(options, folder):
    print("| model | ONNX Runtime forward, ms | heatlens | forward, ms | Grad-CAM, ms | forward ÷ ONNX Runtime | Grad-CAM ÷ ONNX Runtime |")
    print("|---|---|---|---|---|---|---|")
    ratios, rows = collections.defaultdict(list), []
    for name in options.names or MODELS:
        path = exported(name, folder)
        rounds = [(forward(path, options), *(explained(path, options, isa) for isa in options.isa)) for _ in range(options.rounds)]
        peer = [taken for taken, *_ in rounds]
        for i, isa in enumerate(options.isa):
            own, cam = zip(*(taken[1 + i] for taken in rounds))
            by_peer = [statistics.median(own) / statistics.median(peer), statistics.median(cam) / statistics.median(peer)]
            ratios[isa].append(by_peer)
            print(f"| {name} | {shown(peer)} | {isa or ''} | {shown(own)} | {shown(cam)} | {by_peer[0]:.2f} | {by_peer[1]:.2f} |", flush=True)
            rows.append([name, isa, *map(statistics.median, (peer, own, cam)), *by_peer])
    for isa, all_of in ratios.items():
        means = [statistics.geometric_mean(column) for column in zip(*all_of)]
        print(f"| geometric mean | | {isa or ''} | | | {means[0]:.2f} | {means[1]:.2f} |")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([["model", "isa", "peer_ms", "forward_ms", "grad_cam_ms", "forward_ratio", "grad_cam_ratio"], *rows])


def peer_operators(path, options):
    """Milliseconds per pass by operator in ONNX Runtime, each node at its fastest."""
    with tempfile.TemporaryDirectory() as folder:
        opened = session(path, options.threads, pathlib.Path(folder, "profile"))
        for _ in range(options.repeat + 2):
            opened.run(None, {"image": IMAGE})
        events = json.loads(pathlib.Path(opened.end_profiling()).read_text())
    passes = collections.defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            passes[event["name"], event["args"]["op_name"]].append(event["dur"] / 1e3)
    total = collections.Counter()
    for (_, operator), taken in passes.items():
        total[operator] += min(taken)
    return total


def own_operators(path, options, isa):
    """Milliseconds per pass by operator in heatlens."""
    said = bench(path, options, isa)
    return {row["op"]: row["ms"] for row in said["rows"][0]["operators"]}


def profile(options, folder):
    for name in options.names or MODELS:
        path = exported(name, folder)
        tables = [("ONNX Runtime", peer_operators(path, options))]
        tables += [(f"heatlens {isa or ''}", own_operators(path, options, isa)) for isa in options.isa]
        for program, operators in tables:
            print(f"\n{name}, {program}: {sum(operators.values()):.2f} ms")
            for operator, taken in sorted(operators.items(), key=lambda item: -item[1]):
                print(f"  {operator:28} {taken:8.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heatlens", default=ROOT / "target" / "release" / "heatlens")
    parser.add_argument("--isa", type=lambda text: text.split(","), default=[None], help="avx2, avx512 or portable; several with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", type=pathlib.Path)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--csv", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="MODEL")
    options = parser.parse_args()
    work = profile if options.profile else compare
    if options.models:
        options.models.mkdir(parents=True, exist_ok=True)
        return work(options, options.models)
    with tempfile.TemporaryDirectory() as folder:
        return work(options, pathlib.Path(folder))


if __name__ == "__main__":
    sys.exit(main())
