//! Maps averaged over changed copies of the image, as pytorch-grad-cam's `aug_smooth`: mirrored or
//! not, with pixels times 1, 0.9 and 1.1. Each copy is explained for the original's class.

/// One way to change an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    mirrored: bool,
    factor: f32,
}

/// Every copy but the image itself.
pub(super) fn copies() -> impl Iterator<Item = Copy> {
    let all = [false, true]
        .into_iter()
        .flat_map(|mirrored| [1.0, 0.9, 1.1].map(|factor| Copy { mirrored, factor }));
    all.skip(1)
}

impl Copy {
    /// The changed images; `width` is that of their rows.
    pub(super) fn make(self, pixels: &[f32], width: usize) -> Vec<f32> {
        let mut changed: Vec<f32> = pixels.iter().map(|p| p * self.factor).collect();
        self.put_back(&mut changed, width);
        changed
    }

    /// Mirrors a map of the copy so that it lies over the image.
    pub(super) fn put_back(self, values: &mut [f32], width: usize) {
        if self.mirrored {
            values.chunks_mut(width.max(1)).for_each(<[f32]>::reverse);
        }
    }
}
