//! The missing pixels of a plane, and the transfer between a plane and one of half its size.

const BESIDE: f32 = 1.0 / 6.0;
const CORNER: f32 = 1.0 / 12.0;
/// Bilinear weight of a pixel's own cell along an axis when a half-size plane is enlarged;
const OWN: f32 = 0.75;
/// that of the nearest other cell.
const NEXT: f32 = 0.25;

/// The missing pixels of a plane. *Fields* have a border of one pixel around the plane, so that every pixel has
/// eight neighbours.
pub(super) struct Grid {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) missing: Vec<bool>,
    /// Field: 1 for missing pixels.
    pub(super) unknown: Vec<f32>,
    /// Field: sum of the weights of the existing neighbours.
    pub(super) weight: Vec<f32>,
    /// Field: 1 ÷ weight for missing pixels.
    pub(super) inverse: Vec<f32>,
}

impl Grid {
    pub(super) fn new(missing: Vec<bool>, h: usize, w: usize) -> Self {
        let (unknown, weight, inverse) = (Vec::new(), Vec::new(), Vec::new());
        let mut grid = Self { h, w, missing, unknown, weight, inverse };
        grid.unknown = grid.field(|i| f32::from(u8::from(grid.missing[i])));
        let exists = grid.field(|_| 1.0);
        let mut weight = vec![0.0; exists.len()];
        grid.around(&exists, &mut weight);
        grid.inverse =
            grid.unknown.iter().zip(&weight).map(|(u, w)| if *u > 0.0 { u / w } else { 0.0 }).collect();
        grid.weight = weight;
        grid
    }

    /// Creates a field from the value of each pixel.
    fn field(&self, value: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut field = vec![0.0; (self.h + 2) * self.stride()];
        for i in 0..self.h * self.w {
            field[(i / self.w + 1) * self.stride() + i % self.w + 1] = value(i);
        }
        field
    }

    /// Returns the distance between rows of a field.
    pub(super) fn stride(&self) -> usize {
        self.w + 2
    }

    pub(super) fn any_missing(&self) -> bool {
        self.missing.contains(&true)
    }

    /// Merges pairs of pixels; a merged pixel is missing if all of its parts are.
    pub(super) fn half(&self) -> Self {
        let (h, w) = (self.h.div_ceil(2), self.w.div_ceil(2));
        let mut missing = vec![true; h * w];
        for i in (0..self.missing.len()).filter(|&i| !self.missing[i]) {
            missing[i / self.w / 2 * w + i % self.w / 2] = false;
        }
        Self::new(missing, h, w)
    }

    /// Returns the means of the known pixels of a plane at half the size.
    pub(super) fn halved(&self, plane: &[f32], coarse: &Self) -> Vec<f32> {
        let (mut sums, mut counts) = (vec![0.0; coarse.h * coarse.w], vec![0.0; coarse.h * coarse.w]);
        let rows = plane.chunks_exact(self.w).zip(self.missing.chunks_exact(self.w));
        for (y, (row, missing)) in rows.enumerate() {
            let cells = y / 2 * coarse.w..(y / 2 + 1) * coarse.w;
            let cells = sums[cells.clone()].iter_mut().zip(&mut counts[cells]);
            for ((pair, missing), (sum, count)) in row.chunks(2).zip(missing.chunks(2)).zip(cells) {
                for (value, _) in pair.iter().zip(missing).filter(|(_, missing)| !**missing) {
                    *sum += value;
                    *count += 1.0;
                }
            }
        }
        sums.iter().zip(&counts).map(|(sum, n)| sum / f32::max(*n, 1.0)).collect()
    }

    /// Computes the weighted sum of each pixel's neighbours.
    pub(super) fn around(&self, field: &[f32], out: &mut [f32]) {
        let (w, stride) = (self.w, self.stride());
        for y in 1..=self.h {
            // Slices of equal length let the compiler drop bounds checks and vectorize the loop.
            let [above, here, below] = [y - 1, y, y + 1].map(|y| {
                let line = &field[y * stride..(y + 1) * stride];
                [&line[..w], &line[1..=w], &line[2..w + 2]]
            });
            let out = &mut out[y * stride + 1..][..w];
            for x in 0..w {
                let beside = here[0][x] + here[2][x] + above[1][x] + below[1][x];
                let corners = above[0][x] + above[2][x] + below[0][x] + below[2][x];
                out[x] = BESIDE * beside + CORNER * corners;
            }
        }
    }

    /// Returns the row of the half-size plane that contains row `y` of this one, and the next nearest.
    fn cells(y: usize, coarse: usize) -> [usize; 2] {
        let next = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(coarse - 1) };
        [y / 2, next]
    }

    /// Adds a bilinearly enlarged field of the half-size grid to the missing pixels of a field of this grid.
    pub(super) fn add_enlarged(&self, coarse: &Self, small: &[f32], field: &mut [f32]) {
        let mut row = vec![0.0; coarse.w];
        for y in 0..self.h {
            let [own, next] =
                Self::cells(y, coarse.h).map(|cell| &small[(cell + 1) * coarse.stride() + 1..][..coarse.w]);
            for ((mixed, own), next) in row.iter_mut().zip(own).zip(next) {
                *mixed = OWN * own + NEXT * next;
            }
            let start = (y + 1) * self.stride() + 1;
            let pixels = field[start..start + self.w].iter_mut().zip(&self.unknown[start..]);
            for (x, (pixel, unknown)) in pixels.enumerate() {
                let [own, next] = Self::cells(x, coarse.w);
                *pixel += unknown * (OWN * row[own] + NEXT * row[next]);
            }
        }
    }

    /// The transpose of [`add_enlarged`](Self::add_enlarged): sums the missing pixels of a field into the missing
    /// pixels of the half-size grid.
    pub(super) fn gather(&self, field: &[f32], coarse: &Self, small: &mut [f32]) {
        small.fill(0.0);
        let mut row = vec![0.0; coarse.w];
        for y in 0..self.h {
            row.fill(0.0);
            let start = (y + 1) * self.stride() + 1;
            let pixels = field[start..start + self.w].iter().zip(&self.unknown[start..]);
            for (x, (pixel, unknown)) in pixels.enumerate() {
                let [own, next] = Self::cells(x, coarse.w);
                row[own] += OWN * unknown * pixel;
                row[next] += NEXT * unknown * pixel;
            }
            for (cell, share) in Self::cells(y, coarse.h).into_iter().zip([OWN, NEXT]) {
                let line = &mut small[(cell + 1) * coarse.stride() + 1..][..coarse.w];
                line.iter_mut().zip(&row).for_each(|(to, value)| *to += share * value);
            }
        }
        small.iter_mut().zip(&coarse.unknown).for_each(|(value, unknown)| *value *= unknown);
    }
}
