"""Tiny members of PyTorch families: the same blocks, as few and as narrow as their constructors allow."""

from functools import partial

import timm
import torchvision.models as tv
from timm.layers import GatedMlp
from timm.models.focalnet import FocalNet
from timm.models.metaformer import MetaFormer
from timm.models.mlp_mixer import MlpMixer, SpatialGatingBlock
from timm.models.volo import VOLO
from torch import nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.densenet import DenseNet
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from torchvision.models.googlenet import BasicConv2d, Inception
from torchvision.models.maxvit import MaxVit
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.shufflenetv2 import ShuffleNetV2
from torchvision.models.squeezenet import Fire
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vgg import VGG, make_layers
from torchvision.ops import Conv2dNormActivation

CLASSES = 5
SIDE = 32


def of_timm(name, **reduced):
    return timm.create_model(name, pretrained=False, num_classes=CLASSES, **reduced)


def vgg():
    model = VGG(make_layers([4, "M", 6, "M", 8, 8, "M"], batch_norm=True), init_weights=False)
    model.avgpool = nn.AdaptiveAvgPool2d(2)
    model.classifier = nn.Sequential(nn.Linear(32, 12), nn.ReLU(True), nn.Dropout(), nn.Linear(12, CLASSES))
    return model


def vgg_small_image():
    """An image so small that the pool before the classifier enlarges it: 4×4 becomes 6×6."""
    model = vgg()
    model.avgpool = nn.AdaptiveAvgPool2d(6)
    model.classifier[0] = nn.Linear(288, 12)
    return model


def squeezenet():
    model = tv.SqueezeNet("1_1", num_classes=CLASSES)
    pool = partial(nn.MaxPool2d, kernel_size=3, stride=2, ceil_mode=True)
    model.features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(True), pool(), Fire(8, 2, 4, 4), pool(), Fire(8, 3, 6, 6)
    )
    model.classifier[1] = nn.Conv2d(12, CLASSES, 1)
    return model


def inception():
    pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return nn.Sequential(
        BasicConv2d(3, 6, kernel_size=7, stride=2, padding=3), pool, Inception(6, 4, 3, 5, 2, 4, 3),
        nn.MaxPool2d(2, 2, ceil_mode=True), Inception(16, 4, 2, 4, 2, 4, 4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES),
    )


def mobilenet_v2():
    model = tv.MobileNetV2(num_classes=CLASSES, inverted_residual_setting=[[1, 8, 1, 1], [2, 8, 2, 2]], width_mult=0.5)
    model.features[-1] = Conv2dNormActivation(8, 16, kernel_size=1, activation_layer=nn.ReLU6)
    model.classifier = nn.Linear(16, CLASSES)
    return model


def mobilenet_v3():
    row = partial(InvertedResidualConfig, width_mult=1.0, dilation=1)
    settings = [
        row(8, 3, 8, 8, use_se=True, activation="RE", stride=2), row(8, 5, 16, 8, use_se=True, activation="HS", stride=1),
    ]
    return MobileNetV3(settings, last_channel=16, num_classes=CLASSES)


def efficientnet():
    row = partial(MBConvConfig, width_mult=1.0, depth_mult=1.0)
    return EfficientNet([row(1, 3, 1, 8, 8, 1), row(2, 5, 2, 8, 8, 2)], 0.2, num_classes=CLASSES, last_channel=16)


def efficientnet_v2():
    settings = [FusedMBConvConfig(1, 3, 1, 8, 8, 1), FusedMBConvConfig(2, 3, 2, 8, 8, 1), MBConvConfig(2, 3, 2, 8, 8, 1)]
    return EfficientNet(settings, 0.2, num_classes=CLASSES, last_channel=16)


def regnet():
    parameters = BlockParams(
        depths=[1, 2], widths=[8, 16], group_widths=[4, 4], bottleneck_multipliers=[1.0, 1.0], strides=[2, 2], se_ratio=0.25
    )
    return RegNet(parameters, num_classes=CLASSES, stem_width=8)


def maxvit():
    return MaxVit(
        (SIDE, SIDE), stem_channels=6, partition_size=4, block_channels=[8], block_layers=[1], head_dim=4,
        stochastic_depth_prob=0.0, mlp_ratio=1, num_classes=CLASSES, expansion_ratio=2,
    )


def convnext():
    return tv.ConvNeXt([CNBlockConfig(8, 12, 2), CNBlockConfig(12, None, 1)], num_classes=CLASSES)


def poolformer():
    return MetaFormer(depths=(1, 1, 1), dims=(4, 6, 8), num_classes=CLASSES)


def focalnet():
    return FocalNet(embed_dim=4, depths=(1, 1), focal_levels=(2, 2), focal_windows=(3, 3), num_classes=CLASSES)


def mobilevit():
    """The blocks of mobilevit_xxs, one of each, with few channels."""
    from timm.models.byobnet import ByoBlockCfg, ByoModelCfg, ByobNet
    from timm.models.mobilevit import _inverted_residual_block, _mobilevit_block

    config = ByoModelCfg(
        blocks=(
            _inverted_residual_block(d=1, c=6, s=2, br=2.0),
            _mobilevit_block(d=1, c=8, s=2, transformer_dim=8, transformer_depth=1, patch_size=2, br=2.0),
        ),
        stem_chs=6, stem_type="3x3", stem_pool="", downsample="", act_layer="silu", num_features=16,
    )
    return ByobNet(config, num_classes=CLASSES)


VIT = {"img_size": SIDE, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 2}

FAMILIES = {
    "vgg": vgg,
    "vgg_small_image": vgg_small_image,
    "squeezenet": squeezenet,
    "inception": inception,
    "densenet": lambda: DenseNet(4, (2, 2), 8, bn_size=2, num_classes=CLASSES),
    "shufflenet_v2": lambda: ShuffleNetV2([2, 1, 1], [6, 8, 12, 16, 16], num_classes=CLASSES),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3": mobilenet_v3,
    "efficientnet": efficientnet,
    "efficientnet_v2": efficientnet_v2,
    "regnet": regnet,
    "convnext": convnext,
    "vit": lambda: tv.VisionTransformer(SIDE, 8, 2, 2, 12, 16, num_classes=CLASSES),
    "swin": lambda: SwinTransformer([2, 2], 8, [2, 1], [1, 2], [4, 4], num_classes=CLASSES, mlp_ratio=2.0),
    "maxvit": maxvit,
    "resnet": lambda: of_timm("resnet18d", layers=(1, 1, 1, 1), channels=(6, 6, 8, 10), stem_width=4),
    "beit": lambda: of_timm("beit_base_patch16_224", **VIT, mlp_ratio=2),
    "deit": lambda: of_timm("deit_tiny_distilled_patch16_224", **VIT, mlp_ratio=2),
    "mobilevit": mobilevit,
    "mlp_mixer": lambda: MlpMixer(CLASSES, SIDE, patch_size=8, num_blocks=2, embed_dim=12),
    "cait": lambda: of_timm("cait_xxs24_224", **{**VIT, "embed_dim": 8, "depth": 1}, mlp_ratio=2),
    "davit": lambda: of_timm("davit_tiny", depths=(1, 1), embed_dims=(4, 8), num_heads=(2, 2), window_size=4),
    "focalnet": focalnet,
    "gmlp": lambda: MlpMixer(CLASSES, SIDE, patch_size=8, num_blocks=2, embed_dim=8, block_layer=SpatialGatingBlock, mlp_ratio=4, mlp_layer=GatedMlp),
    "levit": lambda: of_timm(
        "levit_128s", img_size=SIDE, embed_dim=(8, 16), key_dim=4, num_heads=(2, 2), depth=(1, 1), stem_type="s8"
    ),
    "pit": lambda: of_timm("pit_ti_224", img_size=SIDE, base_dims=(4, 4), depth=(1, 1), heads=(2, 2), mlp_ratio=2,
                           patch_size=8, stride=4),
    "poolformer": poolformer,
    "pvt_v2": lambda: of_timm("pvt_v2_b0", depths=(1, 1, 1), embed_dims=(4, 4, 8), num_heads=(1, 2, 2),
                              mlp_ratios=(2, 2, 2), sr_ratios=(4, 2, 1)),
    "sequencer": lambda: of_timm("sequencer2d_s", layers=(1, 1), patch_sizes=(8, 1), embed_dims=(8, 8),
                                 hidden_sizes=(3, 3), mlp_ratios=(2, 2)),
    "volo": lambda: VOLO((1, 1, 1, 1), SIDE, num_classes=CLASSES, embed_dims=(6, 8, 8, 8), num_heads=(2, 2, 2, 2),
                         mlp_ratio=(2, 2, 2, 2), stem_hidden_dim=4),
    "xcit": lambda: of_timm("xcit_nano_12_p16_224", img_size=SIDE, patch_size=8, embed_dim=8, depth=1, num_heads=2),
}

# Families exported by TorchScript; all others use the dynamo exporter.
TORCHSCRIPT = {
    "cait", "deit", "densenet", "efficientnet", "gmlp", "mobilenet_v2", "mobilevit", "poolformer", "regnet", "resnet",
    "sequencer", "squeezenet",
}
