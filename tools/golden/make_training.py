"""Writes the golden files of training: crates/heatlens/tests/golden/training_<case>/.

Usage: make_training.py

A small gap-cnn, 12 images of 24 x 24 in file order, batches of 4, 3 epochs, Adam, binary cross-entropy on logits
averaged over the batch. Computed in float64 from float32 initial weights; stored as float32.

Two forms of Adam are in use, which differ in the position of epsilon (m, v: moments; c1 = 1 - beta1^t, c2 likewise):
  torch  w -= lr * (m / c1) / (sqrt(v / c2) + epsilon)     Kingma and Ba, algorithm 1; torch.optim.Adam
  keras  w -= lr * sqrt(c2) / c1 * m / (sqrt(v) + epsilon)  Kingma and Ba, end of section 2; keras.optimizers.Adam
"""

import copy

import numpy as np
import torch
from torch.nn import functional as F

from store import ROOT, export, relative_difference, save, save_json
from twins import gap_cnn, initialise, smooth

SAMPLES, SIZE, BATCH, EPOCHS, CHANNELS = 12, 24, 4, 3, 4
ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}


def data():
    """Smooth images, brighter in the middle if the label is 1 (with the tenth label flipped)."""
    images = smooth(41, SAMPLES, 1, SIZE, SIZE) * 0.5
    labels = (np.arange(SAMPLES) % 2).astype(np.float32)[:, None]
    images[labels[:, 0] == 1, 0, 8:16, 8:16] += 0.5
    labels[9] = 1 - labels[9]
    return images.astype(np.float32), labels


class Adam:
    """Adam in one of the two forms, for one list of parameters."""

    def __init__(self, parameters, form):
        self.parameters, self.form, self.step_number = list(parameters), form, 0
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]

    def step(self, gradients):
        self.step_number += 1
        beta1, beta2, rate, epsilon = (ADAM[key] for key in ("beta1", "beta2", "learning_rate", "epsilon"))
        c1, c2 = 1 - beta1**self.step_number, 1 - beta2**self.step_number
        for parameter, (m, v), gradient in zip(self.parameters, self.moments, gradients, strict=True):
            m.mul_(beta1).add_(gradient, alpha=1 - beta1)
            v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            if self.form == "torch":
                parameter.data -= rate * (m / c1) / ((v / c2).sqrt() + epsilon)
            else:
                parameter.data -= rate * c2**0.5 / c1 * m / (v.sqrt() + epsilon)


def train(model, images, labels, optimizer):
    """Trains in place; returns the loss of each batch before its update."""
    model.train()
    losses = []
    for _ in range(EPOCHS):
        for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            loss = F.binary_cross_entropy_with_logits(model.logits(x), y)
            losses.append(loss.item())
            if isinstance(optimizer, Adam):
                optimizer.step(torch.autograd.grad(loss, optimizer.parameters))
            else:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return np.array(losses)


def trained(start, form, dtype=torch.float64):
    """(losses, {parameter: final value}) of a run from `start`, which is not modified."""
    images, labels = (torch.from_numpy(array).to(dtype) for array in data())
    model = copy.deepcopy(start).to(dtype)
    if form == "torch.optim":
        optimizer = torch.optim.Adam(model.parameters(), lr=ADAM["learning_rate"], eps=ADAM["epsilon"],
                                     betas=(ADAM["beta1"], ADAM["beta2"]))
    else:
        optimizer = Adam(model.parameters(), form)
    losses = train(model, images, labels, optimizer)
    return losses, {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


def largest_difference(run, reference):
    """Maximum over the losses and all parameters."""
    pairs = [(run[0], reference[0]), *((run[1][name], reference[1][name]) for name in reference[1])]
    return max(relative_difference(got, expected) for got, expected in pairs)


def make(name, model):
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*"):
        stale.unlink()
    images, labels = data()
    export(model, images, folder / "model.onnx")
    save(folder / "input.npy", images)
    save(folder / "labels.npy", labels)
    initial = {key: parameter.detach().numpy() for key, parameter in model.named_parameters()}
    runs = {form: trained(model, form) for form in ("torch", "keras")}
    assert largest_difference(runs["torch"], trained(model, "torch.optim")) < 1e-12
    single = {form: largest_difference(trained(model, form, torch.float32), runs[form]) for form in runs}
    assert max(single.values()) < 1e-4, single
    for key, value in initial.items():
        save(folder / f"initial_{key}.npy", value)
    for form, (losses, final) in runs.items():
        save(folder / f"expected_losses_{form}.npy", losses)
        for key, value in final.items():
            save(folder / f"expected_{key}_{form}.npy", value)
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    save_json(folder / "case.json", {
        "case": name, "samples": SAMPLES, "batch_size": BATCH, "epochs": EPOCHS, "shuffle": False,
        "loss": "binary cross-entropy on logits, mean over the batch; each entry of losses before that step's update",
        "optimizer": {"name": "adam", **ADAM, "forms": list(runs)},
        "batch_norm": {"epsilon": norms[0].eps, "variance": "biased, of the batch"} if norms else None,
        "parameters": {key: list(value.shape) for key, value in initial.items()},
        "float32_difference": single,
        "difference_between_forms": largest_difference(runs["keras"], runs["torch"]),
    })
    print(name, "float32", single, "forms", largest_difference(runs["keras"], runs["torch"]))
    for form, (losses, final) in runs.items():
        moved = max(np.abs(final[key] - initial[key]).max() for key in initial)
        print(f"  {form} losses {losses.round(6).tolist()} largest move {moved:.5f}")


def batch_norm_model(seed):
    """Convolutions without bias: BatchNorm cancels a bias, so its gradient is rounding noise, and Adam turns noise
    into full-sized steps, which no other program could reproduce. The running statistics start at unusual values:
    training must not use them."""
    model = initialise(gap_cnn(CHANNELS, batch_norm=True), seed)
    model.conv1.bias = model.conv2.bias = None
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)  # float32 differences depend on it; the arrays do not
    make("training_gap_cnn", initialise(gap_cnn(CHANNELS), seed=42))
    make("training_gap_cnn_bn", batch_norm_model(seed=43))
