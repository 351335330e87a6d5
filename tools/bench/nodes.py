"""Measures time and memory of whole commands by number of nodes, for the table in docs/performance.md.

    pip install onnx numpy
    cargo build --release
    python tools/bench/nodes.py [--binary target/release/heatlens] [--kinds sigmoid,shortcut] [--nodes 1000,10000,100000]

Every network has N nodes of one kind between the image (3×8×8) and a global average pool with a dense layer. The time is the
CPU time of the command (all threads), the minimum of --repeat runs. The last column is the cost per node relative to
the smallest network: 1.0 is linear.
"""

import argparse
import multiprocessing
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def sigmoid(i, last, first):
    return helper.make_node("Sigmoid", [last], [f"v{i}"], name=f"n{i}")


def rectifier(i, last, first):
    return helper.make_node("Relu", [last], [f"v{i}"], name=f"n{i}")


def shortcut(i, last, first):
    return helper.make_node("Add", [last, first], [f"v{i}"], name=f"n{i}")


def unnamed(i, last, first):
    return helper.make_node("Sigmoid", [last], [f"v{i}"], name="n")


def pool(i, last, first):
    return helper.make_node("MaxPool", [last], [f"v{i}"], name=f"n{i}", kernel_shape=[1, 1])


KINDS = {f.__name__: f for f in (sigmoid, rectifier, shortcut, unnamed, pool)}
COMMANDS = {
    "inspect": lambda model, images, out: ["inspect", model],
    "predict": lambda model, images, out: ["predict", model, images],
    "gradient": lambda model, images, out: ["explain", model, images, "--method", "gradient", "--out", out],
}


def network(kind, nodes):
    first = helper.make_node("Identity", ["x"], ["first"], name="first")
    body, last = [first], "first"
    for i in range(nodes):
        body.append(KINDS[kind](i, last, "first"))
        last = f"v{i}"
    body += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"], name="pooled"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w"], ["y"], name="dense", transB=1),
    ]
    weights = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    graph = helper.make_graph(
        body,
        "nodes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def write(kind, nodes, path):
    """Writes a network in a process of its own: a command's peak memory includes that of the process that starts it."""
    path.write_bytes(network(kind, nodes))


def measure(command):
    """CPU seconds and MiB of a command."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{command} failed: {errors.decode(errors='replace')[:500]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/heatlens")
    parser.add_argument("--kinds", default="sigmoid,shortcut")
    parser.add_argument("--nodes", default="1000,10000,100000")
    parser.add_argument("--commands", default="inspect,predict,gradient")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    print("| network | command | nodes | s | MiB | times linear |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images.npy")
        np.save(images, np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32))
        for kind in arguments.kinds.split(","):
            for command in arguments.commands.split(","):
                of_first = None
                for nodes in map(int, arguments.nodes.split(",")):
                    model = Path(folder, f"{kind}{nodes}.onnx")
                    making = multiprocessing.Process(target=write, args=(kind, nodes, model))
                    making.start()
                    making.join()
                    runs = []
                    for i in range(arguments.repeat):
                        out = Path(folder, f"{kind}{command}{nodes}-{i}")
                        words = COMMANDS[command](model, images, out)
                        runs.append(measure([arguments.binary, *map(str, words)]))
                    seconds, memory = min(runs)
                    of_first = of_first or seconds / nodes
                    ratio = seconds / nodes / of_first
                    print(f"| {kind} | {command} | {nodes:,} | {seconds:.2f} | {memory:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
