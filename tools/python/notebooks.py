#!/usr/bin/env python3
"""Executes the notebooks of examples/python, each in a fresh kernel of this Python.

    python tools/python/notebooks.py [--write] [NAME ...]

A notebook whose libraries are not installed is left out and named. `--write` keeps the outputs. Needs nbclient and ipykernel.
"""

import ast
import importlib.util
import os
import pathlib
import sys

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "examples/python"
LARGEST = 300_000


def missing(notebook):
    """The libraries of its code that are not here."""
    trees = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return sorted(name for name in {name.partition(".")[0] for name in names} if importlib.util.find_spec(name) is None)


def main():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    write = "--write" in sys.argv
    names = [name for name in sys.argv[1:] if name != "--write"]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(path, 4)
        if absent := missing(notebook):
            print(f"{path.name}: left out, {', '.join(absent)} not here")
            continue
        if not write and any(cell.cell_type == "code" and cell.execution_count is None for cell in notebook.cells):
            sys.exit(f"{path.name} is kept without its outputs: execute it with --write")
        kernel = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=False)
        kernel.execute()
        for cell in notebook.cells:  # warnings of libraries are not what it shows
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec",)}
        text = nbformat.writes(notebook) + "\n"
        if len(text) > LARGEST:
            sys.exit(f"{path.name} has {len(text)} bytes: at most {LARGEST} are kept")
        if write:
            path.write_text(text, "utf-8")
        print(f"{path.name}: executed, {len(text)} bytes")


if __name__ == "__main__":
    main()
