//! Notes on changes to image files in preprocessing, one for all files.

use std::path::{Path, PathBuf};

use super::image_file::{ImageShape, image_shape};
use super::{Preprocessing, Raster, Resize};

/// Maximum number of files examined, evenly spread over all of them; only headers are read.
const MAX_LOOKED_AT: usize = 4096;

/// Number of files affected by each change.
#[derive(Debug, Default)]
struct Counts {
    files: usize,
    to_grey: usize,
    to_colour: usize,
    alpha: usize,
    resized: usize,
    reshaped: usize,
}

/// Returns one sentence per change to the files, ignoring those that cannot be read.
pub(super) fn survey(files: &[(PathBuf, Option<usize>)], wanted: &Preprocessing) -> Vec<String> {
    let step = files.len().div_ceil(MAX_LOOKED_AT).max(1);
    let shapes = files.iter().step_by(step).filter_map(|(path, _)| image_shape(path).ok());
    Counts::of(shapes, wanted).sentences(wanted, step > 1)
}

/// Returns one sentence per change to a single file.
pub fn changes_to_file(path: &Path, wanted: &Preprocessing) -> Vec<String> {
    Counts::of(image_shape(path).into_iter(), wanted).sentences(wanted, false)
}

/// Returns one sentence per change to an image in preprocessing.
#[must_use]
pub fn changes_to(image: &Raster, wanted: &Preprocessing) -> Vec<String> {
    let &Raster { channels, height, width, .. } = image;
    let shape = ImageShape { height, width, colour: channels > 1, alpha: false };
    Counts::of(std::iter::once(shape), wanted).sentences(wanted, false)
}

/// True if resizing to the model's input size changes the aspect ratio by more than 1 %.
fn another_shape([height, width]: [usize; 2], wanted: &Preprocessing) -> bool {
    let (rows, columns) = (wanted.height as f64 / height as f64, wanted.width as f64 / width as f64);
    (rows / columns - 1.0).abs() > 0.01
}

impl Counts {
    fn of(shapes: impl Iterator<Item = ImageShape>, wanted: &Preprocessing) -> Self {
        let mut counts = Self::default();
        for shape in shapes {
            let size = [shape.height, shape.width];
            counts.files += 1;
            counts.to_grey += usize::from(shape.colour && wanted.channels == 1);
            counts.to_colour += usize::from(!shape.colour && wanted.channels == 3);
            counts.alpha += usize::from(shape.alpha);
            let scaled = matches!(wanted.resize, Resize::Shorter(_));
            counts.resized += usize::from(scaled || size != [wanted.height, wanted.width]);
            counts.reshaped += usize::from(another_shape(size, wanted));
        }
        counts
    }

    fn sentences(&self, wanted: &Preprocessing, sampled: bool) -> Vec<String> {
        let of = |count: usize| {
            let sample = if sampled { " that were looked at" } else { "" };
            match (count, self.files) {
                (1, 1) => format!("the image{sample}"),
                (count, files) if count == files => format!("all {files} images{sample}"),
                (count, files) => format!("{count} of {files} images{sample}"),
            }
        };
        let size = format!("{} × {} (height × width)", wanted.height, wanted.width);
        let reshaped = match (self.reshaped, wanted.resize) {
            (_, Resize::Shorter(side)) => {
                format!(": the shorter side to {side}, and the middle is taken")
            }
            (0, _) => String::new(),
            (n, Resize::Squash) => {
                format!("; of another shape: {}, squashed (--resize crop keeps the aspect)", of(n))
            }
            (n, Resize::Crop) => {
                format!("; of another shape: {}, whose middle is taken (--resize squash keeps all)", of(n))
            }
        };
        [
            (self.to_grey, "in colour, and made grey for the model", String::new()),
            (self.to_colour, "grey, and repeated as red, green and blue for the model", String::new()),
            (self.alpha, "with an alpha channel, and laid over black", String::new()),
            (self.resized, "resized to the model's", format!(" {size}{reshaped}")),
        ]
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, rest)| format!("{}: {what}{rest}", of(count)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};

    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let pictures: [(&str, DynamicImage); 4] = [
            ("grey.png", GrayImage::new(8, 8).into()),
            ("colour.png", RgbImage::new(8, 8).into()),
            ("clear.png", RgbaImage::new(16, 16).into()),
            ("wide.png", RgbImage::new(20, 10).into()),
        ];
        let mut files = vec![(folder.path().join("absent.png"), None)];
        for (name, picture) in pictures {
            picture.save(folder.path().join(name)).unwrap();
            files.push((folder.path().join(name), None));
        }
        let grey = survey(&files, &Preprocessing::new([1, 8, 8]));
        assert_eq!(
            grey,
            [
                "3 of 4 images: in colour, and made grey for the model",
                "1 of 4 images: with an alpha channel, and laid over black",
                "2 of 4 images: resized to the model's 8 × 8 (height × width); of another shape: 1 of 4 images, squashed (--resize crop keeps the aspect)",
            ]
        );
        assert_eq!(
            survey(&files[1..2], &Preprocessing::new([3, 8, 8])),
            ["the image: grey, and repeated as red, green and blue for the model"]
        );
        assert!(survey(&files[2..3], &Preprocessing::new([3, 8, 8])).is_empty());
    }
}
