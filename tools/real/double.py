"""Evaluates an ONNX file in double precision with PyTorch; knows the operators of the networks of `two_exports` in check.py."""
import numpy as np


def padded(x, pads, value=0.):
    import torch
    top, left, bottom, right = pads
    return torch.nn.functional.pad(x, (left, right, top, bottom), value=value)


def transposed(x, w, a):
    """A transposed convolution without bias, cut by its padding."""
    from torch.nn.functional import conv_transpose2d
    y = conv_transpose2d(x, w, None, a.get('strides', 1), 0, a.get('output_padding', 0), a.get('group', 1), a.get('dilations', 1))
    top, left, bottom, right = a.get('pads', [0] * 4)
    return y[:, :, top:y.shape[2] - bottom, left:y.shape[3] - right]


def max_pool(x, a):
    """The largest values and their positions in x laid flat."""
    import torch
    pads, (n, c, h, w) = a.get('pads', [0] * 4), x.shape
    wide = padded(x, pads, -np.inf)
    y, at = torch.nn.functional.max_pool2d(wide, a['kernel_shape'], a.get('strides', 1), return_indices=True)
    row, column = at // wide.shape[3] - pads[0], at % wide.shape[3] - pads[1]
    return y, torch.arange(n * c).reshape(n, c, 1, 1) * h * w + row * w + column


def sliced(x, starts, ends, axes=None, steps=None):
    at = [slice(None)] * x.dim()
    axes = range(x.dim()) if axes is None else axes.tolist()
    steps = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps):
        at[axis] = slice(start, end, step)
    return x[tuple(at)]


def reshaped(x, shape):
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])


def operators():
    """Functions of the inputs and of the attributes, by type of operator."""
    import torch
    f = torch.nn.functional
    kind = {1: torch.float64, 7: torch.int64, 9: torch.bool, 11: torch.float64}
    conv = lambda a, x, w, b=None: f.conv2d(padded(x, a.get('pads', [0] * 4)), w, b, a.get('strides', 1), 0, a.get('dilations', 1), a.get('group', 1))
    scatter = lambda a, x, i, v: x.scatter_add(a.get('axis', 0), i, v) if a.get('reduction') == b'add' else x.scatter(a.get('axis', 0), i, v)
    sides = lambda x, p: [int(p[i + side * x.dim()]) for i in reversed(range(x.dim())) for side in (0, 1)]
    pad = lambda a, x, p, v=None: f.pad(x, sides(x, p), value=0. if v is None else float(v))
    gather = lambda a, x, i: torch.index_select(x, a.get('axis', 0), i.reshape(-1)).reshape(
        *x.shape[:a.get('axis', 0)], *i.shape, *x.shape[a.get('axis', 0) + 1:])
    return {
        'Add': lambda a, x, y: x + y, 'Sub': lambda a, x, y: x - y, 'Mul': lambda a, x, y: x * y, 'Div': lambda a, x, y: x / y,
        'Min': lambda a, x, y: torch.minimum(x, y), 'Less': lambda a, x, y: x < y, 'Relu': lambda a, x: f.relu(x),
        'Where': lambda a, c, x, y: torch.where(c, x, y),
        'Identity': lambda a, x: x, 'Cast': lambda a, x: x.to(kind[a['to']]), 'Softmax': lambda a, x: f.softmax(x, a.get('axis', -1)),
        'Conv': conv, 'ConvTranspose': lambda a, x, w: transposed(x, w, a), 'MatMul': lambda a, x, y: x @ y,
        'MaxPool': lambda a, x: max_pool(x, a), 'AveragePool': lambda a, x: f.avg_pool2d(x, a['kernel_shape'], a.get('strides', 1)),
        'ReduceMean': lambda a, x, axes=None: x.mean(a['axes'] if axes is None else axes.tolist(), bool(a.get('keepdims', 1))),
        'Transpose': lambda a, x: x.permute(*a['perm']), 'Reshape': lambda a, x, shape: reshaped(x, shape), 'Expand': lambda a, x, shape: x.expand(*shape),
        'Shape': lambda a, x: torch.tensor(x.shape[a.get('start', 0):a.get('end')]), 'Concat': lambda a, *x: torch.cat(x, a['axis']),
        'Slice': lambda a, *x: sliced(*x), 'Pad': pad, 'Gather': gather, 'ScatterElements': scatter,
    }


def last_output(path, x):
    """The last output of a file with one input, for the images `x`."""
    import onnx
    import torch
    from onnx import helper, numpy_helper
    graph, known = onnx.load(path).graph, operators()
    tensor = lambda array: torch.tensor(array.astype('f8') if array.dtype == np.float32 else array)
    values = {t.name: tensor(np.array(numpy_helper.to_array(t))) for t in graph.initializer}
    values |= {'': None, graph.input[0].name: tensor(x)}
    last_use = {name: i for i, node in enumerate(graph.node) for name in node.input}
    for i, node in enumerate(graph.node):
        if node.op_type not in known:
            raise SystemExit(f'{path}: {node.op_type} is not known in double precision; known are {", ".join(known)}')
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found = known[node.op_type](attributes, *(values[name] for name in node.input))
        values |= zip(node.output, found if isinstance(found, tuple) else (found,))
        for name in node.input:
            if name and last_use[name] == i:
                values[name] = None
    return values[graph.output[-1].name].numpy()
