"""Conversion of targets to the command line's syntax."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from . import _images
from ._heatlens import Error

# The value of --region, the stamp of its file, and a mask: its size and its pixels.
Region: TypeAlias = tuple[str | None, tuple[int, int] | None, tuple[tuple[int, int], bytes] | None]


def one(target: Any) -> str:
    """Returns the value of ``--class``."""
    if target is None:
        return "predicted"
    if isinstance(target, Mapping):
        if set(target) != {"above"}:
            raise Error(f"target: expected a class, or a probability as {{'above': 0.5}}, found {target!r}")
        return f"above:{target['above']}"
    return str(_images.plain(target))


def each(target: Any) -> list[str] | None:
    """Returns the value of ``--class`` for each image; ``None`` if there is one for all."""
    if isinstance(target, (list, tuple)):
        values = list(target)
    elif target is None or isinstance(target, (str, Mapping)) or np.ndim(_images.plain(target)) == 0:
        return None
    else:
        values = _images.classes(target).tolist()
    found = [one(value) for value in values]
    if several := [word for word in found if word == "all" or word.startswith("above:")]:
        raise Error(f"a target for each image is one class each, found {several[0]!r}")
    return found


def detection(value: Any) -> str | None:
    """Returns the value of ``--detection``."""
    if value is None or isinstance(value, str):
        return value
    if np.ndim(value) != 0:
        raise Error(f"detection: expected best, all, a rank or a class, found {value!r}")
    return str(value)


def depends_on_images(target: str, detection: str | None) -> bool:
    """Returns True if the number of explanations differs from image to image."""
    return detection == "all" or detection is None and target.startswith("above:")


def region(value: Any) -> Region:
    """Converts the name of a region, a path, a row and column, or a mask."""
    if value is None:
        return None, None, None
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        return path, stamp(path) if os.path.isfile(path) else None, None
    pixels = _images.array(value)
    if pixels.shape == (2,) and pixels.dtype.kind in "ui":
        return f"at:{pixels[0]},{pixels[1]}", None, None
    if pixels.ndim == 3 and 1 in (pixels.shape[0], pixels.shape[-1]):
        pixels = pixels[0] if pixels.shape[0] == 1 else pixels[..., 0]
    if pixels.ndim != 2:
        raise Error(f"region: expected a name, row and column, or a mask of rows × columns, found shape {pixels.shape}")
    inside = np.ascontiguousarray(is_white(pixels))
    return None, None, ((inside.shape[0], inside.shape[1]), inside.tobytes())


def is_white(pixels: _images.Array) -> _images.Array:
    """Returns the pixels inside a mask: those that are true, 1, or nearer to white than to black."""
    if pixels.dtype.kind in "bui" and ((pixels == 0) | (pixels == 1)).all():
        return np.equal(pixels, 1)
    if pixels.dtype == np.uint8:
        return np.greater(pixels, 127)
    if pixels.dtype.kind == "f":
        return np.greater(pixels, 0.5)
    raise Error(f"region: expected a mask of true and false, found {pixels.dtype} up to {pixels.max()}")


def embedding(reference: Any) -> _images.Array | None:
    """Returns a reference that is an embedding as an array; ``None`` for anything else."""
    if getattr(reference, "ndim", None) == 1 or isinstance(reference, (list, tuple)) and np.ndim(reference) == 1:
        return np.ascontiguousarray(_images.array(reference), np.float32)
    return None


def stamp(path: str | os.PathLike[str]) -> tuple[int, int]:
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns
