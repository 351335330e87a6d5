"""Classes of images in the forms that people hold them in, and images that cannot be read."""

import pickle

import heatlens as hl
import numpy as np
import pytest
from conftest import images


class Tensor:
    """What NumPy does not know by itself: as a tensor that needs gradients."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def detach(self):
        return self

    def cpu(self):
        return self.values

    def __array__(self, *_, **__):
        raise RuntimeError("detach it first")


FORMS = [
    lambda y: y.tolist(),
    lambda y: y[:, None],
    lambda y: y.astype(np.float32)[:, None],
    lambda y: np.eye(3)[y],
    Tensor,
    lambda y: [Tensor(one) for one in y],
    lambda y: [str(one) for one in y],
]


@pytest.mark.parametrize("form", FORMS)
def test_an_audit_takes_them(colour, form):
    x, y = images(60, 3, seed=9)
    wanted = y.copy()
    wanted[:20] = (wanted[:20] + 1) % 3
    audit = hl.open(colour).audit(x, form(wanted), method="gradient", images=12)
    assert audit["model"]["right"] == hl.open(colour).audit(x, wanted, method="gradient", images=12)["model"]["right"]
    assert 0 < audit["model"]["right"] < 60


@pytest.mark.parametrize("form", [form for number, form in enumerate(FORMS) if number != 2])
def test_targets_are_taken_in_them(colour, form):
    wanted = np.array([2, 0, 1, 1])
    found = hl.open(colour).explain(images(4, 3)[0], "grad_cam", target=form(wanted))
    assert found.target().tolist() == wanted.tolist()


def test_a_tensor_of_one_class_is_for_all(colour):
    assert hl.open(colour).explain(images(4, 3)[0], "grad_cam", target=Tensor(2)).target().tolist() == [2] * 4


def test_training_takes_names(tmp_path):
    x, y = images(40, 1)
    names = np.array(["scratched", "good"])[y]
    for given in (names, names.tolist()):
        trained = hl.train(x, given, epochs=6)
        assert trained.model.class_names == ["good", "scratched"] and trained.left_out == []
        assert (np.array(trained.model.predict(x).predicted_name) == names).mean() > 0.9
    assert hl.train(x, y, class_names=["a", "b"], epochs=1).model.class_names == ["a", "b"]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.full((60, 3), 0.3), r"y has shape \(60, 3\): expected one class for each of 60 images"),
        (np.zeros(7), r"y has shape \(7,\)"),
        (np.full(60, 8), r"^x, y: labels reach 8, but the model has 3 classes"),
        (["cow"] * 60, "no class 'cow'"),
    ],
)
def test_wrong_classes(colour, y, words):
    with pytest.raises(hl.Error, match=words):
        hl.open(colour).audit(images(60, 3)[0], y, method="gradient")


def test_images_that_cannot_be_read_are_told(colour):
    x, y = images(60, 3)
    x = (x / 255).astype(np.float32)
    x[7, 2, 1, 0] = np.nan
    audit = hl.open(colour).audit(x, y, method="gradient", images=12)
    trained = hl.train(x, y, epochs=1)
    for left_out in (audit.left_out, trained.left_out):
        assert len(left_out) == 1 and left_out[0].startswith("x, y") and "[7] holds NaN" in left_out[0], left_out
    assert "1 left out" in repr(audit) and "1 left out" in repr(trained) and "holds NaN" in audit._repr_html_()
    with pytest.raises(hl.Error, match="^validation_data: "):
        hl.train(x, y, validation_data=(x[:, :20], y), epochs=1)


def test_explanations_stay_in_their_process(colour):
    with pytest.raises(hl.Error, match="send its arrays, such as maps"):
        pickle.dumps(hl.open(colour).explain(images(2, 3)[0], "grad_cam"))
