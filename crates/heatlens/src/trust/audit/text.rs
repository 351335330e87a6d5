//! The table of methods as plain text.

use serde_json::Value;

use super::{Audit, Column, MethodAudit};
use crate::method;
use crate::stats::MeanEstimate;
use crate::trust::literature;

impl Audit {
    /// Returns the table of methods for a terminal, with the meaning of its columns below.
    #[must_use]
    pub fn to_text(&self) -> String {
        let columns = self.columns();
        let titles: Vec<String> = columns.iter().map(title).collect();
        let mut rows = vec![
            std::iter::once("method".to_owned())
                .chain(titles.iter().cloned())
                .chain(["verdict".to_owned()])
                .collect::<Vec<_>>(),
        ];
        rows.extend(self.methods.iter().enumerate().map(|(at, method)| row(&columns, at, method)));
        let mut text = aligned(&rows);
        text.push_str(&format!(
            "\nmeans over {} images with 95 % intervals; ↑ higher is better, ↓ lower is better\n",
            self.images
        ));
        for column in &columns {
            text.push_str(&format!("{}: {}\n", column.name, column.meaning));
        }
        if columns.iter().any(|column| column.uninformative) {
            text.push_str(
                "(in brackets): uninformative on this model, as all methods, random maps included, score the \
                 same within noise; not counted\n",
            );
        }
        text
    }

    /// Returns a sentence for each method about which there is a published finding.
    #[must_use]
    pub fn findings_in_words(&self) -> Vec<String> {
        let methods = self.methods.iter().filter(|m| !m.control).filter_map(|m| method::find(&m.id).ok());
        methods
            .filter(|m| m.caution.is_some_and(literature::is_finding))
            .filter_map(|m| literature::sentence(m, Some(self)))
            .collect()
    }

    /// Returns a sentence for each region that draws the heat of many images of a class: those that the class depends
    /// on first.
    #[must_use]
    pub fn regions_in_words(&self) -> Vec<String> {
        let (shortcuts, habits) =
            (self.shortcuts.iter().map(shortcut), self.always_looked_at.iter().map(habit));
        shortcuts.chain(habits).collect()
    }

    /// Returns the total time and the share of each part, the longest first; `None` if no time was measured.
    #[must_use]
    pub fn times_in_words(&self) -> Option<String> {
        let total: f64 = self.seconds.values().sum();
        let mut parts: Vec<(&String, &f64)> = self.seconds.iter().collect();
        parts.sort_by(|a, b| b.1.total_cmp(a.1));
        let shares: Vec<String> =
            parts.iter().map(|(part, s)| format!("{part} {:.0} %", 100.0 * **s / total)).collect();
        (total > 0.0).then(|| format!("{total:.0} s: {}", shares.join(", ")))
    }
}

fn title(column: &Column) -> String {
    let title = format!("{}{}", column.name, column.arrow());
    if column.uninformative { format!("({title})") } else { title }
}

fn row(columns: &[Column], at: usize, method: &MethodAudit) -> Vec<String> {
    let cells = columns.iter().map(|column| match column.cells[at] {
        Some(cell) if column.percent => per_cent(cell),
        Some(cell) => format!("{:.3}", cell.mean),
        None => "–".to_owned(),
    });
    let verdict = if method.control { "control" } else { method.verdict.id() };
    std::iter::once(method.title.clone()).chain(cells).chain([verdict.to_owned()]).collect()
}

/// Formats a share in per cent, with its interval if there is one.
fn per_cent(share: MeanEstimate) -> String {
    let [mean, low, high] = [share.mean, share.low, share.high].map(|v| 100.0 * v);
    if low < high { format!("{mean:.0} [{low:.0}, {high:.0}] %") } else { format!("{mean:.0} %") }
}

/// Aligns the columns: the first and the last to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let letters = |text: &String| text.chars().count();
    let widths: Vec<usize> = (0..count)
        .map(|i| rows.iter().filter_map(|row| row.get(i)).map(letters).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(i, cell)| match i {
            0 => format!("{cell:<width$}", width = widths[i]),
            _ if i + 1 == count => cell.clone(),
            _ => format!("{cell:>width$}", width = widths[i]),
        });
        text.push_str(&cells.collect::<Vec<_>>().join("  "));
        text.push('\n');
    }
    text
}

/// Describes a region that a class depends on, in a sentence.
fn shortcut(found: &Value) -> String {
    let [class, place] = ["class", "place"].map(|key| found[key].as_str().unwrap_or_default());
    format!(
        "a shortcut? Filling the place in removes the evidence for the class. In {} of {} images predicted \
         as {class:?} the heat lies in {place}, in other classes in {} of {}; for example {}",
        found["images"],
        found["of"],
        found["in_other_classes"],
        found["of_others"],
        found["exemplars"][0].as_str().unwrap_or_default(),
    )
}

/// Describes a region that is often highlighted but that the class does not depend on, in a sentence.
fn habit(found: &Value) -> String {
    let [class, place] = ["class", "place"].map(|key| found[key].as_str().unwrap_or_default());
    format!(
        "in {} of {} images predicted as {class:?} the heat lies in {place}, but the prediction does not \
         depend on what is there",
        found["images"], found["of"]
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::trust::audit::MethodVerdict;

    #[test]
    fn columns_are_aligned_and_explained() {
        let estimate = |mean| MeanEstimate { mean, low: mean - 0.125, high: mean + 0.125, images: 5 };
        let method = |title: &str, control, metrics| MethodAudit {
            id: title.to_lowercase(),
            title: title.to_owned(),
            control,
            verdict: MethodVerdict::Faithful,
            score: estimate(0.5),
            metrics,
            randomisation: None,
        };
        let deletion = BTreeMap::from([("deletion".to_owned(), estimate(0.25))]);
        let audit = Audit {
            methods: vec![method("Grad-CAM", false, deletion), method("Edges", true, BTreeMap::new())],
            uninformative: vec!["deletion".to_owned()],
            images: 5,
            seconds: BTreeMap::from([("maps".to_owned(), 1.0), ("deletion".to_owned(), 3.0)]),
            ..Audit::default()
        };
        let text = audit.to_text();
        assert!(
            text.starts_with(
                "method    Better than others ↑  (Deletion ↓)  verdict\n\
                 Grad-CAM         50 [38, 62] %         0.250  faithful\n\
                 Edges            50 [38, 62] %             –  control\n\n\
                 means over 5 images"
            ),
            "{text}"
        );
        assert!(text.contains("\nDeletion: ") && text.contains("uninformative on this model"), "{text}");
        assert_eq!(audit.times_in_words().as_deref(), Some("4 s: deletion 75 %, maps 25 %"));
        assert_eq!(Audit::default().times_in_words(), None);
    }
}
