"""Writes the golden files of the explanation methods: crates/heatlens/tests/golden/<case>/.

Usage: make_methods.py [CASE...]
       make_methods.py --search CASE     prints the first seed that passes `sound`, and writes nothing

Everything is computed in float64 from float32 parameters and images, then rounded once to float32.
"""

import copy
import sys

import numpy as np
import torch
from torch import nn

from cases import BOTH_SIGNS, CASES, LEFT_OUT
from explain import Tap, explain, gradients, weighted_sum
from store import OPSET, ROOT, export, layer_names, relative_difference, run_onnx, save, save_json

CLASS = 1
SMALLEST_MARGIN = 1e-6
PER_CLASS = ("cam", "grad_cam")
# Relevance is divided by sums that may be close to 0.
FLOAT32_LIMIT = {"lrp_epsilon": 3e-5}
LAYERS = {
    "cam": "default", "grad_cam": "default", "guided_grad_cam": "default", "conv_output": "default",
    "conv_grad": "default", "weights": "default", "excitation_backprop": "default", "grad_cam_other": "other",
}


def expected_arrays(model, images):
    """All arrays for class 1, and the class maps of the other classes, if there are any."""
    arrays = explain(model, images, CLASS)
    outputs = arrays["logits"].shape[1]
    for other in range(outputs) if outputs > 1 else ():
        if other != CLASS:
            maps = explain(model, images, other)
            arrays |= {f"{name}_class{other}": maps[name] for name in PER_CLASS}
    return arrays


def takes_first_index(layer, x, windows):
    """Whether PyTorch's max-pool picks, in every window, the first of equal maxima in row-major order."""
    _, picked = nn.functional.max_pool2d(x, layer.kernel_size, layer.stride, layer.padding, return_indices=True)
    height, width = windows.shape[2:4]
    rows, columns = np.divmod(windows.flatten(4).numpy().argmax(-1), layer.kernel_size)
    rows = rows + np.arange(height)[:, None] * layer.stride - layer.padding
    columns = columns + np.arange(width) * layer.stride - layer.padding
    return np.array_equal(picked.numpy(), rows * x.shape[3] + columns)


def margins(model, images):
    """Margins of the decisions: float32 rounding must stay below these values.

    `relu`: smallest non-zero |x| before a ReLU over the largest of that layer. `max_pool`: smallest non-zero lead of a
    positive window maximum over the next value, likewise. `tied_windows`: positive maxima reached more than once.
    """
    relu, pool, ties = np.inf, np.inf, 0
    for name, layer in model.named_children():
        if not isinstance(layer, (nn.ReLU, nn.MaxPool2d)):
            continue
        with torch.no_grad(), Tap(model, name) as tap:
            handle = layer.register_forward_pre_hook(lambda _, inputs: setattr(tap, "input", inputs[0]))
            model.logits(images)
            handle.remove()
        x = tap.input
        if isinstance(layer, nn.ReLU):
            size = x.abs()
            relu = min(relu, float(size[size > 0].min() / size.max()))
            continue
        padded = nn.functional.pad(x, [layer.padding] * 4, value=-1.0)
        windows = padded.unfold(2, layer.kernel_size, layer.stride).unfold(3, layer.kernel_size, layer.stride)
        assert takes_first_index(layer, x, windows), f"{name}: PyTorch breaks a tie otherwise than at the first index"
        top = windows.flatten(4).topk(2).values
        lead = (top[..., 0] - top[..., 1])[top[..., 0] > 0]
        ties += int((lead == 0).sum())
        if (lead > 0).any():
            pool = min(pool, float(lead[lead > 0].min() / x.abs().max()))
    return {"relu": relu, "max_pool": pool, "tied_windows": ties}


def sound(name, model, images):
    """Why a case cannot be used as a golden, or None: maps of one sign, or margins within rounding error."""
    _, a, grad_a, _ = gradients(model, images, CLASS, model.default_layer)
    positive = (weighted_sum(grad_a.mean((2, 3)), a) > 0).double().mean((1, 2))
    for image in BOTH_SIGNS.get(name, range(len(images))):
        if not 0.1 < positive[image] < 0.9:
            return f"the map of image {image} is positive in {positive[image]:.2f} of its area"
    near = margins(model, images)
    if min(near["relu"], near["max_pool"]) < SMALLEST_MARGIN:
        return f"decided by rounding: {near}"
    return None


def search(name):
    """Tries seeds from 1 on."""
    for seed in range(1, 100_000):
        model, images = CASES[name](seed)
        if sound(name, model.double(), torch.from_numpy(images).double()) is None:
            return seed
    raise LookupError(f"no seed for {name}")


def check(name, model, arrays, folder, images, layers):
    """Checks that the file gives the same results as the twin, and that the arrays satisfy the algebraic laws."""
    tensors = [layers["default"]["tensor"], layers["other"]["tensor"]]
    output, a, _ = run_onnx(folder / "model.onnx", images, tensors)
    expected = arrays.get("probabilities", arrays["logits"])
    assert relative_difference(output, expected) < 1e-5, f"{name}: the exported file disagrees"
    assert relative_difference(a, arrays["conv_output"]) < 1e-5, f"{name}: {tensors[0]} is another value"
    single = run_onnx(folder / "model.onnx", images[1:2], [])[0]
    assert np.abs(single - output[1:2]).max() < 1e-5, f"{name}: an image depends on its batch"
    if "cam" in arrays:
        z, bias = arrays["logits"], model.dense.bias.detach().numpy()
        z = z - bias
        z = z[:, 0] if z.shape[1] == 1 else z[:, CLASS]
        area = np.prod(arrays["cam"].shape[1:])
        assert np.allclose(arrays["cam"], arrays["grad_cam"] * area, rtol=1e-12, atol=1e-12)
        assert np.allclose(arrays["grad_cam"].sum((1, 2)), z, rtol=1e-11, atol=1e-12)


def make(name):
    model, images = CASES[name]()
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*"):
        stale.unlink()
    export(model, images, folder / "model.onnx")
    layers = {"default": layer_names(folder / "model.onnx", model.default_layer),
              "other": layer_names(folder / "model.onnx", model.other_layer)}
    exact = copy.deepcopy(model).double()
    complaint = sound(name, exact, torch.from_numpy(images).double())
    if complaint:
        raise ValueError(f"{name}: {complaint}; try --search")
    arrays = expected_arrays(exact, torch.from_numpy(images).double())
    rounded = expected_arrays(model, torch.from_numpy(images))
    near = margins(exact, torch.from_numpy(images).double())
    # A tie that depends on the order of summation would require PyTorch's rounding from other implementations.
    assert near["tied_windows"] == 0 or np.array_equal(rounded["conv_output"], arrays["conv_output"]), f"{name}: ties"
    check(name, exact, arrays, folder, images, layers)
    save(folder / "input.npy", images)
    expected = []
    for key in LEFT_OUT.get(name, []):
        del arrays[key]
    for key, array in arrays.items():
        save(folder / f"expected_{key}.npy", array)
        method, _, of_class = key.partition("_class")
        entry = {"name": key, "file": f"expected_{key}.npy", "shape": list(array.shape)}
        if key not in ("logits", "probabilities"):
            entry["class"] = int(of_class or CLASS)
        if method in LAYERS:
            entry["layer"] = layers[LAYERS[method]]["tensor"]
        entry["float32_difference"] = relative_difference(rounded[key], array)
        assert entry["float32_difference"] < FLOAT32_LIMIT.get(key, 1e-5), f"{name}: float32 cannot reproduce {key}: {entry}"
        expected.append(entry)
    save_json(folder / "case.json", {
        "case": name, "about": " ".join(CASES[name].__doc__.split()), "opset": OPSET, "head": model.head_name,
        "outputs": arrays["logits"].shape[1], "class": CLASS,
        "default_layer": layers["default"], "other_layer": layers["other"],
        "dead_images": [n for n in range(len(images)) if not arrays["conv_output"][n].any()],
        "margins": near, "expected": expected,
    })
    print(name, "logits", arrays["logits"].round(4).tolist())
    for entry in expected:
        values = arrays[entry["name"]]
        print(f"  {entry['name']:18} {str(values.shape):18} min {values.min():+.4g} max {values.max():+.4g} "
              f"non-zero {np.count_nonzero(values) / values.size:.3f} float32 {entry['float32_difference']:.1e}")
    print("  margins", near)


if __name__ == "__main__":
    torch.set_num_threads(1)  # float32 differences depend on it; the arrays do not
    if sys.argv[1:2] == ["--search"]:
        print(search(sys.argv[2]))
    else:
        for case in sys.argv[1:] or CASES:
            make(case)
