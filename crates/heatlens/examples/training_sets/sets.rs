//! Small two-class data sets of twelve kinds. Image `index` of a set depends on the kind, the seed and the index
//! alone.

use std::f64::consts::{PI, TAU};

use heatlens::random::{Key, Rng, Use};

/// A kind of data set.
pub struct Kind {
    pub name: &'static str,
    /// Difference between the classes.
    pub summary: &'static str,
    /// Number of training images.
    pub images: usize,
    /// One in this number of images is of class 1.
    pub every: usize,
    pub draw: fn(&mut Rng, bool) -> Canvas,
}

/// All kinds.
pub static KINDS: &[Kind] = &[
    kind("textures", "stripes of period 5 or 8 at any angle, in noise", 200, textures),
    kind("objects", "a ring among discs and crosses, or none", 400, objects),
    kind("x-ray", "a soft round shadow in a cloudy grey image, or none", 400, x_ray),
    kind("colour", "a red or a green disc of equal brightness among blue ones", 200, colour),
    kind("large", "a square or a disc of 110 to 220 pixels in 1200×900", 120, large),
    Kind { every: 10, ..kind("unbalanced", "one blob or two; nine times as many of one", 300, blobs) },
    kind("castings", "a dark scratch on brushed metal, or none", 200, castings),
    kind("tiny", "a triangle or a square outline in 28×28", 300, tiny),
    kind("small object", "a cross of 12 pixels in 200×200, or a disc", 200, small_object),
    kind("faint", "grain along or across, 3 % of the grey range, under uneven light", 200, faint),
    kind("grain", "fine or coarse grain of equal contrast", 200, grain),
    kind("mixed sizes", "leaves with or without spots, every file of another size", 200, mixed_sizes),
];

const fn kind(
    name: &'static str,
    summary: &'static str,
    images: usize,
    draw: fn(&mut Rng, bool) -> Canvas,
) -> Kind {
    Kind { name, summary, images, every: 2, draw }
}

impl Kind {
    /// Returns the class of image `index`: 0 or 1.
    pub fn class(&self, index: usize) -> usize {
        usize::from(index.is_multiple_of(self.every))
    }

    pub fn image(&self, seed: u64, index: usize) -> Canvas {
        let number = KINDS.iter().position(|kind| kind.name == self.name).unwrap_or(0) as u64;
        let mut rng = Key::new(seed, Use::DemoData).at(1000 + number).at(index as u64).rng();
        (self.draw)(&mut rng, self.class(index) == 1)
    }
}

/// An image under construction: values from 0 to 1, with the channels of a pixel adjacent.
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub values: Vec<f64>,
}

type Point = (f64, f64);

impl Canvas {
    fn new(width: usize, height: usize, channels: usize) -> Self {
        Self { width, height, channels, values: vec![0.0; width * height * channels] }
    }

    /// Sets every value to a function of its position (x, y), channel and previous value.
    fn each(&mut self, mut value: impl FnMut(Point, usize, f64) -> f64) {
        let (width, channels) = (self.width, self.channels);
        for (i, v) in self.values.iter_mut().enumerate() {
            let (pixel, channel) = (i / channels, i % channels);
            *v = value(((pixel % width) as f64, (pixel / width) as f64), channel, *v);
        }
    }

    /// Blends a colour into the pixels with the coverage `inside`, from 0 (outside) to 1.
    fn paint(&mut self, colour: &[f64], inside: impl Fn(Point) -> f64) {
        self.each(|p, c, v| {
            let cover = inside(p).clamp(0.0, 1.0);
            v + cover * (colour[c.min(colour.len() - 1)] - v)
        });
    }

    fn noise(&mut self, rng: &mut Rng, deviation: f64) {
        self.values.iter_mut().for_each(|v| *v += deviation * rng.normal());
    }

    /// Adds a sum of long waves, roughly from −1 to 1 times `strength`, different in every image.
    fn clouds(&mut self, rng: &mut Rng, strength: f64, shortest: f64) {
        let side = self.width.max(self.height) as f64;
        // sin(u + v) = sin u · cos v + cos u · sin v: sines by row and column, not by pixel.
        let sines = |count: usize, frequency: f64, phase: f64| -> Vec<(f64, f64)> {
            (0..count).map(|k| (TAU * frequency * k as f64 + phase).sin_cos()).collect()
        };
        for _ in 0..6 {
            let (angle, period) = (rng.between(0.0, TAU), rng.between(shortest, 2.0) * side);
            let (phase, size) = (rng.between(0.0, TAU), strength / 3.0 * rng.between(0.3, 1.0));
            let columns = sines(self.width, angle.cos() / period, phase);
            let rows = sines(self.height, angle.sin() / period, 0.0);
            self.each(|(x, y), _, v| {
                let ((su, cu), (sv, cv)) = (columns[x as usize], rows[y as usize]);
                v + size * (su * cv + cu * sv)
            });
        }
    }

    fn place(&self, rng: &mut Rng, margin: f64) -> Point {
        let (w, h) = (self.width as f64, self.height as f64);
        (rng.between(margin, w - 1.0 - margin), rng.between(margin, h - 1.0 - margin))
    }
}

fn distance(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Returns the distance from a segment centred at `centre`.
fn to_segment(p: Point, centre: Point, angle: f64, half: f64) -> f64 {
    let (dx, dy) = (p.0 - centre.0, p.1 - centre.1);
    let along = (dx * angle.cos() + dy * angle.sin()).clamp(-half, half);
    (dx - along * angle.cos()).hypot(dy - along * angle.sin())
}

fn disc(radius: f64, centre: Point) -> impl Fn(Point) -> f64 {
    move |p| radius + 0.5 - distance(p, centre)
}

fn cross(arm: f64, stroke: f64, centre: Point, angle: f64) -> impl Fn(Point) -> f64 {
    move |p| {
        let bar = |angle| stroke / 2.0 + 0.5 - to_segment(p, centre, angle, arm);
        bar(angle).max(bar(angle + PI / 2.0))
    }
}

/// Returns the coverage of a regular polygon's outline.
fn polygon(corners: usize, radius: f64, stroke: f64, centre: Point, angle: f64) -> impl Fn(Point) -> f64 {
    let corner = move |k: usize| {
        let a = angle + TAU * k as f64 / corners as f64;
        (centre.0 + radius * a.cos(), centre.1 + radius * a.sin())
    };
    move |p| {
        let side = |k: usize| {
            let (a, b) = (corner(k), corner(k + 1));
            let middle = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
            stroke / 2.0 + 0.5 - to_segment(p, middle, (b.1 - a.1).atan2(b.0 - a.0), distance(a, b) / 2.0)
        };
        (0..corners).map(side).fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Returns random positions with a minimum distance from each other.
fn places(canvas: &Canvas, rng: &mut Rng, count: usize, margin: f64, apart: f64) -> Vec<Point> {
    let mut found: Vec<Point> = Vec::new();
    for _ in 0..500 {
        let p = canvas.place(rng, margin);
        if found.len() < count && found.iter().all(|q| distance(p, *q) >= apart) {
            found.push(p);
        }
    }
    found
}

fn textures(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(64, 64, 1);
    let period = if positive { 8.0 } else { 5.0 } * rng.between(0.92, 1.08);
    let (angle, phase) = (rng.between(0.0, PI), rng.between(0.0, TAU));
    let (light, contrast) = (rng.between(0.4, 0.6), rng.between(0.1, 0.2));
    c.each(|(x, y), _, _| {
        light + contrast * (TAU * (x * angle.cos() + y * angle.sin()) / period + phase).sin()
    });
    c.noise(rng, 0.1);
    c
}

fn objects(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(64, 64, 1);
    c.each(|_, _, _| 0.1);
    c.clouds(rng, 0.05, 0.5);
    let count = 2 + rng.below(3);
    for (k, centre) in places(&c, rng, count, 7.0, 14.0).into_iter().enumerate() {
        let grey = [rng.between(0.6, 1.0)];
        if k == 0 && positive {
            c.paint(&grey, move |p| 1.5 - (distance(p, centre) - 4.0).abs());
        } else if rng.coin() {
            let angle = rng.between(0.0, PI);
            c.paint(&grey, cross(4.0, 2.0, centre, angle));
        } else {
            c.paint(&grey, disc(3.0, centre));
        }
    }
    c.noise(rng, 0.04);
    c
}

fn x_ray(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(96, 96, 1);
    let light = rng.between(0.4, 0.6);
    c.each(|_, _, _| light);
    c.clouds(rng, 0.15, 0.35);
    if positive {
        let (centre, radius, strength) = (c.place(rng, 14.0), rng.between(5.0, 8.0), rng.between(0.15, 0.25));
        c.each(|p, _, v| v + strength * (-(distance(p, centre) / radius).powi(2)).exp());
    }
    c.noise(rng, 0.04);
    c
}

fn colour(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(64, 64, 3);
    let light = rng.between(0.3, 0.5);
    c.each(|_, _, _| light);
    c.clouds(rng, 0.1, 0.4);
    let count = 3 + rng.below(3);
    for (k, centre) in places(&c, rng, count, 8.0, 15.0).into_iter().enumerate() {
        // Equal luma by BT.601: 0.299 · 0.80 + 0.587 · 0.15 = 0.299 · 0.15 + 0.587 · 0.48.
        let ink = match (k, positive) {
            (0, true) => [0.80, 0.15, 0.2],
            (0, false) => [0.15, 0.48, 0.2],
            _ => [0.2, 0.3, 0.8],
        };
        let radius = rng.between(3.0, 6.0);
        c.paint(&ink, disc(radius, centre));
    }
    c.noise(rng, 0.05);
    c
}

fn large(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(1200, 900, 3);
    let light: [f64; 3] = std::array::from_fn(|_| rng.between(0.4, 0.6));
    c.each(|_, channel, _| light[channel]);
    c.clouds(rng, 0.2, 0.3);
    let (centre, size) = (c.place(rng, 170.0), rng.between(110.0, 220.0));
    let ink: [f64; 3] = std::array::from_fn(|_| if rng.coin() { 0.95 } else { 0.05 });
    if positive {
        let angle = rng.between(0.0, PI / 2.0);
        c.paint(&ink, move |p| {
            let (dx, dy) = (p.0 - centre.0, p.1 - centre.1);
            let (u, v) = (dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin());
            size / 2.0 * 0.886 + 0.5 - u.abs().max(v.abs())
        });
    } else {
        c.paint(&ink, disc(size / 2.0, centre));
    }
    c
}

fn blobs(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(64, 64, 1);
    c.each(|_, _, _| 0.5);
    c.clouds(rng, 0.1, 0.4);
    for centre in places(&c, rng, if positive { 2 } else { 1 }, 8.0, 16.0) {
        let radius = rng.between(3.0, 5.0);
        c.paint(&[0.95], disc(radius, centre));
    }
    c.noise(rng, 0.05);
    c
}

fn castings(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(128, 96, 3);
    let light = rng.between(0.45, 0.65);
    let tint: [f64; 3] = std::array::from_fn(|_| rng.between(-0.03, 0.03));
    let rows: Vec<f64> = (0..96).map(|_| 0.03 * rng.normal()).collect();
    c.each(|(_, y), channel, _| light + tint[channel] + rows[y as usize]);
    c.clouds(rng, 0.08, 0.5);
    if positive {
        let (centre, angle, half) = (c.place(rng, 16.0), rng.between(0.0, PI), rng.between(8.0, 16.0));
        let (ink, stroke) = (rng.between(0.1, 0.25), rng.between(1.2, 2.2));
        c.paint(&[ink], move |p| stroke / 2.0 + 0.5 - to_segment(p, centre, angle, half));
    }
    c.noise(rng, 0.03);
    c
}

fn tiny(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(28, 28, 1);
    let (centre, radius) = (c.place(rng, 9.0), rng.between(6.0, 9.0));
    let (angle, stroke) = (rng.between(0.0, TAU), rng.between(1.2, 2.2));
    c.paint(&[rng.between(0.7, 1.0)], polygon(if positive { 4 } else { 3 }, radius, stroke, centre, angle));
    c.noise(rng, 0.08);
    c
}

fn small_object(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(200, 200, 1);
    c.each(|_, _, _| 0.4);
    c.clouds(rng, 0.15, 0.2);
    let (centre, angle) = (c.place(rng, 10.0), rng.between(0.0, PI));
    if positive {
        c.paint(&[0.95], cross(6.0, 3.0, centre, angle));
    } else {
        c.paint(&[0.95], disc(4.6, centre));
    }
    c.noise(rng, 0.04);
    c
}

fn faint(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(64, 64, 1);
    let light = rng.between(0.3, 0.7);
    c.each(|_, _, _| light);
    c.clouds(rng, 0.2, 0.6);
    let (period, phase) = (rng.between(5.0, 7.0), rng.between(0.0, TAU));
    c.each(|(x, y), _, v| v + 0.03 * (TAU * if positive { x } else { y } / period + phase).sin());
    c.noise(rng, 0.02);
    c
}

fn grain(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(64, 64, 1);
    let step = if positive { 3 } else { 2 };
    let cells: Vec<f64> = (0..64 * 64).map(|_| rng.normal()).collect();
    let (light, contrast) = (rng.between(0.4, 0.6), rng.between(0.08, 0.15));
    c.each(|(x, y), _, _| light + contrast * cells[(y as usize / step) * 64 + x as usize / step]);
    c.noise(rng, 0.03);
    c
}

fn mixed_sizes(rng: &mut Rng, positive: bool) -> Canvas {
    let mut c = Canvas::new(90 + rng.below(70), 90 + rng.below(70), 3);
    let ground: [f64; 3] = [rng.between(0.5, 0.8), rng.between(0.5, 0.8), rng.between(0.5, 0.8)];
    c.each(|_, channel, _| ground[channel]);
    let side = c.width.min(c.height) as f64;
    let centre = (c.width as f64 / 2.0, c.height as f64 / 2.0);
    let green = [rng.between(0.1, 0.3), rng.between(0.4, 0.6), 0.15];
    let (angle, radius) = (rng.between(0.0, PI), side * rng.between(0.32, 0.45));
    c.paint(&green, move |p| {
        let (dx, dy) = (p.0 - centre.0, p.1 - centre.1);
        let (u, v) = (dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin());
        radius + 0.5 - u.hypot(v * 1.6)
    });
    if positive {
        for _ in 0..4 + rng.below(4) {
            let (a, r) = (rng.between(0.0, TAU), radius * 0.5 * rng.between(0.0, 1.0));
            let spot =
                disc(side * rng.between(0.025, 0.045), (centre.0 + r * a.cos(), centre.1 + r * a.sin()));
            c.paint(&[0.35, 0.2, 0.1], spot);
        }
    }
    c.noise(rng, 0.03);
    c
}
