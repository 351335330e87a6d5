//! Scores of classes at many places: the pixels of a segmentation, the boxes of a detection.
//!
//! They are reduced to one score per class by weighting the places: the pixels predicted as the class, one pixel, a
//! mask, or the most confident box. The weights are determined once, on the unchanged image, and stored with the target
//! (see [`target`](crate::target)): a perturbed image is scored at the same places.

use std::sync::Arc;

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::{Builder, Dim, Graph, GraphError, Shape, Tensor, ValueId};

use super::Boxes;
use crate::model::ModelError;
use crate::target::one_hot_of_largest;

type Built = Result<ValueId, GraphError>;

/// Lower bound of a class's share of the image; no image has enough pixels for a smaller non-zero share.
const NOTHING: f32 = 1e-9;
/// Amount subtracted from the logarithm of the background's share. It ranks the background below every class with a
/// pixel and above every class without one.
pub(crate) const BACKGROUND_STEP: f32 = 20.0;

/// Places that count towards the score.
#[derive(Clone, Debug, PartialEq)]
pub enum Region {
    /// The places predicted as the class.
    Predicted,
    /// The place where the class is most confident.
    Surest,
    /// Fixed weights, one per place, whatever is predicted.
    Fixed(Arc<[f32]>),
}

/// Scores of classes at many places.
#[derive(Clone, Debug)]
pub struct Dense {
    /// Explained scores, N×K×P.
    pub(crate) scores: ValueId,
    /// Log odds of the classes, N×K×P, by which the most confident place is chosen.
    pub(crate) confidence: ValueId,
    /// Number of places, P.
    pub places: usize,
    /// Rows and columns of the places, if they are pixels.
    pub grid: Option<[usize; 2]>,
    /// The boxes, if the places are boxes.
    pub(crate) boxes: Option<Boxes>,
    /// True if each place belongs to one class only.
    pub exclusive: bool,
    /// Places that count towards the score.
    pub region: Region,
    /// True if the scores of the places are summed; otherwise they are averaged.
    pub sum: bool,
    /// Background class, which covers everything that is not another class.
    pub background: Option<usize>,
}

impl Dense {
    /// Appends a mask of the places predicted as each class, 0 or 1, N×K×P.
    fn hits(&self, b: &mut Builder<'_>) -> Built {
        let hit = if self.exclusive {
            let top = b.reduce(ReduceFunction::Max, self.scores, &[1], true)?;
            b.binary(BinaryFunction::GreaterOrEqual, self.scores, top)?
        } else {
            b.is_positive(self.scores)?
        };
        let (one, zero) = (b.scalar(1.0), b.scalar(0.0));
        b.apply(Where, &[hit, one, zero])
    }

    /// Appends each class's share of the places as logits, N×K: their softmax (or their sigmoids, if classes are not
    /// exclusive) gives the shares.
    ///
    /// # Errors
    /// If the graph is too large.
    pub(super) fn shares(&self, b: &mut Builder<'_>) -> Built {
        let hits = self.hits(b)?;
        let share = b.mean(hits, &[2], false)?;
        let share = b.apply(Clip { min: NOTHING, max: 1.0 }, &[share])?;
        let log = b.unary(UnaryFunction::Log, share)?;
        if self.exclusive {
            return Ok(log);
        }
        let one = b.scalar(1.0);
        let others = b.sub(one, share)?;
        let others = b.apply(Clip { min: NOTHING, max: 1.0 }, &[others])?;
        let others = b.unary(UnaryFunction::Log, others)?;
        b.sub(log, others)
    }

    /// Appends the log odds of the most confident place of each class, N×K.
    ///
    /// # Errors
    /// If the graph is too large.
    pub(super) fn surest(&self, b: &mut Builder<'_>) -> Built {
        b.reduce(ReduceFunction::Max, self.confidence, &[2], false)
    }

    /// Appends the weight of each place, N×P, for the class selected by `seed` (one-hot, N×K or 1×K).
    ///
    /// # Errors
    /// If the seed has another number of classes.
    pub(crate) fn weights(&self, b: &mut Builder<'_>, samples: Dim, seed: ValueId) -> Built {
        let weights = match &self.region {
            Region::Fixed(weights) => {
                let weights = b.constant(Tensor::f32(&[1, self.places], weights.to_vec()));
                b.expand(weights, Shape(vec![samples, Dim::Fixed(self.places)]))?
            }
            Region::Surest => {
                // With a single score, both classes have the same place.
                let seed = b.unary(UnaryFunction::Abs, seed)?;
                let mut shape = b.shape(seed).0;
                shape.push(Dim::Fixed(1));
                let seed = b.reshape(seed, Shape(shape))?;
                let own = b.mul(self.confidence, seed)?;
                let own = b.sum(own, &[1], false)?;
                one_hot_of_largest(b, own)?
            }
            Region::Predicted => {
                let mut shape = b.shape(seed).0;
                shape.push(Dim::Fixed(1));
                let seed = b.reshape(seed, Shape(shape))?;
                let hits = self.hits(b)?;
                let of_class = b.mul(hits, seed)?;
                b.sum(of_class, &[1], false)?
            }
        };
        if self.sum {
            return Ok(weights);
        }
        let (count, one) = (b.sum(weights, &[1], true)?, b.scalar(1.0));
        // Without any predicted place the score is 0. A mask may hold fractions.
        let count = match self.region {
            Region::Predicted => b.binary(BinaryFunction::Max, count, one)?,
            Region::Fixed(_) | Region::Surest => count,
        };
        b.div(weights, count)
    }

    /// Appends the score of each class, N×K, with places weighted by `weights` (N×P).
    ///
    /// # Errors
    /// If the number of weights differs from the number of places.
    pub(crate) fn weighed(&self, b: &mut Builder<'_>, weights: ValueId, probability: bool) -> Built {
        let mut scores = self.scores;
        if probability {
            scores = match self.exclusive {
                true => b.apply(Softmax { axis: 1, log: false }, &[scores])?,
                false => b.unary(UnaryFunction::Sigmoid, scores)?,
            };
        }
        let mut column = b.shape(weights).0;
        column.push(Dim::Fixed(1));
        let column = b.reshape(weights, Shape(column))?;
        let product = b.matmul(scores, column)?;
        let mut shape = b.shape(product).0;
        shape.truncate(2);
        b.reshape(product, Shape(shape))
    }

    /// The number of the level that a place belongs to; 0 where there are no levels.
    pub(crate) fn level(&self, place: usize) -> usize {
        let levels = self.boxes.as_ref().map_or(&[][..], |boxes| &boxes.levels);
        levels.iter().position(|(range, _)| range.contains(&place)).unwrap_or(0)
    }

    /// Returns the region of the pixel `row`, `column` of an image with this height and width.
    pub(crate) fn pixel(&self, [row, column]: [usize; 2], image: [usize; 2]) -> Result<Region, ModelError> {
        let [h, w] = image;
        if row >= h || column >= w {
            return Err(region(format!("at:{row},{column} lies outside the model's {h}×{w} pixels")));
        }
        let [rows, columns] = self.pixels()?;
        let mut weights = vec![0.0; self.places];
        weights[row * rows / h * columns + column * columns / w] = 1.0;
        Ok(Region::Fixed(weights.into()))
    }

    fn pixels(&self) -> Result<[usize; 2], ModelError> {
        self.grid.ok_or_else(|| region("the places of a detection are boxes, not pixels".to_owned()))
    }

    /// Returns a copy that explains the position of one side of the box instead of its class.
    ///
    /// # Errors
    /// If the places are pixels, or the format of the boxes is unknown.
    pub(crate) fn of_side(&self, graph: &mut Graph, side: usize) -> Result<Self, ModelError> {
        let Some(Boxes { value, centred: Some(centred), .. }) = self.boxes else {
            return Err(region("only boxes in a known format have sides".to_owned()));
        };
        let mut b = Builder::new(graph, "side");
        self.side(&mut b, value, centred, side).map_err(ModelError::Graph)
    }

    fn side(
        &self,
        b: &mut Builder<'_>,
        boxes: ValueId,
        centred: bool,
        side: usize,
    ) -> Result<Self, GraphError> {
        let row = |b: &mut Builder<'_>, start| b.apply(Slice { axis: 1, start, len: 1, step: 1 }, &[boxes]);
        let mut at = row(b, if centred { side % 2 } else { side })?;
        if centred {
            let half = row(b, 2 + side % 2)?;
            let half = b.scale(half, if side < 2 { -0.5 } else { 0.5 })?;
            at = b.add(at, half)?;
        }
        let scores = b.expand(at, b.shape(self.scores))?;
        let boxes = self.boxes.clone().map(|boxes| Boxes { side: true, ..boxes });
        Ok(Self { scores, boxes, ..self.clone() })
    }

    /// Returns the places covered by a mask with this height and width, each weighted by the covered share.
    pub(crate) fn mask(&self, mask: &[f32], [h, w]: [usize; 2]) -> Result<Region, ModelError> {
        let [rows, columns] = self.pixels()?;
        let mut weights = vec![0.0; self.places];
        for (i, value) in mask.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            weights[(i / w * rows / h) * columns + i % w * columns / w] += value;
        }
        let largest = weights.iter().copied().fold(0.0, f32::max);
        if !(largest > 0.0 && largest.is_finite()) {
            return Err(region("the mask covers no pixel".to_owned()));
        }
        weights.iter_mut().for_each(|weight| *weight /= largest);
        Ok(Region::Fixed(weights.into()))
    }
}

fn region(why: String) -> ModelError {
    ModelError::Region(why)
}
