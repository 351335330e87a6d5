"""Options of a model file, where some of them are in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._heatlens import Core, Error


@contextlib.contextmanager
def as_files(source: Path | bytes, words: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The model and its options as the library reads them. What is in memory is written to files, which nobody gets to see."""
    kinds = (list, bytes, np.ndarray)
    in_memory = words.get("feed") or any(isinstance(words.get(word), kinds) for word in ("labels", "region", "reference"))
    if isinstance(source, Path) and not in_memory:
        yield source, {**words, "feed": []}
        return
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            yield _model(source, folder), {**words, **_written(words, folder)}
        except Error as error:
            raise Error(str(error).replace(name + os.sep, "")) from None


def _model(source: Path | bytes, folder: Path) -> Path:
    if isinstance(source, Path):
        return source
    (folder / "model").write_bytes(source)
    return folder / "model"


def _written(words: dict[str, Any], folder: Path) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {"feed": [f"{name}={file}" for name, file in _feeds(words.get("feed") or {}, folder)]}
    if isinstance(labels := words.get("labels"), list):
        (folder / "labels").write_text(json.dumps(labels), "utf-8")
        found["labels"] = str(folder / "labels")
    if isinstance(region := words.get("region"), bytes):
        (folder / "region").write_bytes(region)
        found["region"] = str(folder / "region")
    if isinstance(reference := words.get("reference"), np.ndarray):
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


def without_files(words: dict[str, Any], core: Core) -> dict[str, Any]:
    """The options with the content of the files that they name, which may not be where a copy of the model goes."""
    found = dict(words)
    if words.get("labels") is not None:
        found["labels"] = core.class_names
    if words.get("reference") is not None:
        found["reference"] = core.reference
    if (region := words.get("region")) is not None and os.path.isfile(region):
        found["region"] = Path(region).read_bytes()
    found["feed"] = {
        name: np.load(value) if isinstance(value, (str, os.PathLike)) else value
        for name, value in (words.get("feed") or {}).items()
    }
    return found
