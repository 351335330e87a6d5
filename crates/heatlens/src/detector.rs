//! Object detection: decoding of boxes, confidence threshold and non-maximum suppression.

use crate::data::{Dataset, Resize};
use crate::explain::ExplainError;
use crate::model::head::Boxes;
use crate::model::program::ImageProgram;
use crate::model::{HeadKind, Model, ModelError};
use crate::predict::ImageResults;
use crate::run::Monitor;
use crate::target::seed_row;

/// Confidence threshold: boxes with a lower probability are dropped.
pub const SURE: f64 = 0.25;
/// Overlap above which the less confident of two boxes of the same class is dropped.
pub const OVERLAP: f64 = 0.45;
/// Maximum number of boxes per image, the most confident first.
const MOST: usize = 1000;
/// Coordinates up to this value are fractions of the image's sides; pixel coordinates exceed it somewhere in the image.
const SHARES: f32 = 2.0;

/// Object detected in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The class.
    pub class: usize,
    /// Probability of the class.
    pub confidence: f64,
    /// Left, top, right and bottom, in pixels of the model's input.
    pub bounds: [f64; 4],
    /// Index of the box among all boxes that the model outputs.
    pub place: usize,
}

impl Detection {
    /// Returns the bounds in pixels of an original image with these rows and columns, which was brought to the model's
    /// input size by `resize`.
    #[must_use]
    pub fn in_image(&self, original: [usize; 2], model: [usize; 2], resize: Resize) -> [f64; 4] {
        let [top, left, rows, columns] = resize.window(original, model);
        let (down, right) = (rows / model[0] as f64, columns / model[1] as f64);
        let [x0, y0, x1, y1] = self.bounds;
        let [h, w] = original.map(|side| side as f64);
        let (x, y) = (|x: f64| (left + x * right).clamp(0.0, w), |y: f64| (top + y * down).clamp(0.0, h));
        [x(x0), y(y0), x(x1), y(y1)]
    }
}

/// Objects detected in an image of a data set.
#[derive(Clone, Debug)]
pub struct ImageDetections {
    /// Rows and columns of the image.
    pub size: [usize; 2],
    /// Detections, each with left, top, right and bottom in pixels of the image; the most confident first.
    pub placed: Vec<(Detection, [f64; 4])>,
}

/// A compiled detector.
#[derive(Debug)]
pub struct Detector {
    program: ImageProgram,
    outputs: usize,
    places: usize,
    centred: Option<bool>,
    size: [usize; 2],
    resize: Resize,
}

impl Detector {
    /// Compiles the part of the model that computes the boxes.
    ///
    /// # Errors
    /// If the model is not a detector, or an operator has no kernel.
    pub fn new(model: &Model) -> Result<Self, ExplainError> {
        let found = model.head.dense.as_ref().and_then(|dense| Some((dense, dense.boxes.as_ref()?)));
        let Some((dense, Boxes { value, centred, .. })) = found else {
            let (kind, why) = (HeadKind::Detection.name(), "the model gives no boxes".to_owned());
            return Err(ModelError::Head { kind, why }.into());
        };
        let [_, h, w] = model.shape();
        Ok(Self {
            program: ImageProgram::compile(&model.graph, model.image, &[dense.confidence, *value])?,
            outputs: model.head.outputs,
            places: dense.places,
            centred: *centred,
            size: [h, w],
            resize: model.preprocessing.resize,
        })
    }

    /// Returns the detections in `n` images, given as `c*h*w` values each, the most confident first.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images of the model's size.
    pub fn detect(&self, pixels: &[f32], n: usize) -> Result<Vec<Vec<Detection>>, ExplainError> {
        let outputs = self.program.run(&[pixels], n)?;
        let scores = outputs[0].chunks_exact((self.outputs * self.places).max(1));
        let boxes = outputs[1].chunks_exact((4 * self.places).max(1));
        Ok(scores.zip(boxes).map(|(scores, boxes)| self.of_image(scores, boxes)).collect())
    }

    /// Returns the detections in every image of `data`. Unreadable images are reported to `monitor` immediately.
    ///
    /// # Errors
    /// If the images do not have the model's input size.
    pub fn of_images(
        &self,
        data: &dyn Dataset,
        monitor: &dyn Monitor,
    ) -> Result<ImageResults<ImageDetections>, ExplainError> {
        let place = |(item, found): (&usize, Vec<Detection>)| {
            let size = data.original_size(*item)?;
            let with_bounds = |d: Detection| {
                let bounds = d.in_image(size, self.size, self.resize);
                (d, bounds)
            };
            Ok(ImageDetections { size, placed: found.into_iter().map(with_bounds).collect() })
        };
        ImageResults::collect(data, monitor, |batch| {
            let found = self.detect(&batch.pixels(), batch.items.len())?;
            batch.items.iter().zip(found).map(place).collect()
        })
    }

    /// Returns the target rows of the detections of these ranks (from 1): seed and places for each image. Zeros if an
    /// image has no such detection.
    pub(crate) fn rows(
        &self,
        pixels: &[f32],
        n: usize,
        ranks: &[usize],
    ) -> Result<Vec<Vec<f32>>, ExplainError> {
        let found = self.detect(pixels, n)?;
        let row = |found: Option<&Detection>| {
            let mut row = found.map_or_else(|| vec![0.0; self.outputs], |d| seed_row(self.outputs, d.class));
            row.resize(self.outputs + self.places, 0.0);
            if let Some(detection) = found {
                row[self.outputs + detection.place] = 1.0;
            }
            row
        };
        let rows = |&rank: &usize| found.iter().flat_map(|of| row(of.get(rank - 1))).collect();
        Ok(ranks.iter().map(rows).collect())
    }

    fn of_image(&self, scores: &[f32], boxes: &[f32]) -> Vec<Detection> {
        let mut found: Vec<Detection> = Vec::new();
        let form = Form::of(boxes, self.places, self.centred, self.size);
        for place in 0..self.places {
            let of = |class: usize| scores[class * self.places + place];
            let best =
                (0..self.outputs).reduce(|best, class| if of(class) > of(best) { class } else { best });
            let Some(class) = best else { continue };
            let confidence = 1.0 / (1.0 + (-f64::from(of(class))).exp());
            if confidence >= SURE {
                // A single score separates "object" (class 1) from "no object".
                let class = if self.outputs == 1 { 1 } else { class };
                found.push(Detection {
                    class,
                    confidence,
                    bounds: form.bounds(boxes, self.places, place),
                    place,
                });
            }
        }
        found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        found.truncate(MOST);
        let mut kept: Vec<Detection> = Vec::new();
        for detection in found {
            let same = |other: &&Detection| other.class == detection.class;
            if kept.iter().filter(same).all(|other| overlap(&other.bounds, &detection.bounds) <= OVERLAP) {
                kept.push(detection);
            }
        }
        kept
    }
}

/// Interpretation of the four numbers of a box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    centred: bool,
    /// Factors that convert them to pixels, across and down.
    scale: [f64; 2],
}

impl Form {
    /// Infers the format. Corners are ordered in every box; width and height exceed the centre's coordinates only near
    /// two sides of the image.
    pub(crate) fn of(boxes: &[f32], places: usize, centred: Option<bool>, [h, w]: [usize; 2]) -> Self {
        let ordered = (0..places)
            .all(|p| boxes[2 * places + p] >= boxes[p] && boxes[3 * places + p] >= boxes[places + p]);
        let shares = boxes.iter().all(|v| v.abs() <= SHARES);
        let scale = if shares { [w as f64, h as f64] } else { [1.0, 1.0] };
        Self { centred: centred.unwrap_or(!ordered), scale }
    }

    pub(crate) fn bounds(self, boxes: &[f32], places: usize, place: usize) -> [f64; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|side| f64::from(boxes[side * places + place]));
        let [across, down] = self.scale;
        let [x0, y0, x1, y1] = match self.centred {
            true => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            false => [a, b, c, d],
        };
        [x0 * across, y0 * down, x1 * across, y1 * down]
    }
}

/// Returns the intersection over union of two boxes.
pub(crate) fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |b: &[f64; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let shared = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let all = area(a) + area(b) - shared;
    if all > 0.0 { shared / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_shared_over_covered() {
        let unit = [0.0, 0.0, 2.0, 2.0];
        assert!((overlap(&unit, &[1.0, 0.0, 3.0, 2.0]) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!((overlap(&unit, &unit), overlap(&unit, &[2.0, 0.0, 3.0, 1.0])), (1.0, 0.0));
    }

    #[test]
    fn corners_and_shares_are_told_from_the_numbers() {
        // Two boxes: as centre and size, as corners, and both as fractions of an image with 10 rows and 20 columns.
        let form = |boxes: &[f32], centred| Form::of(boxes, 2, centred, [10, 20]);
        let centres = [5.0, 15.0, 5.0, 5.0, 4.0, 6.0, 2.0, 8.0];
        assert_eq!(form(&centres, None).bounds(&centres, 2, 0), [3.0, 4.0, 7.0, 6.0]);
        let corners = [3.0, 12.0, 4.0, 1.0, 7.0, 18.0, 6.0, 9.0];
        assert_eq!(form(&corners, None).bounds(&corners, 2, 1), [12.0, 1.0, 18.0, 9.0]);
        let shares: Vec<f32> = [0.25, 0.75, 0.5, 0.5, 0.2, 0.3, 0.2, 0.8].to_vec();
        let found = form(&shares, None).bounds(&shares, 2, 0);
        for (found, expected) in found.iter().zip([3.0, 4.0, 7.0, 6.0]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
