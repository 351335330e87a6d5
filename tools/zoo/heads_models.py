"""Networks with other heads than classes, or other inputs than images of floats, as their usual exporters write them.

Each function of `FILES` writes a file and returns a `Case`: the picture, what is needed to run the file, and the same
network in PyTorch.
"""

import contextlib
import io
import os
import shutil
import warnings
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import torch
from torch import nn

from randomise import randomise

SEED = 7
SIDE = 160  # of detectors' pictures


@dataclass
class Case:
    """An exported file."""

    kind: str  # what onnxruntime's outputs are, see `heads_results.py`
    image: np.ndarray  # N x C x H x W
    model: Any = None  # the network in PyTorch
    scores: Any = None  # its scores for an image: those explained and those by which the target is chosen, K x P
    flags: list = field(default_factory=list)  # of heatlens
    feeds: dict = field(default_factory=dict)  # further inputs
    limit: float = 1e-4  # for the difference from onnxruntime
    layout: Any = None  # the picture as the file expects it
    output: Any = None  # what the framework computes, if onnxruntime does not read the file


def pictures(side, count=1, channels=3, width=None, seed=1):
    """Images from 0 to 1 with large and small structure."""
    random = np.random.default_rng(seed)
    size = (side, width or side)
    total = np.zeros((count, channels, *size))
    for cells in (2, 5, 16, side):
        coarse = torch.from_numpy(random.normal(size=(count, channels, cells, cells)))
        total += nn.functional.interpolate(coarse, size=size, mode="bilinear").numpy()
    return torch.from_numpy(((total / total.std() + 2) / 4).clip(0, 1).astype(np.float32))


def torch_export(model, example, path, exporter="torchscript", **names):
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            torch.onnx.export(model, example, str(path), dynamo=False, opset_version=17, **names)
        else:
            torch.onnx.export(model, example, str(path), dynamo=True, external_data=False, **names)


def same(scores):
    """Scores that are also what the target is chosen by."""
    return scores, scores


# Ultralytics


def ultralytics(yaml, kind, **options):
    def write(path):
        from ultralytics import YOLO

        torch.manual_seed(SEED)
        model = YOLO(yaml)
        randomise(model.model.eval(), pictures(SIDE, 2))

        def scores(network, x):
            found = network(x)[1]
            found = found.get("one2one" if options.get("nms") is False else "one2many", found)
            return same(found["scores"][0])

        # Probabilities between 0 and 1: with random weights all are one or the other.
        image = pictures(SIDE).numpy()
        with torch.no_grad():
            spread = scores(model.model, torch.from_numpy(image))[0].std()
            for name in ("cv3", "one2one_cv3"):
                for level in getattr(model.model.model[-1], name, None) or []:
                    level[-1].weight /= spread / 1.5
                    level[-1].bias.fill_(-3.0)
        network = YOLO(yaml).model.eval()
        network.load_state_dict(model.model.state_dict())
        with contextlib.chdir(path.parent):
            shutil.move(model.export(format="onnx", imgsz=SIDE, **options), path)
        half = "half" in options
        return Case(kind, image, network, None if half else scores, limit=5e-3 if half else 1e-4)

    return write


# torchvision


def with_scores(model, x):
    """What the head of a torchvision detector computes for an image."""
    kept = []
    with model.head.register_forward_hook(lambda *found: kept.append(found[-1])):
        model([x[0]])
    return kept[0]


def one_stage_scores(model, x):
    """RetinaNet: sigmoids. FCOS: the root of a class's probability times that of the centre. SSD: softmaxes."""
    found = with_scores(model, x)
    logits = found["cls_logits"][0].T
    if "bbox_ctrness" in found:
        p = (logits.sigmoid() * found["bbox_ctrness"][0].T.sigmoid()).sqrt()
        return same(p.log() - (1 - p).log())
    if type(model).__name__ == "SSD":
        p = logits.softmax(0)
        return logits, torch.cat([torch.full_like(p[:1], -torch.inf), p[1:].log()])
    return same(logits)


def torchvision_detector(name, side=SIDE, **options):
    def write(path):
        import torchvision

        torch.manual_seed(SEED)
        model = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None, **options).eval()
        randomise(model, list(pictures(side, 2)))
        image = pictures(side)
        if not hasattr(model, "head"):  # two stages
            torch_export(model, ([image[0]],), path)
            return Case("refused", image.numpy())
        # Untrained heads give all boxes the same low score.
        for layer in model.head.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        with torch.no_grad():
            spread = with_scores(model, image)["cls_logits"].std()
            for layer in last_layers(model.head.classification_head):
                layer.weight /= spread
        torch_export(model, ([image[0]],), path)
        return Case("lists", image.numpy(), model, one_stage_scores)

    return write


def last_layers(head):
    """The layers that compute class scores: one, or one per level (SSD)."""
    if hasattr(head, "cls_logits"):
        return [head.cls_logits]
    return [level if isinstance(level, nn.Conv2d) else level[-1] for level in head.module_list]


# Others from PyTorch


class Field(nn.Module):
    """One entry, or several, of a model's outputs."""

    def __init__(self, model, *fields, keyword=None):
        super().__init__()
        self.model, self.fields, self.keyword = model, fields, keyword

    def forward(self, x):
        found = self.model(**{self.keyword: x}) if self.keyword else self.model(x)
        found = tuple(found[field] for field in self.fields)
        return found if len(found) > 1 else found[0]


def rows(model, x):
    """The first image's scores, K or K x P."""
    found = model(x)
    return same((found.flatten(2) if found.dim() == 4 else found)[0])


def plain(build, kind, scores, side, exporter="torchscript", channels=3, width=None, **more):
    def write(path):
        torch.manual_seed(SEED)
        model, image = build().eval(), pictures(side, 1, channels, width)
        torch_export(model, (image,), path, exporter)
        return Case(kind, image.numpy(), model, scores, **more)

    return write


def varied(model, side, gain=1.0):
    """The model with BatchNorm statistics that matter."""
    randomise(model.eval(), pictures(side, 2), gain)
    return model


def deeplab():
    import torchvision

    build = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large
    return varied(Field(build(weights=None, weights_backbone=None, num_classes=5), "out"), 128)


def unet():
    import segmentation_models_pytorch

    return varied(segmentation_models_pytorch.Unet("resnet18", encoder_weights=None, classes=3), 128)


def segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return Field(SegformerForSemanticSegmentation(SegformerConfig(num_labels=7)), "logits", keyword="pixel_values")


def detr():
    from transformers import DetrConfig, DetrForObjectDetection

    small = {"encoder_layers": 2, "decoder_layers": 2, "d_model": 64, "num_queries": 20, "num_labels": 5,
             "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    network = DetrForObjectDetection(DetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, **small))
    network.class_labels_classifier.weight.data *= 10  # else all classes are equally likely
    return Field(network, "logits", "pred_boxes", keyword="pixel_values")


def rt_detr():
    from transformers import RTDetrConfig, RTDetrForObjectDetection

    config = RTDetrConfig(num_labels=5, num_queries=30, anchor_image_size=None, decoder_layers=2)
    return Field(RTDetrForObjectDetection(config), "logits", "pred_boxes", keyword="pixel_values")


def of_queries(model, x):
    """A softmax whose last class means no object."""
    logits = model(x)[0][0].T
    return logits[:-1], logits.softmax(0)[:-1].log()


class Reader(nn.Module):
    """Convolutions and an LSTM over the columns, as in text recognition."""

    def __init__(self):
        super().__init__()
        self.columns = nn.Sequential(
            nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 32, (8, 1)),
        )
        self.steps, self.last = nn.LSTM(32, 24, bidirectional=True), nn.Linear(48, 11)

    def logits(self, x):
        steps, _ = self.steps(self.columns(x).squeeze(2).permute(2, 0, 1))
        return self.last(steps)

    def forward(self, x):
        return self.logits(x).log_softmax(2)


def clip(exporter="torchscript"):
    def write(path):
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        torch.manual_seed(SEED)
        config = CLIPVisionConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
                                  image_size=64, patch_size=16, projection_dim=32)
        model = Field(CLIPVisionModelWithProjection(config), "image_embeds", keyword="pixel_values").eval()
        image, other = pictures(64), pictures(64, seed=5)
        torch_export(model, (image,), path, exporter, input_names=["pixel_values"], output_names=["image_embeds"])
        reference = model(other).detach()
        np.save(path.with_suffix(".npy"), reference.numpy()[0])

        def scores(network, x):
            return same(nn.functional.cosine_similarity(network(x), reference.to(x.dtype))[None])

        return Case("similarity", image.numpy(), model, scores, flags=["--reference", path.with_suffix(".npy")])

    return write


class Siamese(nn.Module):
    """Two images through one network."""

    def __init__(self, compare):
        super().__init__()
        self.compare = compare
        self.tower = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 32),
        )
        self.last = nn.Linear(1, 1)

    def forward(self, a, b):
        a, b = self.tower(a), self.tower(b)
        if self.compare == "distance":
            return nn.functional.pairwise_distance(a, b).unsqueeze(1)
        if self.compare == "cosine":
            return nn.functional.cosine_similarity(a, b).unsqueeze(1)
        return self.last((a - b).abs().sum(1, keepdim=True)).sigmoid()


def siamese(compare, exporter="torchscript"):
    def write(path):
        torch.manual_seed(SEED)
        model, image, other = Siamese(compare).eval(), pictures(64), pictures(64, seed=5)
        randomise(model.tower, pictures(64, 2))
        torch_export(model, (image, other), path, exporter, input_names=["a", "b"])
        np.save(path.with_suffix(".npy"), other.numpy())

        def scores(network, x):
            found = network(x, other.to(x.dtype))[0]
            return same(found.logit() if compare == "sigmoid" else found)

        head = [] if compare == "sigmoid" else ["--head", "regression"]
        flags = ["--input", "a", "--feed", f"b={path.with_suffix('.npy')}", *head, "--class", "1"]
        kind = "one logit" if compare == "sigmoid" else "number"
        return Case(kind, image.numpy(), model, scores, flags, feeds={"b": other.numpy()})

    return write


class Bytes(nn.Module):
    """A network whose file takes uint8 pixels, channels last, and scales them itself."""

    def __init__(self):
        super().__init__()
        import torchvision

        self.network = torchvision.models.mobilenet_v3_small(weights=None, num_classes=10)

    def forward(self, x):
        dtype = self.network.classifier[0].weight.dtype
        return self.network((x.permute(0, 3, 1, 2).to(dtype) / 255 - 0.45) / 0.22)


def uint8(path):
    torch.manual_seed(SEED)
    model = Bytes().eval()
    pixels = (pictures(64, 2) * 255).round().permute(0, 2, 3, 1)
    randomise(model, pixels)
    image = pixels[:1].to(torch.uint8).contiguous()
    torch_export(model, (image,), path)
    first = image.permute(0, 3, 1, 2).contiguous().numpy()
    return Case("classes", first, model, lambda network, x: same(network(x.permute(0, 2, 3, 1))[0]), layout=image.numpy())


def resnet(path, gain=1.0):
    """A ResNet-18 of ten classes."""
    import torchvision

    torch.manual_seed(SEED)
    model = varied(torchvision.models.resnet18(weights=None, num_classes=10), 64, gain)
    image = pictures(64)
    if path:
        torch_export(model, (image,), path, input_names=["input"])
    return model, image


def half(exporter):
    def write(path):
        model, image = resnet(None)
        model, image = model.half(), image.half()
        if exporter == "onnxconverter":
            import onnx
            from onnxconverter_common import float16

            torch_export(model.float(), (image.float(),), path)
            onnx.save(float16.convert_float_to_float16(onnx.load(path)), path)
        else:
            torch_export(model, (image,), path, exporter)
        # onnxruntime computes in half precision. Exporters fold BatchNorm in half precision, so that PyTorch's gradient is another.
        return Case("classes", image.float().numpy(), limit=2e-2)

    return write


def int8(form):
    def write(path):
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        _, image = resnet(path, gain=0.25)
        raw = path.with_suffix(".raw.onnx")
        quant_pre_process(str(path), str(raw))
        if form == "dynamic":
            quantize_dynamic(str(raw), str(path))
        else:
            class Pictures(CalibrationDataReader):
                def __init__(self):
                    self.left = iter([{"input": pictures(64, seed=k).numpy()} for k in range(1, 5)])

                def get_next(self):
                    return next(self.left, None)

            quantize_static(str(raw), str(path), Pictures(), quant_format=QuantFormat[form])
        # Values of 255 steps: one that is rounded the other way moves the logits by a percent.
        return Case("classes", image.numpy(), limit=2e-2)

    return write


def keras_table(path):
    """An image and a table, in Keras."""
    import keras

    keras.utils.set_random_seed(SEED)
    image, table = keras.Input((48, 48, 3), name="image"), keras.Input((6,), name="table")
    x = image
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Concatenate()([x, keras.layers.Dense(8, activation="relu")(table)])
    model = keras.Model([image, table], keras.layers.Dense(4)(x))
    model.save(path)
    pixels, row = pictures(48), pictures(6, 1, 1)[0, 0, :1]
    np.save(path.with_suffix(".npy"), row.numpy())
    logits = model([pixels.permute(0, 2, 3, 1), row]).detach().numpy()

    def scores(network, x):
        return same(network([x.permute(0, 2, 3, 1), row])[0])

    return Case("keras", pixels.numpy(), model, scores, flags=["--feed", f"table={path.with_suffix('.npy')}"], output=logits)


# name: how the file is written
FILES = {
    "yolov5nu": ultralytics("yolov5n.yaml", "raw"),
    "yolov8n": ultralytics("yolov8n.yaml", "raw"),
    "yolov8n, half": ultralytics("yolov8n.yaml", "raw", half=True),
    "yolov8n, nms=True": ultralytics("yolov8n.yaml", "rows", nms=True),
    "yolov8n-seg": ultralytics("yolov8n-seg.yaml", "raw"),
    "yolov8n-pose": ultralytics("yolov8n-pose.yaml", "raw"),
    "yolo11n": ultralytics("yolo11n.yaml", "raw"),
    "yolov10n": ultralytics("yolov10n.yaml", "raw"),
    "yolov10n, end to end": ultralytics("yolov10n.yaml", "rows", nms=False),
    "yolo26n": ultralytics("yolo26n.yaml", "raw"),
    "yolo26n, end to end": ultralytics("yolo26n.yaml", "rows", nms=False),
    "yolo26n, nms=True": ultralytics("yolo26n.yaml", "rows", nms=True),
    "SSDLite320 (torchvision)": torchvision_detector("ssdlite320_mobilenet_v3_large", 320),
    "RetinaNet (torchvision)": torchvision_detector("retinanet_resnet50_fpn", min_size=SIDE, max_size=SIDE),
    "FCOS (torchvision)": torchvision_detector("fcos_resnet50_fpn", min_size=SIDE, max_size=SIDE),
    "Faster R-CNN (torchvision)": torchvision_detector("fasterrcnn_mobilenet_v3_large_320_fpn", 320),
    "DETR (transformers)": plain(detr, "queries", of_queries, 128),
    "RT-DETR (transformers)": plain(rt_detr, "refused", None, 128),
    "DeepLabV3 (torchvision)": plain(deeplab, "pixels", rows, 128),
    "U-Net (segmentation-models-pytorch)": plain(unet, "pixels", rows, 128),
    "U-Net, dynamo": plain(unet, "pixels", rows, 128, "dynamo"),
    "SegFormer-B0 (transformers)": plain(segformer, "pixels", rows, 128),
    "SegFormer-B0, dynamo": plain(segformer, "pixels", rows, 128, "dynamo"),
    "CRNN": plain(Reader, "steps", lambda model, x: same(model.logits(x)[:, 0].T), 32, channels=1, width=100),
    "CLIP image tower (transformers)": clip(),
    "CLIP image tower, dynamo": clip("dynamo"),
    "siamese, cosine": siamese("cosine"),
    "siamese, distance": siamese("distance"),
    "siamese, sigmoid": siamese("sigmoid"),
    "siamese, sigmoid, dynamo": siamese("sigmoid", "dynamo"),
    "image and table (Keras)": keras_table,
    "uint8 pixels, channels last": uint8,
    "fp16, model.half()": half("torchscript"),
    "fp16, model.half(), dynamo": half("dynamo"),
    "fp16, onnxconverter-common": half("onnxconverter"),
    "int8 static, QDQ (onnxruntime)": int8("QDQ"),
    "int8 static, QOperator (onnxruntime)": int8("QOperator"),
    "int8 dynamic (onnxruntime)": int8("dynamic"),
}
