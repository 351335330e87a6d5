"""Explanations of the rows of a table: always one row out for one row in."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _heatlens, _target
from ._heatlens import Error
from ._model import Model

# One model for each process: (bytes and options) -> model.
_MODELS: dict[str, Model] = {}


class Rows:
    """Explains images by one model with one set of options; pickles, and opens the model once in each process."""

    def __init__(
        self,
        model: bytes | str,
        method: str | Sequence[str] = "grad_cam",
        *,
        image: str = "image",
        id: str | None = None,
        isa: str | None = None,
        threads: int | None = None,
        on_error: str = "row",
        open_options: Mapping[str, Any] | None = None,
        **explain_options: Any,
    ) -> None:
        if on_error not in ("row", "raise"):
            raise Error(f"on_error: expected row or raise, found {on_error!r}")
        if several := _several(explain_options):
            raise Error(f"one row in is one row out: {several} gives several explanations of an image")
        if not isinstance(model, bytes):
            with open(model, "rb") as file:
                model = file.read()
        self.model_bytes, self.image, self.id = model, image, id
        self.method = [method] if isinstance(method, str) else list(method)
        self.isa, self.threads, self.on_error = isa, threads, on_error
        self.open_options, self.explain_options = dict(open_options or {}), explain_options
        self.model_sha256 = hashlib.sha256(model).hexdigest()
        options = {"method": self.method, "open": self.open_options, "explain": self.explain_options}
        self.options_sha256 = hashlib.sha256(json.dumps(options, sort_keys=True, default=_plain).encode()).hexdigest()

    def model(self) -> Model:
        """Returns this process's copy of the model."""
        key = self.model_sha256 + self.options_sha256
        if key not in _MODELS:
            if self.isa is not None:
                _heatlens.pin_instruction_set(self.isa)
            if self.threads is not None:
                _heatlens.set_threads(self.threads)
            options = {name: value for name, value in self.open_options.items()}
            from ._model import open as open_model

            _MODELS[key] = open_model(self.model_bytes, **options)
        return _MODELS[key]

    def row(self, value: Any, id: Any = None) -> dict[str, Any]:
        """Explains one image: an array, encoded bytes (PNG, JPEG, …), a path, or a struct with ``bytes``."""
        row: dict[str, Any] = {
            "id": None if id is None else str(id),
            "input_sha256": None,
            "model_sha256": self.model_sha256,
            "options_sha256": self.options_sha256,
            "predicted": None,
            "logits": None,
            "probabilities": None,
            "computed_by": f"heatlens {_heatlens.__version__}, {_heatlens.instruction_set()}",
            "error": None,
        }
        for name in self.method:
            row |= {f"map_{name}": None, f"shape_{name}": None, f"empty_because_{name}": None}
        try:
            image, content = decoded(value)
            row["input_sha256"] = hashlib.sha256(content).hexdigest()
            row["id"] = row["id"] or row["input_sha256"]
            found = self.model().explain(image, method=self.method, **self.explain_options)
            if isinstance(found, list):
                found = found[0]
            maps = found.maps
            row |= {
                "predicted": found.predicted,
                "logits": found.logits.astype(np.float32).tolist(),
                "probabilities": found.probabilities.tolist(),
            }
            for name in self.method:
                row[f"map_{name}"] = maps[name].astype(np.float32).ravel().tolist()
                row[f"shape_{name}"] = list(maps[name].shape)
                row[f"empty_because_{name}"] = found.why_empty(name)
            row["computed_by"] = f"heatlens {_heatlens.__version__}, {_heatlens.instruction_set()}"
        except Exception as error:
            if self.on_error == "raise":
                raise
            row["error"] = f"{type(error).__name__}: {error}"
        return row

    def rows(self, values: Sequence[Any], ids: Sequence[Any] | None) -> Iterator[dict[str, Any]]:
        for at, value in enumerate(values):
            yield self.row(value, None if ids is None else ids[at])

    def schema(self) -> Any:
        """The Arrow schema of the rows."""
        import pyarrow as pa

        fields = [
            ("id", pa.string()),
            ("input_sha256", pa.string()),
            ("model_sha256", pa.string()),
            ("options_sha256", pa.string()),
            ("predicted", pa.int64()),
            ("logits", pa.list_(pa.float32())),
            ("probabilities", pa.list_(pa.float64())),
            ("computed_by", pa.string()),
            ("error", pa.string()),
        ]
        for name in self.method:
            fields += [
                (f"map_{name}", pa.list_(pa.float32())),
                (f"shape_{name}", pa.list_(pa.int64())),
                (f"empty_because_{name}", pa.string()),
            ]
        return pa.schema(fields)


def _several(options: Mapping[str, Any]) -> str | None:
    """Returns an option that requests more than one explanation per image, if there is one."""
    if options.get("detection") == "all":
        return 'detection="all"'
    target = options.get("target")
    if _target.each(target) is not None or (word := _target.one(target)) == "all" or word.startswith("above:"):
        return f"target={target!r}"
    return None


def _plain(value: Any) -> Any:
    """Returns the representation of a value in the hash of the options: for an array, its own hash."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    return str(value)


def decoded(value: Any) -> tuple[Any, bytes]:
    """Returns an image for :meth:`Model.explain`, and the bytes to be hashed."""
    if isinstance(value, Mapping) and "bytes" in value:
        value = value["bytes"]
    if isinstance(value, (bytes, bytearray, memoryview)):
        from PIL import Image

        content = bytes(value)
        picture = Image.open(io.BytesIO(content))
        picture.load()
        return picture, content
    if isinstance(value, str):
        with open(value, "rb") as file:
            return value, file.read()
    pixels: NDArray[Any] = np.asarray(value)
    if pixels.dtype == object:
        pixels = np.array(pixels.tolist())
    return pixels, f"{pixels.dtype.str}{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()
