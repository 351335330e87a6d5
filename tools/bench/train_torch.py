"""Seconds per training epoch of the two-class case in PyTorch, validation included.

Usage: train_torch.py [--threads 2] [--epochs 4] [--channels-last]
Prints one line `epoch_seconds <float>` per epoch, except the first, which is a warm-up.
"""

import argparse
import time

import torch
from torch import nn
from two_class_case import BATCH, LEARNING_RATE, TRAIN, VALIDATION, two_class_case


def gap_cnn():
    """The model of `heatlens train --arch gap-cnn`, with Glorot-uniform kernels and zero biases."""
    model = nn.Sequential(
        nn.Conv2d(1, 20, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 20, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 1),
    )
    for layer in model:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def epoch(model, optimizer, loss_of, train, validation):
    """One shuffled pass over the training images, then the validation loss; returns both losses."""
    (images, labels), total = train, 0.0
    for rows in torch.randperm(len(images)).split(BATCH):
        optimizer.zero_grad()
        loss = loss_of(model(images[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    with torch.no_grad():
        validation_loss = loss_of(model(validation[0]), validation[1]).item()
    return total / len(images), validation_loss


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--epochs", type=int, default=4)
    options.add_argument("--channels-last", action="store_true")
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    images, labels = map(torch.from_numpy, two_class_case())
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    model = gap_cnn().to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for number in range(options.epochs):
        start = time.perf_counter()
        losses = epoch(
            model, optimizer, nn.BCEWithLogitsLoss(),
            (images[TRAIN], labels[TRAIN]), (images[VALIDATION], labels[VALIDATION]),
        )
        seconds = time.perf_counter() - start
        label = "epoch_seconds" if number > 0 else "warm_up_seconds"
        print(f"{label} {seconds:.4f} loss {losses[0]:.4f} val_loss {losses[1]:.4f}", flush=True)


main()
