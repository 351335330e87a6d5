//! How often the model is right, and how it came to be so.

use maud::{Markup, html};

use super::plot::{Calibration, Line, LineChart};
use crate::report::Report;
use crate::report::answers::{Answers, Share};
use crate::report::headline::percent;
use crate::report::parts::Training;
use crate::train::history::Record;

/// More classes than this are no table for a page.
const MOST_CLASSES: usize = 12;

/// The numbers under the verdict.
pub(super) fn facts(report: &Report) -> Markup {
    let answers = &report.answers;
    html! {
        ul.facts {
            li { b { (answers.rows.len()) } span { "images explained" } }
            @if let Some((right, of)) = answers.right() {
                li { b { (percent(Share::of(right, of).value)) } span { "right, " (of - right) " wrong" } }
                @if let Some(auc) = answers.auc() {
                    li { b { (format!("{auc:.3}")) } span { "ROC-AUC (0.5 is guessing)" } }
                }
            }
            @if let Some(audit) = &report.audit {
                @if let Some((title, _)) = &audit.recommended {
                    li { b { (title) } span { "recommended method" } }
                }
            }
        }
    }
}

/// Learning curve, confusion and calibration.
pub(super) fn section(report: &Report) -> Markup {
    let confusion = confusion(&report.answers);
    let bins = report.answers.calibration();
    html! {
        section #answers {
            h2 { "What the model answers" }
            @if report.training.is_none() && confusion.is_none() && bins.is_empty() {
                p.muted { "Nothing to compare the answers with: the images have no labels, and the model was not trained here." }
            }
            div.panels {
                @if let Some(training) = &report.training { (curves(training, report)) }
                @if let Some(confusion) = confusion { (confusion) }
                @if bins.len() > 1 {
                    figure.panel {
                        figcaption { h3 { "Is it as sure as it should be?" } }
                        (Calibration { bins: &bins })
                        p.muted { "Each point is a group of images (a tenth of all, at least 20), with the 95 % interval of its share of right answers. On the line, a model that says 90 % is right 9 times in 10; below it, it is too sure of itself." }
                    }
                }
            }
        }
    }
}

fn curves(training: &Training, report: &Report) -> Markup {
    // Where the images have no labels, it is the page's verdict already.
    let sentence = training.sentence.as_ref().filter(|s| !report.headline.sentences.contains(s));
    let records = &training.history.records;
    let column = |pick: fn(&Record) -> Option<f64>| records.iter().map(pick).collect::<Vec<_>>();
    let lines = |train: fn(&Record) -> Option<f64>, validation: fn(&Record) -> Option<f64>| {
        vec![
            Line { name: "training", class: "c1", values: column(train) },
            Line { name: "held out", class: "c2", values: column(validation) },
        ]
    };
    let kept = training.kept_epoch.and_then(|epoch| usize::try_from(epoch).ok());
    html! {
        figure.panel {
            figcaption { h3 { "Learning: loss" } }
            (LineChart { lines: lines(|r| r.loss, |r| r.val_loss), range: None, marker: kept })
            p.muted { "Cross-entropy by epoch, less is better. The dashed upright is the epoch that was kept." }
        }
        figure.panel {
            figcaption { h3 { "Learning: accuracy" } }
            (LineChart { lines: lines(|r| r.accuracy, |r| r.val_accuracy), range: Some((0.0, 1.0)), marker: kept })
            @if let Some(sentence) = sentence { p.muted { (sentence) } }
        }
    }
}

fn confusion(answers: &Answers) -> Option<Markup> {
    let (classes, counts) = answers.confusion(MOST_CLASSES)?;
    let name = |class: usize| answers.class_names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let share = |row: &[usize], count: usize| count as f64 / row.iter().sum::<usize>().max(1) as f64;
    Some(html! {
        figure.panel {
            figcaption { h3 { "Which classes are mixed up?" } }
            div.scroll {
                table.confusion {
                    thead { tr {
                        th { "is ↓ · model says →" }
                        @for &class in &classes { th scope="col" { (name(class)) } }
                    } }
                    tbody {
                        @for (is, row) in counts.iter().enumerate() {
                            tr {
                                th scope="row" { (name(classes[is])) }
                                @for (called, &count) in row.iter().enumerate() {
                                    td.right[is == called].wrong[is != called]
                                        style={ "--share:" (format!("{:.3}", share(row, count))) } { (count) }
                                }
                            }
                        }
                    }
                }
            }
            p.muted { "Rows are what an image is, columns what the model says. Fuller colour: a larger share of the row." }
        }
    })
}
