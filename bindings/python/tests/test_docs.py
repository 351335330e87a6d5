"""The examples of the documentation: their types, and those that need nothing else are run."""

import ast
import builtins
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import images
from PIL import Image
from test_targets import DETECTOR, UNET, network

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["README.md", "docs/python.md", "docs/migration.md", "docs/scale.md", "docs/troubleshooting.md"]


def examples(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def unbound(tree):
    """Names that an example takes from its reader."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
    bound |= {arg.arg for node in ast.walk(tree) if isinstance(node, ast.arguments) for arg in node.args}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return sorted({node.id for node in names} - bound)


def types(found, folder):
    """What mypy says of examples."""
    pytest.importorskip("mypy")
    for number, code in enumerate(found):
        given = "".join(f"{name}: Any\n" for name in unbound(ast.parse(code)))
        (folder / f"example_{number}.py").write_text(f"from typing import Any\n{given}{code}", "utf-8")
    words = ["--ignore-missing-imports", "--allow-redefinition", "--disable-error-code=union-attr", "--follow-imports=silent"]
    return subprocess.run([sys.executable, "-m", "mypy", *words, "."], capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("page", PAGES)
def test_examples_fit_the_stubs(page, tmp_path):
    found = examples(page)
    assert found
    done = types(found, tmp_path)
    assert done.returncode == 0, done.stdout


def test_an_example_that_does_not_fit_is_seen(tmp_path):
    (code,) = examples("README.md")
    wrong = code.replace("preset=", "presett=")
    assert wrong != code and 'Unexpected keyword argument "presett"' in types([wrong], tmp_path).stdout


def run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_runs(colour, tmp_path):
    shutil.copy(colour, tmp_path / "resnet18.onnx")
    Image.fromarray(images(1, 3)[0][0]).save(tmp_path / "cat.jpg")
    (code,) = examples("README.md")
    run(code, tmp_path)


def test_boxes_pixels_labels_and_embeddings_run(tmp_path):
    (code,) = (code for code in examples("docs/python.md") if "embedding.onnx" in code)
    shutil.copy(DETECTOR, tmp_path / "yolo.onnx")
    shutil.copy(UNET, tmp_path / "unet.onnx")
    network(tmp_path / "chest.onnx", 5)
    network(tmp_path / "embedding.onnx", 80)
    network(tmp_path / "two_inputs.onnx", 3, second=True)
    scene = np.load(DETECTOR.parent / "input.npy")[0, 0]
    for name in ("street", "scan", "face", "other"):
        Image.fromarray((scene * 255).clip(0, 255).astype(np.uint8)).convert("RGB").resize((200, 160)).save(tmp_path / f"{name}.png")
    for stands_for, own in [('"dog"', '"cross"'), ('"tumour"', "2"), ("region=(120, 80)", "region=(20, 12)"), ('"above": 0.5', '"above": 0.01')]:
        assert stands_for in code
        code = code.replace(stands_for, own)
    run(code + "assert len(boxes) == 2 and len(labels) >= 1\n", tmp_path)
