"""Tiny Keras models with reference results by TensorFlow, for the tests that always run.

Usage: make_tiny_keras.py [FAMILY ...]

Like make_tiny.py: the constructors of keras.applications with few and narrow blocks, some saved as `.keras` and
some as `.h5`.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.update(KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.src.applications import densenet, efficientnet, mobilenet_v3, resnet  # noqa: E402

import heatlens  # noqa: E402
from keras_model import Reference, grad_cams, kind, layers, randomise  # noqa: E402

FOLDER = Path(__file__).resolve().parents[2] / "crates" / "heatlens" / "tests" / "zoo"
SIDE = 32
COMMON = {"weights": None, "input_shape": (SIDE, SIDE, 3), "classes": 5}


def build_efficientnet(activation):
    row = {"expand_ratio": 2, "id_skip": True, "se_ratio": 0.25, "repeats": 1}
    blocks = [
        {**row, "kernel_size": 3, "filters_in": 32, "filters_out": 16, "expand_ratio": 1, "strides": 1},
        {**row, "kernel_size": 5, "filters_in": 16, "filters_out": 16, "strides": 2},
    ]
    return efficientnet.EfficientNet(
        0.05, 1.0, SIDE, depth_divisor=4, blocks_args=blocks, classifier_activation=activation, **COMMON
    )


def build_resnet_v2(activation):
    """A block with separate padding and a strided one, the head of ResNet50V2, and image scaling in the model."""
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(0.5, offset=0.1)(x)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same")(x)
    x = resnet.residual_block_v2(x, 3, conv_shortcut=True, name="block1")
    x = resnet.residual_block_v2(x, 3, stride=2, name="block2")
    x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(5, activation=activation)(x))


def build_densenet(activation):
    """Two layers of a dense block, a transition and the head; the original stem alone has ten thousand weights."""
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x)
    for name in ("conv2_block1", "conv2_block2"):
        x = densenet.conv_block(x, 4, name)
    x = densenet.transition_block(x, 0.5, "pool2")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    return keras.Model(inputs, keras.layers.Dense(5, activation=activation)(x))


def build_mobilenet_v3(activation):
    def stack(x, kernel, act, se_ratio):
        block = mobilenet_v3._inverted_res_block
        x = block(x, 1, 8, 3, 2, se_ratio, mobilenet_v3.relu, 0)
        return block(x, 2, 8, kernel, 1, se_ratio, act, 1)

    return mobilenet_v3.MobileNetV3(stack, 16, model_type="small", classifier_activation=activation, **COMMON)


FAMILIES = {
    "keras_efficientnet": (build_efficientnet, "keras"),
    "keras_resnet_v2": (build_resnet_v2, "h5"),
    "keras_densenet": (build_densenet, "h5"),
    "keras_mobilenet_v3": (build_mobilenet_v3, "keras"),
}


def images(count=2):
    """N x side x side x 3: the same images as make_tiny.py's."""
    n, c, y, x = np.meshgrid(*(np.arange(k, dtype=np.float64) for k in (count, 3, SIDE, SIDE)), indexing="ij")
    waves = np.sin(0.8 * (n + 1) * y + 0.6 * x + c) + np.cos(0.37 * x * y + n - c)
    return waves.astype(np.float32).transpose(0, 2, 3, 1)


def twin(build, model, precision):
    """The model without its softmax, with the same weights."""
    keras.config.set_dtype_policy(precision)
    copy = build(None)
    copy.set_weights(model.get_weights())
    for layer in layers(copy):
        if kind(layer) == "Normalization":
            layer.finalize_state()
    keras.config.set_dtype_policy("float32")
    return copy


def make(family):
    build, ending = FAMILIES[family]
    keras.utils.set_random_seed(len(family))
    model, pictures = build("softmax"), images()
    randomise(model, np.random.default_rng(3).normal(size=(4, SIDE, SIDE, 3)).astype(np.float32))
    single = Reference(keras, twin(build, model, "float32"), pictures, "float32")
    exact = Reference(keras, twin(build, model, "float64"), pictures, "float64", single.chosen)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{ending}"
        model.save(path)
        said, _ = heatlens.inspect(path)
        found = heatlens.explain(path, np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)), exact.chosen, folder)
        row = heatlens.measure(found, exact, single, grad_cams(found, exact, single))
        cam = heatlens.nearest(found, grad_cams(found, exact, single))
        size, own, bad = path.stat().st_size, max(row["own"].values()), row["bad"]
        print(family, f"{size} bytes", said["default_layer"], found["grad_cam"].shape, row["differences"], bad)
        assert not bad and heatlens.difference(*exact.logits) > 1e-2 and own < 1e-5, own
        target = FOLDER / family
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(path, target / path.name)
    for name, array in {"logits": exact.logits, "gradient": exact.gradient[1], "grad_cam": cam[0]}.items():
        np.save(target / f"{name}.npy", np.ascontiguousarray(array, np.float32))
    case = {"file": path.name, "side": SIDE, "class": exact.chosen, "layer": said["default_layer"]}
    (target / "case.json").write_text(json.dumps(case) + "\n")


if __name__ == "__main__":
    for family in sys.argv[1:] or FAMILIES:
        make(family)
