"""Predictions without explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._heatlens import Core, Data
from ._several import Answers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN = 5


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The prediction for one image, with the same fields as :class:`Explanation`."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    predicted: int
    predicted_name: str

    def __repr__(self) -> str:
        known = self.predicted < len(self.probabilities)
        return f"<Prediction: {self.predicted_name}{f' ({self.probabilities[self.predicted]:.3f})' if known else ''}>"


class Predictions(Answers[Prediction]):
    """A list of predictions, in the order of the images. The fields of :class:`Prediction` are stacked along a first axis."""


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """The boxes detected in one image, the most confident first. ``detection=1`` explains the first."""

    boxes: NDArray[np.float64]
    """Left, top, right and bottom of each box, in pixels of the image."""
    scores: NDArray[np.float64]
    """The probability of each box's class."""
    labels: NDArray[np.int64]
    """The index of each box's class."""
    label_names: list[str]

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        rows = [f"{name} ({score:.3f})" for name, score in zip(self.label_names[:SHOWN], self.scores)]
        return f"<Detections: {len(self)}{': ' if rows else ''}{', '.join(rows)}{', …' if len(self) > SHOWN else ''}>"


def predictions(core: Core, data: Data) -> Predictions:
    names = core.class_names
    answers = core.answers(data)
    return Predictions(Prediction(*answer, names[answer[2]] if answer[2] < len(names) else "") for answer in answers)


def detections(core: Core, data: Data) -> list[Detections]:
    names = core.class_names
    return [
        Detections(boxes, scores, labels, [names[label] for label in labels])
        for boxes, scores, labels in core.boxes(data)
    ]
