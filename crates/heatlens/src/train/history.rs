//! `history.csv`: the metrics of every epoch.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::write_atomically;

/// Columns, in order.
pub const COLUMNS: [&str; 8] =
    ["epoch", "loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc", "learning_rate"];

/// Metrics of one epoch. `None` (an empty cell) if a metric is not defined: no validation set, or an AUC with only
/// one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EpochRecord {
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Mean cross-entropy of the training samples, in nats.
    pub loss: Option<f64>,
    /// Accuracy on the training samples.
    pub accuracy: Option<f64>,
    /// ROC-AUC on the training samples.
    pub auc: Option<f64>,
    /// Mean cross-entropy of the validation samples, in nats.
    pub val_loss: Option<f64>,
    /// Accuracy on the validation samples.
    pub val_accuracy: Option<f64>,
    /// ROC-AUC on the validation samples.
    pub val_auc: Option<f64>,
    /// Learning rate of the epoch.
    pub learning_rate: f32,
}

impl EpochRecord {
    /// Returns a metric by its column name, such as `loss` or `val_auc`. `None` if it has no value or there is no
    /// such metric.
    #[must_use]
    pub fn metric(&self, column: &str) -> Option<f64> {
        let at = COLUMNS.iter().skip(1).position(|c| *c == column)?;
        self.metrics().get(at).copied().flatten()
    }

    fn metrics(&self) -> [Option<f64>; 6] {
        [self.loss, self.accuracy, self.auc, self.val_loss, self.val_accuracy, self.val_auc]
    }

    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split(',').collect();
        let [epoch, metrics @ .., learning_rate] = cells.as_slice() else { return None };
        let cell = |c: &&str| if c.is_empty() { Some(None) } else { c.parse().ok().map(Some) };
        let metrics: Vec<Option<f64>> = metrics.iter().map(cell).collect::<Option<_>>()?;
        let &[loss, accuracy, auc, val_loss, val_accuracy, val_auc] = metrics.as_slice() else { return None };
        let (epoch, learning_rate) = (epoch.parse().ok()?, learning_rate.parse().ok()?);
        Some(Self { epoch, loss, accuracy, auc, val_loss, val_accuracy, val_auc, learning_rate })
    }
}

/// Epochs of a run, convertible to a file and back. Numbers are written with the fewest digits that restore the
/// same bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Records in epoch order.
    pub records: Vec<EpochRecord>,
}

impl History {
    /// Reads a file written by [`write`](Self::write).
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not eight numbers under the expected header with the epochs 1, 2, 3
    /// and so on.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, HistoryError> {
        let path = path.as_ref();
        let io = |source| HistoryError::Io { path: path.to_path_buf(), source };
        Self::parse(&std::fs::read_to_string(path).map_err(io)?, path)
    }

    /// Parses the text of such a file; `path` is used in error messages.
    ///
    /// # Errors
    /// If a line is malformed.
    pub fn parse(text: &str, path: &Path) -> Result<Self, HistoryError> {
        let header = COLUMNS.join(",");
        let wrong = |line: usize, found: &str, expected: String| HistoryError::Line {
            path: path.to_path_buf(),
            line,
            found: found.chars().take(80).collect(),
            expected,
        };
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if first != header {
            return Err(wrong(1, first, header));
        }
        let mut records = Vec::new();
        for (epoch, line) in (1u64..).zip(lines) {
            let record = EpochRecord::parse(line).filter(|r| r.epoch == epoch);
            let expected = || format!("epoch {epoch}, six metrics and a learning rate");
            records.push(record.ok_or_else(|| wrong(records.len() + 2, line, expected()))?);
        }
        Ok(Self { records })
    }

    /// Writes all records atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), HistoryError> {
        let path = path.as_ref();
        let io = |source| HistoryError::Io { path: path.to_path_buf(), source };
        write_atomically(path, self.to_string().as_bytes()).map_err(io)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", COLUMNS.join(","))?;
        for record in &self.records {
            write!(f, "{},", record.epoch)?;
            for metric in record.metrics() {
                if let Some(value) = metric {
                    write!(f, "{value}")?;
                }
                f.write_char(',')?;
            }
            writeln!(f, "{}", record.learning_rate)?;
        }
        Ok(())
    }
}

/// An error in reading or writing `history.csv`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// I/O error.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Underlying error.
        source: io::Error,
    },
    /// A line does not have the expected format.
    #[error(
        "{}, line {line}: found {found:?}, expected {expected}; delete the file to start the history afresh", path.display()
    )]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// Start of the line.
        found: String,
        /// Expected content.
        expected: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let first = EpochRecord {
            epoch: 1,
            loss: Some(0.1 + 0.2),
            accuracy: Some(1.0 / 3.0),
            auc: None,
            val_loss: Some(f64::MIN_POSITIVE),
            val_accuracy: Some(0.0),
            val_auc: Some(1e300),
            learning_rate: 1e-4,
        };
        History {
            records: vec![first, EpochRecord { epoch: 2, learning_rate: 0.1, ..EpochRecord::default() }],
        }
    }

    #[test]
    fn a_history_reads_back_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        std::fs::write(&path, "an older file").unwrap();
        history().write(&path).unwrap();
        assert_eq!(History::read(&path).unwrap(), history());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().last(), Some("2,,,,,,,0.1"));
        let diverged =
            History { records: vec![EpochRecord { loss: Some(f64::NAN), ..history().records[0] }] };
        let read = History::parse(&diverged.to_string(), &path).unwrap();
        assert!(read.records[0].loss.unwrap().is_nan());
    }

    #[test]
    fn metrics_go_by_the_names_of_the_columns() {
        let record = history().records[0];
        assert_eq!(record.metric("loss"), record.loss);
        assert_eq!(record.metric("val_auc"), Some(1e300));
        assert_eq!(record.metric("auc"), None);
        assert_eq!(record.metric("learning_rate"), None);
        assert_eq!(record.metric("epoch"), None);
    }

    #[test]
    fn what_another_hand_wrote_is_refused_with_its_line() {
        let header = COLUMNS.join(",");
        let error = |text: &str| History::parse(text, Path::new("h.csv")).unwrap_err().to_string();
        assert!(error("").contains("line 1"));
        assert!(error(&format!("{header}\n1,,,,,,,0.1\n3,,,,,,,0.1\n")).contains("line 3"));
        assert!(error(&format!("{header}\n1,,,,,,0.1\n")).contains("expected epoch 1, six metrics"));
        assert!(error(&format!("{header}\n1,x,,,,,,0.1\n")).contains("line 2: found \"1,x"));
        assert!(History::read(Path::new("/no/such/history.csv")).is_err());
    }
}
