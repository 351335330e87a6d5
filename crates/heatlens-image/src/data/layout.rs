//! Axis order of image arrays.

use std::path::Path;
use std::str::FromStr;

use super::DataError;
use crate::nearest::{Named, named};

/// Order of an array's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Images, height, width, channels: the order of Keras and most image libraries.
    Nhwc,
    /// Images, channels, height, width: the order of PyTorch.
    Nchw,
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

impl Layout {
    /// Both orders, with their names on the command line.
    pub const ALL: [Named<Self>; 2] = [
        ("nhwc", "Images, rows, columns, channels (Keras)", Self::Nhwc),
        ("nchw", "Images, channels, rows, columns (PyTorch)", Self::Nchw),
    ];

    /// Returns the layout and the image shape `[c, h, w]` of an image array of shape `shape`.
    ///
    /// In order of precedence, the layout is the one `asked` for, follows from the model's number of `channels`, or
    /// follows from an axis of size 1, 3 or 4 in exactly one of the two positions. An ambiguous layout is an error.
    /// N×H×W is grey.
    pub fn resolve(
        shape: &[usize],
        asked: Option<Self>,
        channels: Option<usize>,
        path: &Path,
    ) -> Result<(Self, [usize; 3]), DataError> {
        let error =
            |reason: String| DataError::Shape { path: path.to_path_buf(), shape: shape.to_vec(), reason };
        let (layout, image) = match *shape {
            [_, h, w] => (Self::Nchw, [1, h, w]),
            [_, a, b, c] => {
                let layout = match asked {
                    Some(layout) => layout,
                    None => Self::deduce(a, c, channels).map_err(&error)?,
                };
                (layout, if layout == Self::Nhwc { [c, a, b] } else { [a, b, c] })
            }
            _ => return Err(error("expected images as N×H×W×C, N×C×H×W or N×H×W (grey)".to_owned())),
        };
        if image.contains(&0) {
            return Err(error("an image has no pixels".to_owned()));
        }
        match channels {
            Some(wanted) if wanted != image[0] => {
                Err(error(format!("images of {} channels, but the model takes {wanted}", image[0])))
            }
            _ => Ok((layout, image)),
        }
    }

    /// Determines the layout from the sizes of the two possible channel axes, the second and the last.
    fn deduce(second: usize, last: usize, channels: Option<usize>) -> Result<Self, String> {
        let fits = |size| match channels {
            Some(wanted) => size == wanted,
            None => matches!(size, 1 | 3 | 4),
        };
        let expected =
            channels.map_or_else(|| "1, 3 or 4 channels".to_owned(), |c| format!("the model's {c} channels"));
        match (fits(second), fits(last)) {
            (false, true) => Ok(Self::Nhwc),
            (true, false) => Ok(Self::Nchw),
            (true, true) => Err(format!(
                "both the second and the last axis could be {expected}; give --layout nhwc or --layout nchw"
            )),
            (false, false) => Err(format!(
                "neither the second nor the last axis has {expected}; give --layout nhwc or --layout nchw if \
                 that is intended"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        shape: &[usize],
        asked: Option<Layout>,
        channels: Option<usize>,
    ) -> Result<(Layout, [usize; 3]), DataError> {
        Layout::resolve(shape, asked, channels, Path::new("X.npy"))
    }

    #[test]
    fn channels_tell_the_layout() {
        assert_eq!(resolve(&[9, 95, 95, 1], None, None).unwrap(), (Layout::Nhwc, [1, 95, 95]));
        assert_eq!(resolve(&[9, 3, 8, 7], None, None).unwrap(), (Layout::Nchw, [3, 8, 7]));
        assert_eq!(resolve(&[9, 8, 7], None, None).unwrap(), (Layout::Nchw, [1, 8, 7]));
        assert_eq!(resolve(&[9, 5, 6, 12], None, Some(12)).unwrap(), (Layout::Nhwc, [12, 5, 6]));
        assert_eq!(resolve(&[9, 3, 5, 4], None, Some(3)).unwrap(), (Layout::Nchw, [3, 5, 4]));
    }

    #[test]
    fn ambiguity_is_an_error_that_says_what_to_type() {
        for (shape, channels) in
            [([9, 3, 8, 3], None), ([9, 1, 8, 4], None), ([9, 16, 16, 16], None), ([9, 7, 7, 7], Some(7))]
        {
            let message = resolve(&shape, None, channels).unwrap_err().to_string();
            assert!(message.contains("--layout nhwc"), "{message}");
        }
        assert_eq!(resolve(&[9, 3, 8, 3], Some(Layout::Nhwc), None).unwrap().1, [3, 3, 8]);
    }

    #[test]
    fn wrong_rank_or_channel_count_is_an_error() {
        assert!(resolve(&[9], None, None).is_err());
        assert!(resolve(&[9, 8], None, None).is_err());
        assert!(resolve(&[9, 8, 8, 3, 1], None, None).is_err());
        assert!(resolve(&[9, 8, 8, 3], None, Some(1)).is_err());
        assert!(resolve(&[9, 8, 8], None, Some(3)).is_err());
        assert!(resolve(&[9, 8, 8, 3], Some(Layout::Nchw), Some(3)).is_err());
        assert!(resolve(&[9, 0, 8], None, None).is_err());
    }
}
