"""Compares heatlens with one model of keras.applications.

Usage: keras_model.py keras|tf-keras NAME

Builds NAME with random weights, saves it as `.keras` and as `.h5` (tf-keras: only `.h5`), and compares heatlens with
TensorFlow's gradients. Prints one JSON object per line for each file.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.update(KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import catalogue  # noqa: E402
import heatlens  # noqa: E402

CLASSES = 30
SEED = 7
SEEDS = range(1, 13)  # of images


def library(group):
    """The package, and the function that sets its precision."""
    if group == "keras":
        import keras

        return keras, keras.config.set_dtype_policy
    import tf_keras

    return tf_keras, tf_keras.mixed_precision.set_global_policy


def build(package, name, side, activation):
    package.utils.set_random_seed(SEED)
    shape = (side, side, 3)
    return getattr(package.applications, name)(
        weights=None, input_shape=shape, classes=CLASSES, classifier_activation=activation
    )


def layers(model):
    """All layers, including those of nested models."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from layers(layer)


def kind(layer):
    return type(layer).__name__


def randomise(model, images):
    """Weights with which every part matters: random vectors, and measured, then perturbed BatchNorm statistics."""
    random = np.random.default_rng(SEED)
    norms = [layer for layer in layers(model) if kind(layer) == "BatchNormalization"]
    for layer in layers(model):
        if kind(layer) == "Normalization" and layer.get_weights():
            mean, variance, *count = layer.get_weights()
            layer.set_weights([mean + random.uniform(0.4, 0.5, mean.shape), variance * random.uniform(0.05, 0.07, mean.shape), *count])
            layer.finalize_state()
        elif not hasattr(layer, "layers"):
            layer.set_weights([vary(array, random) for array in layer.get_weights()])
    for layer in norms:
        layer.momentum = 0.0  # the statistics of one batch are stored unchanged
    model(images, training=True)
    for layer in norms:
        layer.momentum = 0.99
        *own, mean, variance = layer.get_weights()
        mean = mean + 0.1 * np.sqrt(variance) * random.normal(size=mean.shape)
        variance = (variance + 1e-3) * random.uniform(0.8, 1.25, variance.shape)
        layer.set_weights([*own, mean, variance])


def vary(array, random):
    """Random numbers instead of a constant."""
    if array.size < 2 or array.min() != array.max():
        return array
    start = array.flat[0]
    if start == 0:
        return random.normal(0, 0.2, array.shape)
    if abs(start) < 0.1:  # a layer scale
        return random.uniform(0.2, 0.6, array.shape)
    return array * random.uniform(0.7, 1.3, array.shape)


class Reference:
    """Logits, input gradient and all intermediate values of the model, at the precision it was built for."""

    def __init__(self, package, model, images, dtype, chosen=None):
        own = [layer for layer in getattr(model, "operations", model.layers) if len(getattr(layer.output, "shape", ())) in (3, 4)]
        self.names = [layer.name for layer in own]
        probe = package.Model(model.input, [model.output, *(layer.output for layer in own)])

        self.chosen = heatlens.highest(model(images, training=False).numpy()) if chosen is None else chosen

        @tf.function(autograph=False)
        def run(image):
            with tf.GradientTape() as tape:
                tape.watch(image)
                output, *inner = probe(image, training=False)
                score = tf.reduce_sum(output[:, self.chosen])
            gradients = tape.gradient(score, [image, *inner])
            zero = lambda value, grad: tf.zeros_like(value) if grad is None else grad
            return output, gradients[0], inner, [zero(v, g) for v, g in zip(inner, gradients[1:])]

        output, gradient, inner, gradients = run(tf.constant(images, dtype))
        self.logits, self.gradient = output.numpy(), gradient.numpy().transpose(0, 3, 1, 2)
        self.inner = [(v.numpy(), g.numpy()) for v, g in zip(inner, gradients)]

    def planes(self, index, shape):
        """An intermediate value and its gradient as N x C x h x w."""
        n, c, h, w = shape
        value, gradient = self.inner[index]
        if value.shape != (n, h, w, c):
            return None
        return value.transpose(0, 3, 1, 2), gradient.transpose(0, 3, 1, 2)

    def grad_cam(self, index, shape):
        value, gradient = self.planes(index, shape)
        return (gradient.mean((2, 3), keepdims=True) * value).sum(1)


def grad_cams(found, exact, single):
    """Grad-CAM by both references at the layers whose output equals heatlens' A."""
    activations = found["conv_output"]
    for index in range(len(exact.inner)):
        best, own = (reference.planes(index, activations.shape) for reference in (exact, single))
        if best is None:
            continue
        limit = heatlens.limit("layer", heatlens.difference(own[0], best[0]))
        if heatlens.difference(activations, best[0]) < limit:
            yield tuple(r.grad_cam(index, activations.shape) for r in (exact, single))


def compare(path, images, single, exact):
    """The table's entries for one file."""
    said, seconds = heatlens.inspect(path)
    row = {"layer": said["default_layer"], "open_s": round(seconds, 2), "notes": said["notes"]}
    found = heatlens.explain(path, images, single.chosen, path.parent)
    row["grid"] = list(found["grad_cam"].shape[1:])
    return {**row, **heatlens.measure(found, exact, single, grad_cams(found, exact, single))}


def pictures(side, count, seed, scale, offset):
    """Images with large and small structure, in the range that the model's first layers expect."""
    random = np.random.default_rng(seed)
    total = sum(
        tf.image.resize(random.normal(size=(count, cells, cells, 3)), (side, side)).numpy() for cells in (2, 5, 16, side)
    )
    return (offset + scale * np.tanh(total / 2)).astype(np.float32)


def twin(package, set_precision, name, model, precision):
    """The model without its softmax, with the same weights."""
    set_precision(precision)
    copy = build(package, name, model.input_shape[1], None)
    copy.set_weights(model.get_weights())
    for layer in layers(copy):
        if kind(layer) == "Normalization" and layer.get_weights():
            layer.finalize_state()
    set_precision("float32")
    return copy


class Case:
    """Two images, and the framework's results in both precisions."""

    def __init__(self, package, twins, images, seed):
        self.images, self.seed = images, seed
        self.single = Reference(package, twins["float32"], images, "float32")
        self.exact = Reference(package, twins["float64"], images, "float64", self.single.chosen)
        self.own = heatlens.difference(self.single.gradient, self.exact.gradient)


def written(case, path):
    """The row of a file for one pair of images."""
    row = {"images": case.seed, "reference": "float64", "spread": heatlens.difference(*case.single.logits)}
    channels_first = np.ascontiguousarray(case.images.transpose(0, 3, 1, 2))
    try:
        return {**row, **compare(path, channels_first, case.single, case.exact)}
    except heatlens.Refused as refused:
        return {**row, "bad": ["refused"], "refused": str(refused)}


def main(group, name):
    package, set_precision = library(group)
    side = catalogue.GROUPS[group][name]
    own_scaling = name.startswith(("EfficientNet", "MobileNetV3", "ConvNeXt"))
    scale, offset = (127.5, 127.5) if own_scaling else (1.0, 0.0)
    draw = lambda count, seed: pictures(side, count, seed, scale, offset)
    model = build(package, name, side, "softmax")
    randomise(model, draw(4, SEED))
    twins = {precision: twin(package, set_precision, name, model, precision) for precision in ("float32", "float64")}
    facts = {"library": group, "name": name, "parameters": int(model.count_params()), "batch": "free"}
    rows = {}
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        paths = [Path(folder) / ending / f"model.{ending}" for ending in (("keras", "h5") if group == "keras" else ("h5",))]
        for path in paths:
            path.parent.mkdir()
            model.save(path)
        for case in heatlens.smooth(Case(package, twins, draw(2, seed), seed) for seed in SEEDS):
            for path in paths:
                own = rows.get(path.suffix)
                if heatlens.is_open(own):
                    pairs = (own or {}).get("pairs", 0) + 1
                    rows[path.suffix] = {**facts, "exporter": path.suffix, "pairs": pairs, **written(case, path)}
            if not any(map(heatlens.is_open, rows.values())):
                break
    for row in rows.values():
        print(json.dumps(row), flush=True)
    print(json.dumps({"done": name}))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
