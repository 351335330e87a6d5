"""Writes the maps of pytorch-grad-cam, torchcam and Captum: crates/heatlens/tests/golden/peers/.

Usage: make_peer_maps.py

`peers.json` lists one `.npy` for each map: peer, method, model, layer, class, images and settings. Only methods that
the peer defines as the paper does are included, and only raw maps, before the peer clips and rescales them; README.md
lists the methods without a map and the reasons. Float64, from float32 parameters and images, rounded once. The vision
transformer of these maps is written to the same folder.
"""

import io
from contextlib import redirect_stderr

import numpy as np
import pytorch_grad_cam as pgc
import torch
import torchcam.methods as tc
from captum.attr import ShapleyValues
from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff
from torch.nn.attention import SDPBackend, sdpa_kernel

from cases import CASES
from check_against_peers import Logits
from explain import Tap
from store import ROOT, export, layer_names, save, save_json
from transformer import GRID, tiny_vit
from twins import gap_cnn, initialise, smooth

FOLDER = ROOT / "peers"
ENTRIES = []


class Subject:
    """A golden case at a layer: model, images, and the class whose score is explained."""

    def __init__(self, case, layer, label, images=None):
        if case == "tiny_vit":
            model, pixels = tiny_vit()
            self.reshape = lambda x: x[:, 1:].transpose(1, 2).unflatten(2, GRID)
            self.layer = model.layer(layer)
        elif case == "narrow":
            model, pixels = narrow()
            self.layer, self.reshape = getattr(model, layer), None
        else:
            model, pixels = CASES[case]()
            self.layer, self.reshape = getattr(model, layer), None
        self.case, self.name, self.label = case, layer, label
        self.picked = list(range(len(pixels))) if images is None else images
        self.model = model.double()
        self.logits = self.model if case == "tiny_vit" else Logits(self.model)
        self.x = torch.from_numpy(pixels[self.picked]).double()
        outputs = self.logits(self.x).shape[1]
        # One logit is z for class 1 and -z for class 0.
        self.column, self.sign = (0, 1 if label else -1) if outputs == 1 else (label, 1)

    def score(self, output):
        return self.sign * output[self.column]

    def tensor(self, layer):
        """The ONNX value of a layer's output."""
        return layer_names(ROOT / self.case / "model.onnx", layer.replace(".", "/"))["tensor"]

    def write(self, method, peer, maps, **more):
        file = f"{self.case}_{self.name.rpartition('.')[2]}_{method}_{peer}.npy".replace("-", "_")
        maps = np.asarray(maps, dtype=np.float64)
        assert np.isfinite(maps).all(), file
        save(FOLDER / file, maps)
        entry = {"file": file, "peer": peer, "method": method, "case": self.case, "layer": self.tensor(self.name),
                 "class": self.label, "images": self.picked, **more}
        ENTRIES.append(entry)
        print(f"{file:60} {maps.shape} {maps.min():+.3g} {maps.max():+.3g}")


def grad_cam(subject, method, cls, **more):
    """pytorch-grad-cam's map before it is clipped, resized and rescaled."""
    kept = []

    class Raw(cls):
        def get_cam_image(self, *arguments, **options):
            kept.append(super().get_cam_image(*arguments, **options))
            return kept[-1]

    with redirect_stderr(io.StringIO()), Raw(subject.logits, [subject.layer], subject.reshape) as cam:
        cam(input_tensor=subject.x.clone(), targets=[subject.score] * len(subject.x))
        # Leaving the context detaches tensors that are still referenced, which is forbidden for views.
        cam.activations_and_grads.activations, cam.activations_and_grads.gradients = [], []
    maps = kept[0]
    maps = maps.detach().numpy() if isinstance(maps, torch.Tensor) else maps
    subject.write(method, "pytorch-grad-cam", maps, **more)


class ShapleyCAM(pgc.ShapleyCAM):
    """pytorch-grad-cam's weights; its own sum over channels does not reshape a transformer's activations."""

    def get_cam_image(self, x, layer, targets, activations, gradients, eigen_smooth):
        weights = self.get_cam_weights(x, layer, targets, activations, gradients)
        planes = self.activations_and_grads.reshape_transform(activations).detach().numpy()
        return (weights[:, :, None, None] * planes).sum(1)


def torchcam(subject, method, cls, layer=None, options=None, **more):
    """torchcam's map before it is clipped and rescaled."""
    keywords = {"reshape_transform": subject.reshape} if cls is not tc.LeGrad else {}
    maps = []
    for x in subject.x:  # torchcam takes one class for the whole batch, and Finer-CAM's nearest classes differ
        cam = cls(subject.logits, layer or subject.layer, **keywords, **(options or {}))
        getattr(cam, "base_cam", cam)._relu = False
        scores = subject.logits(x[None])
        maps.append(cam(subject.column, scores, normalized=False)[0][0].detach().numpy())
        cam.remove_hooks()
    subject.write(method, "torchcam", np.stack(maps), **more)


def fused(subject, layers):
    """pytorch-grad-cam's mean of several layers, before its final rescaling."""
    kept = []

    class Raw(pgc.GradCAM):
        def get_cam_image(self, *arguments, **options):
            map_ = super().get_cam_image(*arguments, **options)
            assert (map_.min((1, 2)) <= 0).all(), "the peer would take off the smallest value"
            return map_

        def aggregate_multi_layers(self, maps):
            kept.append(np.concatenate(maps, 1).clip(min=0).mean(1))
            return super().aggregate_multi_layers(maps)

    with Raw(subject.logits, [getattr(subject.model, layer) for layer in layers]) as cam:
        cam(input_tensor=subject.x.clone(), targets=[subject.score] * len(subject.x))
    # It divides by the largest value and 1e-7; the values are small.
    subject.write("grad_cam", "pytorch-grad-cam", kept[0], tolerance=2e-3, fusion="mean", layers=[subject.tensor(layer) for layer in layers])


def shapley(subject, rows, columns):
    """Captum's exact Shapley values of a grid of pieces."""
    height, width = subject.x.shape[2:]
    cell = (torch.arange(height) * rows // height)[:, None] * columns + torch.arange(width) * columns // width
    mask = cell[None, None]
    found = ShapleyValues(subject.logits).attribute(subject.x, 0.0, subject.column, feature_mask=mask)
    subject.write("kernel_shap", "captum", subject.sign * found[:, 0].detach().numpy(),
                  set=[f"kernel_shap.segments={rows * columns}"])


def factorization(subject):
    """pytorch-grad-cam's factorization into one pattern, for each image separately; scaled to patterns of length 1."""
    with torch.no_grad(), Tap(subject.model, subject.name) as tap:
        subject.logits(subject.x)
    maps = []
    assert not tap.value.amin((2, 3)).any(), "the peer would take off each channel's smallest value"
    for planes in tap.value.numpy():
        concepts, places = dff(planes[None].copy(), n_components=1)
        maps.append(places[0] * np.linalg.norm(concepts))
    subject.write("deep_feature_factorization", "pytorch-grad-cam", np.stack(maps), tolerance=1e-3,
                  set=["deep_feature_factorization.concepts=1"])


def narrow():
    """One channel everywhere: there pytorch-grad-cam's FullGrad, which rescales each channel, is the paper's."""
    model = initialise(gap_cnn(channels=1, batch_norm=True), 24)
    return model, smooth(9, 3, 1, 30, 24)


def full_grad(subject):
    kept = []

    class Raw(pgc.FullGrad):
        def compute_cam_per_layer(self, *arguments, **options):
            kept.append(super().compute_cam_per_layer(*arguments, **options))
            return kept[-1]

    maps = []
    for x in subject.x:  # it rescales by the extremes of the whole batch
        with Raw(subject.logits, []) as cam:
            cam(input_tensor=x[None].clone(), targets=[subject.score])
        maps.append(kept.pop()[0, 0])
    # It divides by the largest value and 1e-7; the values are small.
    subject.write("full_grad", "pytorch-grad-cam", np.stack(maps), tolerance=1e-3)


def positive(case, layer, label):
    """The images of a case with a positive score."""
    subject = Subject(case, layer, label)
    scores = torch.stack([subject.score(output) for output in subject.logits(subject.x)])
    return Subject(case, layer, label, [int(n) for n in np.flatnonzero(scores.detach().numpy() > 0)])


def convolutional():
    for place in (("branchy", "average", 2), ("branchy", "join_relu", 0), ("gap_cnn_bn", "relu2", 1),
                  ("no_gap", "pool2", 0), ("dead_image", "relu2", 1)):
        grad_cam(Subject(*place), "hires_cam", pgc.HiResCAM)
        grad_cam(Subject(*place), "xgrad_cam", pgc.XGradCAM)
        grad_cam(Subject(*place), "element_wise_grad_cam", pgc.GradCAMElementWise)
        grad_cam(Subject(*place), "layer_cam", pgc.LayerCAM)
        grad_cam(Subject(*place), "eigen_cam", pgc.EigenCAM, sign="free")
        grad_cam(Subject(*place), "eigen_grad_cam", pgc.EigenGradCAM, sign="free")
        grad_cam(Subject(*place), "kpca_cam", pgc.KPCA_CAM, sign="free")
    for place in (("branchy", "join_relu", 2), ("gap_cnn_bn", "relu2", 1), ("no_gap", "pool2", 0)):
        grad_cam(positive(*place), "ablation_cam", pgc.AblationCAM)
    # Gradients so large that the constant in its denominator is negligible.
    grad_cam(Subject("saturated", "relu2", 1), "grad_cam_pp", pgc.GradCAMPlusPlus)
    torchcam(Subject("branchy", "average", 2), "cam", tc.CAM, options={"fc_layer": "model.dense"})
    torchcam(Subject("branchy", "join_relu", 0), "layer_cam", tc.LayerCAM)
    torchcam(Subject("branchy", "join_relu", 0), "xgrad_cam", tc.XGradCAM)
    torchcam(Subject("branchy", "average", 2), "finer_cam", tc.FinerCAM, options={"num_references": 2})
    # At the image's own size no enlargement is needed, which the peers do differently.
    same_size = Subject("no_gap", "relu1", 1)
    grad_cam(same_size, "score_cam", pgc.ScoreCAM)
    torchcam(same_size, "score_cam", tc.ScoreCAM)
    fused(Subject("no_gap", "relu1", 1, [0, 1]), ["relu1", "pool2"])
    shapley(Subject("branchy", "average", 2), 2, 3)
    shapley(Subject("no_gap", "pool2", 0), 2, 2)
    factorization(Subject("no_gap", "relu2", 0))
    full_grad(Subject("narrow", "pool2", 1))


def transformer():
    place = ("tiny_vit", "encoder.layers.encoder_layer_2.ln_1", 3)
    grad_cam(Subject(*place), "grad_cam", pgc.GradCAM)
    grad_cam(Subject(*place), "hires_cam", pgc.HiResCAM)
    grad_cam(Subject(*place), "element_wise_grad_cam", pgc.GradCAMElementWise)
    grad_cam(Subject(*place), "layer_cam", pgc.LayerCAM)
    grad_cam(Subject(*place), "eigen_cam", pgc.EigenCAM, sign="free")
    grad_cam(Subject(*place), "eigen_grad_cam", pgc.EigenGradCAM, sign="free")
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel has no second derivative
        grad_cam(Subject(*place), "shapley_cam", ShapleyCAM)
    torchcam(Subject(*place), "finer_cam", tc.FinerCAM)
    torchcam(Subject(*place), "score_cam", tc.ScoreCAM)
    subject = Subject(*place)
    head = subject.model
    # The head of this network reads the class token; the peer's own choice is the mean of all tokens.
    torchcam(subject, "le_grad", tc.LeGrad, layer=list(head.encoder.layers), options={
        "score_projection": lambda tokens: head.heads(head.encoder.ln(tokens)[:, 0]), "grid_shape": GRID})


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for stale in FOLDER.glob("*"):
        stale.unlink()
    for name, (model, images) in (("tiny_vit", tiny_vit()), ("narrow", narrow())):
        folder = ROOT / name
        folder.mkdir(exist_ok=True)
        export(model, images, folder / "model.onnx")
        save(folder / "input.npy", images)
    convolutional()
    transformer()
    save_json(FOLDER / "peers.json", ENTRIES)


if __name__ == "__main__":
    main()
