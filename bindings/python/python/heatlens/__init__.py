"""Where does an image classifier look, and can the picture be believed?

    import heatlens as hl
    model = hl.open("model.onnx", preset="imagenet")
    explanation = model.explain("cat.jpg", method="grad_cam")
    explanation.maps["grad_cam"], explanation.overlay("grad_cam")
"""

from ._explanations import Explanations
from ._heatlens import Error, Explanation, Focus, __version__, instruction_set, methods, pin_instruction_set, set_threads
from ._model import Audit, Model, open
from ._predict import Detections, Prediction, Predictions
from ._train import Trained, train

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
