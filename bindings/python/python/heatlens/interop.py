"""heatlens in the place of other libraries' explanations."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._heatlens import Explanation
from ._model import Model, open

_OPENED: weakref.WeakKeyDictionary[Any, Model] = weakref.WeakKeyDictionary()


def opened(model: Any, example: Any) -> Model:
    """The model, opened once as long as it lives. Weights that change afterwards are not seen: open it again."""
    if isinstance(model, Model):
        return model
    if model not in _OPENED:
        _OPENED[model] = open(model, example=example)
    return _OPENED[model]


class quantus:
    """An ``explain_func`` for Quantus: called with model, inputs and targets, it gives maps of the size of the inputs.

    ``quantus("grad_cam", layer="features.12")``; further words as :meth:`Model.explain` takes them. Maps of layers are
    placed and enlarged, N×1×H×W; those of pixels are N×C×H×W. Signed, unless ``absolute``.
    """

    def __init__(self, method: str = "grad_cam", absolute: bool = False, **words: Any) -> None:
        self.method, self.absolute, self.words = method, absolute, words

    def __call__(self, model: Any, inputs: Any, targets: Any, **_: Any) -> NDArray[np.float32]:
        x = np.ascontiguousarray(_numpy(inputs), np.float32)
        found = _explain(opened(model, _like(model, x[:1])), x, targets, self.method, self.words)
        maps = np.stack([_full(explanation, x.shape[-2:]) for explanation in found])
        return np.abs(maps) if self.absolute else maps


class LayerGradCam:
    """Captum's class of this name: ``LayerGradCam(model, layer).attribute(inputs, target=3)``, tensors in and out.

    The raw signed map at the layer's size, N×1×h×w; ``relu_attributions`` keeps what is positive.
    """

    method = "grad_cam"

    def __init__(self, model: Any, layer: Any = None) -> None:
        self.model, self.layer = model, layer

    def attribute(self, inputs: Any, target: Any = None, relu_attributions: bool = False) -> Any:
        x = np.ascontiguousarray(_numpy(inputs), np.float32)
        words = {} if self.layer is None else {"layer": self.layer}
        found = _explain(opened(self.model, inputs[:1]), x, target, self.method, words)
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


def _explain(model: Model, x: NDArray[np.float32], targets: Any, method: str, words: dict[str, Any]) -> list[Explanation]:
    """One explanation for each image, for its own target or for that of all."""
    if targets is not None:
        wanted = _numpy(targets).astype(np.int64).ravel()
        targets = int(wanted[0]) if wanted.size == 1 else wanted.tolist()
    return list(model.explain(x, method=method, target=targets, layout="nchw", **words))


def _full(explanation: Explanation, size: tuple[int, ...]) -> NDArray[np.float32]:
    """The signed map in the size of the input."""
    values = next(iter(explanation.maps.values()))
    if values.shape[-2:] == tuple(size):
        return values if values.ndim == 3 else values[None]
    return explanation.projected()[None]


def _numpy(x: Any) -> NDArray[Any]:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def _like(model: Any, x: NDArray[np.float32]) -> Any:
    """The first image as the model's own library has it."""
    if not type(model).__module__.startswith(("keras", "tensorflow")) and hasattr(model, "parameters"):
        import torch

        return torch.from_numpy(x).to(next(iter(model.parameters()), torch.zeros(0)).device)
    return x
