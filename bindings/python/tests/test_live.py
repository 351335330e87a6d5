"""Live models, where their library is there."""

import os
import pickle

import heatlens as hl
import numpy as np
import pytest


def small(torch, *end):
    torch.manual_seed(0)
    nn = torch.nn
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return nn.Sequential(*layers, *end)


def test_torch_gradients_are_its_own():
    torch = pytest.importorskip("torch")
    net, x = small(torch), torch.rand(2, 3, 24, 24)
    net.train()
    model = hl.open(net, example=x[:1])
    assert net.training and net[0].training, "left as it was"
    found = model.explain(x, method=["gradient", "grad_cam"], layer=net[1], target=2)
    a = x.clone().requires_grad_()
    activations = net[1](net[0](a))
    activations.retain_grad()
    net[2:](activations)[:, 2].sum().backward()
    for i, explanation in enumerate(found):
        assert np.abs(explanation.maps["gradient"] - a.grad[i].numpy()).max() < 1e-6
        weights = activations.grad[i].mean((1, 2), keepdim=True)
        cam = (weights * activations[i]).sum(0).detach().numpy()
        assert np.abs(explanation.maps["grad_cam"] - cam).max() <= 1e-4 * np.abs(cam).max()


def test_torch_compiled():
    torch = pytest.importorskip("torch")
    net, x = small(torch), torch.rand(1, 3, 24, 24)
    wanted = hl.open(net, example=x).explain(x, method="grad_cam")[0].maps["grad_cam"]
    compiled = hl.open(torch.compile(net), example=x)
    assert compiled.explain(x, method="grad_cam")[0].maps["grad_cam"].tobytes() == wanted.tobytes()


def test_torch_ends_with_what_it_likes():
    torch = pytest.importorskip("torch")
    for end in ([torch.nn.Softmax(1)], [torch.nn.Sigmoid()], [torch.nn.LogSoftmax(1)]):
        net = small(torch, *end)
        head = "multi-label" if isinstance(end[0], torch.nn.Sigmoid) else None
        model = hl.open(net, example=torch.rand(1, 3, 24, 24), head=head)
        assert model.explain(np.zeros((24, 24, 3), np.uint8)).logits.shape == (4,)


@pytest.mark.parametrize("end", ["scores", "softmax", "dictionary"])
def test_torch_segmentations(end):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.SiLU())
            self.last = torch.nn.Conv2d(8, 3, 1)
            self.calls = None

        def forward(self, x):
            z = torch.nn.functional.interpolate(self.last(self.features(x)), size=x.shape[2:], mode="bilinear")
            if self.calls is not None:
                self.calls += 1
                z = z * self.calls
            return {"scores": z, "softmax": z.softmax(1), "dictionary": {"out": z, "aux": z[:, :2]}}[end]

    net, x = Net(), torch.rand(1, 3, 24, 24)
    model = hl.open(net, example=x)
    assert model.head == "segmentation"
    e = model.explain(x, "hires_cam", layer=net.features[1], target=2, region=(5, 7))[0]
    a = net.features(x).detach().requires_grad_()
    z = torch.nn.functional.interpolate(net.last(a), size=(24, 24), mode="bilinear")
    (gradient,) = torch.autograd.grad(z[0, 2, 5, 7], a)
    wanted = (gradient * a).sum(1)[0].detach().numpy()
    assert np.abs(e.maps["hires_cam"] - wanted).max() <= 1e-4 * np.abs(wanted).max()
    assert e.focus().pixels.sum() == 1 and e.focus().pixels[5, 7]
    net.calls = 0
    with pytest.raises(hl.Error, match="answers otherwise than torch"):
        hl.open(net, example=x)


def test_torch_detectors():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 8, 1), torch.nn.SiLU())
            self.boxes, self.scores = torch.nn.Conv2d(16, 4, 1), torch.nn.Conv2d(16, 5, 1)

        def forward(self, x):
            a = self.features(x)
            boxes = self.boxes(a).sigmoid().mul(64).flatten(2)
            # Corners in order.
            boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] + 1], 1)
            return boxes.transpose(1, 2), (8 * self.scores(a)).flatten(2).transpose(1, 2).sigmoid()

    net, x = Net(), torch.rand(1, 3, 64, 64)
    model = hl.open(net, example=x, head="detection")
    rows = model.explain(x, "hires_cam", detection="all")
    boxes, scores = (one.detach().numpy()[0] for one in net(x))
    assert len(rows) > 1
    sure = np.sort(scores.max(1))[::-1]
    first = boxes[scores.max(1).argmax()]
    assert np.allclose(rows[0].focus().input_box, first, atol=1e-3) and rows[0].target() == scores.argmax() % 5
    assert sure[0] >= 0.25


def test_keras_segmentations():
    keras = pytest.importorskip("keras")
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    features = keras.layers.Conv2D(8, 3, 2, "same", activation="silu")
    last = keras.layers.Conv2D(3, 1)
    inputs = keras.Input((24, 24, 3))
    outputs = keras.layers.Softmax()(keras.layers.UpSampling2D(2, interpolation="bilinear")(last(features(inputs))))
    net = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).random((1, 24, 24, 3), np.float32)
    model = hl.open(net)
    assert model.head == "segmentation"
    e = model.explain(x, "hires_cam", layer=features.name, target=1, region=(5, 7))[0]
    with tf.GradientTape() as tape:
        a = features(x)
        tape.watch(a)
        z = keras.layers.UpSampling2D(2, interpolation="bilinear")(last(a))[0, 5, 7, 1]
    wanted = (tape.gradient(z, a) * a).numpy().sum(-1)[0]
    assert np.abs(e.maps["hires_cam"] - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_torch_is_refused_where_it_parts(capfd):
    torch = pytest.importorskip("torch")

    class Fickle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.calls = small(torch), 0

        def forward(self, x):
            self.calls += 1
            return self.net(x) * self.calls

    with pytest.raises(hl.Error, match="answers otherwise than torch"):
        hl.open(Fickle(), example=torch.rand(1, 3, 24, 24))
    with pytest.raises(hl.Error, match="example=tensor"):
        hl.open(small(torch))

    class Broken(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("no way")

    with pytest.raises(hl.Error, match="no way"):
        hl.open(Broken(), example=torch.rand(1, 3, 24, 24))

    assert capfd.readouterr() == ("", "")


def with_forward(torch, forward):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small(torch)

    Own.forward = forward
    return Own()


def looped(self, x):
    while x.abs().max() > 0.01:
        x = x * 0.5
    return self.net(x)


def test_torch_control_flow_that_looks_at_values(capfd):
    torch = pytest.importorskip("torch")
    forwards = {
        "if x.mean() > 0.1": lambda self, x: self.net(x) if x.mean() > 0.1 else self.net(-x),
        "while x.abs": looped,
    }
    for line, forward in forwards.items():
        with pytest.raises(hl.Error, match="takes values out of a tensor.*test_live.py, line") as caught:
            hl.open(with_forward(torch, forward), example=torch.rand(1, 3, 24, 24))
        assert line in str(caught.value)
    by_shape = with_forward(torch, lambda self, x: self.net(x) if x.shape[-1] == 24 else self.net(-x))
    hl.open(by_shape, example=torch.rand(1, 3, 24, 24))
    # The newer exporter writes some of them; the second example tells of a branch that nobody warns of.
    counted = with_forward(torch, lambda self, x: self.net(x * (1 + int(x.sum().item()) % 3)))
    listed = with_forward(torch, lambda self, x: self.net(x) * (2 if x.tolist()[0][0][0][0] > 0.5 else 1))
    hidden = with_forward(torch, lambda self, x: self.net(x) * (2 if x.detach().numpy().max() > 0.5 else 1))
    for net in (counted, listed, hidden):
        with pytest.raises(hl.Error, match="takes values out|answers otherwise|whole numbers that are computed"):
            hl.open(net, example=torch.ones(1, 3, 24, 24))
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore")
def test_torch_modules_without_values_or_derivatives():
    torch = pytest.importorskip("torch")
    x = torch.rand(1, 3, 24, 24)
    for net, example in [(small(torch).to("meta"), x), (small(torch).to("meta"), x.to("meta"))]:
        with pytest.raises(hl.Error, match="weights are on the device meta"):
            hl.open(net, example=example)
    with pytest.raises(hl.Error, match="the example is on the device meta"):
        hl.open(small(torch), example=x.to("meta"))
    spread = small(torch)
    spread[4].to("meta")
    with pytest.raises(hl.Error, match="on the device meta"):
        hl.open(spread, example=x)
    with pytest.raises(hl.Error, match=r"open module.float\(\)"):
        hl.open(small(torch).bfloat16(), example=x.bfloat16())
    for kind in (torch.float16, torch.float64):
        assert hl.open(small(torch).to(kind), example=x.to(kind)).input_shape == (3, 24, 24)


def test_torch_examples_that_tell_nothing():
    torch = pytest.importorskip("torch")
    net, x = small(torch), torch.rand(1, 3, 24, 24)
    lost = with_forward(torch, lambda self, x: self.net(x) / 0)
    for module, example, said in [
        (net, torch.full((1, 3, 24, 24), float("nan")), "the example holds NaN"),
        (lost, x, "torch answers the example with NaN or infinity"),
        (net, x.long(), "of torch.int64: give an image of floats"),
        (net, x[0], r"shape \(3, 24, 24\).*example\[None\]"),
        (net, (x, x), "a module of several inputs is exported to a file"),
    ]:
        with pytest.raises(hl.Error, match=said):
            hl.open(module, example=example)


def test_torch_images_of_other_kinds():
    torch = pytest.importorskip("torch")
    net, x = small(torch), torch.rand(2, 3, 24, 24).bfloat16()
    model = hl.open(net, example=x[:1].float())
    wanted = model.explain(x.float(), "grad_cam")
    last = x.permute(0, 2, 3, 1)
    for found in (model.explain(x, "grad_cam"), model.explain(last, "grad_cam", layout="nhwc")):
        assert [e.maps["grad_cam"].tobytes() for e in found] == [e.maps["grad_cam"].tobytes() for e in wanted]
    for image, said in [(last, "has its channels last"), (last[0], "has its channels last"), (x.to("meta"), "meta")]:
        with pytest.raises(hl.Error, match=said):
            model.explain(image)


@pytest.mark.filterwarnings("ignore")
def test_torch_quantised():
    torch = pytest.importorskip("torch")
    quantization, x = torch.ao.quantization, torch.rand(1, 3, 24, 24)
    dynamic = quantization.quantize_dynamic(small(torch), {torch.nn.Linear}, dtype=torch.qint8)
    with pytest.raises(hl.Error, match=r"quantised \(4"):
        hl.open(dynamic, example=x)
    static = torch.nn.Sequential(quantization.QuantStub(), *small(torch), quantization.DeQuantStub()).eval()
    static.qconfig = quantization.default_qconfig
    prepared = quantization.prepare(static)
    prepared(x)
    with pytest.raises(hl.Error, match="has no derivatives"):
        hl.open(quantization.convert(prepared), example=x)


def test_the_exporter_prints_nothing_when_the_other_one_is_needed(capfd):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(196, 3))
    hl.open(net, example=torch.rand(1, 3, 12, 12))  # 10 cells into 7, which the older exporter cannot
    assert capfd.readouterr() == ("", "")


def test_keras():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    net = keras.Sequential(
        [
            layers.Input((30, 30, 1)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    x = np.random.default_rng(0).random((3, 30, 30, 1), np.float32)
    model = hl.open(net)
    found = model.explain(x, method="grad_cam", layer=net.layers[0])
    p = np.asarray(net(x)).ravel()
    assert np.abs(np.array([e.probabilities[1] for e in found]) - p).max() < 1e-6
    assert found[0].maps["grad_cam"].shape == (28, 28)


def own_keras_model(keras, call):
    """A subclass, whose computation no file holds."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Conv2D(4, 3, activation="relu")
            self.second = keras.layers.Conv2D(6, 3, activation="relu")
            self.pool, self.dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)

    Own.call = call
    return Own()


def test_keras_models_of_own_code_are_exported(capfd):
    keras = pytest.importorskip("keras")
    pytest.importorskip("tf2onnx")
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    net = own_keras_model(keras, lambda self, x: self.dense(self.pool(self.second(self.first(x)))))
    x = np.random.default_rng(0).random((3, 30, 24, 1), np.float32)
    with pytest.raises(hl.Error, match=r"call it on an image first: model\(x\)"):
        hl.open(net)
    z = np.asarray(net(x))[:, 0]
    model = pickle.loads(pickle.dumps(hl.open(net)))
    assert np.abs(model.predict(x).logits[:, 0] - z).max() < 1e-6
    model = hl.open(net)
    with tf.GradientTape() as tape:
        a = net.first(x)
        tape.watch(a)
        score = net.dense(net.pool(net.second(a)))
    weights = tf.reduce_mean(tape.gradient(score, a), (1, 2), keepdims=True)
    wanted = (weights * a).numpy().sum(-1)
    for layer in (net.first, net.first.name):
        found = model.explain(x, "grad_cam", layer=layer, target=1).maps["grad_cam"]
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    assert model.explain(x, "grad_cam", layer=net.second).maps["grad_cam"].shape == (3, 26, 20)
    code = keras.layers.Lambda(lambda x: x / 255.0)
    net = keras.Sequential([keras.Input((20, 20, 3)), code, keras.layers.Conv2D(6, 3, activation="relu"), *net.layers[2:]])
    x = np.random.default_rng(0).random((2, 20, 20, 3), np.float32) * 255
    assert np.abs(hl.open(net).predict(x).logits - np.asarray(net(x))).max() < 1e-5
    assert capfd.readouterr() == ("", "")


def test_keras_is_refused_where_the_export_parts():
    keras = pytest.importorskip("keras")
    pytest.importorskip("tf2onnx")
    x = np.zeros((1, 20, 20, 1), np.float32)
    noise = own_keras_model(keras, lambda self, x: self.dense(self.pool(self.first(x))) + keras.random.uniform(()))
    branch = own_keras_model(keras, lambda self, x: self.dense(self.pool(self.first(x))) * (2 if np.asarray(x).mean() > 0.3 else 1))
    for net, words in ((noise, "answers otherwise than Keras"), (branch, "Keras cannot export it to ONNX either: Cannot convert a symbolic")):
        net(x)
        with pytest.raises(hl.Error, match=words):
            hl.open(net)
    unknown = own_keras_model(keras, lambda self, x: self.dense(self.pool(self.first(x))) + np.float32("nan"))
    unknown(x)
    with pytest.raises(hl.Error, match="answers random images with NaN"):
        hl.open(unknown)


def test_keras_models_are_exported_only_if_their_file_cannot_be_read(monkeypatch):
    keras = pytest.importorskip("keras")
    hidden = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    net = keras.Sequential([keras.Input((20, 20, 1)), *hidden, keras.layers.Dense(1)])
    monkeypatch.setattr(net, "export", lambda *_, **__: pytest.fail("exported"))
    with pytest.raises(hl.Error, match='^--preset: expected imagenet.*found "nix"$'):
        hl.open(net, preset="nix")
    with pytest.raises(hl.Error, match="found 3 names"):
        hl.open(net, labels=["a", "b", "c"])


def test_arrays_go_into_a_live_model_as_its_library_takes_them():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    hidden = [layers.Conv2D(6, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    net = keras.Sequential([layers.Input((24, 24, 1)), *hidden, layers.Dense(1, "sigmoid")])
    bytes_ = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 1), dtype=np.uint8)
    for x in (bytes_, bytes_.astype(np.float32), bytes_ / np.float32(255)):
        model = hl.open(net)
        for model in (model, pickle.loads(pickle.dumps(model))):
            found = [e.probabilities[1] for e in model.explain(x, method="grad_cam")]
            assert np.abs(np.array(found) - net.predict(x, verbose=0)[:, 0]).max() < 1e-6
    # With a preset they are pictures.
    found = hl.open(net, preset="unit").explain(bytes_, method="grad_cam")
    wanted = net.predict(bytes_ / np.float32(255), verbose=0)[:, 0]
    assert np.abs(np.array([e.probabilities[1] for e in found]) - wanted).max() < 1e-6


def test_weights_that_change_are_seen():
    from heatlens import interop

    torch = pytest.importorskip("torch")
    net, x = small(torch).eval(), torch.rand(2, 3, 24, 24)
    saliency = interop.Saliency(net)
    before = saliency.attribute(x, target=1)
    opened = interop.opened(net, x[:1])
    assert interop.opened(net, x[:1]) is opened and torch.equal(saliency.attribute(x, target=1), before)
    net[4].reset_parameters()
    a = x.clone().requires_grad_()
    net(a)[:, 1].sum().backward()
    assert (saliency.attribute(x, target=1) - a.grad.abs()).abs().max() < 1e-6


def test_captum_says_the_same():
    attr = pytest.importorskip("captum.attr")
    from heatlens import interop

    torch = pytest.importorskip("torch")
    net, x, y = small(torch).eval(), torch.rand(4, 3, 24, 24), torch.tensor([0, 1, 2, 3])
    pairs = [
        (interop.LayerGradCam(net, net[1]), attr.LayerGradCam(net, net[1]), {}),
        (interop.LayerGradCam(net, net[1]), attr.LayerGradCam(net, net[1]), {"relu_attributions": True}),
        (interop.Saliency(net), attr.Saliency(net), {}),
        (interop.Saliency(net), attr.Saliency(net), {"abs": False}),
        (interop.GuidedBackprop(net), attr.GuidedBackprop(net), {}),
    ]
    for ours, theirs, words in pairs:
        found, wanted = (one.attribute(x, target=y, **words) for one in (ours, theirs))
        assert found.shape == wanted.shape and (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.filterwarnings("ignore")
def test_quantus_measures_what_it_measures_of_autograd():
    quantus = pytest.importorskip("quantus")
    from heatlens import interop

    torch = pytest.importorskip("torch")
    net, x = small(torch).eval(), torch.rand(4, 3, 24, 24)
    y = np.array([0, 1, 2, 3])

    def gradient(model, inputs, targets, **_):
        images = torch.as_tensor(inputs).requires_grad_()
        model(images).gather(1, torch.as_tensor(targets)[:, None]).sum().backward()
        return images.grad.numpy()

    words = {"model": net, "x_batch": x.numpy(), "y_batch": y, "a_batch": None, "device": "cpu", "channel_first": True}
    for make in (
        lambda: quantus.Sparseness(disable_warnings=True),
        lambda: quantus.MPRT(disable_warnings=True, return_average_correlation=True),  # writes random weights
        lambda: quantus.RegionPerturbation(patch_size=8, regions_evaluation=4, disable_warnings=True),
    ):
        ours, theirs = (make()(explain_func=f, **words) for f in (interop.quantus("gradient"), gradient))
        assert np.allclose(ours, theirs, atol=1e-3)


def test_keras_images_of_either_layout_in_the_place_of_other_libraries():
    keras = pytest.importorskip("keras")
    from heatlens import interop

    layers = keras.layers
    hidden = [layers.Conv2D(6, 3, activation="relu", padding="same"), layers.GlobalAveragePooling2D()]
    net = keras.Sequential([layers.Input((24, 24, 3)), *hidden, layers.Dense(4)])
    x, y = np.random.default_rng(0).random((4, 24, 24, 3), np.float32), np.arange(4)
    for method in ("grad_cam", "gradient"):
        last, first = (interop.quantus(method)(net, images, y) for images in (x, x.transpose(0, 3, 1, 2)))
        assert last.shape == (4, 1, 24, 24) and (last == first).all()
    assert interop.LayerGradCam(net, net.layers[0]).attribute(x, target=y).shape == (4, 1, 24, 24)
