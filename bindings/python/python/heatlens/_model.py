"""Models: opening, explaining, auditing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _heatlens, _images, _live, _predict, _target
from ._explanations import Explanations
from ._heatlens import Core, Data, Error, Explanation
from ._options import as_files, without_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

PathLike = str | os.PathLike[str]
Layer = Any  # a name, a torch module or a Keras layer


@dataclass(slots=True)
class _Question:
    """The options of an explanation. The library reads the fields by name."""

    method: list[str]
    layer: list[str]
    target: str
    detection: str | None
    reference: list[float] | None
    region: str | None
    region_file: tuple[int, int] | None
    mask: tuple[tuple[int, int], bytes] | None
    against: str | None
    counterfactual: bool
    seed: int
    set: list[str]
    score: str


class Audit(dict[str, Any]):
    """The result of an audit: the content of ``audit.json``. Displays itself as a table in a notebook.

    ``notes`` are the assumptions about the model and the images; ``left_out`` are the images that could not be read, with the reasons.
    """

    def __init__(self, content: Mapping[str, Any], notes: Sequence[str] = (), left_out: Sequence[str] = ()) -> None:
        super().__init__(content)
        self.notes, self.left_out = list(notes), list(left_out)

    @property
    def title(self) -> str:
        """The verdict on the model in one line."""
        return str(self["model"]["title"])

    @property
    def recommended(self) -> str | None:
        """The id of the recommended method; ``None`` if no method is."""
        found = self["recommended"]
        return None if found is None else str(found)

    def __repr__(self) -> str:
        left_out = f"; {len(self.left_out)} left out" if self.left_out else ""
        return f"<Audit: {self.title}; recommended: {self.recommended or 'no method'}{left_out}>"

    def _repr_html_(self) -> str:
        from html import escape

        def row(method: Mapping[str, Any]) -> str:
            score = method["score"]["mean"]
            cells = method["title"], method["verdict"], "–" if score is None else f"{100 * score:.0f} %"
            return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"

        head = "<tr><th>method</th><th>verdict</th><th>better than others</th></tr>"
        recommended = f"<p>Recommended: {escape(self.recommended or 'no method')}</p>"
        rows = "".join(row(method) for method in self["methods"])
        told = "".join(f"<div>{escape(text)}</div>" for text in [*(f"left out: {one}" for one in self.left_out[:10]), *self.notes])
        return f"<p><b>{escape(self.title)}</b></p>{recommended}<table>{head}{rows}</table>{told}"


class Model:
    """An image classifier, created by :func:`open`."""

    def __init__(
        self,
        source: PathLike | bytes,
        options: dict[str, Any],
        names: dict[int | str, str] | None = None,
        as_given: bool = False,
    ) -> None:
        self._source = source if isinstance(source, bytes) else Path(source)
        self._names = names or {}
        # True if arrays go into the network as its own library takes them.
        self._as_given = as_given and not any(options.get(key) for key in ("preset", "scale", "mean", "std"))
        if (reference := options.get("reference")) is not None and not isinstance(reference, (str, os.PathLike)):
            options = {**options, "head": options.get("head") or "similarity", "reference": _target.embedding(reference)}
            if options["reference"] is None:
                self._core = _open(self._source, options)
                options["reference"] = self._embedding(reference, None)
        self._core = _open(self._source, options)
        self._options = without_files(options, self._core)
        self._module: Any = None  # keeps alive what the names are of
        self._stamp = None if isinstance(self._source, bytes) else _target.stamp(self._source)

    @property
    def layers(self) -> list[str]:
        """The names of the layers that can be explained, in order. ``layer`` also accepts any other layer of the network."""
        return self._core.layers

    @property
    def class_names(self) -> list[str]:
        return self._core.class_names

    @property
    def head(self) -> str:
        """The kind of the scores: ``classes``, ``multi-label``, ``regression``, ``similarity``, ``segmentation``, ``detection``."""
        return self._core.head

    @property
    def notes(self) -> list[str]:
        """Assumptions made when the file was opened."""
        return self._core.notes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return self._core.input_shape

    def predict(self, x: Any, *, layout: str | None = None) -> Any:
        """Returns the prediction for one image, or a list of them for several. ``x`` is what :meth:`explain` takes.

        A detector returns :class:`Detections`: ``boxes``, ``scores`` and ``labels``, named as by torchvision. Other models
        return a :class:`Prediction`: ``logits``, ``probabilities`` and ``predicted``; for several images :class:`Predictions`.
        """
        data, single = self._read(x, layout)
        of_kind = _predict.detections if self.head == "detection" else _predict.predictions
        found = of_kind(self._core, data)
        return found[0] if single else found

    def explain(
        self,
        x: Any,
        method: str | Sequence[str] | None = None,
        layer: Layer | Sequence[Layer] | None = None,
        target: int | str | Mapping[str, float] | Sequence[int | str] | None = None,
        against: int | str | None = None,
        seed: int = 0,
        set: Mapping[str, object] | Sequence[str] | None = None,
        score: str = "logit",
        *,
        detection: int | str | None = None,
        region: Any = None,
        reference: Any = None,
        counterfactual: bool = False,
        layout: str | None = None,
    ) -> Any:
        """Explains one or several images.

        ``x`` is an array (height × width, with channels last or first, one image or many), a tensor, a PIL image, a path,
        or a list of these. Arrays are read as the command line reads them; arrays for a live model, opened without
        ``preset``, ``scale``, ``mean`` and ``std``, go in as its own library would take them, integers too. ``uint8`` arrays
        of another size than the model's are prepared as image files are.

        ``target`` is a class, one for each image, or ``{"above": 0.5}`` for every class above a probability. ``detection``
        is ``"best"``, ``"all"``, a rank from 1 or a class. ``region`` is what counts in a segmentation (row and column of the
        model's input, a mask as a picture or an array, or ``"predicted"``), or a side of a detected box. ``reference`` is what
        embeddings are compared with: an image, or an embedding.

        One image gives an :class:`Explanation`, several give :class:`Explanations`; so do all detections, and all classes
        above a probability, of one image.
        """
        targets, found_by = _target.each(target), _target.detection(detection)
        where, region_file, mask = _target.region(region)
        question = _Question(
            method=_strings(method),
            layer=[self._layer(one) for one in _list(layer)],
            target="predicted" if targets is not None else _target.one(target),
            detection=found_by,
            reference=None if reference is None else self._embedding(reference, layout).tolist(),
            region=where,
            region_file=region_file,
            mask=mask,
            against=_text(against),
            counterfactual=counterfactual,
            seed=_seed(seed),
            set=_settings(set),
            score=str(score),
        )
        data, single = self._read(x, layout)
        if targets is not None:
            found = self._for_each(data, question, targets)
        else:
            found = Explanations(self._core.explain(data, question))
        return found[0] if single and not _target.depends_on_images(question.target, found_by) else found

    def _read(self, x: Any, layout: str | None) -> tuple[Data, bool]:
        """Returns the images, and True if ``x`` is a single image without a batch axis."""
        return _images.read(self._core, _images.as_given(self._core, x) if self._as_given else x, layout)

    def _embedding(self, reference: Any, layout: str | None) -> NDArray[np.float32]:
        """Returns the embedding of a reference: an image, a file, or the embedding itself."""
        if isinstance(reference, (str, os.PathLike)):
            return self._core.embedding_of_file(reference)
        if (numbers := _target.embedding(reference)) is not None:
            return numbers
        data, _ = self._read(reference, layout)
        if len(data) != 1:
            raise Error(f"a reference is one image or one embedding, found {len(data)} images")
        return self._core.embedding(data)

    def _for_each(self, data: Data, question: _Question, targets: list[str]) -> Explanations:
        """Explains each image for its own class; images with the same class are computed together."""
        if question.detection is not None:
            raise Error("--detection: give either --detection or --class")
        if len(targets) != len(data):
            raise Error(f"{len(targets)} targets for {len(data)} images: expected one each, or one for all")
        found: dict[int, Explanation] = {}
        for target in sorted({*targets}):
            items = [item for item, wanted in enumerate(targets) if wanted == target]
            found.update(zip(items, self._core.explain(data, replace(question, target=target), items)))
        return Explanations(found[item] for item in range(len(targets)))

    def audit(
        self,
        x: Any,
        y: Any = None,
        method: str | Sequence[str] | None = None,
        images: int | None = None,
        seed: int = 0,
        set: Mapping[str, object] | Sequence[str] | None = None,
        *,
        out: PathLike | None = None,
        force: bool = False,
    ) -> Audit:
        """Measures whether the model learned anything, and which methods are faithful to it.

        ``x`` are images that the model was not trained on: an array of N images, or paths and class folders; ``y`` are the
        numbers or names of their classes. ``images`` is how many of them the methods are measured on (64). ``out`` keeps
        the command line's folder, ``report.html`` included.
        """
        import json
        import tempfile

        with tempfile.TemporaryDirectory() as folder, as_files(self._bytes(), self._options) as (model, options):
            results = Path(folder, "audit") if out is None else Path(out)
            paths = self._files(x, y, Path(folder))
            asked = model, options, paths, results, _strings(method), images, _seed(seed), _settings(set), force
            notes, left_out = _images.run_on_files({"x, y": Path(folder, "data.npz")}, lambda: _heatlens.audit(*asked))
            return Audit(json.loads((results / "audit.json").read_text("utf-8")), notes, left_out)

    def _files(self, x: Any, y: Any, folder: Path) -> list[str]:
        """Returns paths that the command line's reader accepts; arrays are written to ``folder``."""
        if isinstance(x, (str, os.PathLike)) or _list(x) and all(isinstance(path, (str, os.PathLike)) for path in _list(x)):
            if y is not None:
                raise Error("files have their classes from their folders: leave out y")
            return [os.fspath(path) for path in _list(x)]
        if self._as_given:
            x = _images.as_given(self._core, x)
        return [_images.archive(x, y, self.class_names, folder / "data.npz")]

    def save_with_explanation(
        self,
        path: PathLike,
        method: str = "grad_cam",
        layer: Layer | None = None,
        target: int | str = "predicted",
        score: str = "logit",
        image_size: bool = False,
    ) -> None:
        """Writes an ONNX file with the additional output ``explanation``: the map of a method, which any runtime computes."""
        name = None if layer is None else self._layer(layer)
        Path(path).write_bytes(self._core.with_explanation(method, name, str(target), score, image_size))

    def _layer(self, layer: Layer) -> str:
        if isinstance(layer, str):
            return self._names.get(layer, layer)
        name = self._names.get(id(layer)) or getattr(layer, "name", None)
        if isinstance(name, str) and name:
            return name
        raise Error(f"this model has no layer {layer!r}: give its name, one of {', '.join(self.layers)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self._bytes(), self._options, None, self._as_given)

    def _bytes(self) -> bytes:
        if isinstance(self._source, bytes):
            return self._source
        if _target.stamp(self._source) != self._stamp:
            raise Error(f"{self._source} has changed since it was opened: open it again before the model is copied")
        return self._source.read_bytes()

    def __repr__(self) -> str:
        c, h, w = self.input_shape
        source = "bytes" if isinstance(self._source, bytes) else str(self._source)
        return f"<heatlens.Model of {source}: {h}×{w}×{c}, {len(self.class_names)} classes>"


def open(
    model: Any,
    *,
    example: Any = None,
    preset: str | None = None,
    labels: PathLike | Sequence[str] | None = None,
    input: str | None = None,
    output: str | None = None,
    head: str | None = None,
    feed: Mapping[str, Any] | None = None,
    reference: Any = None,
    region: PathLike | tuple[int, int] | None = None,
    input_size: int | str | tuple[int, int] | None = None,
    resize: str | None = None,
    crop: int | str | tuple[int, int] | None = None,
    scale: float | str | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
) -> Model:
    """Opens a model: an ONNX or Keras file, its bytes, a live Keras model, or a live torch module with an example input.

    The other arguments are those of the command line. ``labels`` may also be a list of names. ``feed`` gives further inputs, by
    their names, as arrays or ``.npy`` files. ``reference`` and ``region`` may also be given to :meth:`Model.explain`.
    """
    options = {
        "preset": _text(preset),
        "labels": os.fspath(labels) if isinstance(labels, (str, os.PathLike)) else _names(labels),
        "input": _text(input),
        "output": _text(output),
        "head": _text(head),
        "feed": dict(feed or {}),
        "reference": os.fspath(reference) if isinstance(reference, (str, os.PathLike)) else reference,
        "region": _region(region),
        "input_size": _size(input_size),
        "resize": _text(resize),
        "crop": _size(crop),
        "scale": _text(scale),
        "mean": _numbers(mean),
        "std": _numbers(std),
    }
    if isinstance(model, (str, os.PathLike)):
        return Model(os.fspath(model), options)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Model(bytes(model), options)
    if _live.is_torch(model):
        opened: Model = _live.open_torch(model, example, options, Model)
        return opened
    if _live.is_keras(model):
        opened = _live.open_keras(model, options, Model)
        return opened
    raise Error(f"expected a path, bytes, a Keras model or a torch module, found {type(model).__name__}")


def _open(source: Path | bytes, options: dict[str, Any]) -> Core:
    with as_files(source, options) as (path, options):
        return Core(path, options)


def _region(region: Any) -> str | None:
    name, _, mask = _target.region(region)
    if mask is not None:
        raise Error("region: a model is opened with a name or the file of a mask; give an array to explain")
    return name


def _names(labels: Sequence[str] | None) -> list[str] | None:
    return None if labels is None else [str(name) for name in labels]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value.tolist())
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _strings(value: Any) -> list[str]:
    found = _list(value)
    if not all(isinstance(word, str) for word in found):
        raise Error(f"expected names, found {value!r}")
    return [part for word in found for part in word.split(",")] if isinstance(value, str) else found


def _settings(set: Mapping[str, object] | Sequence[str] | None) -> list[str]:
    return [f"{key}={value}" for key, value in set.items()] if isinstance(set, Mapping) else _strings(set)


def _seed(seed: int) -> int:
    if not 0 <= seed < 1 << 64:
        raise Error(f"--seed: expected a number from 0 to 2^64 - 1, found {seed}")
    return seed


def _size(size: int | str | tuple[int, int] | None) -> str | None:
    if size is None or isinstance(size, str):
        return size
    return str(size) if isinstance(size, int) else "x".join(str(side) for side in size)


def _numbers(value: float | Sequence[float] | None) -> list[float]:
    if value is None:
        return []
    return [float(value)] if isinstance(value, (int, float)) else [float(number) for number in value]
