"""Compares heatlens with all families and writes docs/zoo.md.

Usage: run.py [--results FILE] [--jobs N] [--exporters LIST] [--again all|failed] [--python-torch PATH]
              [--python-keras PATH] [GROUP[:NAME] ...]

GROUP is torchvision, timm, more-timm, keras or tf-keras; all if none is named. Results are kept in FILE (default
target/zoo.jsonl); models that it contains are run again only with --again. Keras models run in one process each,
because TensorFlow does not free the memory of its models; several PyTorch models share a process.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import catalogue
import table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOGETHER = 6  # PyTorch models in one process


class Results:
    """Rows by group, name and exporter, kept in a file."""

    def __init__(self, path):
        self.path, self.lock, self.rows = path, threading.Lock(), {}
        if path.exists():
            for row in map(json.loads, path.read_text().splitlines()):
                self.rows[self.key(row)] = row

    @staticmethod
    def key(row):
        return row["group"], row["name"], row["exporter"]

    def add(self, row):
        with self.lock:
            self.rows[self.key(row)] = row
            self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows.values()))
            print(*self.key(row), table.state(row), row.get("refused", ""), flush=True)


def run(options, results, group, names):
    """Runs some models of a group in one process and stores their rows as they are printed."""
    if group in ("keras", "tf-keras"):
        command = [options.python_keras, HERE / "keras_model.py", group, *names]
    else:
        library = "timm" if group == "more-timm" else group
        models = [f"{library}:{name}:{catalogue.GROUPS[group][name]}" for name in names]
        command = [options.python_torch, HERE / "torch_model.py", options.exporters, *models]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    left = list(names)
    for line in process.stdout:
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        if "done" in row:
            left.pop(0)
        else:
            results.add({**row, "group": group})
    if process.wait() != 0 and left:
        name, *rest = left
        results.add({"group": group, "name": name, "exporter": "", "bad": [f"ended with {process.returncode}"]})
        if rest:
            run(options, results, group, rest)


def chosen(names):
    """Group and name of every requested model."""
    for item in names or catalogue.GROUPS:
        group, _, name = item.partition(":")
        for each in [name] if name else catalogue.GROUPS[group]:
            yield group, each


def jobs(options, results):
    """Batches of models to run."""
    stored = {}
    for (group, name, _), row in results.rows.items():
        stored.setdefault((group, name), []).append(table.state(row))
    settled = {"all": lambda states: False, "failed": lambda states: all(map(table.is_settled, states))}
    settled = settled.get(options.again, lambda states: True)
    todo = [key for key in chosen(options.models) if key not in stored or not settled(stored[key])]
    for group, keys in itertools.groupby(todo, lambda key: key[0]):
        size = 1 if "keras" in group else TOGETHER
        names = [name for _, name in keys]
        for start in range(0, len(names), size):
            yield group, names[start:start + size]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "target" / "zoo.jsonl")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--exporters", default="torchscript,dynamo")
    parser.add_argument("--again", choices=["all", "failed"])
    parser.add_argument("--python-torch", default=sys.executable)
    parser.add_argument("--python-keras", default=sys.executable)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    results = Results(options.results)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: run(options, results, *job), list(jobs(options, results))))
    table.write(results.rows, ROOT / "docs" / "zoo.md")


if __name__ == "__main__":
    main()
