"""Models that live in another library. None of them is imported unless the model is theirs."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._heatlens import Error

MOST = 1e-3
WAYS: list[dict[str, Any]] = [{"dynamo": False, "dynamic_axes": {"input": {0: "batch"}}}, {"dynamo": True}]


def _is(model: Any, module: str, name: str) -> bool:
    return any(c.__name__ == name and c.__module__.startswith(module) for c in type(model).__mro__)


def is_torch(model: Any) -> bool:
    return _is(model, "torch.", "Module")


def is_keras(model: Any) -> bool:
    return any(_is(model, module, "Model") for module in ("keras", "tf_keras", "tensorflow"))


def keras_bytes(model: Any) -> bytes:
    """The model as a ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        try:
            with _quiet():
                model.save(path)
        except Exception as error:
            raise Error(f"Keras cannot save the model: {error}") from error
        return Path(path).read_bytes()


def open_torch(model: Any, example: Any, words: dict[str, Any], make: Callable[..., Any]) -> Any:
    """Exports the module and holds what heatlens computes of the example against what torch does."""
    torch = sys.modules["torch"]
    if not isinstance(example, torch.Tensor):
        raise Error("a torch module is opened with an input as it takes them: hl.open(module, example=tensor)")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), _quiet():
            expected = _answer(model, example)
            data = _exported(torch, model, example)
    finally:
        for module in training:
            module.training = True
    opened = make(data, words, {id(module): name for name, module in model.named_modules() if name}, as_given=True)
    opened._module = model
    pixels = np.ascontiguousarray(example.detach().cpu().numpy(), dtype=np.float32)
    _compare(expected, opened._core.logits(pixels), words.get("output"))
    return opened


def _answer(model: Any, example: Any) -> Any:
    try:
        return model(example)
    except Exception as error:
        raise Error(f"the module cannot take the example of shape {tuple(example.shape)}: {error}") from error


def _exported(torch: Any, model: Any, example: Any) -> bytes:
    """As ONNX: by the older exporter, which is quick and takes any number of images, or else by the newer one."""
    failures = []
    # A branch that looks at values would be frozen as the example has it.
    warnings.filterwarnings("error", "Converting a tensor to a Python boolean", torch.jit.TracerWarning)
    for options in WAYS:
        buffer = io.BytesIO()
        try:
            torch.onnx.export(model, (example,), buffer, input_names=["input"], **options)
            return buffer.getvalue()
        except Exception as error:
            failures.append(str(error).strip().splitlines() or [type(error).__name__])
    raise Error(f"torch cannot export the module: {failures[-1][0]}; export it to a file and open that")


def _compare(expected: Any, found: NDArray[np.float32], output: str | None) -> None:
    """Refuses a model that answers otherwise than torch."""
    if isinstance(expected, (tuple, list, dict)):
        if output is not None:
            return  # one of several, which torch does not name
        values = list(expected.values()) if isinstance(expected, dict) else list(expected)
        expected = values[0]
    wanted = expected.detach().cpu().double().numpy().ravel()
    z = found.astype(np.float64)
    if wanted.size != z.size:
        raise Error(f"torch gives {wanted.size} scores for the example, the exported model {z.size}")
    rows = z.reshape(len(expected), -1)
    softmax = np.exp(rows - rows.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    # heatlens looks behind a sigmoid or softmax.
    forms = [z, 1 / (1 + np.exp(-z)), softmax.ravel(), np.log(np.maximum(softmax, 1e-300)).ravel()]
    apart = [np.abs(form - wanted).max() / max(np.abs(wanted).max(), 1e-12) for form in forms]
    if not min(apart) <= MOST:
        at = int(np.abs(z - wanted).argmax())
        raise Error(
            f"the exported model answers otherwise than torch: score {at} of the example is {z[at]:.6g} instead of "
            f"{wanted[at]:.6g} ({min(apart):.1e} of the largest, {MOST:.0e} is allowed); does the module depend on "
            "random numbers or on the values of its input?"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what exporters print to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
