"""Models in memory of Keras and PyTorch. Neither library is imported unless the model is its own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._heatlens import Error, UnreadableModel
from ._images import to_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 1e-3
WAYS: list[dict[str, Any]] = [{"dynamo": False, "dynamic_axes": {"input": {0: "batch"}}}, {"dynamo": True}]


def _is(model: Any, module: str, name: str) -> bool:
    return any(c.__name__ == name and c.__module__.startswith(module) for c in type(model).__mro__)


def is_torch(model: Any) -> bool:
    return _is(model, "torch.", "Module")


def is_keras(model: Any) -> bool:
    return any(_is(model, module, "Model") for module in ("keras", "tf_keras", "tensorflow"))


def open_keras(model: Any, options: dict[str, Any], make: Callable[..., Any]) -> Any:
    """Opens a Keras model from its saved bytes. If it has custom code, it is exported to ONNX by Keras and its scores are checked."""
    try:
        return make(_keras_bytes(model), options, as_given=True)
    except UnreadableModel as error:
        refusal = error
    try:
        data = _written(lambda path: _export_keras(model, path), "model.onnx")
    except Exception as error:
        without_code = [line for line in str(refusal).splitlines() if not line.startswith("    ")]
        raise Error("\n".join([*without_code, f"Keras cannot export it to ONNX either: {_why_not_exported(error)}"])) from error
    opened = make(data, options, as_given=True)
    _compare_keras(model, opened)
    opened._names = _names_of_layers(model, opened.layers)
    opened._module = model
    return opened


def _export_keras(model: Any, path: str) -> None:
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and all(isinstance(side, int) for side in shape[1:]):
        model(np.zeros((1, *shape[1:]), np.float32))  # Keras exports only what was called
    model.export(path, format="onnx", verbose=False)


def _why_not_exported(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(_root(error)))
    if "never called" in text or "not yet been built" in text:
        return "it was never called; call it on an image first: model(x)"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Exception encountered")]
    return lines[0] if lines else type(error).__name__


def _keras_bytes(model: Any) -> bytes:
    """Returns the bytes of the model's ``.keras`` file."""
    try:
        return _written(model.save, "model.keras")
    except Exception as error:
        raise Error(f"Keras cannot save the model: {error}") from error


def _written(write: Callable[[str], object], name: str) -> bytes:
    """Returns the content of the temporary file that ``write`` creates."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = os.path.join(folder, name)
        write(path)
        return Path(path).read_bytes()


def _compare_keras(model: Any, opened: Any) -> None:
    """Raises an error if the scores of the exported model differ from those of Keras on random images."""
    pixels = np.random.default_rng(0).random((2, *opened.input_shape), dtype=np.float32)
    last = sys.modules["keras"].config.image_data_format() == "channels_last"
    compared = []
    for given in (pixels, pixels * np.float32(255)):
        try:
            answer = model(given.transpose(0, 2, 3, 1) if last else given, training=False)
        except Exception as error:
            raise Error(f"Keras cannot compute images of {given.shape[1:]}, the shape that was exported: {error}") from error
        compared.append(_compare(opened, "Keras", answer, given))
    if not any(compared):
        raise Error("Keras answers random images with NaN or infinity, so the exported model cannot be checked")


def _names_of_layers(model: Any, names: list[str]) -> dict[int | str, str]:
    """Returns the exported name of each Keras layer, by its identity and by its own name.

    The exporter's names are paths that end in the layer's name, with or without a number. ``conv2d_1`` may be the second convolution, or
    the first one with a number appended: a name that only one layer can have is removed from the candidates of the others.
    """
    layers = {layer.name: layer for layer in model._flatten_layers()}
    candidates = {own: {name for name in names if re.fullmatch(rf"(.*/)?{re.escape(own)}(_\d+)?", name)} for own in layers}
    found: dict[int | str, str] = {}
    while own := next((own for own, left in candidates.items() if len(left) == 1), None):
        name = candidates.pop(own).pop()
        found[id(layers[own])] = found[own] = name
        for left in candidates.values():
            left.discard(name)
    return found


def open_torch(model: Any, example: Any, options: dict[str, Any], make: Callable[..., Any]) -> Any:
    """Exports the module to ONNX and checks its scores for the example against those of torch."""
    torch = sys.modules["torch"]
    if not isinstance(example, torch.Tensor):
        several = isinstance(example, (tuple, list, dict))
        what = "; a module of several inputs is exported to a file, and that is opened" if several else ""
        raise Error(
            "a torch module is opened with an input of the kind that it takes, example=tensor: "
            f"hl.open(module, example=torch.rand(1, 3, 224, 224)) if its images are of 224 × 224 in colour{what}"
        )
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    example = _checked(torch, model, example)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), _quiet():
            # The second is dark and mirrored: a branch that was taken for the first may not be taken for it.
            examples = [example, example.flip(-1) * 0.1]
            expected = [_answer(model, one) for one in examples]
            data = _exported(torch, model, example)
    finally:
        for module in training:
            module.training = True
    opened = make(data, options, {id(module): name for name, module in model.named_modules() if name}, as_given=True)
    opened._module = model
    for one, answer in zip(examples, expected):
        pixels = np.ascontiguousarray(to_numpy(one), dtype=np.float32)
        if not _compare(opened, "torch", answer, pixels) and one is example:
            raise Error("torch answers the example with NaN or infinity, so nothing can be compared: give another image")
    return opened


def _checked(torch: Any, model: Any, example: Any) -> Any:
    """Returns the example on the module's device. Raises an error for modules without values or without derivatives."""
    weights = [*model.parameters(), *model.buffers()]
    devices = sorted({str(weight.device) for weight in weights}) or [str(example.device)]
    if "meta" in devices or example.is_meta:
        what = "module's weights are" if "meta" in devices else "example is"
        raise Error(f"the {what} on the device meta, which holds no values: load them first")
    if len(devices) > 1:
        raise Error(f"the module is spread over {' and '.join(devices)}: move it to one of them, or to the processor (.cpu())")
    quantised = [name for name, module in model.named_modules() if _is_quantised(module)]
    quantised = [name for name in quantised if name.rpartition(".")[0] not in quantised]
    if quantised or any(weight.is_quantized for weight in weights):
        where = f" ({', '.join(quantised[:3])}{', …' if len(quantised) > 3 else ''})" if quantised else ""
        raise Error(f"the module is quantised{where} and has no derivatives: open it as it was before")
    if not example.is_floating_point():
        raise Error(f"the example is of {example.dtype}: give an image of floats as the module takes it, such as example.float()")
    if example.dtype not in (torch.float16, torch.float32, torch.float64):
        raise Error(f"the example is of {example.dtype}, which NumPy does not have: open module.float() with example.float()")
    if not example.isfinite().all():
        raise Error("the example holds NaN or infinity, so nothing can be compared: give an image of finite numbers")
    return example.to(devices[0])


def _is_quantised(module: Any) -> bool:
    return type(module).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized", "torch.ao.nn.intrinsic.quantized"))


def _answer(model: Any, example: Any) -> Any:
    try:
        return model(example)
    except Exception as error:
        hint = "; one image has an axis of its own: example[None]" if example.ndim == 3 else ""
        raise Error(f"the module cannot take the example of shape {tuple(example.shape)}: {error}{hint}") from error


def _exported(torch: Any, model: Any, example: Any) -> bytes:
    """Returns the module as ONNX. The older exporter is tried first: it is faster and leaves the batch size open."""
    failures: list[Exception] = []
    # A branch that looks at values would be frozen as the example has it.
    for kind in ("Python boolean", "Python number", "Python list", "NumPy array"):
        warnings.filterwarnings("error", f"Converting a tensor to a {kind}", torch.jit.TracerWarning)
    for options in WAYS:
        buffer = io.BytesIO()
        try:
            with _no_graphs(torch._C):
                torch.onnx.export(model, (example,), buffer, input_names=["input"], **options)
            return buffer.getvalue()
        except Exception as error:
            failures.append(error)
    raise Error(_why(torch, failures))


def _why(torch: Any, failures: list[Exception]) -> str:
    for error in failures:
        if isinstance(_root(error), torch.jit.TracerWarning):
            import traceback

            own = os.path.dirname(torch.__file__)
            frames = [at for at in traceback.extract_tb(error.__traceback__) if not at.filename.startswith((own, __file__))]
            where = [f": {os.path.basename(at.filename)}, line {at.lineno}: {at.line}" for at in frames[-1:]]
            return (
                "torch cannot export the module: it takes values out of a tensor, to branch or to count with, and a file "
                f"would keep those of the example{''.join(where)}"
            )
    cause = _root(failures[-1])
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(cause)).strip() or type(cause).__name__
    return f"torch cannot export the module: {text.splitlines()[0]}; export it to a file and open that"


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _outputs(answer: Any) -> list[Any]:
    """Flattens the outputs of a model into a list."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    return [one for part in answer for one in _outputs(part)] if isinstance(answer, (tuple, list)) else [answer]


def _compare(opened: Any, library: str, expected: Any, pixels: NDArray[np.float32]) -> bool:
    """Raises an error if the scores of the opened model differ from those of its library. Returns False if the latter are not finite."""
    outputs = [to_numpy(one).astype(np.float64) for one in _outputs(expected)]
    if opened._options.get("output") is not None and len(outputs) > 1:
        return True  # one of several, which the library does not name
    if opened.head in ("segmentation", "detection"):
        return _compare_places(library, outputs, opened._core.outputs(pixels))
    return _compare_scores(library, outputs[0], opened._core.logits(pixels))


def _compare_places(library: str, outputs: list[NDArray[np.float64]], found: NDArray[np.float32]) -> bool:
    values = [one.ravel() for one in outputs]
    alike = [value for value in values if value.size == found.size]
    if not alike:
        raise Error(f"{library} gives {', '.join(str(v.size) for v in values)} values for the example, the exported model {found.size}")
    if not all(np.isfinite(value).all() for value in alike):
        return False
    apart = min(float(np.abs(found - value).max() / max(np.abs(value).max(), 1e-12)) for value in alike)
    if not apart <= MOST:
        raise Error(
            f"the exported model answers otherwise than {library}: its scores for the example differ by {apart:.1e} of the largest, "
            f"{MOST:.0e} is allowed; does it depend on random numbers or on the values of its input?"
        )
    return True


def _compare_scores(library: str, expected: NDArray[np.float64], found: NDArray[np.float32]) -> bool:
    wanted = expected.ravel()
    if not np.isfinite(wanted).all():
        return False
    z = found.astype(np.float64)
    if wanted.size != z.size:
        raise Error(f"{library} gives {wanted.size} scores for the example, the exported model {z.size}")
    rows = z.reshape(len(expected), -1)
    softmax = np.exp(rows - rows.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    # heatlens looks behind a sigmoid or softmax.
    forms = [z, 1 / (1 + np.exp(-z)), softmax.ravel(), np.log(np.maximum(softmax, 1e-300)).ravel()]
    apart = [np.abs(form - wanted).max() / max(np.abs(wanted).max(), 1e-12) for form in forms]
    if not min(apart) <= MOST:
        at = int(np.abs(z - wanted).argmax())
        raise Error(
            f"the exported model answers otherwise than {library}: score {at} of the example is {z[at]:.6g} instead of "
            f"{wanted[at]:.6g} ({min(apart):.1e} of the largest, {MOST:.0e} is allowed); does it depend on "
            "random numbers or on the values of its input?"
        )
    return True


@contextlib.contextmanager
def _no_graphs(settings: Any) -> Iterator[None]:
    """Prevents the older exporter from printing graphs to the process's output when it fails.

    It tests the function that returns the state of its log instead of calling it, so the log is always on.
    """
    name = "_jit_is_onnx_log_enabled"
    asked = getattr(settings, name, None)
    if asked is None:
        yield
        return
    before = asked()
    settings._jit_set_onnx_log_enabled(False)
    setattr(settings, name, None)
    try:
        yield
    finally:
        setattr(settings, name, asked)
        settings._jit_set_onnx_log_enabled(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the output of exporters."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
