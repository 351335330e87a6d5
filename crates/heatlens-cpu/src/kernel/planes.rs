//! Image layout in which every tap of a convolution reads one contiguous stream.

use super::simd::{Isa, Job, Vector};
use super::workers::Workers;

/// Elements per task: some microseconds of work.
const TASK: usize = 1 << 13;

/// Copies of an image's channels, sampled at regular steps, with zeros outside: plane `p` of a channel holds elements
/// `starts[p] + step · (y, x)`.
///
/// With step 1 this is padding. With a larger step the planes are the image's *polyphase components*: taps of a strided
/// convolution are shifts of one of them.
#[derive(Clone, Debug)]
pub(crate) struct Planes {
    channels: usize,
    /// Height and width of the image.
    source: [usize; 2],
    /// Start of each plane in the image; may lie outside.
    starts: Vec<[isize; 2]>,
    step: [usize; 2],
    /// Height and width of each plane.
    size: [usize; 2],
}

impl Planes {
    pub(crate) fn new(
        channels: usize,
        source: [usize; 2],
        starts: Vec<[isize; 2]>,
        step: [usize; 2],
        size: [usize; 2],
    ) -> Self {
        Self { channels, source, starts, step, size }
    }

    /// True if the planes are identical to the image.
    pub(crate) fn is_identity(&self) -> bool {
        self.starts == [[0, 0]] && self.step == [1, 1] && self.size == self.source
    }

    /// Returns the distance between adjacent rows of a plane.
    pub(crate) fn pitch(&self) -> usize {
        self.size[1]
    }

    /// Returns the number of elements of all planes of a channel.
    pub(crate) fn channel_len(&self) -> usize {
        self.starts.len() * self.size[0] * self.size[1]
    }

    /// Returns the number of elements of all planes of all channels.
    pub(crate) fn len(&self) -> usize {
        self.channels * self.channel_len()
    }

    /// Returns the position of row `y`, column `x` of plane `phase` of a channel.
    pub(crate) fn offset(&self, channel: usize, phase: usize, [y, x]: [usize; 2]) -> usize {
        channel * self.channel_len() + (phase * self.size[0] + y) * self.size[1] + x
    }

    /// Fills `planes` from `image`. Elements beyond [`len`](Self::len) are set to zero.
    pub(crate) fn fill(&self, image: &[f32], planes: &mut [f32], workers: Workers) {
        let area = self.source[0] * self.source[1];
        assert_eq!(image.len(), self.channels * area, "an image of another size");
        assert!(planes.len() >= self.len(), "no room for the planes");
        let (planes, slack) = planes.split_at_mut(self.len());
        slack.fill(0.0);
        let channels = TASK.div_ceil(self.channel_len().max(1));
        workers.for_each_chunk(planes, channels * self.channel_len(), |task, planes| {
            let image = &image[task * channels * area..];
            Isa::best().run(Channels { layout: self, image, planes });
        });
    }

    #[inline(always)]
    unsafe fn fill_plane<V: Vector>(&self, [top, left]: [isize; 2], image: &[f32], plane: &mut [f32]) {
        let columns = inside(left, self.step[1], self.size[1], self.source[1]);
        let rows = inside(top, self.step[0], self.size[0], self.source[0]);
        for (y, row) in plane.chunks_mut(self.size[1]).enumerate() {
            if columns.is_empty() || !rows.contains(&y) {
                row.fill(0.0);
                continue;
            }
            let from =
                position(top, self.step[0], y) * self.source[1] + position(left, self.step[1], columns.start);
            row[..columns.start].fill(0.0);
            row[columns.end..].fill(0.0);
            let row = &mut row[columns.clone()];
            if self.step[1] == 1 {
                row.copy_from_slice(&image[from..from + row.len()]);
            } else {
                let done = match self.step[1] {
                    // SAFETY: the caller guarantees the instruction set.
                    2 => unsafe { every_other::<V>(&image[from..], row) },
                    _ => 0,
                };
                let rest = image[from..].iter().step_by(self.step[1]);
                for (to, &value) in row.iter_mut().zip(rest).skip(done) {
                    *to = value;
                }
            }
        }
    }
}

/// A task: the planes of some channels.
struct Channels<'a> {
    layout: &'a Planes,
    /// The first channel and those after it.
    image: &'a [f32],
    planes: &'a mut [f32],
}

impl Job for Channels<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { layout, image, planes } = self;
        let area = layout.source[0] * layout.source[1];
        for (channel, planes) in planes.chunks_mut(layout.channel_len()).enumerate() {
            let image = &image[channel * area..(channel + 1) * area];
            for (start, plane) in layout.starts.iter().zip(planes.chunks_mut(layout.size[0] * layout.size[1]))
            {
                // SAFETY: the caller guarantees the instruction set.
                unsafe { layout.fill_plane::<V>(*start, image, plane) };
            }
        }
    }
}

/// Copies every other element, and returns the number copied; the last may be left.
#[inline(always)]
unsafe fn every_other<V: Vector>(from: &[f32], to: &mut [f32]) -> usize {
    let len = (from.len() / 2).min(to.len());
    if len < V::LANES {
        return 0;
    }
    for i in (0..len).step_by(V::LANES) {
        // The last vector is shifted back to end with the elements.
        let i = i.min(len - V::LANES);
        // SAFETY: two vectors lie in `from` for each in `to`.
        unsafe {
            let (even, _) = V::load_pairs(from.as_ptr().add(2 * i));
            even.store(to.as_mut_ptr().add(i));
        }
    }
    len
}

/// Returns the indices i below `size` for which `start + i · step` lies in `0..limit`.
fn inside(start: isize, step: usize, size: usize, limit: usize) -> std::ops::Range<usize> {
    let before = start.min(0).unsigned_abs();
    let beyond = (limit + before).saturating_sub(start.max(0).unsigned_abs());
    let first = before.div_ceil(step).min(size);
    first..beyond.div_ceil(step).clamp(first, size)
}

/// Returns `start + i · step`, which must not be negative.
fn position(start: isize, step: usize, i: usize) -> usize {
    (i * step).wrapping_add_signed(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_sample_the_image_with_zeros_outside() {
        let (h, w) = (4, 5);
        let image: Vec<f32> = (1..=2 * h * w).map(|i| i as f32).collect();
        for start in -4..6_isize {
            for step in 1..4 {
                let planes = Planes::new(2, [h, w], vec![[start, -1], [0, start]], [step, step], [5, 6]);
                let mut out = vec![9.0; planes.len() + 3];
                planes.fill(&image, &mut out, Workers::Serial);
                assert_eq!(out[planes.len()..], [0.0; 3]);
                for (c, p, y, x) in (0..2 * 2 * 5 * 6).map(|i| (i / 60, i / 30 % 2, i / 6 % 5, i % 6)) {
                    let [top, left] = [[start, -1], [0, start]][p];
                    let at = [top + (y * step) as isize, left + (x * step) as isize];
                    let inside = at[0] >= 0 && at[1] >= 0 && at[0] < h as isize && at[1] < w as isize;
                    let expected =
                        if inside { image[c * h * w + at[0] as usize * w + at[1] as usize] } else { 0.0 };
                    assert_eq!(out[planes.offset(c, p, [y, x])], expected, "start {start} step {step}");
                }
            }
        }
    }
}
