"""Small Keras models with every kind of layer, for the tests of the reader.

Usage: make_keras_samples.py [NAME ...]

Writes crates/heatlens-graph/tests/keras/NAME.{keras,h5} and NAME.json: an input and the output of Keras for it. Images
and other spatial values are stored in the .json as N x C x H x W, the order in which heatlens takes and returns them.

Each case is a function of the package that builds it: `keras` (3) or `tf_keras` (2, "legacy"). TensorFlow is the backend.
"""

import json
import os
import sys
import zipfile
from pathlib import Path

os.environ.update(KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tf_keras  # noqa: E402

FOLDER = Path(__file__).resolve().parents[2] / "crates" / "heatlens-graph" / "tests" / "keras"


def flatten(k, layers):
    """A small classifier; dense weights after Flatten are in the order rows, columns, channels."""
    return k.Sequential([
        k.Input((9, 7, 3)),
        layers.Rescaling(1 / 127.5, offset=-1.0),
        layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="first"),
        layers.MaxPooling2D(2, padding="same"),
        layers.Dropout(0.5),
        layers.Conv2D(5, (2, 1), use_bias=False),
        layers.BatchNormalization(epsilon=0.01),
        layers.Activation("elu"),
        layers.Flatten(),
        layers.Dense(6, activation="tanh"),
        layers.Dense(3, activation="softmax", name="classes"),
    ])


def norms(k, layers):
    """Normalisations and their options."""
    x = inputs = k.Input((6, 5, 4))
    x = layers.Conv2D(6, 2, dilation_rate=2)(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Activation("hard_sigmoid")(x)
    x = layers.BatchNormalization(center=False, epsilon=0.1)(x)
    x = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    x = layers.LayerNormalization(epsilon=0.01)(x)
    x = layers.GroupNormalization(groups=3)(x)
    x = layers.UnitNormalization()(x)
    if k is keras:
        x = layers.RMSNormalization()(x)
    x = layers.LayerNormalization(axis=[1, 2], scale=False)(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return k.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


def convs(k, layers):
    """Convolutions of every kind, and layers that change the size."""
    x = inputs = k.Input((8, 7, 4))
    x = layers.SeparableConv2D(6, 3, depth_multiplier=2, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same")(x)
    x = layers.Conv2D(8, 3, groups=2, padding="same")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(3, (2, 3), strides=2, use_bias=False, output_padding=1)(x)
    x = layers.ZeroPadding2D(((1, 0), (2, 1)))(x)
    x = layers.Conv2DTranspose(4, 2, strides=3, activation="relu")(x)
    x = layers.Cropping2D(((1, 2), (0, 3)))(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.UpSampling2D((2, 3))(x)
    x = layers.MaxPooling2D(3)(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return k.Model(inputs, layers.Dense(2, activation="sigmoid")(x))


def branches(k, layers):
    """Merging layers, a nested model called twice, a shared layer, two inputs, two outputs."""
    a, b = k.Input((6, 6, 3), name="picture"), k.Input((4,), name="facts")
    inner_in = k.Input((6, 6, 3))
    y = layers.Conv2D(3, 3, padding="same", name="inner_conv")(inner_in)
    y = layers.BatchNormalization(name="inner_norm")(y)
    inner = k.Model(inner_in, layers.ReLU(name="inner_relu")(y), name="block")
    tower = k.Sequential([layers.Conv2D(3, 1, name="conv"), layers.ReLU(name="relu")], name="tower")
    once = inner(a)
    twice = inner(once)
    shared = layers.Conv2D(3, 1, name="shared")
    p, q = shared(once), shared(twice)
    x = layers.Add()([p, q, a])
    x = layers.Multiply()([x, layers.Subtract()([p, q])])
    x = layers.Maximum()([x, layers.Minimum()([p, a])])
    x = layers.Concatenate(axis=1)([layers.Average()([x, tower(a)]), x])
    x = layers.Concatenate()([x, layers.MaxPooling2D((1, 2), strides=1, padding="same")(x)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    facts = layers.Dense(5, activation="relu")(b)
    x = layers.Concatenate(name="both")([x, facts])
    first = layers.Dense(3, activation="softmax", name="kind")(x)
    second = layers.Dense(1, activation="sigmoid", name="quality")(x)
    return k.Model([a, b], [first, second])


def activations(k, layers):
    """Every activation, one after the other, each after a new mix of the channels."""
    x = inputs = k.Input((3, 3, 4))
    names = ["relu", "elu", "selu", "softplus", "softsign", "tanh", "sigmoid", "exponential", "hard_sigmoid", "swish",
             "gelu", "mish", "linear"]
    if k is keras:
        names += ["leaky_relu", "relu6", "silu", "celu", "hard_tanh", "log_sigmoid", "log_softmax", "tanh_shrink",
                  "soft_shrink", "hard_shrink", "squareplus", "hard_swish", "sparse_plus"]
    for i, name in enumerate(names):
        x = layers.Conv2D(4, 1, activation=name, name=f"mix_{i}")(x)
    for i, layer in enumerate([
        layers.ReLU(), layers.ReLU(6.0), layers.ReLU(4.0, 0.1, 0.2), layers.LeakyReLU(), layers.LeakyReLU(0.1),
        layers.ELU(0.7), layers.PReLU(), layers.PReLU(shared_axes=[1, 2]), layers.Softmax(), layers.Softmax(axis=1),
    ]):
        x = layer(layers.Conv2D(4, 1, name=f"remix_{i}")(x))
    return k.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


def attention(k, layers):
    """Patches, tokens, self-attention."""
    x = inputs = k.Input((8, 8, 3))
    x = layers.Conv2D(8, 4, strides=4, name="patches")(x)
    x = layers.Reshape((-1, 8))(x)
    for i in range(2):
        y = layers.LayerNormalization(name=f"norm_{i}")(x)
        y = layers.MultiHeadAttention(2, 4, value_dim=3, dropout=0.1, name=f"attention_{i}")(y, y)
        x = layers.Add(name=f"add_{i}")([x, y])
        y = layers.Dense(16, activation="gelu", name=f"wide_{i}")(x)
        x = layers.Add(name=f"sum_{i}")([x, layers.Dense(8, name=f"narrow_{i}")(y)])
    x = layers.Attention(use_scale=True)([x, x])
    x = layers.GlobalAveragePooling1D()(x)
    return k.Model(inputs, layers.Dense(3)(x))


def shapes(k, layers):
    """Permuted axes, in the order of the model's author."""
    x = inputs = k.Input((4, 6, 3))
    x = layers.Conv2D(4, 2)(x)
    y = layers.Permute((3, 1, 2))(x)
    y = layers.Conv2D(2, 1, name="over_columns")(y)
    y = layers.Reshape((8, -1))(y)
    z = layers.Reshape((5, 3, 4))(x)
    z = layers.Dense(2)(z)
    z = layers.Conv1D(3, 2, padding="causal", name="causal")(layers.Reshape((15, 2))(z))
    z = layers.Conv1D(4, 3, strides=2, padding="same", dilation_rate=1)(z)
    z = layers.MaxPooling1D(2)(layers.ZeroPadding1D(1)(z))
    z = layers.AveragePooling1D(2, strides=1, padding="same")(layers.Cropping1D((0, 1))(z))
    z = layers.UpSampling1D(2)(z)
    v = layers.RepeatVector(3)(layers.GlobalMaxPooling1D()(y))
    w = layers.Dot(axes=(2, 1))([layers.Permute((2, 1))(v), v])
    parts = [layers.Flatten()(p) for p in (y, z, v, w)]
    return k.Model(inputs, layers.Dense(3)(layers.Concatenate()(parts)))


def preprocessing(k, layers):
    """Preprocessing and augmentation layers before the network."""
    normalization = layers.Normalization(name="adapted")
    normalization.adapt(np.random.default_rng(1).normal(3, 2, (20, 6, 6, 3)).astype("float32"))
    return k.Sequential([
        k.Input((6, 6, 3)),
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
        layers.RandomContrast(0.1),
        layers.RandomTranslation(0.1, 0.1),
        normalization,
        layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.6, 0.7]),
        layers.Normalization(mean=0.1, variance=0.5, invert=True),
        layers.Resizing(6, 6),
        layers.CenterCrop(4, 5),
        layers.GaussianNoise(0.1),
        layers.Conv2D(3, 2),
        layers.SpatialDropout2D(0.1),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    ])


def operations(k, layers):
    """Functions used as layers."""
    x = inputs = k.Input((4, 4, 3))
    x = layers.Conv2D(4, 1, name="conv")(x)
    if k is keras:
        ops = k.ops
        y = ops.relu6(x * 2.0 + 1.0) / 6.0 - (1.0 - x)
        y = ops.concatenate([y, -x], axis=-1)
        y = ops.mean(y, axis=[1, 2], keepdims=True) * y + ops.max(y, axis=-1, keepdims=True)
        y = y[:, 1:, ::2, :-1]
        y = ops.transpose(ops.reshape(y, (-1, 6, 7)), (0, 2, 1))
        z = ops.softmax(ops.matmul(y, ops.swapaxes(y, 1, 2)) / 4.0, axis=-1)
        y = ops.square(y) + ops.sqrt(ops.abs(y) + 1e-3) + ops.exp(-y) + ops.sigmoid(y) + ops.power(ops.abs(y), 1.5)
        y = ops.sum(ops.maximum(y, 0.3), axis=-1) + ops.squeeze(z[:, 0:1, :], axis=1) + ops.mean(z[:, 1], axis=-1, keepdims=True)
        y = ops.stack([y, ops.clip(y, 0.0, 1.0)], axis=1)
        y = ops.expand_dims(ops.sum(y, axis=1), -1)
        y = ops.flatten(y) if hasattr(ops, "flatten") else ops.reshape(y, (-1, 7))
    else:
        import tensorflow as tf

        y = tf.nn.relu6(x * 2.0 + 1.0) / 6.0 - (1.0 - x)
        y = tf.concat([y, -x], axis=-1)
        y = tf.reduce_mean(y, axis=[1, 2], keepdims=True) * y + tf.reduce_max(y, axis=-1, keepdims=True)
        y = y[:, 1:, ::2, :-1]
        y = tf.transpose(tf.reshape(y, (-1, 6, 7)), (0, 2, 1))
        y = tf.square(y) + tf.sqrt(tf.abs(y) + 1e-3) + tf.exp(-y) + tf.sigmoid(y)
        y = tf.reduce_sum(tf.maximum(y, 0.3), axis=-1)
        y = tf.squeeze(tf.expand_dims(y, 1), axis=1)
    return k.Model(inputs, layers.Dense(2, name="classes")(y))


def channels_first(k, layers):
    """Weights in their usual order, images in channels-first order."""
    x = inputs = k.Input((3, 6, 5))
    x = layers.Conv2D(4, 3, padding="same", data_format="channels_first", activation="relu")(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.MaxPooling2D(2, data_format="channels_first")(x)
    x = layers.ZeroPadding2D(1, data_format="channels_first")(x)
    y = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    x = layers.Concatenate()([layers.Flatten()(x), layers.Flatten(data_format="channels_first")(x), y])
    return k.Model(inputs, layers.Dense(2)(x))


def images(k, layers):
    """Image functions used as preprocessing inside a model."""
    x = inputs = k.Input((6, 8, 1))
    if k is keras:
        ops = k.ops
        rgb = ops.repeat(x, 3, axis=-1)
        y = ops.pad(rgb[..., ::-1], ((0, 0), (1, 2), (2, 1), (0, 0)), constant_values=0.5)
        y = ops.pad(y, ((0, 0), (1, 1), (0, 2), (0, 0)), mode="reflect")
        y = ops.image.resize(y, (7, 5)) + ops.image.resize(y, (7, 5), interpolation="nearest")
        y = y + ops.image.resize(y, (5, 4), interpolation="bicubic", crop_to_aspect_ratio=True)[:, :1, :1]
        y = ops.where(ops.greater(y, 0.2), y, 0.5 * y) + ops.flip(y, 2) + ops.roll(y, 2, axis=1)
        y = ops.normalize(y, axis=-1) + ops.tile(ops.image.rgb_to_grayscale(y), [1, 1, 1, 3])
        y = y - ops.mean(y, axis=[1, 2], keepdims=True) / (ops.std(y, axis=[1, 2, 3], keepdims=True) + 0.1)
        y = y + ops.broadcast_to(ops.amax(y, axis=-1, keepdims=True), (2, 7, 5, 3))
        y = ops.take(ops.moveaxis(ops.image.crop_images(y, 1, 1, 1, 1), 3, 1), [0, -1], axis=1)
        y = ops.rsqrt(ops.square(y) + 1.0) + ops.log1p(ops.abs(y)) + ops.floor(y) + ops.sign(y)
        y = ops.squeeze(y[:, None, ..., 1:, ::-2], axis=1)
    else:
        import tensorflow as tf

        rgb = tf.image.grayscale_to_rgb(x)
        y = tf.pad(rgb[..., ::-1], [[0, 0], [1, 2], [2, 1], [0, 0]], constant_values=0.5)
        y = tf.pad(y, [[0, 0], [1, 1], [0, 2], [0, 0]], mode="SYMMETRIC")
        y = tf.image.resize(y, (7, 5)) + tf.image.resize(y, (7, 5), method="nearest")
        y = y + tf.image.resize(y, (5, 4), method="bicubic")[:, :1, :1]
        y = tf.where(tf.greater(y, 0.2), y, 0.5 * y) + tf.image.flip_left_right(y) + tf.reverse(y, [1])
        y = tf.math.l2_normalize(y, axis=-1) + tf.tile(tf.image.rgb_to_grayscale(y), [1, 1, 1, 3])
        y = tf.image.per_image_standardization(y) + tf.repeat(tf.reduce_max(y, axis=-1, keepdims=True), 3, axis=-1)
        y = tf.image.central_crop(tf.gather(y, [0, 2, 1, 0], axis=1), 0.5)
        y = tf.math.rsqrt(tf.square(y) + 1.0) + tf.floor(y) + tf.nn.bias_add(y, [0.1, 0.2, 0.3])
    x = layers.Conv2D(2, 1)(y) if k is not keras else layers.Conv2D(2, 1, data_format="channels_last")(y)
    return k.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


def nested(k, layers):
    """Nested models whose layers have equal names and equal shapes."""
    inner = k.Sequential([k.Input((6, 6, 3)), layers.Conv2D(3, 3, padding="same", name="conv")], name="base")
    middle = k.Sequential(
        [k.Input((6, 6, 3)), inner, layers.Conv2D(3, 3, activation="relu", name="conv"), layers.GlobalAveragePooling2D()],
        name="encoder",
    )
    return k.Sequential([k.Input((6, 6, 3)), middle, layers.Dense(3, name="dense")])


def preprocess_input(k, layers):
    """`preprocess_input` of the three kinds of `keras.applications`."""
    x = inputs = k.Input((5, 5, 3))
    kinds = [k.applications.vgg16, k.applications.densenet, k.applications.mobilenet_v2]
    y = layers.Concatenate()([layers.Conv2D(2, 2, name=f"conv{i}")(f.preprocess_input(x)) for i, f in enumerate(kinds)])
    return k.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))


CASES = [flatten, norms, convs, branches, activations, attention, shapes, preprocessing, operations, channels_first]
CASES += [images, nested, preprocess_input]
LEGACY = {"flatten", "norms", "convs", "branches", "activations", "attention", "shapes", "preprocessing", "operations"}
LEGACY |= {"images", "nested", "preprocess_input"}
# Keras 2 cannot write `...` into a .keras file, nor equal names of nested layers into an .h5 file.
ONLY_H5, NO_H5 = {"images", "preprocess_input"}, {"nested"}


def fill(model, seed):
    """Random weights and non-trivial statistics."""
    random = np.random.default_rng(seed)
    for layer in model._flatten_layers() if hasattr(model, "_flatten_layers") else [model]:
        if layer.__class__.__name__ == "Normalization" or getattr(layer, "layers", None):
            continue
        weights = []
        for weight in layer.weights:
            name = weight.name if "/" in weight.name else getattr(weight, "path", weight.name)
            value = random.normal(0, 0.4, weight.shape)
            if "variance" in name or "gamma" in name or "scale" in name:
                value = random.uniform(0.5, 1.5, weight.shape)
            weights.append(value.astype("float32"))
        own = [w for w in layer.weights]
        for weight, value in zip(own, weights):
            weight.assign(value)


def to_graph(array):
    """Returns a rank-4 array as N x C x H x W."""
    array = np.asarray(array, "float32")
    return np.moveaxis(array, -1, 1) if array.ndim == 4 else array


def plain(array):
    return {"shape": list(array.shape), "values": [float(f"{v:.9g}") for v in array.ravel()]}


def squeeze(path):
    """Rewrites the archive deflated and with fixed dates: small and reproducible."""
    with zipfile.ZipFile(path) as old:
        files = [(name, old.read(name)) for name in old.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in files:
            if name == "metadata.json":
                about = json.loads(data)
                about["date_saved"] = "2026-01-01@00:00:00"
                data = json.dumps(about).encode()
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def make(case, package, suffix):
    package.backend.clear_session()
    package.utils.set_random_seed(3)
    model = case(package, package.layers)
    fill(model, 5)
    random = np.random.default_rng(7)
    inputs = [random.normal(0, 1, (2, *i.shape[1:])).astype("float32") for i in model.inputs]
    if case in (flatten, preprocess_input):
        inputs = [i * 60 + 100 for i in inputs]
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    outputs = [np.asarray(o) for o in outputs]
    assert all(np.isfinite(o).all() and np.ptp(o) > 1e-3 for o in outputs), (case.__name__, outputs)
    name = case.__name__ + ("" if package is keras else "_legacy")
    path = FOLDER / f"{name}{suffix}"
    model.save(path)
    if suffix == ".keras":
        squeeze(path)
    order = (lambda a: a) if case is channels_first else to_graph
    sidecar = {"inputs": [plain(order(i)) for i in inputs], "outputs": [plain(order(o)) for o in outputs]}
    (FOLDER / f"{name}.json").write_text(json.dumps(sidecar))
    print(path.name, path.stat().st_size)


def keras1():
    """A file as Keras 1 wrote it, assembled by hand; the expected numbers come from the same layers in Keras 3."""
    random = np.random.default_rng(11)
    kernel, bias = random.normal(0, 0.4, (3, 2, 3, 4)), random.normal(0, 0.4, 4)
    norm = [random.uniform(0.5, 1.5, 4), random.normal(0, 0.4, 4), random.normal(0, 0.4, 4), random.uniform(0.5, 1.5, 4)]
    dense, offset = random.normal(0, 0.4, (16, 3)), random.normal(0, 0.4, 3)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((8, 7, 3)), layers.Conv2D(4, (3, 2), strides=2, padding="same", activation="relu"),
        layers.BatchNormalization(epsilon=0.01), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3),
    ])
    model.set_weights([kernel, bias, *norm, dense, offset])
    image = random.normal(0, 1, (2, 8, 7, 3)).astype("float32")
    output = np.clip(0.2 * np.asarray(model(image)) + 0.5, 0, 1)
    tf = {"dim_ordering": "tf", "trainable": True}
    described = [
        ("Convolution2D", {"name": "convolution2d_1", "batch_input_shape": [None, 8, 7, 3], "nb_filter": 4, "nb_row": 3,
                           "nb_col": 2, "subsample": [2, 2], "border_mode": "same", "activation": "relu", "bias": True,
                           "init": "glorot_uniform", "W_regularizer": None, "input_dtype": "float32", **tf},
         {"W": kernel, "b": bias}),
        ("BatchNormalization", {"name": "batchnormalization_1", "axis": -1, "mode": 0, "epsilon": 0.01, "momentum": 0.99},
         dict(zip(["gamma", "beta", "running_mean", "running_std"], norm))),
        ("MaxPooling2D", {"name": "maxpooling2d_1", "pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid", **tf},
         {}),
        ("Dropout", {"name": "dropout_1", "p": 0.5, "trainable": True}, {}),
        ("Flatten", {"name": "flatten_1", "trainable": True}, {}),
        ("Dense", {"name": "dense_1", "output_dim": 3, "activation": "hard_sigmoid", "bias": True, "input_dim": None},
         {"W": dense, "b": offset}),
    ]
    path = FOLDER / "keras1.h5"
    with h5py.File(path, "w") as file:
        config = [{"class_name": c, "config": s} for c, s, _ in described]
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config}).encode()
        file.attrs["keras_version"] = b"1.2.2"
        groups = file.create_group("model_weights")
        groups.attrs["layer_names"] = [s["name"].encode() for _, s, _ in described]
        for _, settings, arrays in described:
            group = groups.create_group(settings["name"])
            names = [f"{settings['name']}_{key}" for key in arrays]
            group.attrs["weight_names"] = [n.encode() for n in names]
            for name, array in zip(names, arrays.values()):
                # Chunked and deflated, which the format allows.
                group.create_dataset(name, data=array.astype("float32"), chunks=True, compression="gzip", shuffle=True)
    sidecar = {"inputs": [plain(to_graph(image))], "outputs": [plain(output.astype("float32"))]}
    (FOLDER / "keras1.json").write_text(json.dumps(sidecar))
    print(path.name, path.stat().st_size)


def packed():
    """flatten.h5 as rewritten by other tools: new groups, every array chunked, deflated and with checksums, the model
    configuration as a variable-length string."""
    path = FOLDER / "flatten.packed.h5"
    with h5py.File(FOLDER / "flatten.h5") as old, h5py.File(path, "w", libver="latest") as new:
        def attributes(source, target):
            for name, value in source.attrs.items():
                if name == "model_config":
                    value = value.decode() if isinstance(value, bytes) else value
                if name == "weight_names":
                    value = np.array([n.decode() if isinstance(n, bytes) else n for n in value], dtype=h5py.string_dtype())
                target.attrs[name] = value

        def copy(name, item):
            if isinstance(item, h5py.Group):
                attributes(item, new.require_group(name))
                return
            how = {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True} if item.ndim else {}
            new.create_dataset(name, data=item[()], **how)

        attributes(old, new)
        old.visititems(copy)
    print(path.name, path.stat().st_size)


def weights_only():
    """Weights without a model configuration; the reader refuses it."""
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    (FOLDER / "refused").mkdir(exist_ok=True)
    model.save_weights(FOLDER / "refused" / "only.weights.h5")
    old = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    old.save_weights(FOLDER / "refused" / "only_legacy.h5")


def many_texts():
    """4000 references from one attribute to the same long text; the reader refuses it."""
    path, text, count = FOLDER / "refused" / "many_texts.h5", "a" * 20_003, 4000
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        texts = np.array([text] + [""] * (count - 1), dtype=object)
        file.attrs.create("texts", texts, dtype=h5py.string_dtype())
    content = bytearray(path.read_bytes())
    start = content.index(len(text).to_bytes(4, "little"))
    content[start:start + 16 * count] = content[start:start + 16] * count
    path.write_bytes(content)
    print(path.name, path.stat().st_size)


def main(wanted):
    FOLDER.mkdir(exist_ok=True)
    if not wanted or "keras1" in wanted:
        keras1()
    if not wanted or "weights_only" in wanted:
        weights_only()
    if not wanted or "many_texts" in wanted:
        many_texts()
    for case in CASES:
        if wanted and case.__name__ not in wanted:
            continue
        make(case, keras, ".h5")
        make(case, keras, ".keras")
        if case.__name__ in LEGACY:
            if case.__name__ not in ONLY_H5:
                make(case, tf_keras, ".keras")
            if case.__name__ not in NO_H5:
                make(case, tf_keras, ".h5")
    if not wanted or "packed" in wanted:
        packed()


if __name__ == "__main__":
    main(sys.argv[1:])
