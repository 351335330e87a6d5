"""Writes the references for heads with scores at many positions: crates/heatlens/tests/golden/dense/.

Usage: make_dense.py [segmentation] [detection] [box_score] [chosen] [selected]

A small U-Net trained to segment rings and crosses, and the maps that pytorch-grad-cam computes for its
`SemanticSegmentationTarget`: over the pixels that are predicted to be of a class, and over one pixel. Raw maps, before
the peer clips and rescales them; float64, from float32 parameters and images, rounded once. `unet.json` lists them.

A small detector with two levels, and the maps of ODAM for its highest-scoring box of each class, by torch's autograd.
`detector.json` lists them. For boxes whose probability does not round to 1, also the maps of pytorch-grad-cam's
`FasterRCNNBoxScoreTarget` (`box_score.json`): the probability plus the overlap with the box itself, whose derivative is 0.
"""

import io
import json
import sys
from contextlib import redirect_stderr

import numpy as np
import onnx
import pytorch_grad_cam as pgc
import torch
from pytorch_grad_cam.utils.model_targets import FasterRCNNBoxScoreTarget, SemanticSegmentationTarget
from torch import nn
from torchvision.models.detection._utils import _topk_min
from torchvision.ops import batched_nms

from store import ROOT, export, layer_names, save, save_json

FOLDER = ROOT / "dense"
SIZE = 40


def block(inside, outside):
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.SiLU())


class UNet(nn.Module):
    """Three classes at every pixel of a grey image, after a softmax."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.bottom = block(1, 4), block(4, 6), block(6, 8)
        self.up2 = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.join2 = block(12, 6)
        self.join1 = block(10, 5)
        self.last = nn.Conv2d(5, 3, 1)
        self.logits = False

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(nn.functional.max_pool2d(a, 2))
        c = self.bottom(nn.functional.max_pool2d(b, 2))
        c = self.join2(torch.cat([self.up2(c), b], 1))
        c = nn.functional.interpolate(c, scale_factor=2, mode="bilinear", align_corners=False)
        z = self.last(self.join1(torch.cat([c, a], 1)))
        return z if self.logits else z.softmax(1)


def scenes(count, seed):
    """Noise with a ring and a cross of equal brightness in each image, the class of each pixel, and the objects' boxes."""
    random = np.random.default_rng(seed)
    pixels = random.normal(0.3, 0.06, (count, 1, SIZE, SIZE)).astype(np.float32)
    classes = np.zeros((count, SIZE, SIZE), np.int64)
    boxes = np.zeros((count, 2, 4), np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    for image, labels, box in zip(pixels[:, 0], classes, boxes):
        centres = random.integers(6, SIZE - 6, (2, 2))
        while np.abs(centres[0] - centres[1]).max() < 16:
            centres = random.integers(6, SIZE - 6, (2, 2))
        for k, (row, column) in enumerate(centres):
            dy, dx, half = abs(y - row), abs(x - column), random.integers(4, 6)
            far = np.maximum(dy, dx)
            shape = (far <= half) & (far >= half - 1) if k == 0 else (far <= half) & (np.minimum(dy, dx) <= 1)
            image[shape] += 0.5
            labels[far <= half] = k + 1
            box[k] = column + 0.5, row + 0.5, 2 * half + 1, 2 * half + 1
    return pixels, classes, boxes


def raw(cls, model, layer, x, target):
    """pytorch-grad-cam's map before it is clipped, resized and rescaled."""
    kept = []

    class Raw(cls):
        def get_cam_image(self, *arguments, **options):
            kept.append(super().get_cam_image(*arguments, **options))
            return kept[-1]

    with redirect_stderr(io.StringIO()):
        Raw(model, [layer])(x, [target])
    return kept[0]


def fit(model, loss, steps, seed):
    """Trains `model` on scenes; `loss` takes the model, the images, their pixels' classes and their boxes."""
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(steps):
        value = loss(model, *(torch.from_numpy(array) for array in scenes(16, 1000 + step)))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {value.item():.4f}")
    model.eval()


def segmentation():
    torch.manual_seed(3)
    model = UNet()
    model.logits = True
    weight = torch.tensor([0.2, 1.0, 1.0])
    fit(model, lambda net, x, classes, _: nn.functional.cross_entropy(net(x), classes, weight), 700, 3)
    model.logits = False
    pixels, classes, _ = scenes(4, 1)
    save(FOLDER / "input.npy", pixels)
    save(FOLDER / "classes.npy", classes)
    export(model, pixels, FOLDER / "unet.onnx")
    model = model.double()
    model.logits = True
    # The maps of two images are enough; the others are for tests that use the objects' positions.
    x = torch.from_numpy(pixels[:2]).double()
    predicted = model(x).argmax(1).numpy()
    print("pixels of each class:", [np.bincount(p.ravel(), minlength=3).tolist() for p in predicted])
    methods = {"grad_cam": pgc.GradCAM, "hires_cam": pgc.HiResCAM, "layer_cam": pgc.LayerCAM,
               "element_wise_grad_cam": pgc.GradCAMElementWise}
    one = np.zeros((SIZE, SIZE))
    one[15, 12] = 1
    entries = []
    for layer in ["bottom", "join2"]:
        name = layer_names(FOLDER / "unet.onnx", layer)["tensor"]
        for method, cls in methods.items():
            maps, cases = [], []
            for category in range(3):
                for region, masks in [("predicted", predicted == category), ("at:15,12", [one, one])]:
                    for image, mask in zip(x, masks):
                        target = SemanticSegmentationTarget(category, np.asarray(mask, np.float64))
                        maps.append(raw(cls, model, getattr(model, layer), image[None], target))
                    cases.append({"class": category, "region": region})
            file = f"unet_{layer}_{method}.npy"
            save(FOLDER / file, np.concatenate(maps))
            entries.append({"file": file, "method": method, "layer": name, "images": len(x), "maps": cases})
    save_json(FOLDER / "unet.json", entries)


class Detector(nn.Module):
    """Boxes (centre, width and height) and two classes at the cells of two levels, as YOLO's newer exports have them."""

    STRIDES = 2, 4

    def __init__(self):
        super().__init__()
        def step(inside, outside, stride):
            return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.ReLU())

        self.stem, self.fine = step(1, 12, 2), step(12, 16, 1)
        self.coarse = nn.Sequential(step(16, 24, 2), step(24, 24, 1))
        widths = [16, 24]
        self.classes = nn.ModuleList(nn.Sequential(step(w, 16, 1), nn.Conv2d(16, 2, 1)) for w in widths)
        self.sides = nn.ModuleList(nn.Sequential(step(w, 16, 1), nn.Conv2d(16, 4, 1)) for w in widths)
        for head in self.classes:
            nn.init.constant_(head[1].bias, -3.0)

    def features(self, x):
        fine = self.fine(self.stem(x))
        return [fine, self.coarse(fine)]

    def heads(self, levels):
        """Logits N x 2 x P, and the boxes' left, top, right and bottom N x 4 x P."""
        logits, boxes = [], []
        for x, classes, sides, stride in zip(levels, self.classes, self.sides, self.STRIDES):
            h, w = x.shape[2:]
            y = (torch.arange(h, dtype=x.dtype) + 0.5)[:, None].expand(h, w).reshape(-1) * stride
            x_ = (torch.arange(w, dtype=x.dtype) + 0.5)[None].expand(h, w).reshape(-1) * stride
            reach = nn.functional.softplus(sides(x)).flatten(2) * stride
            corner = torch.stack([x_, y])
            boxes.append(torch.cat([corner - reach[:, :2], corner + reach[:, 2:]], 1))
            logits.append(classes(x).flatten(2))
        return torch.cat(logits, 2), torch.cat(boxes, 2)

    def forward(self, x):
        logits, boxes = self.heads(self.features(x))
        a, b = boxes[:, :2], boxes[:, 2:]
        return torch.cat([(a + b) / 2, b - a, logits.sigmoid()], 1)


def detector_loss(net, x, _, boxes):
    """Each object belongs to the cell of its centre: small ones (9 pixels) to the fine level, large ones (11) to the coarse."""
    logits, found = net.heads(net.features(x))
    wanted = torch.zeros_like(logits)
    off = 0.0
    for i in range(len(x)):
        for k, (cx, cy, w, h) in enumerate(boxes[i].tolist()):
            level = int(w > 10)
            stride = net.STRIDES[level]
            side = SIZE // stride
            place = (SIZE // 2) ** 2 * level + int(cy / stride) * side + int(cx / stride)
            wanted[i, k, place] = 1
            corners = torch.tensor([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            off = off + (found[i, :, place] - corners).abs().mean()
    sure = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
    return sure / len(x) + 0.2 * off / len(x)


def detection():
    model = Detector()
    fit(model, detector_loss, 900, 5)
    pixels, _, _ = scenes(4, 1)
    path = FOLDER / "detector.onnx"
    export(model, pixels, path)
    proto = onnx.load(str(path))
    onnx.helper.set_model_props(proto, {"names": "{0: 'ring', 1: 'cross'}"})
    onnx.save(proto, str(path))
    model = model.double()
    x = torch.from_numpy(pixels).double()
    entries = []
    for image in range(len(x)):
        for k in range(2):
            levels = model.features(x[image : image + 1])
            logits, boxes = model.heads(levels)
            place = int(logits[0, k].argmax())
            level = int(place >= (SIZE // 2) ** 2)
            print(f"image {image}, class {k}: logit {logits[0, k, place].item():.2f}, level {level}")
            scores = {"class": logits[0, k, place]}
            scores |= {side: boxes[0, i, place] for i, side in enumerate(["left", "top", "right", "bottom"])}
            maps = []
            for score in scores.values():
                # ODAM (Zhao & Chan 2024) before the ReLU: the sum over channels of gradient times activation.
                (gradient,) = torch.autograd.grad(score, levels[level], retain_graph=True)
                maps.append((gradient * levels[level]).sum(1)[0].detach().numpy())
            file = f"detector_{image}_{k}.npy"
            save(FOLDER / file, np.stack(maps))
            layer = layer_names(path, ["fine", "coarse"][level])["tensor"]
            entries.append({"file": file, "image": image, "class": k, "layer": layer, "place": place,
                            "box": boxes[0, :, place].tolist(), "logit": logits[0, k, place].item(),
                            "scores": list(scores)})
    save_json(FOLDER / "detector.json", entries)


class Listed(nn.Module):
    """The detector's boxes as torchvision's detectors return them."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, x):
        logits, boxes = self.detector.heads(self.detector.features(x))
        scores, labels = logits.sigmoid().max(1)
        return [{"boxes": b.T, "scores": s, "labels": k} for b, s, k in zip(boxes, scores, labels)]


def box_score():
    model = Detector()
    weights = onnx.load(str(FOLDER / "detector.onnx")).graph.initializer
    model.load_state_dict({w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in weights})
    model = Listed(model.double().eval())
    x = torch.from_numpy(np.load(FOLDER / "input.npy")).double()
    entries, maps = [], []
    for entry in json.loads((FOLDER / "detector.json").read_text()):
        if entry["logit"] > 7:
            continue
        level = getattr(model.detector, ["fine", "coarse"]["coarse" in entry["layer"]])
        target = FasterRCNNBoxScoreTarget([entry["class"]], np.array([entry["box"]]))
        image = x[entry["image"]][None]
        cams = [raw(cls, model, level, image, target) for cls in (pgc.GradCAM, pgc.HiResCAM)]
        for method, cam in zip(("grad_cam", "hires_cam"), cams):
            maps.append(cam.ravel())
            entries.append({key: entry[key] for key in ("image", "class", "layer")} | {"method": method, "len": cam.size})
    save(FOLDER / "box_score.npy", np.concatenate(maps))
    save_json(FOLDER / "box_score.json", entries)


def chosen():
    """The detector with a selection of the three highest-scoring boxes as its last step, as YOLOv10 has it."""
    model = onnx.load(str(FOLDER / "detector.onnx"))
    graph = model.graph

    def node(op, inputs, outputs, **attributes):
        graph.node.append(onnx.helper.make_node(op, inputs, outputs, name=f"end/{op}", **attributes))

    def array(name, values):
        graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values))

    array("sizes", [4, 2])
    array("three", [3])
    array("last", [2])
    array("times", [1, 1, 4])
    node("Transpose", [graph.output[0].name], ["rows"], perm=[0, 2, 1])
    node("Split", ["rows", "sizes"], ["boxes", "scores"], axis=2)
    node("ReduceMax", ["scores"], ["best"], axes=[2], keepdims=0)
    node("TopK", ["best", "three"], ["values", "places"], axis=1)
    node("Unsqueeze", ["places", "last"], ["column"])
    node("Tile", ["column", "times"], ["index"])
    node("GatherElements", ["boxes", "index"], ["chosen"], axis=1)
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info("chosen", onnx.TensorProto.FLOAT, ["N", 3, 4]))
    onnx.save(model, str(FOLDER / "chosen.onnx"))


def corners(boxes):
    """Left, top, right and bottom of boxes given by centre and size, computed as torchvision decodes them."""
    x, y, w, h = boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1)


class ByLevel(nn.Module):
    """Selects boxes as torchvision's RetinaNet and FCOS do: by level, decoded after the selection."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes

    def forward(self, output, logits):
        found = []
        levels = zip(output[0].t().split(self.sizes), logits[0].t().split(self.sizes), strict=True)
        for rows, own in levels:
            scores = torch.sigmoid(own).flatten()
            keep = scores > 0.2
            scores, places = scores[keep], torch.where(keep)[0]
            count = _topk_min(places, 20, 0)
            scores, order = scores.topk(count)
            places = places[order]
            boxes = rows[torch.div(places, own.shape[-1], rounding_mode="floor")]
            found.append((corners(boxes), scores, places % own.shape[-1]))
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        keep = batched_nms(boxes, scores, labels, 0.45)[:10]
        return boxes[keep], scores[keep], labels[keep]


class ByLabel(nn.Module):
    """Selects boxes as torchvision's SSD does: by label, from a softmax whose first class means no object."""

    def forward(self, output, logits):
        boxes = corners(output[0].t())
        scores = torch.cat([torch.zeros_like(logits[:, :1]), logits], 1).transpose(1, 2).softmax(-1)[0]
        found = []
        for label in range(1, scores.shape[-1]):
            score = scores[:, label]
            keep = score > 0.2
            score, box = score[keep], boxes[keep]
            score, order = score.topk(_topk_min(score, 20, 0))
            found.append((box[order], score, torch.full_like(score, fill_value=label, dtype=torch.int64)))
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        keep = batched_nms(boxes, scores, labels, 0.45)[:10]
        return boxes[keep], scores[keep], labels[keep]


def selected():
    """The detector for one image, with the selections of torchvision's detectors as its last step."""
    for name, build in (("by_level", ByLevel), ("by_label", lambda _: ByLabel())):
        model = onnx.load(str(FOLDER / "detector.onnx"))
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        output = model.graph.output[0].name
        logits = next(node.input[0] for node in reversed(model.graph.node) if node.op_type == "Sigmoid")
        # Places of the two levels.
        sizes = [(SIZE // 2) ** 2, (SIZE // 4) ** 2]
        places = sum(sizes)
        model.graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, [1, 2, places]))
        end = build(sizes)
        example = torch.rand(1, 6, places), torch.randn(1, 2, places)
        buffer = io.BytesIO()
        torch.onnx.export(
            end, example, buffer, dynamo=False, opset_version=model.opset_import[0].version,
            input_names=["rows", "numbers"], output_names=["boxes", "scores", "labels"],
        )
        end = onnx.load_from_string(buffer.getvalue())
        model.ir_version = end.ir_version = min(model.ir_version, end.ir_version)
        merged = onnx.compose.merge_models(
            model, end, io_map=[(output, "rows"), (logits, "numbers")], prefix2="end/",
        )
        if name == "by_level":
            del merged.metadata_props[:]  # names of two classes; the other file has three
            merged.metadata_props.add(key="names", value="{0: 'ring', 1: 'cross'}")
        else:
            del merged.metadata_props[:]
        for node in merged.graph.node:
            node.doc_string = ""
        onnx.save(merged, str(FOLDER / f"{name}.onnx"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    makers = {make.__name__: make for make in (segmentation, detection, box_score, chosen, selected)}
    for make in sys.argv[1:] or makers:
        makers[make]()
