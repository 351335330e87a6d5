//! Scores of classes at many places: the pixels of a segmentation, the boxes of a detection.
//!
//! One score for each class comes of them once it is said which places count, and how much: the pixels that are predicted
//! to be of the class, one pixel, a mask, the surest box. Which places count is found out once, on the image as it is, and goes along with the
//! target (see [`target`](crate::target)): a changed image is asked about the same places.

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

/// A class that covers less of an image than this covers nothing: no image has so many pixels.
const NOTHING: f32 = 1e-9;
/// What is taken off the logarithm of the background's share: every class with a pixel is above it then, and it is above those
/// that have none.
pub(crate) const BACKGROUND_STEP: f32 = 20.0;

/// Which places count.
#[derive(Clone, Debug, PartialEq)]
pub enum Region {
    /// Those that are predicted to be of the class.
    Predicted,
    /// The one that is surest to be of the class.
    Surest,
    /// These, whatever is predicted: one number for each place.
    Fixed(Arc<[f32]>),
}

/// Scores at places.
#[derive(Clone, Debug)]
pub struct Dense {
    /// The scores that are explained, N×K×P.
    pub(crate) scores: ValueId,
    /// The log odds of the classes, N×K×P, by which the surest place is chosen.
    pub(crate) confidence: ValueId,
    /// Number of places, P.
    pub places: usize,
    /// Rows and columns of the places, if they are pixels.
    pub grid: Option<[usize; 2]>,
    /// The boxes, if the places stand for boxes.
    pub(crate) boxes: Option<Boxes>,
    /// Whether each place is of one class alone.
    pub exclusive: bool,
    /// Which places count.
    pub region: Region,
    /// Whether the scores of the places are added up; their mean is taken otherwise.
    pub sum: bool,
    /// The class that stands for everything else.
    pub background: Option<usize>,
}

impl Dense {
    /// Appends which places are predicted to be of which class, 0 or 1, N×K×P.
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

    /// Appends the share of places that each class has, as logits: a softmax (or sigmoids, where classes do not exclude each
    /// other) of them are the shares. N×K.
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

    /// Appends the log odds of the surest place of each class, N×K.
    ///
    /// # Errors
    /// If the graph is too large.
    pub(super) fn surest(&self, b: &mut Builder<'_>) -> Built {
        b.reduce(ReduceFunction::Max, self.confidence, &[2], false)
    }

    /// Appends how much each place counts for the class that `seed` (N×K or 1×K, one-hot) names, N×P.
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
                // One score tells a class from nothing, which has the same place.
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
        // No place leaves a score of 0. A mask may hold fractions.
        let count = match self.region {
            Region::Predicted => b.binary(BinaryFunction::Max, count, one)?,
            Region::Fixed(_) | Region::Surest => count,
        };
        b.div(weights, count)
    }

    /// Appends the score of each class where places count as `weights` (N×P) says, N×K.
    ///
    /// # Errors
    /// If there is another number of weights than of places.
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

    /// Where the pixel `row`, `column` of an image of this height and width lies.
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

    /// The same, explaining where a side of the box lies and not its class, if the places are boxes.
    ///
    /// # Errors
    /// If they are pixels, or it is not known how boxes are written.
    pub(crate) fn of_side(&self, graph: &mut Graph, side: usize) -> Result<Self, ModelError> {
        let Some(Boxes { value, centred: Some(centred), .. }) = self.boxes else {
            return Err(region("only boxes of known form have sides".to_owned()));
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
        Ok(Self { scores, ..self.clone() })
    }

    /// The places that a mask of these rows and columns covers, each by its share.
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
