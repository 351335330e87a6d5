"""Options of a model, some of which are in memory instead of files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._heatlens import Core, Error


@contextlib.contextmanager
def as_files(source: Path | bytes, options: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the path of the model and its options for the library; values in memory are written to temporary files."""
    kinds = (list, bytes, np.ndarray)
    in_memory = options.get("feed") or any(isinstance(options.get(key), kinds) for key in ("labels", "region", "reference"))
    if isinstance(source, Path) and not in_memory:
        yield source, {**options, "feed": []}
        return
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            yield _model(source, folder), {**options, **_written(options, folder)}
        except Error as error:
            raise type(error)(str(error).replace(name + os.sep, "")) from None


def _model(source: Path | bytes, folder: Path) -> Path:
    if isinstance(source, Path):
        return source
    (folder / "model").write_bytes(source)
    return folder / "model"


def _written(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {"feed": [f"{name}={file}" for name, file in _feeds(options.get("feed") or {}, folder)]}
    if isinstance(labels := options.get("labels"), list):
        (folder / "labels").write_text(json.dumps(labels), "utf-8")
        found["labels"] = str(folder / "labels")
    if isinstance(region := options.get("region"), bytes):
        (folder / "region").write_bytes(region)
        found["region"] = str(folder / "region")
    if isinstance(reference := options.get("reference"), np.ndarray):
        np.save(folder / "reference.npy", reference)
        found["reference"] = str(folder / "reference.npy")
    return found


def _feeds(feed: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    for at, (name, value) in enumerate(feed.items()):
        if isinstance(value, (str, os.PathLike)):
            yield name, os.fspath(value)
            continue
        np.save(folder / f"feed-{at}.npy", value)
        yield name, str(folder / f"feed-{at}.npy")


def without_files(options: dict[str, Any], core: Core) -> dict[str, Any]:
    """Returns the options with the content of files instead of their paths, so that a copy of the model can be used on another machine."""
    found = dict(options)
    if options.get("labels") is not None:
        found["labels"] = core.class_names
    if options.get("reference") is not None:
        found["reference"] = core.reference
    if (region := options.get("region")) is not None and os.path.isfile(region):
        found["region"] = Path(region).read_bytes()
    found["feed"] = {
        name: np.load(value) if isinstance(value, (str, os.PathLike)) else value
        for name, value in (options.get("feed") or {}).items()
    }
    return found
