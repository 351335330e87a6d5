#!/usr/bin/env python3
"""Live models as their own library differentiates them: Grad-CAM and the gradient at the input, side by side.

    python tools/python/live_models.py torch|keras [NAME ...]

Builds models of torchvision or keras.applications with random weights, explains four images with heatlens, and computes
the same maps by autograd or GradientTape in single and in double precision. Prints a row of a Markdown table for each model:
how far heatlens and the library's own single precision are from double precision, as a share of the largest value, for the
nearest image, and how many images are further than 1e-4 away. Single precision decides otherwise than double precision
where the input of a ReLU is almost 0, or two values under a max-pooling are almost equal; in some images there is such a
place, not the same for two programs, and the derivatives jump. A model fails if no image is near and the library is nearer.
"""

import os
import sys

import numpy as np

import heatlens as hl

ALLOWED = 1e-4
IMAGES = 4
# The name, the side of the image, and the layer of Grad-CAM.
TORCH = {
    "resnet18": (96, "layer4"),
    "mobilenet_v2": (96, "features"),
    "efficientnet_b0": (96, "features"),
    "squeezenet1_1": (96, "features"),
    "densenet121": (96, "features"),
    "vgg11": (224, "features"),
    "shufflenet_v2_x1_0": (96, "conv5"),
    "convnext_tiny": (96, "features"),
    "alexnet": (224, "features"),
    "regnet_y_400mf": (96, "trunk_output"),
}
KERAS = {
    "MobileNet": (96, "conv_pw_13_relu"),
    "MobileNetV2": (96, "out_relu"),
    "ResNet50": (96, "conv5_block3_out"),
    "DenseNet121": (96, "relu"),
    "EfficientNetB0": (96, "top_activation"),
    "VGG16": (96, "block5_conv3"),
    "Xception": (96, "block14_sepconv2_act"),
    "NASNetMobile": (96, "activation_187"),
}


def away(found, wanted):
    return float(np.abs(found.astype(np.float64) - wanted).max() / np.abs(wanted).max())


def torch_model(name, side, layer):
    """What heatlens finds, and what autograd finds in both precisions: logits, map, gradient."""
    import torch
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None)
    with torch.no_grad():  # statistics of the norms that fit the weights
        net.train()
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        net(torch.randn(8, 3, side, side))
    net.eval()
    images = torch.randn(IMAGES, 3, side, side)
    module = net.get_submodule(layer)
    found = hl.open(net, example=images[:1]).explain(images, ["grad_cam", "gradient"], layer=module)

    def own(kind, x, target):
        net.to(kind)
        kept = {}

        def keep(_module, _inputs, out):
            out.retain_grad()
            kept["a"] = out
            return out.clone()  # what follows may write into it

        hook = module.register_forward_hook(keep)
        image = x.detach().to(kind).clone().requires_grad_()
        z = net(image)
        z[0, target].backward()
        hook.remove()
        a = kept["a"]
        cam = (a.grad.mean((2, 3), keepdim=True) * a).sum(1)[0]
        return [value.detach().numpy() for value in (z[0], cam, image.grad[0])]

    exact = [own(torch.float64, x[None], e.predicted) for x, e in zip(images, found)]
    return found, [own(torch.float32, x[None], e.predicted) for x, e in zip(images, found)], exact


def keras_model(name, side, layer):
    import keras
    import tensorflow as tf

    images = np.random.default_rng(0).standard_normal((IMAGES, side, side, 3)).astype(np.float32)

    def built():
        keras.utils.set_random_seed(0)
        keras.backend.clear_session()
        make = getattr(keras.applications, name)
        return make(weights=None, input_shape=(side, side, 3), classifier_activation=None)

    net = built()
    norms = [norm for norm in net.layers if isinstance(norm, keras.layers.BatchNormalization)]
    if norms:  # statistics of the norms that fit the weights
        for norm in norms:
            norm.momentum = 0.0
        net(np.random.default_rng(1).standard_normal((8, side, side, 3)).astype(np.float32), training=True)
    found = hl.open(net).explain(images, ["grad_cam", "gradient"], layer=net.get_layer(layer))

    def own(model, image, target):
        both = keras.Model(model.inputs, [model.get_layer(layer).output, model.outputs[0]])
        image = tf.convert_to_tensor(image[None])
        with tf.GradientTape() as tape:
            tape.watch(image)
            a, z = both(image, training=False)
            score = z[0, target]
        da, dx = tape.gradient(score, [a, image])
        cam = tf.reduce_sum(tf.reduce_mean(da, (1, 2), keepdims=True) * a, -1)[0]
        return z[0].numpy(), cam.numpy(), dx[0].numpy().transpose(2, 0, 1)

    single = [own(net, x, e.predicted) for x, e in zip(images, found)]
    weights = net.get_weights()
    keras.config.set_floatx("float64")
    double = built()
    double.set_weights(weights)
    exact = [own(double, x.astype(np.float64), e.predicted) for x, e in zip(images, found)]
    keras.config.set_floatx("float32")
    return found, single, exact


def main():
    kind, names = sys.argv[1], sys.argv[2:]
    known, build = (TORCH, torch_model) if kind == "torch" else (KERAS, keras_model)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    failed = []
    print("| model | scores | the library's | Grad-CAM | the library's | gradient | the library's |\n|" + "---|" * 7)
    for name in names or known:
        found, single, exact = build(name, *known[name])
        ours = [(e.logits, e.maps["grad_cam"], e.maps["gradient"]) for e in found]
        cells, good = [], True
        for what in range(3):
            nearest = []
            for maps in (ours, single):
                apart = [away(one[what], wanted[what]) for one, wanted in zip(maps, exact)]
                far = sum(a > ALLOWED for a in apart)
                cells.append(f"{min(apart):.0e}" + (f", {far} of {IMAGES} far" if far else ""))
                nearest.append(min(apart))
            good &= nearest[0] <= max(ALLOWED, nearest[1])
        print(f"| {name} | {' | '.join(cells)} |{'' if good else ' **differs**'}", flush=True)
        failed += [] if good else [name]
    sys.exit(f"differ: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
