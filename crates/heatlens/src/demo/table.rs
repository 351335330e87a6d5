//! The demo's result as a table, for the terminal and for the report.

use super::{Localisation, conclusion};
use crate::report::Table;

/// Returns the table as text, with the conclusion.
#[must_use]
pub fn text(rows: &[Localisation]) -> String {
    let mut lines = vec![
        "How much of the heat falls on the ring, in held-out images?".to_owned(),
        format!("{:<28} {:>10} {:>10} {:>8} {:>8}", "method", "on ring", "by chance", "times", "peak"),
    ];
    lines.extend(rows.iter().map(|row| {
        let [share, chance, peak] = [row.share, row.chance, row.peak].map(|v| 100.0 * v);
        let (title, ratio) = (row.title(), row.ratio());
        format!("{title:<28} {share:>9.1}% {chance:>9.1}% {ratio:>7.1}× {peak:>7.0}%")
    }));
    lines.push(conclusion(rows));
    lines.join("\n")
}

/// Returns the table for the report.
#[must_use]
pub fn table(rows: &[Localisation]) -> Table {
    let columns = ["method", "heat on the ring", "by chance", "times chance", "peak on the ring"];
    let row = |row: &Localisation| {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let peak = format!("{:.0} % of images", 100.0 * row.peak);
        vec![row.title(), percent(row.share), percent(row.chance), format!("{:.1}", row.ratio()), peak]
    };
    Table {
        title: "How much of the heat falls on the ring?".to_owned(),
        lead: format!(
            "Mean over the images with a ring, for every method that explains in one pass. The model was never \
             told where the ring is; the green outline shows it. {}",
            conclusion(rows)
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.iter().map(row).collect(),
    }
}
