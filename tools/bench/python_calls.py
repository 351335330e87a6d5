#!/usr/bin/env python3
"""What a call of the Python package costs on this machine.

    python tools/bench/python_calls.py heatlens [TURNS]

`heatlens` is the command line. Prints the time to import the package beside that of NumPy alone, the time to explain one
95×95 image by the network of the two-class case beside what `heatlens bench` says of the same file, and, where torch,
torchvision and pytorch-grad-cam are installed, Grad-CAM of a ResNet-18 by both libraries in this process, with one
thread each. The turns of a comparison alternate; medians, and in brackets the fastest.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import heatlens as hl


def spent(*calls, turns):
    """Seconds of each call, for each of them in turn."""
    times = [[] for _ in calls]
    for _ in range(turns):
        for call, found in zip(calls, times):
            begun = time.perf_counter()
            call()
            found.append(time.perf_counter() - begun)
    return times


def told(label, times):
    print(f"{label:58} {1e3 * statistics.median(times):8.2f} ms ({1e3 * min(times):.2f})", flush=True)
    return statistics.median(times)


def imports(turns):
    def run(code):
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    found = spent(run("pass"), run("import numpy"), run("import heatlens"), turns=turns)
    for label, times in zip(("python", "python, import numpy", "python, import heatlens"), found):
        told(label, times)


def two_class(program, turns):
    random, y = np.random.default_rng(0), np.arange(200) % 2
    x = random.random((200, 95, 95, 1), np.float32) * np.float32(0.4)
    x[y == 1, 40:52, 20:32] = 1
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run")
        hl.train(x, y, epochs=1, recipe="keras-two-class", out=run)
        model = hl.open(run / "model.onnx")
        command = [program, "bench", run / "model.onnx", "--method", "grad_cam", "--repeat", str(turns), "--json"]
        model.explain(x[0], "grad_cam")
        alone, calls = [], []
        for _ in range(5):  # in turn, for the machine may be busy with something else
            benched = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            alone.append(next(row for row in benched["rows"] if row["name"] == "grad_cam"))
            [one] = spent(lambda: model.explain(x[0], "grad_cam"), turns=turns)
            calls += one
    medians, fastest = [row["median_ms"] for row in alone], min(row["fastest_ms"] for row in alone)
    own = statistics.median(medians)
    print(f"{'two-class case, heatlens bench':58} {own:8.2f} ms ({fastest:.2f})")
    call = told("two-class case, Model.explain of one image", calls)
    print(f"{'ratio':58} {1e3 * call / own:8.2f}    ({1e3 * min(calls) / fastest:.2f})")


def resnet(turns):
    try:
        import torch
        import torchvision
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        print(f"ResNet-18 left out: {error}")
        return
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None).eval()
    x = torch.rand(1, 3, 224, 224)
    model = hl.open(net, example=x)
    layer = net.layer4[-1]
    torch.set_num_threads(1)
    hl.set_threads(1)
    with GradCAM(model=net, target_layers=[layer]) as cam:
        theirs = lambda: cam(input_tensor=x, targets=[ClassifierOutputTarget(281)])
        ours = lambda: model.explain(x, "grad_cam", layer=layer, target=281)[0].heat()
        theirs(), ours()
        a, b = spent(theirs, ours, turns=turns)
    a = told("ResNet-18, pytorch-grad-cam", a)
    b = told("ResNet-18, Model.explain and heat()", b)
    print(f"{'ratio':58} {b / a:8.2f}")


if __name__ == "__main__":
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    imports(turns)
    two_class(sys.argv[1], 10 * turns)
    resnet(turns)
