"""Where does an image classifier look, and can the picture be believed?

    import heatlens as hl
    model = hl.open("model.onnx", preset="imagenet")
    explanation = model.explain("cat.jpg", method="grad_cam")
    explanation.maps["grad_cam"], explanation.overlay("grad_cam")
"""

from ._heatlens import Error, Explanation, __version__, methods
from ._model import Explanations, Model, open

__all__ = ["Error", "Explanation", "Explanations", "Model", "__version__", "methods", "open"]
