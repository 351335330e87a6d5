//! Windows of convolutions and poolings, with TensorFlow's padding modes.

use crate::error::OpError;
use crate::keras::scope::Scope;
use crate::op::invalid;
use crate::op::window::Window;

/// Padding mode of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// No padding.
    Valid,
    /// Padding for ⌈input ÷ stride⌉ windows; an odd remainder goes to the end.
    Same,
    /// All padding at the beginning.
    Causal,
}

impl Padding {
    pub(super) fn read(scope: &Scope<'_>) -> Result<Self, OpError> {
        match scope.config.text("padding")?.unwrap_or("valid") {
            "valid" | "VALID" => Ok(Self::Valid),
            "same" | "SAME" => Ok(Self::Same),
            "causal" => Ok(Self::Causal),
            other => Err(invalid(format!("padding {other:?}"))),
        }
    }

    /// Returns the window over an input of spatial sizes `input`.
    pub(super) fn window(
        self,
        input: &[usize],
        kernel: &[usize],
        strides: &[usize],
        dilations: &[usize],
    ) -> Result<Window, OpError> {
        let mut window =
            Window { strides: strides.to_vec(), dilations: dilations.to_vec(), ..Window::new(kernel) };
        for (i, ((&k, &s), &d)) in kernel.iter().zip(strides).zip(dilations).enumerate() {
            let size = input.get(i).copied().unwrap_or(0);
            let span = span(k, d).filter(|_| s > 0);
            let span = span.ok_or_else(|| invalid("window size, step and dilation must be at least 1"))?;
            let (begin, end) = match self {
                Self::Valid => (0, 0),
                Self::Causal => (span - 1, 0),
                Self::Same => {
                    let needed = (size.div_ceil(s).saturating_sub(1)).saturating_mul(s).saturating_add(span);
                    let total = needed.saturating_sub(size);
                    (total / 2, total - total / 2)
                }
            };
            window.pads_begin[i] = begin;
            window.pads_end[i] = end;
        }
        Ok(window)
    }
}

/// Returns the number of elements a window spans.
pub(super) fn span(kernel: usize, dilation: usize) -> Option<usize> {
    kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1).filter(|_| dilation > 0)
}

/// Returns the number of spatial axes, determined by the class name.
pub(super) fn spatial_axes(class: &str) -> usize {
    if class.contains("1D") { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_an_odd_rest_behind() {
        let window = Padding::Same.window(&[5, 6], &[4, 3], &[1, 2], &[1, 1]).unwrap();
        assert_eq!((window.pads_begin, window.pads_end), (vec![1, 0], vec![2, 1]));
        let causal = Padding::Causal.window(&[5], &[3], &[1], &[2]).unwrap();
        assert_eq!((causal.pads_begin, causal.pads_end), (vec![4], vec![0]));
        assert!(Padding::Same.window(&[5], &[0], &[1], &[1]).is_err());
        assert!(Padding::Same.window(&[5], &[1], &[0], &[1]).is_err());
    }
}
