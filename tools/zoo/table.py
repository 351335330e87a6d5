"""Writes docs/zoo.md from the rows of a run."""

import catalogue
import heatlens

HEAD = """# The zoo

Which families of image classifiers were opened and compared with the framework that made them. This page is written
by `tools/zoo/run.py`; see [tools/zoo](../tools/zoo/README.md). Detectors, segmentation networks, embeddings and other types of
input have [a page of their own](zoo-heads.md).

Each model has random weights and BatchNorm statistics that matter. heatlens opened the exported file and computed the
logits, the gradient of one class's logit by the input, and Grad-CAM at the layer it chose by itself, for two images.
The framework computed the same without the file; Grad-CAM at the tensor that holds what heatlens says the layer holds.
The numbers are relative L2 differences. A model passes if the logits differ by at most 1e-4 and the others by at most
1e-3, or by at most ten times what the framework's own float32 differs from its float64: then float64 is what was
compared with, and the framework's own difference stands in brackets.

One ReLU or pooling window that rounding tips over moves a gradient by a percent, and does so for one image and not for
the next. `rough` marks rows where the framework's own gradients differ by more than 1e-4, so that passing says less. To
have few of them, networks are compared on pairs of images for which they do not, out of three (Keras: twelve); where
there are none, PyTorch's are made gentler (see the README) and six are tried; such a row says `gentle`. Our own rounding
may tip a window over, too: where derivatives alone differ, the next such pair is compared, at last the least rough of the
others; the row says which one passed.

"""
TITLES = {
    "torchvision": "torchvision", "timm": "timm", "more-timm": "timm, further families",
    "keras": "keras.applications (Keras 3)", "tf-keras": "keras.applications (tf-keras, Keras 2)",
}
COLUMNS = ["model", "file", "parameters", "default layer", "grid", "logits", "gradient", "Grad-CAM", ""]


def state(row):
    """The result of a model, in words."""
    if "not_exported" in row:
        return "not exported: " + row["not_exported"]
    return "; ".join(row["bad"]) or "pass"


def is_settled(words):
    return words == "pass" or words.startswith("not exported")


def number(row, name):
    """A difference, and the framework's own if it raised the limit."""
    if name not in row.get("differences", {}):
        return ""
    own = row["own"][name]
    raised = heatlens.limit(name, own) > heatlens.LIMITS[name]
    return f"{row['differences'][name]:.0e}" + (f" ({own:.0e})" if raised else "")


def cells(row):
    grid = "×".join(map(str, row.get("grid", [])))
    parameters = f"{row['parameters'] / 1e6:.1f} M" if "parameters" in row else ""
    measured = [number(row, name) for name in ("logits", "gradient", "grad_cam")]
    words = state(row).replace("|", "/").replace("<", "‹").replace(">", "›")
    if words == "pass":
        rough = row["own"]["gradient"] > heatlens.ROUGH
        words += (", gentle" if row.get("gain", 1) < 1 else "") + (", rough" if rough else "")
        words += f", pair {row['pairs']}" if row.get("pairs", 1) > 1 else ""
    words = {True: words, False: f"**{words}**"}[is_settled(state(row))]
    layer = f"`{row['layer']}`" if row.get("layer") else ""
    return [row["name"], row["exporter"], parameters, layer, grid, *measured, words]


def write(rows, path):
    """Writes the page: a count, and one table for each group."""
    groups = {group: [row for row in rows.values() if row["group"] == group] for group in TITLES}
    for group, own in groups.items():
        order = list(catalogue.GROUPS[group])
        own.sort(key=lambda row: order.index(row["name"]) if row["name"] in order else len(order))
    text = HEAD
    words = [state(row) for own in groups.values() for row in own]
    exported = [word for word in words if not word.startswith("not exported")]
    passed = sum(word == "pass" for word in exported)
    text += f"{passed} of {len(exported)} files pass; {len(words) - len(exported)} could not be exported by the exporter itself.\n"
    for group, own in groups.items():
        if own:
            text += f"\n## {TITLES[group]}\n\n| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS) + "\n"
            text += "".join("| " + " | ".join(cells(row)) + " |\n" for row in own)
    path.write_text(text)
