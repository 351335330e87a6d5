//! Control that returns noise.

use crate::method::{MapKind, Method, MethodError, MultiPass, PassContext, PassCount, PassInput, Work};
use crate::random::Key;

/// Registry entry.
pub(super) static RANDOM: Method = Method {
    id: "random",
    title: "Random (control)",
    summary: "noise: what a method must beat to say anything",
    formula: "independent uniform numbers in −½…½ at the layer's resolution",
    paper: "a control, as in Hedström et al. 2023, Quantus, JMLR",
    cost: "nothing",
    sanity: "a control: it depends on nothing",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some("a control, not an explanation: it ignores the model"),
    parameters: &[],
    work: Work::Passes(prepare),
};

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.layer.shape;
    Ok(Box::new(Random { shape: [h, w], key: context.key() }))
}

#[derive(Debug)]
struct Random {
    shape: [usize; 2],
    key: Key,
}

impl MultiPass for Random {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::default()
    }

    fn is_long(&self) -> bool {
        false
    }

    /// Returns noise that depends on the image's content, but not on its position in the data.
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let content = input.pixels.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, pixel| {
            (hash ^ u64::from(pixel.to_bits())).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        let mut rng = self.key.at(content).rng();
        Ok((0..self.shape.iter().product()).map(|_| rng.uniform() - 0.5).collect())
    }
}
