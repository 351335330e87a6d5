//! Models for the tests: the golden models, and networks with known solutions.

use heatlens::explain::{Compat, ExplainOptions, Explainer, Target};
use heatlens::graph::op::matmul::MatMul;
use heatlens::graph::{Builder, Dim, Fact, Graph, Shape, Tensor};
use heatlens::method::{self, MethodSettings};
use heatlens::model::{Model, Placing};

use crate::common::{golden, npy};

/// A model, images for it, and the explained class.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) model: Model,
    pub(crate) images: Vec<Vec<f32>>,
    pub(crate) class: usize,
    /// Explainer that returns scores and gradients.
    probe: Explainer,
}

impl Case {
    pub(crate) fn new(name: &'static str, model: Model, pixels: &[f32], class: usize) -> Self {
        let [c, h, w] = model.shape();
        let images = pixels.chunks(c * h * w).map(<[f32]>::to_vec).collect();
        let options = ExplainOptions {
            target: Target::Class(class),
            ..ExplainOptions::new(&[method::find("gradient").unwrap()])
        };
        let probe = Explainer::new(&model, &options).unwrap();
        Self { name, model, images, class, probe }
    }

    /// Returns a golden model with its three images.
    pub(crate) fn twin(name: &'static str, class: usize) -> Self {
        let model = Model::open(&golden(name).join("model.onnx")).unwrap();
        Self::new(name, model, &npy(&golden(name).join("input.npy")).1, class)
    }

    /// Returns a model with the score Σ w·x + bias for two classes, and one image of small values.
    pub(crate) fn linear(shape: [usize; 3], weights: &[f32], bias: f32) -> Self {
        let columns = weights.iter().flat_map(|w| [-w / 2.0, w / 2.0]).collect();
        Self::dense(shape, columns, [-bias, bias], &numbers(weights.len(), 7))
    }

    /// Returns a model with two scores of twice the image, from a row of two weights per pixel; class 1.
    pub(crate) fn dense([c, h, w]: [usize; 3], weights: Vec<f32>, bias: [f32; 2], pixels: &[f32]) -> Self {
        let len = c * h * w;
        let mut graph = Graph::new("linear");
        let image = graph.add_input("image", Fact::f32(Shape::batched(&[c, h, w])));
        let mut b = Builder::new(&mut graph, "net");
        let seen = b.scale(image, 2.0).unwrap();
        let flat = b.reshape(seen, Shape(vec![Dim::Batch(1), Dim::Fixed(len)])).unwrap();
        let columns = b.constant(Tensor::f32(&[len, 2], weights));
        let product = b.apply(MatMul, &[flat, columns]).unwrap();
        let bias = b.constant(Tensor::f32(&[1, 2], bias.to_vec()));
        let scores = b.add(product, bias).unwrap();
        graph.set_outputs(&[scores]);
        Self::new("linear", Model::from_graph(graph).unwrap(), pixels, 1)
    }

    pub(crate) fn score(&self, image: &[f32]) -> f64 {
        let logits = &self.probe.explain(image, 1).unwrap()[0].logits;
        match (logits.len(), self.class) {
            (1, 0) => f64::from(-logits[0]),
            (1, _) => f64::from(logits[0]),
            (_, class) => f64::from(logits[class]),
        }
    }

    pub(crate) fn gradient(&self, image: &[f32]) -> Vec<f32> {
        self.probe.explain(image, 1).unwrap().remove(0).attributions.remove(0).values
    }

    pub(crate) fn shape(&self) -> [usize; 3] {
        self.model.shape()
    }

    /// Returns the maps of all images, explained in one batch.
    pub(crate) fn explain(&self, id: &str, set: &[&str]) -> Vec<Vec<f32>> {
        let explainer = self.explainer(id, set).unwrap();
        let pixels = self.images.concat();
        let explained = explainer.explain(&pixels, self.images.len()).unwrap();
        explained.into_iter().map(|mut e| e.attributions.remove(0).values).collect()
    }

    /// Returns the map of the first image with default settings, not as published.
    pub(crate) fn explain_as_we_do(&self, id: &str, set: &[&str]) -> Vec<f32> {
        let explainer = self.explainer_of(id, set, None).unwrap();
        explainer.explain(&self.images[0], 1).unwrap().remove(0).attributions.remove(0).values
    }

    /// Returns an explainer with a method as published, or the error.
    pub(crate) fn explainer(&self, id: &str, set: &[&str]) -> Result<Explainer, String> {
        self.explainer_of(id, set, Some(Compat::Captum))
    }

    fn explainer_of(&self, id: &str, set: &[&str], compat: Option<Compat>) -> Result<Explainer, String> {
        // The reference implementations spread maps evenly.
        let mut settings = MethodSettings::with_seed(SEED).placed(Placing::Resize);
        set.iter().try_for_each(|s| settings.set(s)).map_err(|e| e.to_string())?;
        let options = ExplainOptions {
            target: Target::Class(self.class),
            settings,
            compat,
            ..ExplainOptions::new(&[method::find(id).unwrap()])
        };
        Explainer::new(&self.model, &options).map_err(|e| e.to_string())
    }

    /// Returns the activations of the default layer by plane.
    pub(crate) fn activations(&self, image: &[f32]) -> Vec<Vec<f32>> {
        let options =
            ExplainOptions { tensors: true, ..ExplainOptions::new(&[method::find("grad_cam").unwrap()]) };
        let explainer = Explainer::new(&self.model, &options).unwrap();
        let tensors = explainer.explain(image, 1).unwrap().remove(0).tensors.unwrap();
        let [_, h, w] = self.model.default_layer().unwrap().shape;
        tensors.conv_output.chunks(h * w).map(<[f32]>::to_vec).collect()
    }
}

/// Random seed.
pub(crate) const SEED: u64 = 5;

/// Returns pseudo-random values from −1 to 1.
pub(crate) fn numbers(len: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| {
        let mixed = (i + 1).wrapping_mul(2_654_435_761) ^ (seed + 1).wrapping_mul(40_503_077);
        (((mixed ^ (mixed >> 13)).wrapping_mul(2_246_822_519) >> 7) % 2001) as f32 / 1000.0 - 1.0
    };
    (0..len).map(number).collect()
}

/// Golden models of every kind: three colours and three classes, not square; one grey output; constant images that
/// leave channels dead.
pub(crate) fn twins() -> Vec<Case> {
    vec![
        Case::twin("branchy", 2),
        Case::twin("gap_cnn_bn", 1),
        Case::twin("no_gap", 0),
        Case::twin("dead_image", 1),
    ]
}
