//! Assignment of rules to layers with weights.

use crate::rule::relevance::LayerRule;

/// Position and type of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPosition {
    /// True if there are only copies and arithmetic with constants between the image and the layer.
    pub first: bool,
    /// True for a matrix product, false for a convolution.
    pub dense: bool,
}

/// Predicate that selects the layers of an entry.
type Matches = fn(LayerPosition) -> bool;

/// Rules by layer; the first matching entry applies.
#[derive(Clone, Debug)]
pub struct Composite(Vec<(Matches, LayerRule)>);

impl Composite {
    /// Creates a composite with one rule for all layers.
    #[must_use]
    pub fn uniform(rule: LayerRule) -> Self {
        Self(vec![(|_| true, rule)])
    }

    /// Creates a composite with one rule for convolutions and another for matrix products.
    #[must_use]
    pub fn by_kind(convolution: LayerRule, dense: LayerRule) -> Self {
        Self(vec![(|place| place.dense, dense), (|_| true, convolution)])
    }

    /// Returns the composite with another rule for layers that read the image.
    #[must_use]
    pub fn with_first(mut self, rule: LayerRule) -> Self {
        self.0.insert(0, (|place| place.first, rule));
        self
    }

    /// Returns the rule of a layer.
    #[must_use]
    pub fn rule(&self, place: LayerPosition) -> LayerRule {
        let found = self.0.iter().find(|(matches, _)| matches(place));
        found.map_or(LayerRule::Epsilon(super::STABILISER), |&(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_wins() {
        let (plus, epsilon) = (LayerRule::AlphaBeta { alpha: 1.0, bias: true }, LayerRule::Epsilon(0.1));
        let composite = Composite::by_kind(plus, epsilon).with_first(LayerRule::Flat);
        let rule = |first, dense| composite.rule(LayerPosition { first, dense });
        assert_eq!([rule(false, false), rule(false, true)], [plus, epsilon]);
        assert_eq!([rule(true, false), rule(true, true)], [LayerRule::Flat; 2]);
    }
}
