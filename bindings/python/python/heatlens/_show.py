"""Explanations in other tools. Each is imported on first use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._heatlens import Explanation


def pictures(explanation: Explanation) -> dict[str, Any]:
    """Returns the image and, for each map, its overlay, or its picture if it has the resolution of the input."""
    found: dict[str, Any] = {explanation.name: explanation.image}
    for id, values in explanation.maps.items():
        of_pixels = values.ndim == 3 and values.shape[0] in (1, 3)
        found[id] = explanation.picture(id) if of_pixels else explanation.overlay(id)
    return found


def plot(explanations: Sequence[Explanation]) -> Any:
    """Returns a matplotlib figure with a row for each image and a column for each map."""
    from matplotlib.figure import Figure

    rows = [pictures(explanation) for explanation in explanations]
    columns = max(map(len, rows), default=1)
    figure = Figure(figsize=(2.6 * columns, 2.8 * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots(max(len(rows), 1), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for explanation, row, shown in zip(axes, rows, explanations):
        for axis, (title, picture) in zip(explanation, row.items()):
            axis.imshow(picture)
            axis.set_title(title, fontsize=9)
        row_title = f"{shown.name}: {shown.predicted_name}"
        explanation[0].set_title(row_title, fontsize=9)
    return figure


def to_wandb(explanation: Explanation) -> list[Any]:
    """Returns pictures for ``wandb.log({"explanation": …})``."""
    import wandb

    return [wandb.Image(picture, caption=caption) for caption, picture in pictures(explanation).items()]


def to_tensorboard(explanation: Explanation, writer: Any, step: int) -> None:
    """Adds the pictures to a ``SummaryWriter``. Their tags contain the image's name, so that several images can be added in one step."""
    for caption, picture in pictures(explanation).items():
        title = "image" if caption == explanation.name else caption
        writer.add_image(f"heatlens/{explanation.name}/{title}", picture, step, dataformats="HWC")


def to_mlflow(explanation: Explanation, folder: str = "heatlens") -> None:
    """Logs the pictures to the active MLflow run."""
    import mlflow

    for caption, picture in pictures(explanation).items():
        mlflow.log_image(picture, f"{folder}/{explanation.name}/{caption.replace('/', '_')}.png")


def to_fiftyone(explanation: Explanation, id: str | None = None) -> Any:
    """Returns a ``fiftyone.Heatmap`` of the heat, from 0 to 1."""
    import fiftyone

    return fiftyone.Heatmap(map=explanation.heat(id), range=[0, 1])
