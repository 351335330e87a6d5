//! Evaluates all metrics for all methods, batching the perturbed images.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::explain::{Attribution, ExplainError, ExplainOptions, Explainer};
use crate::method::{MapKind, Method, MethodError, MethodSettings, Stop};
use crate::metric::perturbation::{
    Confidence, Experiment, ImageContext, MapContext, MetricInput, MetricPlan, PerturbFn, Perturbation,
    ResponseKind, Responses,
};
use crate::metric::similarity::{correlate_ranks, ranks};
use crate::metric::{Metric, UpsampledMap, experiments};
use crate::model::{Head, Model};
use crate::predict::Predictor;

/// Number of copies per batch. Constant, so that memory does not depend on the number of copies.
const TOGETHER: usize = 32;

/// Name of the work outside of experiments: the maps of the unchanged image.
pub const MAPS: &str = "maps";

/// Called after each part of the work with its name and number of passes, and with 0 passes between two batches of one
/// image's passes; returns false to request a stop.
pub type ProgressListener<'l> = dyn Fn(&'static str, usize) -> bool + Sync + 'l;

/// A model with compiled methods and metrics.
#[derive(Debug)]
pub struct Evaluator {
    predictor: Predictor,
    model: Model,
    /// All methods in one program.
    together: Explainer,
    /// Separate programs, for copies that only one method needs.
    alone: Vec<Explainer>,
    metrics: Vec<&'static Metric>,
    plan: MetricPlan,
    notes: Vec<String>,
}

/// Measurements on one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageMetrics {
    /// Logits.
    pub logits: Vec<f32>,
    /// Predicted class, which is the explained one.
    pub predicted: usize,
    /// Defined metrics by id, for each method.
    pub values: Vec<BTreeMap<String, f64>>,
    /// Rank correlations between the methods' maps, row-major; NaN if a map is constant.
    pub agreement: Vec<f64>,
}

/// Number of passes for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Number of copies to score.
    pub scores: usize,
    /// Number of copies that all methods explain.
    pub maps: usize,
    /// Number of copies that one method explains.
    pub single_maps: usize,
}

impl Evaluator {
    /// Compiles the methods. Inapplicable methods, and methods that return several patterns, are omitted with a
    /// note.
    ///
    /// # Errors
    /// If no method applies, or an operator has no kernel.
    pub fn new(
        model: &Model,
        methods: &[&'static Method],
        settings: &MethodSettings,
        metrics: &[&'static Metric],
        plan: &MetricPlan,
    ) -> Result<Self, ExplainError> {
        let (judged, several): (Vec<&Method>, Vec<&Method>) =
            methods.iter().partition(|m| m.kind != MapKind::Concepts);
        let mut notes: Vec<String> =
            several.iter().map(|m| format!("left out: {} gives several maps for an image", m.id)).collect();
        let options = |methods: &[&'static Method]| ExplainOptions {
            settings: settings.clone(),
            skip_inapplicable: true,
            classes_given: true,
            ..ExplainOptions::new(methods)
        };
        let together = Explainer::new(model, &options(&judged))?;
        notes.extend_from_slice(together.notes());
        let asks_alone =
            |e: &&Experiment| e.response == ResponseKind::Maps && matches!(e.change, Perturbation::Map(_));
        let alone = match experiments(metrics).iter().any(asks_alone) {
            true => {
                together.maps().iter().map(|map| Explainer::new(model, &options(&[map.method]))).collect()
            }
            false => Ok(Vec::new()),
        };
        let (metrics, plan) = (metrics.to_vec(), plan.clone());
        Ok(Self {
            predictor: Predictor::new(model)?,
            model: model.clone(),
            together,
            alone: alone?,
            metrics,
            plan,
            notes,
        })
    }

    /// Returns the evaluated methods, in order.
    #[must_use]
    pub fn methods(&self) -> Vec<&'static Method> {
        self.together.maps().iter().map(|map| map.method).collect()
    }

    /// Returns notes on omitted methods, with reasons.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the amount of work per image.
    #[must_use]
    pub fn plan(&self) -> &MetricPlan {
        &self.plan
    }

    /// Returns the number of passes for one image.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let mut load = Workload { scores: 1, maps: 1, single_maps: 0 };
        let methods = self.methods().len();
        for experiment in experiments(&self.metrics) {
            let passes = (experiment.passes)(&self.plan);
            match (experiment.response, experiment.change) {
                (ResponseKind::Scores, Perturbation::Image(_)) => load.scores += passes,
                (ResponseKind::Scores, Perturbation::Map(_)) => load.scores += passes * methods,
                (ResponseKind::Maps, Perturbation::Image(_)) => load.maps += passes,
                (ResponseKind::Maps, Perturbation::Map(_)) => load.single_maps += passes * methods,
            }
        }
        load
    }

    /// Returns the logits of `n` images, for judging the model and for timing.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images.
    pub fn logits(&self, pixels: &[f32], n: usize) -> Result<Vec<f32>, ExplainError> {
        self.predictor.logits(pixels, n)
    }

    /// Returns the maps of all methods for one image and class. `stop` is asked before each batch of passes.
    ///
    /// # Errors
    /// If the image does not fit the model, or if `stop` returns true.
    pub fn maps(
        &self,
        pixels: &[f32],
        class: usize,
        stop: &Stop<'_>,
    ) -> Result<Vec<Attribution>, ExplainError> {
        let explained = self.together.explain_for(pixels, &[class], stop)?.pop();
        Ok(explained.map(|e| e.attributions).unwrap_or_default())
    }

    /// Evaluates all methods on one image.
    ///
    /// # Errors
    /// If the image does not fit the model, and [`MethodError::Stopped`] if the listener requested a stop.
    pub fn measure(
        &self,
        context: &ImageContext<'_>,
        listener: &ProgressListener<'_>,
    ) -> Result<ImageMetrics, ExplainError> {
        let logits = self.predictor.logits(context.pixels, 1)?;
        let predicted = self.model.head.predicted(&logits);
        let maps = self.maps(context.pixels, predicted, &|| !listener(MAPS, 0))?;
        told(listener, MAPS, 1)?;
        let [_, h, w] = context.shape;
        let key = context.key.at(4);
        let surfaces: Vec<Option<(UpsampledMap, Vec<u32>)>> = maps
            .par_iter()
            .map(|map| {
                let upsampled = UpsampledMap::new(map, [h, w])?;
                let order = upsampled.order(key);
                Some((upsampled, order))
            })
            .collect();
        let views: Vec<Option<MapContext<'_>>> = maps
            .iter()
            .zip(&surfaces)
            .map(|(attribution, upsampled)| {
                let (upsampled, order) = upsampled.as_ref()?;
                Some(MapContext { context: *context, attribution, upsampled, order })
            })
            .collect();
        let mut shared: BTreeMap<&'static str, Responses> = BTreeMap::new();
        let mut own: Vec<BTreeMap<&'static str, Responses>> = vec![BTreeMap::new(); maps.len()];
        for experiment in experiments(&self.metrics) {
            let stop = || !listener(experiment.id, 0);
            let passes = match experiment.change {
                Perturbation::Image(change) => {
                    let responses =
                        self.run_shared(experiment, context, &change(context), predicted, &stop)?;
                    own.iter_mut().zip(responses.1).for_each(|(own, maps)| {
                        own.insert(experiment.id, maps);
                    });
                    if let Some(responses) = responses.0 {
                        shared.insert(experiment.id, responses);
                    }
                    (experiment.passes)(&self.plan)
                }
                Perturbation::Map(change) => {
                    let made: Vec<Option<PerturbFn<'_>>> =
                        views.par_iter().map(|view| view.as_ref().map(change)).collect();
                    let responses = self.run_each(experiment, context, &made, predicted, &stop)?;
                    own.iter_mut().zip(responses).for_each(|(own, responses)| {
                        own.insert(experiment.id, responses);
                    });
                    (experiment.passes)(&self.plan) * maps.len()
                }
            };
            told(listener, experiment.id, passes)?;
        }
        let unchanged = self.confidence(&logits, predicted);
        let values = views.iter().zip(&own).map(|(view, own)| {
            let Some(view) = view else { return BTreeMap::new() };
            let responses = shared.iter().chain(own).map(|(id, responses)| (*id, responses)).collect();
            self.read(&MetricInput { view: *view, unchanged, responses })
        });
        let values = values.collect();
        Ok(ImageMetrics { logits, predicted, values, agreement: agreement(&views) })
    }

    fn read(&self, input: &MetricInput<'_>) -> BTreeMap<String, f64> {
        let has_mask = input.view.context.mask.is_some();
        let defined = self.metrics.iter().filter(|m| has_mask || !m.needs_mask);
        let value = |m: &&Metric| (m.read)(input).filter(|v| v.is_finite()).map(|v| (m.id.to_owned(), v));
        defined.filter_map(value).collect()
    }

    /// Runs an experiment that depends on the image alone: scores for all methods, or maps for each.
    fn run_shared(
        &self,
        experiment: &Experiment,
        context: &ImageContext<'_>,
        make: &PerturbFn<'_>,
        class: usize,
        stop: &Stop<'_>,
    ) -> Result<(Option<Responses>, Vec<Responses>), ExplainError> {
        let passes = (experiment.passes)(&self.plan);
        if experiment.response == ResponseKind::Scores {
            let scores = self.scores(context, passes, make, class)?;
            return Ok((Some(Responses { scores, maps: Vec::new() }), Vec::new()));
        }
        let mut maps: Vec<Responses> = vec![Responses::default(); self.methods().len()];
        // Multi-pass methods use all threads for a single image.
        let together = if self.together.takes_passes() { 1 } else { 8 };
        let mut copies = Vec::new();
        for start in (0..passes).step_by(together) {
            let n = together.min(passes - start);
            copy(&mut copies, context, n, &|i, image| make(start + i, image));
            for explained in self.together.explain_for(&copies, &vec![class; n], stop)? {
                maps.iter_mut().zip(explained.attributions).for_each(|(own, map)| own.maps.push(map));
            }
        }
        Ok((None, maps))
    }

    /// Runs an experiment whose copies depend on each method's map.
    fn run_each(
        &self,
        experiment: &Experiment,
        context: &ImageContext<'_>,
        made: &[Option<PerturbFn<'_>>],
        class: usize,
        stop: &Stop<'_>,
    ) -> Result<Vec<Responses>, ExplainError> {
        let passes = (experiment.passes)(&self.plan);
        let mut responses: Vec<Responses> = vec![Responses::default(); made.len()];
        if experiment.response == ResponseKind::Scores {
            let with_map: Vec<(usize, &PerturbFn<'_>)> =
                made.iter().enumerate().filter_map(|(i, make)| make.as_ref().map(|make| (i, make))).collect();
            let make = |i: usize, image: &mut [f32]| with_map[i / passes].1(i % passes, image);
            let scores = self.scores(context, with_map.len() * passes, &make, class)?;
            for (&(method, _), scores) in with_map.iter().zip(scores.chunks(passes.max(1))) {
                responses[method].scores = scores.to_vec();
            }
            return Ok(responses);
        }
        let mut copies = Vec::new();
        for ((responses, make), explainer) in responses.iter_mut().zip(made).zip(&self.alone) {
            let Some(make) = make else { continue };
            copy(&mut copies, context, passes, make);
            let explained = explainer.explain_for(&copies, &vec![class; passes], stop)?;
            responses.maps = explained.into_iter().flat_map(|e| e.attributions).collect();
        }
        Ok(responses)
    }

    /// Returns score and probability of a class for `total` perturbed copies of an image.
    fn scores(
        &self,
        context: &ImageContext<'_>,
        total: usize,
        make: &(dyn Fn(usize, &mut [f32]) + Sync),
        class: usize,
    ) -> Result<Vec<Confidence>, ExplainError> {
        let mut scores = Vec::with_capacity(total);
        let mut copies = Vec::new();
        for start in (0..total).step_by(TOGETHER) {
            let n = TOGETHER.min(total - start);
            copy(&mut copies, context, n, &|i, image| make(start + i, image));
            let numbers = drop_repeated(&mut copies, context.pixels.len());
            let logits = self.predictor.logits(&copies, copies.len() / context.pixels.len().max(1))?;
            let found = logits.chunks(self.model.head.outputs.max(1)).map(|row| self.confidence(row, class));
            let found: Vec<Confidence> = found.collect();
            scores.extend(numbers.into_iter().map(|i| found[i]));
        }
        Ok(scores)
    }

    fn confidence(&self, logits: &[f32], class: usize) -> Confidence {
        let score = Head::score(logits, class);
        let probability = self.model.head.probabilities(logits).get(class).copied().unwrap_or(f64::NAN);
        Confidence { score, probability }
    }
}

/// Passes a finished part of the work to the listener.
fn told(listener: &ProgressListener<'_>, part: &'static str, passes: usize) -> Result<(), MethodError> {
    if listener(part, passes) { Ok(()) } else { Err(MethodError::Stopped) }
}

/// Fills `copies` with `n` perturbed copies of an image.
fn copy(
    copies: &mut Vec<f32>,
    context: &ImageContext<'_>,
    n: usize,
    make: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    let len = context.pixels.len();
    copies.resize(n * len, 0.0);
    copies.par_chunks_mut(len.max(1)).enumerate().for_each(|(i, image)| {
        image.copy_from_slice(context.pixels);
        make(i, image);
    });
}

/// Drops every copy that equals the one before it, such as an image masked by the same map in two equivalent ways.
/// Returns, for each copy, its index among the remaining ones.
fn drop_repeated(copies: &mut Vec<f32>, len: usize) -> Vec<usize> {
    let (mut kept, mut numbers) = (0, Vec::new());
    for i in 0..copies.len() / len.max(1) {
        let repeated = kept > 0 && copies[(kept - 1) * len..kept * len] == copies[i * len..(i + 1) * len];
        if !repeated {
            copies.copy_within(i * len..(i + 1) * len, kept * len);
            kept += 1;
        }
        numbers.push(kept - 1);
    }
    copies.truncate(kept * len);
    numbers
}

/// Returns the rank correlations between all pairs of maps, row-major.
fn agreement(views: &[Option<MapContext<'_>>]) -> Vec<f64> {
    let ranks: Vec<Option<Vec<f64>>> =
        views.par_iter().map(|view| view.as_ref().map(|v| ranks(&v.upsampled.signed))).collect();
    let pair = |i: usize| {
        let (a, b) = (ranks[i / ranks.len()].as_ref()?, ranks[i % ranks.len()].as_ref()?);
        correlate_ranks(a, b)
    };
    (0..ranks.len() * ranks.len()).into_par_iter().map(|i| pair(i).unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_asked_for_once() {
        let mut copies = vec![1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 1.0, 2.0, f32::NAN, 0.0, f32::NAN, 0.0];
        assert_eq!(drop_repeated(&mut copies, 2), [0, 0, 1, 2, 2, 3, 4]);
        assert_eq!(copies[..6], [1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
        assert_eq!(copies.len(), 10, "NaN is similar to nothing");
        assert_eq!(drop_repeated(&mut Vec::new(), 0), [0; 0]);
    }
}
