//! Smallest and largest of many values.

/// Number of values compared at the same time.
const LANES: usize = 16;

/// Returns the smallest and the largest value, ignoring NaN; [∞, −∞] if there is none.
#[must_use]
pub fn extremes(values: &[f32]) -> [f32; 2] {
    let smallest = extreme(values, f32::INFINITY, |value, best| if value < best { value } else { best });
    let largest = extreme(values, f32::NEG_INFINITY, |value, best| if value > best { value } else { best });
    [smallest, largest]
}

/// Returns the best value according to `pick`, which compiles to one vector instruction for the value and the best so far in
/// this order.
fn extreme(values: &[f32], start: f32, pick: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut best = [start; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            best[lane] = pick(chunk[lane], best[lane]);
        }
    }
    best.iter().chain(rest).fold(start, |best, &value| pick(value, best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_of_any_number_of_values() {
        assert_eq!(extremes(&[]), [f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(extremes(&[f32::NAN; 40]), [f32::INFINITY, f32::NEG_INFINITY]);
        for len in 1..70 {
            for at in 0..len {
                let mut values = vec![0.5; len];
                values[at] = 2.0;
                assert_eq!(extremes(&values)[1], 2.0, "{at} of {len}");
                values[at] = -2.0;
                values[(at + 1) % len] = f32::NAN;
                assert_eq!(
                    extremes(&values)[0],
                    if len == 1 { f32::INFINITY } else { -2.0 },
                    "{at} of {len}"
                );
            }
        }
    }
}
