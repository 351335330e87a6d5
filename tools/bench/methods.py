"""Times grad-cam's methods one by one on a ResNet-18 with random weights. methods.sh runs it along with heatlens.

Usage: methods.py export FOLDER     writes resnet18.onnx and image.npy (1 x 3 x 224 x 224)
       methods.py time FOLDER THREADS METHOD[,METHOD...]|all
                                    prints `METHOD SECONDS`, the median of some calls on that image

Only the call is timed: imports, the construction of the model and the first call are not.
"""

import pathlib
import sys
import time
import warnings

import numpy as np
import torch
import torchvision

warnings.simplefilter("ignore")
CLASS = 1
# Multi-pass methods are called once.
SLOW = ("ablation_cam", "score_cam")


def network():
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval()


def export(folder):
    image = np.random.RandomState(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    np.save(folder / "image.npy", image)
    torch.onnx.export(
        network(), (torch.from_numpy(image),), str(folder / "resnet18.onnx"), dynamo=False, opset_version=17,
        input_names=["image"], output_names=["logits"], dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}})


def methods(model):
    """heatlens' name of each method, and a function that calls it in grad-cam."""
    import pytorch_grad_cam as pgc
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    layers = [model.layer4[-1]]
    targets = [ClassifierOutputTarget(CLASS)]
    maps = {
        "grad_cam": pgc.GradCAM, "grad_cam_pp": pgc.GradCAMPlusPlus, "xgrad_cam": pgc.XGradCAM,
        "hires_cam": pgc.HiResCAM, "element_wise_grad_cam": pgc.GradCAMElementWise, "layer_cam": pgc.LayerCAM,
        "shapley_cam": pgc.ShapleyCAM, "finer_cam": pgc.FinerCAM, "eigen_cam": pgc.EigenCAM,
        "eigen_grad_cam": pgc.EigenGradCAM, "kpca_cam": pgc.KPCA_CAM, "fem": pgc.FEM, "full_grad": pgc.FullGrad,
        "random": pgc.RandomCAM, "ablation_cam": pgc.AblationCAM, "score_cam": pgc.ScoreCAM,
    }

    def call(cls):
        cam = cls(model=model, target_layers=[] if cls is pgc.FullGrad else layers)
        # Finer-CAM chooses its classes when no target is given.
        return lambda x: cam(input_tensor=x, targets=None if cls is pgc.FinerCAM else targets)

    calls = {name: lambda cls=cls: call(cls) for name, cls in maps.items()}
    stages = [model.layer2[-1], model.layer3[-1], model.layer4[-1]]

    def refine():
        cam = pgc.RefineCAM(model, stages)
        return lambda x: cam(input_tensor=x, targets=targets)

    def factorization():
        found = pgc.DeepFeatureFactorization(model=model, target_layer=layers[0])
        return lambda x: found(x, 4)

    def guided():
        found = pgc.GuidedBackpropReLUModel(model=model, device="cpu")
        return lambda x: found(x, target_category=CLASS)

    # Guided back-propagation replaces the model's ReLUs, so it comes last.
    return {"refine_cam": refine, "deep_feature_factorization": factorization, **calls, "guided_backprop": guided}


def seconds(call, x, times):
    if times > 1:
        call(x.clone())
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call(x.clone())
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def main():
    folder = pathlib.Path(sys.argv[2])
    if sys.argv[1] == "export":
        return export(folder)
    torch.set_num_threads(int(sys.argv[3]))
    wanted = sys.argv[4].split(",")
    x = torch.from_numpy(np.load(folder / "image.npy"))
    model = network()
    for name, prepare in methods(model).items():
        if name in wanted or wanted == ["all"]:
            print(name, f"{seconds(prepare(), x, 1 if name in SLOW else 5):.4f}", flush=True)


if __name__ == "__main__":
    main()
