//! D-RISE: randomized input sampling for the boxes of a detector.

use crate::detector::{Form, overlap};
use crate::method::multi_pass::TargetProgram;
use crate::method::parts::RandomMasks;
use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, PassCount, PassInput, Work};
use crate::model::{Activation, Dense, Head};

/// Registry entry. The paper's map is Σ wᵢMᵢ; like RISE's, it has one level wherever nothing matters, which subtracting
/// the mean weight of the masks that hide a position removes. `--compat` gives Σ wᵢMᵢ ÷ (p·N).
pub(super) static D_RISE: Method = Method {
    id: "d_rise",
    title: "D-RISE",
    summary: "how much better a detector finds the box again where random masks leave a place visible than where they hide it",
    formula: "Σᵢ wᵢMᵢ ÷ Σᵢ Mᵢ − Σᵢ wᵢ(1 − Mᵢ) ÷ Σᵢ (1 − Mᵢ), wᵢ = maxⱼ IoU(L, Lⱼ) · cos(P, Pⱼ) · Oⱼ over all boxes j of x ⊙ Mᵢ, with Mᵢ as in RISE, L a box, P its class probabilities, O its objectness (1 if the network has none)",
    paper: "Petsiuk et al. 2021, Black-box Explanation of Object Detectors via Saliency Maps, CVPR",
    cost: "1 forward pass, and as many as masks (5000)",
    sanity: "not tested here; it sees the model only through its boxes and their scores",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some(
        "noisy: the error falls with the root of the number of masks; without objectness, a box counts however improbable it is",
    ),
    parameters: &[RandomMasks::masks(5000), RandomMasks::grid(16), RandomMasks::PROBABILITY],
    work: Work::Passes(prepare),
};

/// Source of the probability that a box holds an object.
#[derive(Clone, Copy, Debug)]
enum Objectness {
    /// A further output of the network.
    Output,
    /// The sum of the class probabilities, which is less than 1 by the probability of "no object"; or the only class.
    Classes,
    /// None: one independent probability for each class.
    Absent,
}

impl Objectness {
    fn of(head: &Head, has_output: bool) -> Self {
        if has_output {
            Self::Output
        } else if head.activation == Activation::Softmax || head.outputs == 1 {
            Self::Classes
        } else {
            Self::Absent
        }
    }
}

#[derive(Debug)]
struct DRise {
    /// Log odds of the classes, boxes, and log odds of the objectness if it is an output.
    boxes: TargetProgram,
    objectness: Objectness,
    classes: usize,
    places: usize,
    centred: Option<bool>,
    masks: RandomMasks,
}

/// The explained box.
struct Wanted {
    form: Form,
    bounds: [f64; 4],
    /// Class probabilities as vectors of length 1, each with the weight of its similarity.
    classes: Vec<(f64, Vec<f64>)>,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let head = &context.model.head;
    let Some((Dense { confidence, places, .. }, boxes)) =
        head.dense.as_ref().and_then(|dense| Some((dense, dense.boxes.as_ref()?)))
    else {
        return Err(D_RISE.not_applicable(format!(
            "it explains the boxes of a detector, and this model has none (its head: {}); `rise` is the same for the \
             score of a class",
            head.kind.name()
        )));
    };
    if boxes.side {
        return Err(D_RISE.not_applicable("it explains a box as a whole: leave out --region"));
    }
    let outputs: Vec<_> = [*confidence, boxes.value].into_iter().chain(boxes.objectness).collect();
    Ok(Box::new(DRise {
        boxes: context.program(|_| Ok(outputs))?,
        objectness: Objectness::of(head, boxes.objectness.is_some()),
        classes: head.outputs,
        places: *places,
        centred: boxes.centred,
        masks: RandomMasks::new(context)?,
    }))
}

impl DRise {
    /// Returns the explained box as found in the unmasked image; `None` if the target has no box.
    fn wanted(&self, input: &PassInput<'_>) -> Result<Option<Wanted>, MethodError> {
        let (seed, weights) = input.target.split_at(self.classes);
        let Some(place) = weights.iter().position(|&weight| weight > 0.0) else { return Ok(None) };
        let outputs = self.boxes.run(input.pixels, 1, input)?;
        let form = Form::of(&outputs[1], self.places, self.centred, self.masks.size());
        let own = self.probabilities(&outputs[0], place);
        let chosen = seed.iter().enumerate().filter(|(_, weight)| **weight != 0.0);
        Ok(Some(Wanted {
            form,
            bounds: form.bounds(&outputs[1], self.places, place),
            classes: chosen.map(|(class, &weight)| (f64::from(weight), direction(&own, class))).collect(),
        }))
    }

    /// Returns the probabilities of the classes at a place.
    fn probabilities(&self, scores: &[f32], place: usize) -> Vec<f64> {
        (0..self.classes).map(|class| sigmoid(scores[class * self.places + place])).collect()
    }

    /// Returns the similarity of the explained box with the most similar one among the outputs for an image.
    fn similarity(&self, wanted: &Wanted, outputs: &[&[f32]]) -> f64 {
        let of = |(weight, classes): &(f64, Vec<f64>)| weight * self.nearest(wanted, classes, outputs);
        wanted.classes.iter().map(of).sum()
    }

    fn nearest(&self, wanted: &Wanted, classes: &[f64], outputs: &[&[f32]]) -> f64 {
        let mut best = 0.0_f64;
        for place in 0..self.places {
            let shared = overlap(&wanted.bounds, &wanted.form.bounds(outputs[1], self.places, place));
            // The other factors are at most 1.
            if shared > best {
                let own = self.probabilities(outputs[0], place);
                let objectness = match self.objectness {
                    Objectness::Output => sigmoid(outputs[2][place]),
                    Objectness::Classes => own.iter().sum(),
                    Objectness::Absent => 1.0,
                };
                best = best.max(shared * dot(classes, &unit(own)) * objectness);
            }
        }
        best
    }
}

impl MultiPass for DRise {
    fn shape(&self) -> Vec<usize> {
        self.masks.size().to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::forward(self.masks.count() + 1)
    }

    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        match self.wanted(input)? {
            Some(wanted) => self.masks.map(&self.boxes, input, &|outputs| self.similarity(&wanted, outputs)),
            None => Ok(vec![0.0; self.shape().iter().product()]),
        }
    }
}

/// Returns the class probabilities to look for, as a vector of length 1: those of the box, or certainty of `class` if
/// another class is more probable.
fn direction(own: &[f64], class: usize) -> Vec<f64> {
    if own.iter().all(|&p| p <= own[class]) {
        return unit(own.to_vec());
    }
    (0..own.len()).map(|k| if k == class { 1.0 } else { 0.0 }).collect()
}

fn sigmoid(z: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(z)).exp())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Scales a vector to length 1; 0 stays 0.
fn unit(mut v: Vec<f64>) -> Vec<f64> {
    let length = dot(&v, &v).sqrt();
    if length > 0.0 {
        v.iter_mut().for_each(|x| *x /= length);
    }
    v
}
