"""Training of a small network on images in two or more classes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _heatlens, _images
from ._model import Model, PathLike


@dataclass(frozen=True)
class Trained:
    """A trained model with its evaluation on the held-out images."""

    model: Model
    report: dict[str, Any]
    """The content of ``metrics.json``."""
    notes: list[str]
    """Assumptions about the images."""
    left_out: list[str]
    """The images that could not be read, with the reasons."""

    def __repr__(self) -> str:
        left_out = f"; {len(self.left_out)} left out" if self.left_out else ""
        return f"<Trained: {self.report.get('title')}{left_out}; {self.model!r}>"


def train(
    x: Any,
    y: Any = None,
    *,
    class_names: list[str] | None = None,
    validation_data: tuple[Any, Any] | PathLike | None = None,
    out: PathLike | None = None,
    force: bool = False,
    recipe: str | None = None,
    arch: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patience: int | None = None,
    monitor: str | None = None,
    validation_split: float | None = None,
    scale: str | None = None,
    seed: int = 0,
) -> Trained:
    """Trains on an array of N images with their classes, or on a folder with one sub-folder for each class.

    ``y`` holds numbers or names, in a list or array of N, of N × 1, or one-hot. Names without ``class_names`` are numbered in
    alphabetical order.

    Options that are not given depend on the number of images, as on the command line. ``out`` is a folder for the command
    line's files (model, history, learning curve). Ctrl-C stops the training.
    """
    options = {
        "recipe": recipe,
        "arch": arch,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patience": patience,
        "monitor": monitor,
        "validation_split": validation_split,
        "scale": scale,
        "seed": seed,
    }
    import json
    import tempfile

    if class_names is None and y is not None and (named := _images.classes(y)).dtype.kind in "UO":
        class_names = sorted({str(name) for name in named})
    with tempfile.TemporaryDirectory() as folder:
        paths = {"x, y": Path(folder, "data.npz"), "validation_data": Path(folder, "validation.npz")}
        data = _file(x, y, class_names, paths["x, y"])
        validation = None
        if isinstance(validation_data, (str, os.PathLike)):
            validation = os.fspath(validation_data)
        elif validation_data is not None:
            validation = _file(*validation_data, class_names, paths["validation_data"])
        results = Path(folder, "run") if out is None else Path(out)
        notes, left_out = _images.run_on_files(paths, lambda: _heatlens.train(data, validation, results, options, force))
        report = json.loads((results / "metrics.json").read_text("utf-8"))
        names = {"labels": class_names} if class_names else {}
        return Trained(Model((results / "model.onnx").read_bytes(), names), report, notes, left_out)


def _file(x: Any, y: Any, class_names: list[str] | None, path: Path) -> str:
    if isinstance(x, (str, os.PathLike)):
        return os.fspath(x)
    return _images.archive(x, y, class_names or [], path)
