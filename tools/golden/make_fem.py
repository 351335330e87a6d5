"""Adds the FEM maps of xplique to crates/heatlens/tests/golden/peers/.

Usage: make_fem.py      (after make_methods.py and make_peer_maps.py; needs requirements-xplique.txt)

xplique explains TensorFlow models, so it gets the twins' activations in channels-last order. Other methods of xplique
differ from their papers or draw their masks from TensorFlow's generator; see README.md.
"""

import json
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from xplique.attributions.fem import FEM

from golden_files import ROOT, save, save_json

CASES = ("branchy", "gap_cnn_bn", "no_gap")


def main():
    listing = ROOT / "peers" / "peers.json"
    entries = [entry for entry in json.loads(listing.read_text()) if entry["peer"] != "xplique"]
    for case in CASES:
        about = json.loads((ROOT / case / "case.json").read_text())
        planes = np.load(ROOT / case / "expected_conv_output.npy")
        activations = tf.constant(planes.transpose(0, 2, 3, 1).astype(np.float64))
        weights, masks = FEM._compute_weights(activations, tf.constant(2.0, tf.float64))
        file = f"{case}_default_fem_xplique.npy"
        save(ROOT / "peers" / file, FEM._apply_weights(weights, masks).numpy())
        entries.append({"file": file, "peer": "xplique", "method": "fem", "case": case,
                        "layer": about["default_layer"]["tensor"], "class": 1, "images": list(range(len(planes)))})
    save_json(listing, entries)


if __name__ == "__main__":
    main()
