"""The place of the heat against the boxes of boxes.json."""
import json
from dataclasses import dataclass

import numpy as np


@dataclass
class Row:
    """Share of the image that the boxes cover, share of the heat in them, and whether its peak is."""
    name: str
    area: float
    share: float
    inside: bool

    def cells(self):
        return [self.name, f'{100 * self.area:.0f} %', f'{100 * self.share:.0f} %', 'yes' if self.inside else 'no']


class Boxes:
    def __init__(self, path):
        stored = json.loads(path.read_text())
        self.side, self.boxes = stored['side'], stored['photographs']

    def __contains__(self, name):
        return name in self.boxes

    def row(self, name, heat):
        """The measures of one heat map, in the coordinates of the network's input."""
        height, width = heat.shape
        inside = np.zeros(heat.shape, bool)
        for left, top, right, bottom in self.boxes[name]:
            y, x = height / self.side, width / self.side
            inside[round(top * y):round(bottom * y), round(left * x):round(right * x)] = True
        peak = np.unravel_index(heat.argmax(), heat.shape)
        return Row(name, inside.mean(), float(heat[inside].sum() / max(heat.sum(), 1e-30)), bool(inside[peak] and heat.max() > 0))
