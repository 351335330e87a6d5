"""Trains the models of the training goldens in Keras, in float64, and prints the differences.

Usage: check_training_against_keras.py     (needs the packages of requirements-keras.txt)

Keras places Adam's epsilon as in the `keras` form of make_training.py. Exits 1 if losses or weights differ by more than
1e-5 of the largest value.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2] / "crates/heatlens/tests/golden"
LIMIT = 1e-5


def to_keras(name, array):
    """ONNX parameter layout to Keras': OIHW to HWIO, dense (out, in) to (in, out)."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if name == "dense.weight" else array


def build(case, load):
    """The gap-cnn of the case with its initial weights, and the parameter names in Keras' order."""
    norm, names = case["batch_norm"], []
    stack = [layers.Input((24, 24, 1))]
    for block in (1, 2):
        stack.append(layers.Conv2D(4, 3, use_bias=norm is None))
        names += [f"conv{block}.weight"] + ([] if norm else [f"conv{block}.bias"])
        if norm:
            stack.append(layers.BatchNormalization(epsilon=norm["epsilon"]))
            names += [f"bn{block}.weight", f"bn{block}.bias"]
        stack += [layers.ReLU(), layers.MaxPooling2D(2)]
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(1)]
    names += ["dense.weight", "dense.bias"]
    model = keras.Sequential(stack)
    for variable, name in zip(model.trainable_variables, names, strict=True):
        variable.assign(to_keras(name, load(f"initial_{name}")))
    return model, names


def main(name):
    folder = ROOT / name
    case = json.loads((folder / "case.json").read_text())

    def load(array):
        return np.load(folder / f"{array}.npy").astype(np.float64)

    model, names = build(case, load)
    adam = case["optimizer"]
    model.compile(
        optimizer=keras.optimizers.Adam(
            adam["learning_rate"], beta_1=adam["beta1"], beta_2=adam["beta2"], epsilon=adam["epsilon"]),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    images, labels, size = load("input").transpose(0, 2, 3, 1), load("labels"), case["batch_size"]
    losses = []
    for _ in range(case["epochs"]):
        for start in range(0, case["samples"], size):
            batch = slice(start, start + size)
            model.reset_metrics()  # otherwise Keras reports the mean since the start
            losses.append(float(model.train_on_batch(images[batch], labels[batch], return_dict=True)["loss"]))
    worst = {}
    for form in adam["forms"]:
        pairs = [(np.array(losses), load(f"expected_losses_{form}"))] + [
            (variable.numpy(), to_keras(key, load(f"expected_{key}_{form}")))
            for key, variable in zip(names, model.trainable_variables, strict=True)]
        worst[form] = max(np.abs(got - expected).max() / np.abs(expected).max() for got, expected in pairs)
    print(f"{name}: keras differs from", ", ".join(f"the {form} form by {worst[form]:.1e}" for form in worst))
    return worst["keras"] <= LIMIT


if __name__ == "__main__":
    keras.backend.set_floatx("float64")
    sys.exit(0 if all([main("training_gap_cnn"), main("training_gap_cnn_bn")]) else 1)
