"""Replacements for the explanations of other libraries."""

from __future__ import annotations

import contextlib
import weakref
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _live
from ._heatlens import Explanation
from ._images import to_numpy
from ._model import Model, open

# Live models, what their weights were when they were opened, and what was opened.
_OPENED: weakref.WeakKeyDictionary[Any, tuple[int, Model]] = weakref.WeakKeyDictionary()


def opened(model: Any, example: Any) -> Model:
    """Opens a model once, and again if its weights have changed: some metrics randomise them."""
    if isinstance(model, Model):
        return model
    weights = _weights(model)
    if model not in _OPENED or _OPENED[model][0] != weights:
        _OPENED[model] = weights, open(model, example=example)
    return _OPENED[model][1]


def _weights(model: Any) -> int:
    """Returns a checksum of all weights."""
    found = model.state_dict().values() if hasattr(model, "state_dict") else model.get_weights()
    total = 0
    for weight in found:
        with contextlib.suppress(TypeError):  # of a type that NumPy does not have: opening says so
            total = zlib.crc32(np.ascontiguousarray(to_numpy(weight)).view(np.uint8).data, total)
    return total


class quantus:
    """An ``explain_func`` for Quantus: called with model, inputs and targets, it gives maps of the size of the inputs.

    ``quantus("grad_cam", layer="features.12")``; further options are those of :meth:`Model.explain`. Maps of layers are
    placed and enlarged, N×1×H×W; those of pixels are N×C×H×W. Signed, unless ``absolute``. Of a Keras model Quantus hands
    over the images now with the channels last, now with them first; its maps of pixels are summed over the channels.
    """

    def __init__(self, method: str = "grad_cam", absolute: bool = False, **options: Any) -> None:
        self.method, self.absolute, self.options = method, absolute, options

    def __call__(self, model: Any, inputs: Any, targets: Any, **_: Any) -> NDArray[np.float32]:
        x = np.ascontiguousarray(to_numpy(inputs), np.float32)
        open_model = opened(model, _like(model, x[:1]))
        found = _explain(open_model, x, targets, self.method, self.options)
        maps = np.stack([_full(explanation, open_model.input_shape[1:]) for explanation in found])
        maps = np.abs(maps) if self.absolute else maps
        return maps.sum(1, keepdims=True) if _live.is_keras(model) else maps


class LayerGradCam:
    """Captum's class of this name: ``LayerGradCam(model, layer).attribute(inputs, target=3)``, tensors in and out.

    The raw signed map at the layer's size, N×1×h×w; ``relu_attributions`` keeps what is positive.
    """

    method = "grad_cam"

    def __init__(self, model: Any, layer: Any = None) -> None:
        self.model, self.layer = model, layer

    def attribute(self, inputs: Any, target: Any = None, relu_attributions: bool = False) -> Any:
        x = np.ascontiguousarray(to_numpy(inputs), np.float32)
        options = {} if self.layer is None else {"layer": self.layer}
        found = _explain(opened(self.model, inputs[:1]), x, target, self.method, options)
        maps = np.stack([next(iter(explanation.maps.values())) for explanation in found])
        maps = maps if maps.ndim == 4 else maps[:, None]
        result = inputs.new_tensor(maps) if hasattr(inputs, "new_tensor") else maps
        return result.clip(0) if relu_attributions else result


class Saliency(LayerGradCam):
    """The gradient of the score at the input, N×C×H×W."""

    method = "gradient"

    def __init__(self, model: Any) -> None:
        super().__init__(model)

    def attribute(self, inputs: Any, target: Any = None, abs: bool = True) -> Any:
        found = super().attribute(inputs, target)
        return found.__abs__() if abs else found


class GuidedBackprop(LayerGradCam):
    """Guided back-propagation, N×C×H×W."""

    method = "guided_backprop"

    def __init__(self, model: Any) -> None:
        super().__init__(model)


def _explain(model: Model, x: NDArray[np.float32], targets: Any, method: str, options: dict[str, Any]) -> list[Explanation]:
    """Explains each image for its own target, or all for the same."""
    if targets is not None:
        wanted = to_numpy(targets).astype(np.int64).ravel()
        targets = int(wanted[0]) if wanted.size == 1 else wanted.tolist()
    return list(model.explain(x, method=method, target=targets, layout=_layout(model, x), **options))


def _layout(model: Model, x: NDArray[np.float32]) -> str:
    c, h, w = model.input_shape
    return "nhwc" if x.shape[1:] == (h, w, c) != (c, h, w) else "nchw"


def _full(explanation: Explanation, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Returns the signed map at the size of the input."""
    values = next(iter(explanation.maps.values()))
    if values.shape[-2:] == tuple(size):
        return values if values.ndim == 3 else values[None]
    return explanation.projected()[None]


def _like(model: Any, x: NDArray[np.float32]) -> Any:
    """Converts the first image to the type of the model's library."""
    if not type(model).__module__.startswith(("keras", "tensorflow")) and hasattr(model, "parameters"):
        import torch

        return torch.fromto_numpy(x).to(next(iter(model.parameters()), torch.zeros(0)).device)
    return x
