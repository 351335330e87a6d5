//! Accuracy and errors: the figures below the verdict, learning curves, confusion matrix, ROC and precision-recall
//! curves, reliability diagram, and the top-five predictions of models with many classes.

use maud::{Markup, html};

use super::plot::{Line, LineChart, Reliability, UnitCurve};
use super::scroll;
use crate::report::Report;
use crate::report::parts::Training;
use crate::report::predictions::ImagePredictions;
use crate::stats::MeanEstimate;
use crate::stats::calibration::{Calibration, FEWEST};
use crate::stats::text::{percent, percent_interval, with_interval};
use crate::train::history::EpochRecord;
use crate::trust::audit::ModelVerdict;

/// Maximum number of classes of a confusion matrix on the page.
const MOST_CLASSES: usize = 12;
/// Number of confusions listed instead.
const MOST_ERRORS: usize = 15;
/// Maximum number of images with listed top-five classes.
const MOST_ROWS: usize = 50;

/// Renders the figures below the verdict.
pub(super) fn facts(report: &Report) -> Markup {
    let (answers, verdict) = (&report.answers, &report.verdict);
    let judged = verdict.judgement.images > 0;
    html! {
        ul.facts {
            li { b { (answers.rows.len()) } span { "images" } }
            @if judged {
                @if let Some(accuracy) = verdict.accuracy {
                    (fact(&percent(accuracy.mean), "accuracy", percent_interval(accuracy)))
                }
                @if let Some(majority) = verdict.majority() {
                    li { b { (percent(majority)) } span { "majority-class baseline (always the most frequent class)" } }
                }
                @if let Some(auc) = verdict.auc {
                    (fact(&format!("{:.3}", auc.mean), "ROC-AUC (0.5 is guessing)", auc_interval(auc)))
                }
                @if let (Some(positive), Some(sensitivity)) = (verdict.positive, verdict.sensitivity()) {
                    (fact(&percent(sensitivity.mean), &format!("sensitivity (recall of “{}”)", verdict.class_name(positive)), percent_interval(sensitivity)))
                }
                @if let (Some(positive), Some(specificity)) = (verdict.positive, verdict.specificity()) {
                    (fact(&percent(specificity.mean), &format!("specificity (recall of “{}”)", verdict.class_name(1 - positive)), percent_interval(specificity)))
                }
            }
            @if let Some(audit) = &report.audit {
                @if let Some(best) = audit.best() {
                    li { b { (best.title) } span { "recommended method" } }
                }
            }
        }
    }
}

fn auc_interval(auc: MeanEstimate) -> Option<String> {
    auc.low.is_finite().then(|| format!("{:.3}–{:.3}", auc.low, auc.high))
}

fn fact(value: &str, name: &str, interval: Option<String>) -> Markup {
    html! { li { b { (value) } span { (name) @if let Some(interval) = interval { br; "95 % CI " (interval) } } } }
}

/// Renders learning curves, errors, ROC and precision-recall curves, and calibration.
pub(super) fn section(report: &Report) -> Markup {
    let verdict = &report.verdict;
    let judged = verdict.judgement.images > 0;
    let many =
        verdict.confusion.classes().len() > MOST_CLASSES || report.answers.class_names.len() > MOST_CLASSES;
    html! {
        section #answers {
            h2 { "Accuracy and errors" }
            @if !judged { p.muted { "The images have no labels, so there is nothing to compare the predictions with." } }
            div.panels {
                @if let Some(training) = &report.training { (curves(training, report)) }
                @if judged {
                    @if verdict.confusion.classes().len() <= MOST_CLASSES { (matrix(verdict)) } @else { (errors(verdict)) }
                    (roc(verdict))
                    (precision_recall(verdict))
                    @if let Some(calibration) = &verdict.calibration { (reliability(calibration)) }
                }
            }
            @if many { (top_five(&report.answers)) }
        }
    }
}

fn curves(training: &Training, report: &Report) -> Markup {
    // If the images have no labels, the headline already has this sentence.
    let sentence = training.sentence.as_ref().filter(|s| !report.headline.sentences.contains(s));
    let records = &training.history.records;
    let column = |pick: fn(&EpochRecord) -> Option<f64>| records.iter().map(pick).collect::<Vec<_>>();
    let lines = |train: fn(&EpochRecord) -> Option<f64>, validation: fn(&EpochRecord) -> Option<f64>| {
        vec![
            Line { name: "training", class: "c1", values: column(train) },
            Line { name: "validation", class: "c2", values: column(validation) },
        ]
    };
    let kept = training.kept_epoch.and_then(|epoch| usize::try_from(epoch).ok());
    html! {
        figure.panel {
            figcaption { h3 { "Learning curve: loss" } }
            (LineChart { name: "Loss by epoch", lines: lines(|r| r.loss, |r| r.val_loss), range: None, marker: kept })
            p.muted { "Cross-entropy by epoch, lower is better; validation images are held out from \
                training. Dashed line: the epoch whose weights were saved." }
        }
        figure.panel {
            figcaption { h3 { "Learning curve: accuracy" } }
            (LineChart { name: "Accuracy by epoch", lines: lines(|r| r.accuracy, |r| r.val_accuracy), range: Some((0.0, 1.0)), marker: kept })
            p.muted { "Share of correct predictions by epoch, higher is better." }
            @if let Some(sentence) = sentence { p.muted { "After training: " (sentence) } }
        }
    }
}

fn matrix(verdict: &ModelVerdict) -> Markup {
    let (matrix, classes) = (&verdict.confusion, verdict.confusion.classes());
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = |label: usize, count: usize| count as f64 / matrix.labelled(label).max(1) as f64;
    html! {
        figure.panel {
            figcaption { h3 #confusion-matrix { "Confusion matrix" } }
            (scroll("Confusion matrix", &html! {
                table.confusion {
                    thead { tr {
                        th scope="col" { "true ↓ predicted →" }
                        @for &class in &classes { th scope="col" { (verdict.class_name(class)) } }
                    } }
                    tbody {
                        @for &label in &classes {
                            tr {
                                th scope="row" { (verdict.class_name(label)) }
                                @for &said in &classes {
                                    @let count = matrix.count(label, said);
                                    td.right[label == said].wrong[label != said]
                                        style={ "--share:" (format!("{:.3}", share(label, count))) } { (count) }
                                }
                            }
                        }
                    }
                }
            }))
            p.muted { "Rows are the true classes, columns the predicted ones, cells the number of images: \
                correct predictions lie on the diagonal. The stronger the colour, the larger the share of \
                the row." }
        }
    }
}

/// Lists the most frequent confusions, for models with many classes.
fn errors(verdict: &ModelVerdict) -> Markup {
    let errors = verdict.confusion.errors(MOST_ERRORS);
    html! {
        figure.panel {
            figcaption { h3 { "Most frequent confusions" } }
            @if errors.is_empty() { p { "None: every image was predicted as its class." } } @else {
                (scroll("Most frequent confusions", &html! {
                    table {
                        thead { tr { th scope="col" { "true class" } th scope="col" { "predicted" } th scope="col" { "images" } th scope="col" { "of" } } }
                        tbody { @for error in &errors { tr {
                            th scope="row" { (verdict.class_name(error.label)) }
                            td { (verdict.class_name(error.predicted)) } td { (error.images) } td { (error.of) }
                        } } }
                    }
                }))
            }
            p.muted { "The confusion matrix of " (verdict.confusion.classes().len()) " classes is too large for a page; these are its largest entries off the diagonal." }
        }
    }
}

fn roc(verdict: &ModelVerdict) -> Markup {
    let (Some(found), Some(positive), Some(auc)) = (&verdict.curves, verdict.positive, verdict.auc) else {
        return html! {};
    };
    let name = verdict.class_name(positive);
    let at = verdict.sensitivity().zip(verdict.specificity()).map(|(s, p)| (1.0 - p.mean, s.mean));
    html! {
        figure.panel {
            figcaption { h3 { "ROC curve" } }
            (UnitCurve {
                name: &format!("ROC curve of {name}: area {}", with_interval(auc)),
                points: &found.roc,
                axes: ["false positive rate (1 − specificity)", "sensitivity"],
                reference: [(0.0, 0.0), (1.0, 1.0)],
                legend: ["model", "guessing"],
                mark: at,
            })
            p.muted { "ROC-AUC " (with_interval(auc)) ". For every threshold, the share of “" (name) "” that \
                is found (vertical) against the share of the others that is mistaken for it (horizontal): \
                the closer to the upper left corner, the better. The ring marks the threshold 0.5." }
        }
    }
}

fn precision_recall(verdict: &ModelVerdict) -> Markup {
    let (Some(found), Some(positive)) = (&verdict.curves, verdict.positive) else { return html! {} };
    let name = verdict.class_name(positive);
    let at = verdict.sensitivity().zip(verdict.precision()).map(|(recall, p)| (recall.mean, p.mean));
    html! {
        figure.panel {
            figcaption { h3 { "Precision-recall curve" } }
            (UnitCurve {
                name: &format!("Precision-recall curve of {name}: average precision {:.3}", found.average_precision),
                points: &found.precision_recall,
                axes: ["recall (sensitivity)", "precision"],
                reference: [(0.0, found.prevalence), (1.0, found.prevalence)],
                legend: ["model", "guessing"],
                mark: at,
            })
            p.muted { "Average precision " (format!("{:.3}", found.average_precision)) " (guessing: " (format!("{:.3}", found.prevalence)) "). For every threshold, the share of “" (name) "” \
                predictions that are correct (vertical) against the share of “" (name) "” that is found \
                    (horizontal); more informative than the ROC curve where “" (name) "” is rare." }
        }
    }
}

fn reliability(calibration: &Calibration) -> Markup {
    let images = calibration.images();
    html! {
        figure.panel {
            figcaption { h3 { "Calibration (reliability diagram)" } }
            @if images < FEWEST {
                p { "Too few images for a reliability diagram: " (images) ", where at least " (FEWEST) " are needed." }
                p.muted { "It would show whether a confidence of 90 % is right 9 times in 10. The expected calibration error of these images is " (format!("{:.3}", calibration.error)) ", most of which may be noise." }
            } @else {
                (Reliability { bins: &calibration.bins })
                p.muted { "Expected calibration error " (format!("{:.3}", calibration.error)) ": the mean \
                    gap between confidence and accuracy. Each point stands for the images in one tenth of \
                    the confidence scale (hollow: fewer than 10), with the 95 % interval of their accuracy. \
                    On the line, a confidence of 90 % is right 9 times in 10; below it, the model is \
                    overconfident." }
            }
        }
    }
}

/// Lists the top-five predictions of each image.
fn top_five(answers: &ImagePredictions) -> Markup {
    let shown = answers.rows.len().min(MOST_ROWS);
    let place = |at: usize| format!("{}.", at + 1);
    let most = answers.rows.iter().map(|row| row.top.len()).max().unwrap_or(0);
    html! {
        details.ranking open[shown <= 12] {
            summary { "Top " (most) " classes of " @if shown < answers.rows.len() { "the first " } (shown) " images" }
            (scroll("Top classes of each image", &html! {
                table.words {
                    thead { tr { th scope="col" { "image" } @for at in 0..most { th scope="col" { (place(at)) } } } }
                    tbody { @for row in answers.rows.iter().take(shown) { tr {
                        th scope="row" { (row.name) @if let Some(label) = row.label { span.layer { "true: " (answers.class_name(label)) } } }
                        @for (class, probability) in &row.top {
                            td.hit[row.label == Some(*class)] { (answers.class_name(*class)) span.layer { (percent((probability * 1000.0).round() / 1000.0)) } }
                        }
                    } } }
                }
            }))
        }
    }
}
