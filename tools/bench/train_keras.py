"""Seconds per training epoch of the two-class case in Keras on TensorFlow, validation included.

Usage: train_keras.py [--threads 2] [--epochs 4]
Prints one line `epoch_seconds <float>` per epoch, except the first, which traces the model and is a warm-up.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from two_class_case import BATCH, LEARNING_RATE, TRAIN, VALIDATION, two_class_case  # noqa: E402


class EpochClock(keras.callbacks.Callback):
    """Prints the duration of each epoch, including its validation pass."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.start
        label = "epoch_seconds" if epoch > 0 else "warm_up_seconds"
        print(f"{label} {seconds:.4f} loss {logs['loss']:.4f} val_loss {logs['val_loss']:.4f}", flush=True)


def gap_cnn():
    """The model of `heatlens train --arch gap-cnn`; Keras initialises kernels Glorot-uniformly by default."""
    return keras.Sequential([
        layers.Input((95, 95, 1)),
        layers.Conv2D(20, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(20, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid"),
    ])


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--epochs", type=int, default=4)
    options = options.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    keras.utils.set_random_seed(0)
    images, labels = two_class_case()
    model = gap_cnn()
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE), loss="binary_crossentropy", metrics=["accuracy"]
    )
    model.fit(
        images[TRAIN], labels[TRAIN], validation_data=(images[VALIDATION], labels[VALIDATION]),
        batch_size=BATCH, epochs=options.epochs, shuffle=True, verbose=0, callbacks=[EpochClock()],
    )


main()
