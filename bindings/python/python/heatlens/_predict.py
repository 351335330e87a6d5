"""Predictions without explanations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._heatlens import Core, Data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Prediction:
    """The model's answer for one image, as in :class:`Explanation`."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    predicted: int
    predicted_name: str


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes that a detector finds in one image, the most confident first: ``detection=1`` explains the first."""

    boxes: NDArray[np.float64]
    """Left, top, right and bottom of each box, in pixels of the image."""
    scores: NDArray[np.float64]
    """The probability of each box's class."""
    labels: NDArray[np.int64]
    """The number of each box's class."""
    label_names: list[str]

    def __len__(self) -> int:
        return len(self.scores)


def predictions(core: Core, data: Data) -> Iterator[Prediction]:
    names = core.class_names
    for logits, probabilities, predicted in core.answers(data):
        yield Prediction(logits, probabilities, predicted, names[predicted] if predicted < len(names) else "")


def detections(core: Core, data: Data) -> Iterator[Detections]:
    names = core.class_names
    for boxes, scores, labels in core.boxes(data):
        yield Detections(boxes, scores, labels, [names[label] for label in labels])
