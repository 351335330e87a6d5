//! Run-length encoding of COCO: column-major, alternating runs of outside and inside, outside first.

use crate::localise::Mask;

/// Returns the run lengths of a mask.
pub(super) fn encode(mask: &Mask) -> Vec<usize> {
    let mut runs = vec![0];
    let mut inside = false;
    for column in 0..mask.width {
        for row in 0..mask.height {
            if mask.inside[row * mask.width + column] != inside {
                runs.push(0);
                inside = !inside;
            }
            if let Some(run) = runs.last_mut() {
                *run += 1;
            }
        }
    }
    runs
}

/// Returns the mask of the given runs; `None` if they do not add up to height · width pixels.
pub(super) fn decode(runs: &[usize], height: usize, width: usize) -> Option<Mask> {
    let total = runs.iter().try_fold(0_usize, |sum, &run| sum.checked_add(run))?;
    let mut mask = (Some(total) == height.checked_mul(width)).then(|| Mask::empty(height, width))?;
    let mut at = 0;
    for (i, &run) in runs.iter().enumerate() {
        if i % 2 == 1 {
            (at..at + run).for_each(|pixel| mask.inside[pixel % height * width + pixel / height] = true);
        }
        at += run;
    }
    Some(mask)
}

/// Parses COCO's compressed text: five bits per character plus a continuation bit, lowest bits first; from the
/// fourth run on, the difference to the run before the previous one. `None` if the text is malformed.
pub(super) fn runs_of_text(text: &str) -> Option<Vec<usize>> {
    let mut runs: Vec<i64> = Vec::new();
    let mut letters = text.bytes();
    while let Some(mut letter) = letters.next() {
        let (mut value, mut shift) = (0_i64, 0);
        loop {
            let bits = i64::from(letter.checked_sub(48).filter(|bits| *bits < 64)?);
            value |= (bits & 31) << shift;
            shift += 5;
            if bits & 32 == 0 {
                if bits & 16 != 0 {
                    value |= -1_i64 << shift;
                }
                break;
            }
            // Limits a run to the number of pixels an image can have.
            letter = letters.next().filter(|_| shift < 50)?;
        }
        if runs.len() > 2 {
            value += runs[runs.len() - 2];
        }
        runs.push(value);
    }
    runs.into_iter().map(|run| usize::try_from(run).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_by_hand() {
        // Columns: outside inside, inside inside, outside outside.
        let mask = Mask::new(2, 3, vec![false, true, false, true, true, false]).unwrap();
        assert_eq!(encode(&mask), [1, 3, 2]);
        assert_eq!(decode(&[1, 3, 2], 2, 3), Some(mask));
        assert_eq!(encode(&Mask::new(1, 2, vec![true, true]).unwrap()), [0, 2]);
        assert_eq!(decode(&[1, 3], 2, 3), None);
        assert_eq!(decode(&[usize::MAX, 2], 2, 3), None);
    }

    #[test]
    fn text_as_pycocotools_writes_it() {
        // pycocotools.mask.frPyObjects({'counts': runs, 'size': [h, w]}, h, w)['counts']
        for (text, runs) in TEXTS {
            assert_eq!(runs_of_text(text).as_deref(), Some(runs), "{text}");
        }
        assert_eq!(runs_of_text("~~~"), None);
        assert_eq!(runs_of_text("oooooooooooooooooooo"), None);
        assert_eq!(runs_of_text("O"), None, "a run of less than nothing");
    }

    const TEXTS: [(&str, &[usize]); 4] = [
        ("132", &[1, 3, 2]),
        ("06", &[0, 6]),
        ("T3d0`2000P\\9", &[100, 20, 80, 20, 80, 20, 9680]),
        ("5145MLm0O", &[5, 1, 4, 6, 1, 2, 30, 1]),
    ];
}
