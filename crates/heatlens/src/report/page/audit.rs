//! How far each method can be believed.

use maud::{Markup, html};

use super::plot::IntervalBar;
use super::{scroll, tone};
use crate::report::parts::{AuditPart, Interval, MethodRow, MetricColumn};

/// Problems that are shown at once; the rest is folded.
const SHOWN: usize = 10;

/// The table of methods.
pub(super) fn section(audit: &AuditPart) -> Markup {
    html! {
        section #methods {
            h2 { "Which method to trust on this model" }
            @for sentence in &audit.sentences { p { (sentence) } }
            @if !audit.problems.is_empty() {
                details {
                    summary { "What else was found in the model and the images (" (audit.problems.len()) ")" }
                    ul { @for problem in audit.problems.iter().take(SHOWN) { li { (problem) } } }
                    @let more = audit.problems.len().saturating_sub(SHOWN);
                    @if more > 0 {
                        details {
                            summary { "and " (more) " more" }
                            ul { @for problem in audit.problems.iter().skip(SHOWN) { li { (problem) } } }
                        }
                    }
                }
            }
            @if let Some((title, why)) = &audit.recommended {
                p.recommended { b { "Recommended: " (title) ":" } " " (why) "." }
            }
            (scroll("Methods and their metrics", &html! {
                table.numbers.audit {
                    thead { tr {
                        th scope="col" { "method" }
                        @for column in &audit.columns {
                            th.silent[column.says_nothing] scope="col" title=(column.meaning) { (title(column)) }
                        }
                    } }
                    tbody { @for row in &audit.rows { (method(audit, row)) } }
                }
            }))
            dl.meanings {
                @for (verdict, sentence) in verdicts(audit) { div { dt { (verdict) } dd { (sentence) } } }
                @for column in &audit.columns { div { dt { (column.name) } dd { (column.meaning) @if column.says_nothing { ". " b { "Says nothing on this model: " } "all methods do equally well within noise, random maps included, so it does not count" } } } }
            }
        }
    }
}

/// What each verdict in the table means, once.
fn verdicts(audit: &AuditPart) -> Vec<(&str, &str)> {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for row in &audit.rows {
        if known.iter().all(|(verdict, _)| *verdict != row.verdict) {
            known.push((&row.verdict, &row.sentence));
        }
    }
    known
}

/// A column's name; its arrow does not stand alone in a line.
fn title(column: &MetricColumn) -> Markup {
    let (words, last) = match column.name.rsplit_once(' ') {
        Some((words, last)) => (Some(words), last),
        None => (None, column.name.as_str()),
    };
    html! {
        @if let Some(words) = words { (words) " " }
        span.together { (last) (direction(column)) }
        @if column.says_nothing { span.layer { "says nothing here" } }
    }
}

fn direction(column: &MetricColumn) -> &'static str {
    match column.higher_is_better {
        Some(true) => " ↑",
        Some(false) => " ↓",
        None => "",
    }
}

fn method(audit: &AuditPart, row: &MethodRow) -> Markup {
    html! {
        tr.control[row.control] {
            th scope="row" {
                span { (row.title) }
                span.badge.(tone(row.tone)) title=(row.sentence) { (row.verdict) }
            }
            @for (at, cell) in row.cells.iter().enumerate() {
                td.silent[audit.columns.get(at).is_some_and(|c| c.says_nothing)] { @match cell {
                    Some(cell) => { (IntervalBar { cell: *cell, percent: audit.columns.get(at).is_some_and(|c| c.percent), range: range(audit, at) }) },
                    None => "–",
                } }
            }
        }
    }
}

/// What a column's bars reach from and to.
fn range(audit: &AuditPart, column: usize) -> (f64, f64) {
    let cells = audit.rows.iter().filter_map(|row| row.cells.get(column).copied().flatten());
    cells.fold((0.0, 0.0), |(low, high), Interval { low: l, high: h, .. }| (low.min(l), high.max(h)))
}
