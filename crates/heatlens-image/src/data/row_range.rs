//! Selection of an array's rows: `0:2000`, `:100`, `2000:`, `5`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::DataError;

/// A half-open range of rows as typed by the user, counted from 0, excluding the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    start: usize,
    end: Option<usize>,
    single: bool,
}

impl RowRange {
    /// Returns the selected rows of an array with `len` rows. A range that extends beyond the array is an error rather
    /// than truncated, since it suggests that the wrong file was given.
    pub fn resolve(self, len: usize) -> Result<Range<usize>, DataError> {
        let end = self.end.unwrap_or(len);
        if end > len || self.start >= len {
            return Err(self.error(format!("the array has {len} rows (0 to {})", len.saturating_sub(1))));
        }
        Ok(self.start..end)
    }

    fn error(self, reason: String) -> DataError {
        DataError::Rows { text: self.to_string(), reason }
    }
}

impl fmt::Display for RowRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            _ if self.single => write!(f, "{}", self.start),
            Some(end) => write!(f, "{}:{end}", self.start),
            None => write!(f, "{}:", self.start),
        }
    }
}

impl FromStr for RowRange {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let error = |reason: &str| DataError::Rows { text: text.to_owned(), reason: reason.to_owned() };
        let number = |part: &str| {
            part.parse::<usize>()
                .map_err(|_| error("expected a range such as 0:2000, :100, 2000: or a single row such as 5"))
        };
        let range = match text.trim().split_once(':') {
            None => {
                let start = number(text.trim())?;
                let end = start.checked_add(1).ok_or_else(|| error("the number is too large"))?;
                Self { start, end: Some(end), single: true }
            }
            Some((start, end)) => Self {
                start: if start.is_empty() { 0 } else { number(start)? },
                end: if end.is_empty() { None } else { Some(number(end)?) },
                single: false,
            },
        };
        if range.end.is_some_and(|end| end <= range.start) {
            return Err(error("the range is empty: its end must be larger than its start"));
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_python_writes_them() {
        let rows = |text: &str, len| text.parse::<RowRange>().unwrap().resolve(len).unwrap();
        assert_eq!(rows("0:2000", 2237), 0..2000);
        assert_eq!(rows("2000:", 2237), 2000..2237);
        assert_eq!(rows(":100", 2237), 0..100);
        assert_eq!(rows(":", 7), 0..7);
        assert_eq!(rows("5", 6), 5..6);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "a", "1:2:3", "-1:", "3:3", "9:2", "1.5", "18446744073709551615"] {
            assert!(text.parse::<RowRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn rows_that_are_not_there_are_named() {
        let error = "0:2000".parse::<RowRange>().unwrap().resolve(1500).unwrap_err();
        assert_eq!(error.to_string(), "rows \"0:2000\": the array has 1500 rows (0 to 1499)");
        assert!("5".parse::<RowRange>().unwrap().resolve(5).is_err());
        assert!(":".parse::<RowRange>().unwrap().resolve(0).is_err());
    }
}
