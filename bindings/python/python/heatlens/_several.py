"""Stacked results of several images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ._heatlens import Error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._heatlens import Explanation
    from ._predict import Prediction


def stacked(arrays: Sequence[NDArray[Any]], what: str) -> NDArray[Any]:
    """Stacks arrays along a new first axis. ``what`` is the attribute that the error about different shapes recommends."""
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise Error(f"the images differ in shape ({shapes[0]}, {shapes[1]}), so they do not stack: take one, as in found[0].{what}")
    return np.stack(arrays) if arrays else np.empty(0, np.float32)


One = TypeVar("One", "Explanation", "Prediction")


class Answers(list[One]):
    """A list of explanations or predictions. The model's answers are stacked along a first axis."""

    @property
    def logits(self) -> NDArray[np.float32]:
        """N × classes."""
        return stacked([answer.logits for answer in self], "logits")

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """N × classes."""
        return stacked([answer.probabilities for answer in self], "probabilities")

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The index of each image's most probable class."""
        return np.array([answer.predicted for answer in self], np.int64)

    @property
    def predicted_name(self) -> list[str]:
        return [answer.predicted_name for answer in self]
