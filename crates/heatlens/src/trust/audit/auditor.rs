//! The audit's work, part by part: which images, what is measured on them, and what comes of it.

use crate::explain::ExplainError;
use crate::method::{self, MapKind, Method};
use crate::metric::{Laboratory, Listener, METRICS, Measured, Plan, Scene, Workload};
use crate::model::Model;
use crate::random::{Key, Use};
use crate::trust::dependence::{self, Dependence, DependencePlan, Subjects};

/// What an audit asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The methods; the controls are added.
    pub methods: Vec<&'static Method>,
    /// What was set on them, and the seed of everything.
    pub method_settings: method::Settings,
    /// How much is measured on each image.
    pub plan: Plan,
    /// How much is compared with random networks.
    pub dependence: DependencePlan,
}

impl Settings {
    /// Minutes of work.
    #[must_use]
    pub fn quick(methods: &[&'static Method], method_settings: method::Settings) -> Self {
        let (plan, dependence) = (Plan::quick(), DependencePlan::quick());
        Self { methods: with_controls(methods), method_settings, plan, dependence }
    }

    /// As much as the papers do.
    #[must_use]
    pub fn full(methods: &[&'static Method], method_settings: method::Settings) -> Self {
        let (plan, dependence) = (Plan::full(), DependencePlan::full());
        Self { methods: with_controls(methods), method_settings, plan, dependence }
    }
}

/// The methods with the controls behind them, each once.
fn with_controls(methods: &[&'static Method]) -> Vec<&'static Method> {
    let mut all: Vec<&'static Method> = Vec::new();
    for &method in methods.iter().chain(&method::controls()) {
        if all.iter().all(|known| known.id != method.id) {
            all.push(method);
        }
    }
    all
}

/// An audit, ready to be worked off.
#[derive(Debug)]
pub struct Auditor {
    model: Model,
    settings: Settings,
    laboratory: Laboratory,
}

impl Auditor {
    /// Compiles everything.
    ///
    /// # Errors
    /// If no method applies, or an operator has no kernel.
    pub fn new(model: &Model, settings: Settings) -> Result<Self, ExplainError> {
        let Settings { methods, method_settings, plan, .. } = &settings;
        let laboratory = Laboratory::new(model, methods, method_settings, METRICS, plan)?;
        Ok(Self { model: model.clone(), settings, laboratory })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The methods that apply, in order.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static Method> {
        self.laboratory.methods()
    }

    /// What was left out, and why.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        self.laboratory.notes()
    }

    /// The passes for one image.
    #[must_use]
    pub fn workload(&self) -> Workload {
        self.laboratory.workload()
    }

    /// Images that all methods explain for the comparison with random networks, if there are so many.
    #[must_use]
    pub fn dependence_maps(&self, images: usize) -> usize {
        self.settings.dependence.explained(images)
    }

    /// Images that the comparison with random networks looks at.
    #[must_use]
    pub fn dependence_images(&self) -> usize {
        self.settings.dependence.images
    }

    /// At most `wanted` of `available` images, drawn at random, in order.
    #[must_use]
    pub fn choose(&self, available: usize, wanted: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..available).collect();
        self.key().at(u64::MAX - 3).rng().shuffle(&mut all);
        all.truncate(wanted);
        all.sort_unstable();
        all
    }

    /// The logits of images.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images.
    pub fn logits(&self, pixels: &[f32], n: usize) -> Result<Vec<f32>, ExplainError> {
        self.laboratory.logits(pixels, n)
    }

    /// Explains an image by all methods, to see how long that takes.
    ///
    /// # Errors
    /// If the image does not fit.
    pub fn try_out(&self, pixels: &[f32]) -> Result<(), ExplainError> {
        self.laboratory.maps(pixels, 0).map(drop)
    }

    /// Measures the methods on image number `item`; `None` if the listener asked to stop.
    ///
    /// # Errors
    /// If the image does not fit.
    pub fn measure(
        &self,
        item: usize,
        pixels: &[f32],
        mask: Option<&[bool]>,
        listener: &Listener<'_>,
    ) -> Result<Option<Measured>, ExplainError> {
        let (shape, plan) = (self.model.shape(), &self.settings.plan);
        let scene = Scene { pixels, shape, mask, plan, key: self.key().at(item as u64) };
        self.laboratory.measure(&scene, listener)
    }

    /// Compares the methods' maps with those for random networks; `None` if `advance` asked to stop.
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn depend(
        &self,
        pixels: &[f32],
        n: usize,
        advance: &dyn Fn(usize) -> bool,
    ) -> Result<Option<Dependence>, ExplainError> {
        let logits = self.logits(pixels, n)?;
        let rows = logits.chunks(self.model.head.outputs.max(1));
        let classes: Vec<usize> = rows.map(|row| self.model.head.predicted(row)).collect();
        let methods: Vec<&'static Method> =
            self.methods().into_iter().filter(|m| m.kind != MapKind::Concepts).collect();
        let subjects = Subjects { pixels, classes: &classes };
        dependence::measure(
            &self.model,
            &methods,
            &self.settings.method_settings,
            subjects,
            self.settings.dependence,
            advance,
        )
    }

    fn key(&self) -> Key {
        Key::new(self.settings.method_settings.seed, Use::Audit)
    }
}
