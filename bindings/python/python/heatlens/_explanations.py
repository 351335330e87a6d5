"""Explanations of several images, with their arrays stacked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from . import _heatlens
from ._heatlens import Explanation
from ._several import Answers, stacked

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Maps(Mapping[str, "NDArray[np.float32]"]):
    """The raw maps by id. Each is an array of N × the map's shape, stacked on access."""

    def __init__(self, explanations: Sequence[Explanation]) -> None:
        self._explanations = explanations

    def __getitem__(self, id: str) -> NDArray[np.float32]:
        if not self._explanations:
            raise KeyError(id)
        return stacked([explanation.maps[id] for explanation in self._explanations], f'maps["{id}"]')

    def __iter__(self) -> Iterator[str]:
        return iter(self._explanations[0].maps if self._explanations else ())

    def __len__(self) -> int:
        return len(self._explanations[0].maps) if self._explanations else 0

    def __repr__(self) -> str:
        return f"<maps of {len(self._explanations)} images: {', '.join(self)}>"


class Explanations(Answers[Explanation]):
    """A list of explanations, in the order of the images. The attributes of :class:`Explanation` are stacked along a first axis.

    There is one for each image; for ``target={"above": …}`` and ``detection="all"``, one for each class or detection that an
    image has. ``image_index`` tells which image each belongs to.

    Raises :class:`Error` where arrays are asked for whose shapes differ, such as pictures of images of several sizes.
    """

    @overload
    def __getitem__(self, index: SupportsIndex) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> Explanations: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Explanation | Explanations:
        return Explanations(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)

    @property
    def maps(self) -> Maps:
        """The raw signed maps by method: N × height × width, or N × channels × height × width."""
        return Maps(self)

    @property
    def name(self) -> list[str]:
        """The names of the images, as used by the command line."""
        return [explanation.name for explanation in self]

    @property
    def image(self) -> NDArray[np.uint8]:
        """The images in their original size, N × height × width × 3."""
        return stacked([explanation.image for explanation in self], "image")

    @property
    def image_index(self) -> list[int]:
        """For each explanation, the number of its image among those of the call."""
        return [explanation.image_index for explanation in self]

    @property
    def notes(self) -> list[str]:
        """The notes of all images, without repetitions."""
        return list(dict.fromkeys(note for explanation in self for note in explanation.notes))

    def heat(self, id: str | None = None) -> NDArray[np.float32]:
        """The heat of every pixel from 0 to 1, N × height × width."""
        return stacked([explanation.heat(id) for explanation in self], "heat(…)")

    def projected(self, id: str | None = None) -> NDArray[np.float32]:
        """The raw signed values at the images' size, N × height × width."""
        return stacked([explanation.projected(id) for explanation in self], "projected(…)")

    def overlay(self, id: str | None = None) -> NDArray[np.uint8]:
        """The images with the heat map overlaid, N × height × width × 3."""
        return stacked([explanation.overlay(id) for explanation in self], "overlay(…)")

    def picture(self, id: str | None = None) -> NDArray[np.uint8]:
        """The maps alone, N × height × width × 3."""
        return stacked([explanation.picture(id) for explanation in self], "picture(…)")

    def signed(self, id: str | None = None) -> NDArray[np.uint8]:
        """The maps with evidence for the class in red and against it in blue, N × height × width × 3."""
        return stacked([explanation.signed(id) for explanation in self], "signed(…)")

    def target(self, id: str | None = None) -> NDArray[np.int64]:
        """The index of the explained class of each image."""
        return np.array([explanation.target(id) for explanation in self], np.int64)

    def why_empty(self, id: str | None = None) -> list[str | None]:
        """For each image, the reason why its map is empty; ``None`` if it is not empty."""
        return [explanation.why_empty(id) for explanation in self]

    def save(self, folder: str | os.PathLike[str], save: Sequence[str] = ("png", "npz"), force: bool = False) -> None:
        """Writes the same files as the command line: ``png``, ``npz`` (or ``npz16``), ``heat``."""
        _heatlens.save(list(self), folder, list(save), force)

    def plot(self, most: int = 8) -> Any:
        """A matplotlib figure with a row for each of the first images."""
        from . import _show

        return _show.plot(self[:most])

    def to_wandb(self) -> list[Any]:
        """Images for ``wandb.log``."""
        return [picture for explanation in self for picture in explanation.to_wandb()]

    def to_tensorboard(self, writer: Any, step: int) -> None:
        """Adds images to a ``SummaryWriter``."""
        for explanation in self:
            explanation.to_tensorboard(writer, step)

    def to_mlflow(self, folder: str = "heatlens") -> None:
        """Logs images to the active MLflow run."""
        for explanation in self:
            explanation.to_mlflow(folder)

    def to_fiftyone(self, id: str | None = None) -> list[Any]:
        """A ``fiftyone.Heatmap`` for each image."""
        return [explanation.to_fiftyone(id) for explanation in self]

    def _repr_html_(self) -> str:
        shown = self[:10]
        rest = f"<div>and {len(self) - len(shown)} more</div>" if len(self) > len(shown) else ""
        return "".join(explanation._repr_html_() for explanation in shown) + rest
