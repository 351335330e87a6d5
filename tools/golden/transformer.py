"""A vision transformer small enough for a golden file: torchvision's, with weights from NumPy."""

import numpy as np
import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from twins import smooth

# Rows and columns of patches. Patches have an odd side, so that the centre of each is a pixel.
GRID = (4, 4)
PATCH = 5


class TinyVit(VisionTransformer):
    """Three blocks, two heads, a class token, five classes; its output is the logits."""

    def __init__(self):
        super().__init__(
            image_size=GRID[0] * PATCH, patch_size=PATCH, num_layers=3, num_heads=2, hidden_dim=12, mlp_dim=20,
            num_classes=5)

    def layer(self, name):
        return self.get_submodule(name)


def tiny_vit(seed=6):
    model = TinyVit().eval()
    rng = np.random.RandomState(seed)
    for parameter in model.parameters():
        fan = parameter.shape[-1] if parameter.ndim > 1 else 1
        values = rng.uniform(-1, 1, parameter.shape) * (1.7 / np.sqrt(fan) if parameter.ndim > 1 else 0.3)
        parameter.data.copy_(torch.from_numpy(values.astype(np.float32)))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.data.add_(1.0)
    side = GRID[0] * PATCH
    return model, smooth(seed + 1, 3, 3, side, side)
