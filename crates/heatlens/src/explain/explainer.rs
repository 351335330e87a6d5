//! Compiled explanations.

use heatlens_cpu::StepTime;

use crate::bilinear::Enlargement;
use crate::detector::Detector;
use crate::explain::assembly::Assembly;
use crate::explain::map_spec::{self, MapSource, MapSpec};
use crate::explain::{
    Attribution, Compat, ExplainError, ExplainOptions, Focus, Fusion, ImageAttributions, ZeroMap, smoothing,
    tensors,
};
use crate::method::{MultiPass, PassInput, Stop};
use crate::model::program::ImageProgram;
use crate::model::{Layer, Model, ModelError};
use crate::target::{self, Class, Target};

/// Compiled explanation program of one model.
#[derive(Debug)]
pub struct Explainer {
    model: Model,
    program: ImageProgram,
    /// Program that computes the targets, if copies of the images are explained or classes are given.
    targets: Option<ImageProgram>,
    pub(super) augment: bool,
    pub(super) passes: Vec<Box<dyn MultiPass>>,
    /// Maps that are computed.
    pub(super) parts: Vec<MapSpec>,
    /// Maps that are returned; `made_of` lists the parts of each.
    maps: Vec<MapSpec>,
    made_of: Vec<Vec<usize>>,
    /// For each map, the parts of a detector's levels; the part of the level with the box is returned.
    levels: Option<Vec<Vec<usize>>>,
    /// Detector of the boxes to explain, and their ranks.
    detector: Option<(Detector, Vec<usize>)>,
    /// The output of a detector's boxes.
    boxes: Option<usize>,
    at_least: Option<f64>,
    fusion: Option<Fusion>,
    compat: Option<Compat>,
    tensors: Option<tensors::Ports>,
    notes: Vec<String>,
}

impl Explainer {
    /// Builds and compiles the program.
    ///
    /// # Errors
    /// If a method does not apply (and must not be skipped), a class does not exist, or an
    /// operator of the model has no kernel.
    pub fn new(model: &Model, options: &ExplainOptions) -> Result<Self, ExplainError> {
        let (mut assembly, layers) = Assembly::new(model, options)?;
        // The tensors' weights are those of the dense layer, if there is one, at the layer it averages over.
        let pooled = assembly.pooled.clone();
        let tensors = match (options.tensors, pooled.as_ref().or(layers.first())) {
            (true, Some(layer)) => Some(assembly.add_tensors(model, options, layer)?),
            (true, None) => Some(assembly.add_tensors(model, options, &model.default_layer()?)?),
            _ => None,
        };
        let program = ImageProgram::compile(&assembly.graph, model.image, &assembly.outputs)?;
        let targets = match &assembly.targets {
            Some(aims) => Some(ImageProgram::compile(&aims.graph, model.image, &aims.outputs)?),
            None => None,
        };
        let Assembly { maps: parts, boxes, passes, notes, by_level, .. } = assembly;
        let (maps, made_of) = map_spec::shown(&parts, options, model, by_level);
        let (levels, made_of) = match by_level {
            true => (Some(made_of), (0..maps.len()).map(|map| vec![map]).collect()),
            false => (None, made_of),
        };
        let detector = match options.target {
            Target::Detection(rank) => Some((Detector::new(model)?, vec![rank])),
            Target::Detections(count) => Some((Detector::new(model)?, (1..=count).collect())),
            _ => None,
        };
        Ok(Self {
            model: model.clone(),
            program,
            targets,
            augment: options.augment,
            passes,
            parts,
            maps,
            made_of,
            levels,
            detector,
            boxes,
            at_least: options.at_least,
            fusion: options.fusion,
            compat: options.compat,
            tensors,
            notes,
        })
    }

    /// Returns the maps that [`explain`](Self::explain) computes for each image, in order.
    #[must_use]
    pub fn maps(&self) -> &[MapSpec] {
        &self.maps
    }

    /// Returns the model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the layer of the intermediate tensors, if they are requested.
    #[must_use]
    pub fn tensors_layer(&self) -> Option<&Layer> {
        self.tensors.as_ref().map(tensors::Ports::layer)
    }

    /// Returns notes on methods and options that were omitted, with the reasons.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the explainer with further notes before the existing ones.
    pub(crate) fn with_notes_before(mut self, notes: Vec<String>) -> Self {
        self.notes.splice(0..0, notes);
        self
    }

    /// Explains `n` preprocessed images, given as `c*h*w` values each.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images of the model's size.
    pub fn explain(&self, pixels: &[f32], n: usize) -> Result<Vec<ImageAttributions>, ExplainError> {
        self.explain_until(pixels, n, &|| false)
    }

    /// Explains images as [`explain`](Self::explain) does, but asks `stop` before each batch of passes.
    ///
    /// # Errors
    /// As for `explain`, and [`MethodError::Stopped`](crate::method::MethodError::Stopped) if `stop` returns true.
    pub fn explain_until(
        &self,
        pixels: &[f32],
        n: usize,
        stop: &Stop<'_>,
    ) -> Result<Vec<ImageAttributions>, ExplainError> {
        let targets = self.targets(pixels, n)?;
        let mut explained = self.run(pixels, &targets, n, stop)?;
        if self.augment {
            self.smooth(&mut explained, pixels, &targets, n, stop)?;
        }
        explained.iter_mut().for_each(|explanation| self.finish(explanation));
        Ok(explained)
    }

    /// Explains the score of class `classes[i]` for image i, whatever the model predicts. The explainer must have been
    /// created with `classes_given` and a single target without `against`. `stop` is asked before each batch of passes.
    ///
    /// # Errors
    /// If a class does not exist, if `pixels` does not hold one image per class, or if `stop` returns true.
    pub fn explain_for(
        &self,
        pixels: &[f32],
        classes: &[usize],
        stop: &Stop<'_>,
    ) -> Result<Vec<ImageAttributions>, ExplainError> {
        let (head, n) = (&self.model.head, classes.len());
        if let Some(&class) = classes.iter().find(|&&class| class >= head.classes()) {
            let (name, classes) = (class.to_string(), self.model.class_names.clone());
            return Err(ModelError::UnknownClass { name, classes }.into());
        }
        let seeds: Vec<f32> =
            classes.iter().flat_map(|&class| target::seed_row(head.outputs, class)).collect();
        let targets = match self.targets.as_ref().filter(|_| head.dense.is_some()) {
            Some(program) => program.run(&[pixels, &seeds], n)?,
            None => vec![seeds],
        };
        let mut explained = self.run(pixels, &targets, n, stop)?;
        for (explanation, &class) in explained.iter_mut().zip(classes) {
            self.finish(explanation);
            explanation.attributions.iter_mut().for_each(|a| a.class = class);
        }
        Ok(explained)
    }

    /// Returns the time of each kernel of the shared program for `n` images, without the passes of methods that make
    /// many.
    ///
    /// # Errors
    /// As for [`explain`](Self::explain).
    pub fn profile(&self, pixels: &[f32], n: usize) -> Result<Vec<StepTime>, ExplainError> {
        let targets = self.targets(pixels, n)?;
        Ok(self.program.profile(&feeds(pixels, &targets), n)?)
    }

    /// Returns the targets of the images, if they are inputs of the program.
    fn targets(&self, pixels: &[f32], n: usize) -> Result<Vec<Vec<f32>>, ExplainError> {
        if let Some((detector, ranks)) = &self.detector {
            return detector.rows(pixels, n, ranks);
        }
        Ok(self.targets.as_ref().map(|program| program.run(&[pixels], n)).transpose()?.unwrap_or_default())
    }

    /// Returns the buffer size per image of the shared program, in bytes, without weights.
    #[must_use]
    pub fn bytes_per_image(&self) -> u128 {
        self.program.bytes_per_image()
    }

    /// Runs the program on images, possibly modified copies, for the targets of the originals.
    fn run(
        &self,
        pixels: &[f32],
        targets: &[Vec<f32>],
        n: usize,
        stop: &Stop<'_>,
    ) -> Result<Vec<ImageAttributions>, ExplainError> {
        let outputs = self.program.run(&feeds(pixels, targets), n)?;
        let images = pixels.chunks(pixels.len().max(1) / n.max(1));
        images.enumerate().map(|(i, image)| self.explanation(&outputs, image, [n, i], stop)).collect()
    }

    /// Averages the maps over modified copies of the images.
    fn smooth(
        &self,
        explained: &mut [ImageAttributions],
        pixels: &[f32],
        targets: &[Vec<f32>],
        n: usize,
        stop: &Stop<'_>,
    ) -> Result<(), ExplainError> {
        let [_, _, width] = self.model.shape();
        let mut count = 1.0;
        for copy in smoothing::copies() {
            count += 1.0;
            let parts = self.run(&copy.make(pixels, width), targets, n, stop)?;
            for (total, part) in explained.iter_mut().zip(parts) {
                for (total, mut part) in total.attributions.iter_mut().zip(part.attributions) {
                    copy.put_back(&mut part);
                    total.values.iter_mut().zip(part.values).for_each(|(sum, v)| *sum += v);
                }
            }
        }
        for attribution in explained.iter_mut().flat_map(|e| &mut e.attributions) {
            let mean = attribution.values.iter().map(|v| v / count).collect();
            attribution.replace(attribution.shape.clone(), mean);
        }
        Ok(())
    }

    /// Combines the computed parts into the maps that are returned.
    fn finish(&self, explanation: &mut ImageAttributions) {
        let parts = std::mem::take(&mut explanation.attributions);
        for (spec, made_of) in self.maps.iter().zip(&self.made_of) {
            let of: Vec<&Attribution> = made_of.iter().filter_map(|&part| parts.get(part)).collect();
            let Some(&first) = of.first() else { continue };
            let mut map = first.clone();
            if let (Some(fusion), true) = (self.fusion, of.len() > 1) {
                map.layer = None;
                map.placement = spec.placement;
                map.replace(spec.shape.clone(), fusion.fuse(&of));
            }
            if let (Some(compat), true) = (self.compat, map.is_layer_map()) {
                let [_, h, w] = self.model.shape();
                let values = compat.apply(spec.method.id, &map.shape, &map.values, [h, w]);
                map.placement = spec.placement;
                map.replace(spec.shape.clone(), values);
            }
            explanation.attributions.push(map);
        }
    }

    /// True if images need many passes each, so that it is best to explain them one at a time.
    #[must_use]
    pub fn takes_passes(&self) -> bool {
        self.passes.iter().any(|passes| passes.is_long())
    }

    /// True if a single run of a program explains an image: no method makes passes of its own.
    #[must_use]
    pub fn is_single_run(&self) -> bool {
        self.passes.is_empty() && !self.augment
    }

    fn explanation(
        &self,
        outputs: &[Vec<f32>],
        pixels: &[f32],
        [n, i]: [usize; 2],
        stop: &Stop<'_>,
    ) -> Result<ImageAttributions, ExplainError> {
        let of_sample = |output: usize| {
            let all = &outputs[output];
            let len = all.len() / n;
            &all[i * len..(i + 1) * len]
        };
        let (head, [_, h, w]) = (&self.model.head, self.model.shape());
        let logits = of_sample(0).to_vec();
        let probabilities = head.probabilities(&logits);
        let attribution = |spec: &MapSpec| {
            let probes = spec.probes.map(|probes| probes.map(|output| of_sample(output)[0]));
            let values = match spec.source {
                MapSource::Output(output) => of_sample(output).to_vec(),
                MapSource::Passes { number, target } => {
                    self.passes[number].explain(&PassInput { pixels, target: of_sample(target), stop })?
                }
            };
            let mut class = spec.goal.class.of(head, &logits);
            if let Some(seed) = spec.seed {
                let given = of_sample(seed).iter().position(|&part| part != 0.0);
                class = given.map_or(class, |given| if head.is_binary() { 1 } else { given });
            }
            let mut map = Attribution::new(spec, class, values, probes);
            if let (Some(dense), Some(places)) = (&head.dense, spec.places) {
                map.focus = Focus::new(dense, of_sample(places), self.boxes.map(of_sample), [h, w]);
                map.zero = if map.focus.is_some() { map.zero } else { Some(ZeroMap::NoPlace) };
            }
            if let (Class::Number(class), Some(least)) = (spec.goal.class, self.at_least)
                && probabilities.get(class).is_some_and(|p| *p <= least)
            {
                map.zero = Some(ZeroMap::BelowThreshold);
            }
            Ok(map)
        };
        let mut attributions =
            self.parts.iter().map(attribution).collect::<Result<Vec<_>, ExplainError>>()?;
        if let Some(levels) = &self.levels {
            let owned = |(map, parts): (&MapSpec, &Vec<usize>)| {
                let place = of_sample(map.places?).iter().position(|&share| share > 0.0).unwrap_or(0);
                let own = head.dense.as_ref().map_or(0, |dense| dense.level(place));
                let part = parts.get(own).or(parts.first()).and_then(|&part| attributions.get(part))?;
                Some(enlarged(part.clone(), map))
            };
            attributions = self.maps.iter().zip(levels).filter_map(owned).collect();
        }
        Ok(ImageAttributions {
            predicted: head.predicted(&logits),
            probabilities,
            attributions,
            tensors: self.tensors.as_ref().map(|ports| ports.read(of_sample)),
            logits,
        })
    }
}

/// Returns the map of one of several layers, resized to their common size.
fn enlarged(mut part: Attribution, to: &MapSpec) -> Attribution {
    if let (&[h, w], &[rows, columns]) = (part.shape.as_slice(), to.shape.as_slice())
        && [h, w] != [rows, columns]
    {
        let large = Enlargement::between(([h, w], &part.placement), ([rows, columns], &to.placement));
        let (zero, values) = (part.zero, large.apply(&part.values));
        part.replace(to.shape.clone(), values);
        (part.placement, part.zero) = (to.placement, zero);
    }
    part
}

/// Returns the inputs of the shared program.
fn feeds<'a>(pixels: &'a [f32], targets: &'a [Vec<f32>]) -> Vec<&'a [f32]> {
    std::iter::once(pixels).chain(targets.iter().map(Vec::as_slice)).collect()
}
