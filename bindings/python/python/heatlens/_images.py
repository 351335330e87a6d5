"""Conversion of images and labels to the library's data sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ._heatlens import Core, Data, Error

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
ARRAYS = (".npy", ".npz")


def read(core: Core, x: Any, layout: str | None) -> tuple[Data, bool]:
    """Returns the images, and True if ``x`` is a single image without a batch axis."""
    if isinstance(x, (str, os.PathLike)):
        path = os.fspath(x)
        return core.paths([path], layout), os.path.isfile(path) and not path.lower().endswith(ARRAYS)
    if isinstance(x, (list, tuple)):
        if not x:
            raise Error("there is no image to explain")
        if all(isinstance(item, (str, os.PathLike)) for item in x):
            return core.paths([os.fspath(item) for item in x], layout), False
        images = [array(item) for item in x]
        if all(image.shape == images[0].shape for image in images):
            return many(core, np.stack(images), layout), False
        return pictures(core, images, layout), False
    image = array(x)
    if layout is None and type(x).__module__.partition(".")[0] == "torch":
        layout = "nchw"
        c, h, w = core.input_shape
        if c not in (h, w) and image.shape[-3:] == (h, w, c):
            raise Error(
                f"x: a tensor of shape {tuple(image.shape)} has its channels last, but tensors are taken as the module takes "
                'them, channels first: move the axis, or give layout="nhwc"'
            )
    if is_one(core, image, layout):
        return many(core, image[None], layout), True
    return many(core, image, layout), False


def archive(x: Any, y: Any, class_names: list[str], path: Path) -> str:
    """Writes images and the indices of their classes to an ``.npz`` file for the command line's reader; returns its path."""
    content: dict[str, Any] = {"X": array(np.stack([array(one) for one in x]) if isinstance(x, (list, tuple)) else x)}
    if y is not None:
        labels = classes(y)
        if labels.dtype.kind in "UO":
            unknown = sorted({str(name) for name in labels} - set(class_names))
            if unknown:
                raise Error(f"the model has no class {unknown[0]!r}, only {', '.join(class_names)}")
            labels = np.array([class_names.index(str(name)) for name in labels], np.int64)
        if labels.shape != (len(content["X"]),):
            raise Error(f"y has shape {np.shape(y)}: expected one class for each of {len(content['X'])} images")
        content["y"] = labels
    with path.open("wb") as file:
        np.savez(file, **content)
    return str(path)


def run_on_files(paths: dict[str, Path], run: Callable[[], tuple[list[str], list[str]]]) -> tuple[list[str], list[str]]:
    """Runs an audit or a training; returns its notes and the images left out. Messages name the arguments instead of the files."""

    def with_arguments(text: str) -> str:
        for argument, path in paths.items():
            text = text.replace(str(path), argument)
        return text

    try:
        remarks, left_out = run()
    except Error as error:
        raise Error(with_arguments(str(error))) from None
    return [with_arguments(text) for text in remarks], [with_arguments(text) for text in left_out]


def classes(y: Any) -> Array:
    """Returns a class for each image, from N values, N × 1, or one-hot rows of N × classes."""
    found: Array = np.asarray([plain(one) for one in y] if isinstance(y, (list, tuple)) else plain(y))
    if found.ndim == 2 and found.shape[1] > 1 and found.dtype.kind in "buif":
        if ((found == 0) | (found == 1)).all() and (found.sum(1) == 1).all():
            return np.asarray(found.argmax(1))
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def plain(x: Any) -> Any:
    """Converts a tensor to an array; returns anything else unchanged."""
    return to_numpy(x) if hasattr(x, "dtype") and hasattr(x, "shape") else x


def to_numpy(x: Any) -> Array:
    """Converts a tensor or an array-like object to an array."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def as_given(core: Core, x: Any) -> Any:
    """Converts integer images of the model's size to floats, so that they are not rescaled; returns anything else unchanged."""
    if isinstance(x, (list, tuple)):
        return [as_given(core, item) for item in x]
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        return x
    c, h, w = core.input_shape
    if tuple(x.shape)[-3:] not in ((h, w, c), (c, h, w)) and tuple(x.shape)[-2:] != (h, w):
        return x
    found = array(x)
    return found.astype(np.float32) if found.dtype.kind in "bui" else x


def array(x: Any) -> Array:
    """Converts an image to an array. Transparent pixels of a PIL image are blended with black."""
    if isinstance(x, (str, os.PathLike)):
        raise Error("a list holds paths, or arrays and pictures, not both")
    if hasattr(x, "getbands") and hasattr(x, "convert"):
        return from_pil(x)
    try:
        if hasattr(x, "detach") and hasattr(x, "cpu"):
            x = x.detach().cpu()
            x = x.float() if str(x.dtype) == "torch.bfloat16" else x  # which NumPy does not have
        found = np.asarray(x)
    except Exception as error:
        raise Error(f"{type(x).__name__} cannot be read as an image: {error}") from error
    if found.dtype.kind == "O":
        raise Error(f"expected an array, a tensor, a PIL image, a path, or a list of one of these, found {type(x).__name__}")
    if found.dtype.kind not in "buif":
        raise Error(f"expected an image of integers or floats, found {type(x).__name__} of {found.dtype}")
    return found


def from_pil(picture: Any) -> Array:
    if picture.mode in ("L", "RGB"):
        return np.asarray(picture)
    if picture.mode == "1":
        return np.asarray(picture.convert("L"))
    if picture.mode.startswith(("I", "F")):
        return np.asarray(picture)
    rgba = np.asarray(picture.convert("RGBA"), np.uint16)
    return ((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8)


def is_one(core: Core, image: Array, layout: str | None) -> bool:
    """Returns True for a single image. For a grey model, three axes may also mean N × height × width."""
    if image.ndim != 3:
        return image.ndim == 2
    c, h, w = core.input_shape
    if layout is not None or image.shape in ((h, w, c), (c, h, w)) and (c > 1 or image.shape[0] != 1):
        return True
    if c == 1 and image.shape[1:] == (h, w):
        return False
    return image.shape[2] in (1, 3, 4) or image.shape[0] in (1, 3)


def many(core: Core, images: Array, layout: str | None) -> Data:
    """Opens N images of one size. ``uint8`` images of another size than the model's are prepared like image files."""
    c, h, w = core.input_shape
    fits = images.shape[1:] in ((h, w, c), (c, h, w)) or c == 1 and images.shape[1:] == (h, w)
    if images.dtype == np.uint8 and not fits:
        return pictures(core, list(images), layout)
    values = np.ascontiguousarray(images, dtype=np.float32)
    return core.array(values, images.dtype.kind, images.dtype.itemsize, layout)


def pictures(core: Core, images: list[Array], layout: str | None) -> Data:
    return core.pictures([picture(image, layout) for image in images])


def picture(image: Array, layout: str | None) -> NDArray[np.uint8]:
    """Converts an image to ``uint8`` of height × width × channels, with 1 or 3 channels."""
    if image.dtype != np.uint8:
        found = f"an array of {image.dtype} of shape {image.shape}"
        raise Error(f"{found}: only pictures of uint8 are brought to the model's size")
    if image.ndim == 2:
        image = image[..., None]
    first = image.ndim == 3 and (layout == "nchw" or image.shape[2] not in (1, 3) and image.shape[0] in (1, 3))
    if first:
        image = np.moveaxis(image, 0, -1)
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise Error(f"expected a picture of height × width, with 1 or 3 channels, found an array of shape {image.shape}")
    return np.ascontiguousarray(image)
