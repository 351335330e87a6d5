"""Where does an image classifier look, and can the picture be believed?

    import heatlens as hl
    model = hl.open("model.onnx", preset="imagenet")
    explanation = model.explain("cat.jpg", method="grad_cam")
    explanation.maps["grad_cam"], explanation.overlay("grad_cam")
"""

from typing import TYPE_CHECKING, Any

from ._explanations import Explanations
from ._heatlens import Error, Explanation, Focus, __version__, instruction_set, methods, pin_instruction_set, set_threads
from ._model import Audit, Model, open
from ._predict import Detections, Prediction, Predictions
from ._train import Trained, train

if TYPE_CHECKING:
    from . import interop as interop
    from . import merge as merge
    from . import ray as ray
    from . import spark as spark

_MODULES = ("interop", "merge", "ray", "spark")
__all__ = [
    "Audit",
    "Detections",
    "Error",
    "Explanation",
    "Explanations",
    "Focus",
    "Model",
    "Prediction",
    "Predictions",
    "Trained",
    "__version__",
    "instruction_set",
    "methods",
    "open",
    "pin_instruction_set",
    "set_threads",
    "train",
]


def __getattr__(name: str) -> Any:
    """The modules of the package, imported when they are used: ``hl.interop.quantus``."""
    if name not in _MODULES:
        raise AttributeError(f"module 'heatlens' has no attribute {name!r}")
    from importlib import import_module

    return import_module(f"heatlens.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
