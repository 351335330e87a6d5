//! The frame of the page; each section has a module.

mod audit;
mod data_set;
mod gallery;
mod plot;
mod predictions;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::render::Colormap;
use crate::report::Report;
use crate::report::parts::{Headline, ProvenanceEntry, Table, Tone};
use crate::trust::absence::{means_absence, paragraph};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Forbids all network access, even if a name were to slip through as markup.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Renders the page of a report.
pub(super) fn page(report: &Report) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="generator" content={ "heatlens " (env!("CARGO_PKG_VERSION")) };
                link rel="icon" href="data:,";
                title { (report.title) " · heatlens" }
                style { (PreEscaped(STYLE)) (PreEscaped(color_bars(report.gallery.colormap))) }
            }
            body {
                (header(report))
                main id="main" {
                    (verdict(&report.headline, &report.warnings, report))
                    (predictions::section(report))
                    @if let Some(audit) = &report.audit { (audit::section(audit)) }
                    (gallery::section(&report.gallery, absence(report).as_deref()))
                    @if let Some(part) = &report.data_set { (data_set::section(part)) }
                    @for table in &report.tables { (table_section(table)) }
                    (provenance(&report.provenance))
                }
                footer { "Written by heatlens " (env!("CARGO_PKG_VERSION")) ". One file, no network: everything is inside." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// Returns the colormaps as CSS gradients, so that legends match the maps exactly.
fn color_bars(heat: Colormap) -> String {
    let gradient = |name: &str, colors: Colormap| {
        let stop = |i: u8| {
            let low = colors.low();
            let [r, g, b] = colors.color(low + (1.0 - low) * f32::from(i) / 16.0);
            format!("#{r:02x}{g:02x}{b:02x}")
        };
        let stops: Vec<String> = (0..=16).map(stop).collect();
        format!("--{name}:linear-gradient(90deg,{});", stops.join(","))
    };
    let bars = [
        gradient("heat-bar", heat),
        gradient("signed-bar", Colormap::RedBlue),
        gradient("grey-bar", Colormap::Grey),
    ];
    format!(":root{{{}}}", bars.concat())
}

fn header(report: &Report) -> Markup {
    html! {
        header.top {
            div.brand { span.mark {} "heatlens" }
            p.what { (report.title) }
            nav aria-label="Sections" {
                a href="#verdict" { "Verdict" }
                a href="#answers" { "Accuracy" }
                @if report.audit.is_some() { a href="#methods" { "Methods" } }
                a href="#images" { "Images" }
                @if report.data_set.is_some() { a href="#data" { "Data set" } }
                a href="#provenance" { "Source" }
            }
        }
    }
}

/// Explains why heat for classes such as "ok" is diffuse, if such a class occurs.
fn absence(report: &Report) -> Option<String> {
    let occurs = report.answers.occurring().iter().any(|name| means_absence(name));
    paragraph(&report.answers.class_names).filter(|_| occurs)
}

fn verdict(headline: &Headline, warnings: &[String], report: &Report) -> Markup {
    html! {
        section #verdict.verdict.(tone(headline.tone)) {
            p.eyebrow { "Verdict" }
            h1 { (headline.title) }
            @for (i, sentence) in headline.sentences.iter().enumerate() {
                p.lead[i == 0] { (sentence) }
            }
            (predictions::facts(report))
        }
        @if !warnings.is_empty() {
            section.warnings aria-label="Before you believe a picture" {
                h2 { "Before you believe a picture" }
                ul { @for warning in warnings { li { (warning) } } }
            }
        }
    }
}

/// Wraps content that may be wider than its container in a scrollable region with a name, reachable by keyboard.
fn scroll(name: &str, content: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(name) { (content) } }
}

/// Returns the CSS class of a tone.
fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Unsure => "unsure",
    }
}

fn table_section(table: &Table) -> Markup {
    html! {
        section {
            h2 { (table.title) }
            @if !table.lead.is_empty() { p { (table.lead) } }
            (scroll(&table.title, &html! {
                table.numbers {
                    thead { tr { @for column in &table.columns { th scope="col" { (column) } } } }
                    tbody {
                        @for row in &table.rows {
                            tr { @for (i, cell) in row.iter().enumerate() {
                                @if i == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            } }
                        }
                    }
                }
            }))
        }
    }
}

fn provenance(facts: &[ProvenanceEntry]) -> Markup {
    html! {
        section #provenance {
            h2 { "Provenance" }
            p.muted { "Everything needed to reproduce this page: the same inputs give the same bytes." }
            dl.facts-list {
                @for fact in facts { div { dt { (fact.name) } dd { (fact.value) } } }
            }
        }
    }
}
