//! The steps of an audit: choice of images, measurement, comparison with random networks.

use crate::explain::ExplainError;
use crate::method::{self, MapKind, Method, Stop};
use crate::metric::{Evaluator, ImageContext, ImageMetrics, METRICS, MetricPlan, ProgressListener, Workload};
use crate::model::Model;
use crate::random::{Key, Use};
use crate::trust::model_randomization::{
    self, Advance, PredictedImages, RandomizationPlan, RandomizationTest,
};

/// Settings of an audit.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// Methods, including the controls.
    pub methods: Vec<&'static Method>,
    /// Method settings, including the random seed.
    pub method_settings: method::MethodSettings,
    /// Amount of work per image.
    pub plan: MetricPlan,
    /// Amount of work of the randomization test.
    pub randomization: RandomizationPlan,
}

impl AuditSettings {
    /// Settings that take minutes.
    #[must_use]
    pub fn quick(methods: &[&'static Method], method_settings: method::MethodSettings) -> Self {
        let (plan, randomization) = (MetricPlan::quick(), RandomizationPlan::quick());
        Self { methods: with_controls(methods), method_settings, plan, randomization }
    }

    /// Settings as thorough as in the literature.
    #[must_use]
    pub fn full(methods: &[&'static Method], method_settings: method::MethodSettings) -> Self {
        let (plan, randomization) = (MetricPlan::full(), RandomizationPlan::full());
        Self { methods: with_controls(methods), method_settings, plan, randomization }
    }
}

/// Returns the methods followed by the controls, without duplicates.
fn with_controls(methods: &[&'static Method]) -> Vec<&'static Method> {
    let mut all: Vec<&'static Method> = Vec::new();
    for &method in methods.iter().chain(&method::controls()) {
        if all.iter().all(|known| known.id != method.id) {
            all.push(method);
        }
    }
    all
}

/// An audit ready to run.
#[derive(Debug)]
pub struct Auditor {
    model: Model,
    settings: AuditSettings,
    evaluator: Evaluator,
}

impl Auditor {
    /// Compiles the model, the methods and the metrics.
    ///
    /// # Errors
    /// If no method applies, or an operator has no kernel.
    pub fn new(model: &Model, settings: AuditSettings) -> Result<Self, ExplainError> {
        let AuditSettings { methods, method_settings, plan, .. } = &settings;
        let evaluator = Evaluator::new(model, methods, method_settings, METRICS, plan)?;
        Ok(Self { model: model.clone(), settings, evaluator })
    }

    /// Returns the model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the applicable methods, in order.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static Method> {
        self.evaluator.methods()
    }

    /// Returns notes on omitted methods and metrics, with reasons.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        self.evaluator.notes()
    }

    /// Returns the number of passes per image.
    #[must_use]
    pub fn workload(&self) -> Workload {
        self.evaluator.workload()
    }

    /// Returns the number of explanations of the randomization test if `images` images are available.
    #[must_use]
    pub fn randomization_maps(&self, images: usize) -> usize {
        self.settings.randomization.explained(images)
    }

    /// Returns the maximum number of images of the randomization test.
    #[must_use]
    pub fn randomization_images(&self) -> usize {
        self.settings.randomization.images
    }

    /// Draws at most `wanted` of `available` images at random; returns their indices in ascending order.
    #[must_use]
    pub fn choose(&self, available: usize, wanted: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..available).collect();
        self.key().at(u64::MAX - 3).rng().shuffle(&mut all);
        all.truncate(wanted);
        all.sort_unstable();
        all
    }

    /// Returns the logits of `n` images.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images.
    pub fn logits(&self, pixels: &[f32], n: usize) -> Result<Vec<f32>, ExplainError> {
        self.evaluator.logits(pixels, n)
    }

    /// Explains one image by all methods, to estimate the run time. `stop` is asked before each batch of passes.
    ///
    /// # Errors
    /// If the image does not fit, or if `stop` returns true.
    pub fn try_out(&self, pixels: &[f32], stop: &Stop<'_>) -> Result<(), ExplainError> {
        self.evaluator.maps(pixels, 0, stop).map(drop)
    }

    /// Measures all methods on image `item`.
    ///
    /// # Errors
    /// If the image does not fit, and [`MethodError::Stopped`](method::MethodError::Stopped) if the listener requested a
    /// stop.
    pub fn measure(
        &self,
        item: usize,
        pixels: &[f32],
        mask: Option<&[bool]>,
        listener: &ProgressListener<'_>,
    ) -> Result<ImageMetrics, ExplainError> {
        let (shape, plan) = (self.model.shape(), &self.settings.plan);
        let context = ImageContext { pixels, shape, mask, plan, key: self.key().at(item as u64) };
        self.evaluator.measure(&context, listener)
    }

    /// Runs the [model parameter randomization test](model_randomization::measure).
    ///
    /// # Errors
    /// If the images do not fit, and [`MethodError::Stopped`](method::MethodError::Stopped) if `advance` requested a stop.
    pub fn test_randomization(
        &self,
        pixels: &[f32],
        n: usize,
        advance: &Advance<'_>,
    ) -> Result<RandomizationTest, ExplainError> {
        let logits = self.logits(pixels, n)?;
        let rows = logits.chunks(self.model.head.outputs.max(1));
        let classes: Vec<usize> = rows.map(|row| self.model.head.predicted(row)).collect();
        let methods: Vec<&'static Method> =
            self.methods().into_iter().filter(|m| m.kind != MapKind::Concepts).collect();
        let images = PredictedImages { pixels, classes: &classes };
        model_randomization::measure(
            &self.model,
            &methods,
            &self.settings.method_settings,
            images,
            self.settings.randomization,
            advance,
        )
    }

    fn key(&self) -> Key {
        Key::new(self.settings.method_settings.seed, Use::Audit)
    }
}
