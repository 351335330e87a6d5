//! The section on where the model looks across the data set.

use maud::{Markup, html};

use crate::dataset::heat_grid::{area, in_corner, on_border};
use crate::dataset::{
    ClassFindings, ClassOutcome, Cluster, HeatGrid, MAX_CLASSES, MAX_CLUSTERED, MAX_OBSERVED, Shortcut,
};
use crate::report::data_set::{ClassPictures, ClusterPictures, DataSetPart, Exemplar, sentence};
use crate::report::picture::Picture;
use crate::stats::text::{p_value, percent};

/// Mean maps of fewer images are drawn smaller.
const FEW: usize = 5;

/// Renders the section.
pub(super) fn section(part: &DataSetPart) -> Markup {
    let found = &part.findings;
    html! {
        section #data {
            h2 { "Where the model looks across the data set" }
            p { "By " (found.map) ", each image's map for the class that was explained, on a grid of 16 × 16 \
                cells. Where a mean map is hot, the model looks in many images." }
            @if found.without_heat > 0 { p.muted { (found.without_heat) " of " (found.images) " images have \
                no heat: nothing raises the score of the class." } }
            @if found.left_out > 0 { p.muted { "Only the first " (MAX_OBSERVED) " images were analysed; " (found.left_out) " more were not." } }
            @if found.classes_left_out > 0 { p.muted { "Only the " (MAX_CLASSES) " classes that the model gives most often are shown; it also gives " (found.classes_left_out) " others." } }
            @for (class, _, shortcut) in found.shortcuts() { (finding(class, shortcut)) }
            @for (class, _, place) in found.habits() { (habit(class, place)) }
            @if found.shortcuts().next().is_none() && found.classes.len() > 1 {
                p.calm { "No shortcut found at the image border. (In the middle of the images, position \
                    alone cannot tell a shortcut from the object: look at the mean maps.)" }
            }
            @for (at, (class, pictures)) in found.classes.iter().zip(&part.pictures).enumerate() { (one_class(part, class, pictures, swapped(&found.classes, at))) }
            p.muted { "The border is the outer eighth on each side, " (percent(area(on_border))) " of the area; the corners are four squares of a quarter of the sides, " (percent(area(in_corner))) ". Evenly spread heat would have these shares." }
        }
    }
}

fn finding(class: &ClassFindings, shortcut: &Shortcut) -> Markup {
    html! {
        div.finding.bad {
            p.eyebrow { "Suspected shortcut" }
            p { (sentence(&class.name, shortcut)) }
            p.muted { "If an object were equally likely on every side, this would happen with a probability \
                of at most " (p_value(shortcut.p_value)) " (corrected for all places and classes)." }
        }
    }
}

fn habit(class: &ClassFindings, place: &Shortcut) -> Markup {
    html! {
        p.calm {
            "Always looks here: in " (place.images) " of " (place.of) " images predicted as “" (class.name) "”, \
                the heat is concentrated in " (place.place) "."
            @match place.region_test.as_ref().map(|test| (test, test.depends())) {
                Some((test, true)) => {
                    " Filling it in removes " (percent(test.most().clamp(0.0, 1.0))) " of the evidence, but pasted into images of other classes it supplies only " (percent(test.gain.here.clamp(0.0, 1.0))) " of what they lack: a mark would supply more, so this may be a part of the object."
                },
                Some((test, false)) => {
                    " The prediction does not depend on it: filling it in removes at most " (percent(test.most().clamp(0.0, 1.0))) " of the evidence, or little more than elsewhere or in other classes."
                },
                None => {},
            }
        }
    }
}

fn one_class(
    part: &DataSetPart,
    class: &ClassFindings,
    pictures: &ClassPictures,
    swapped: Option<&str>,
) -> Markup {
    html! {
        article.class {
            h3 { "Class “" (class.name) "”" }
            @if let Some(same) = swapped {
                p.muted { "For the mean maps by outcome see “" (same) "”: its true positives are this \
                    class's true negatives and vice versa." }
            } @else {
                div.tiles {
                    @for (outcome, picture) in class.outcomes.iter().zip(&pictures.outcomes) {
                        figure.few[outcome.images < FEW] {
                            (heat(part, picture.as_ref(), None))
                            figcaption {
                                b { (outcome_name(outcome.outcome)) }
                                span.layer { (outcome.images) @if outcome.images == 1 { " image" } @else { " images" } @if outcome.images < FEW { ": few" } }
                                @if let Some(mean) = &outcome.mean { (bar(mean)) (edges(mean)) }
                            }
                        }
                    }
                }
            }
            @if class.clusters.len() > 1 || class.clusters.iter().any(|c| c.shortcut.is_some()) {
                h4 { (class.clusters.len()) " clusters of explanations" }
                @if class.clustered < class.explanations {
                    p.muted { "Found among " (class.clustered) " of " (class.explanations) " explanations (at most " (MAX_CLUSTERED) ", \
                        evenly spaced)." }
                }
                @for (cluster, pictures) in class.clusters.iter().zip(&pictures.clusters) { (one_cluster(part, cluster, pictures)) }
            } @else if class.explanations > 0 {
                p.muted { "All its explanations are alike: no separate clusters." }
            }
        }
    }
}

/// Returns the first class's name if this is the second of two classes with the same mean maps, outcomes swapped.
fn swapped(classes: &[ClassFindings], at: usize) -> Option<&str> {
    match classes {
        [first, second] if at == 1 && mirrored(first, second) => Some(&first.name),
        _ => None,
    }
}

/// Returns true if every mean map of the second class is also one of the first.
fn mirrored(first: &ClassFindings, second: &ClassFindings) -> bool {
    second.outcomes.iter().all(|o| first.outcomes.iter().any(|f| f.images == o.images && f.mean == o.mean))
}

fn outcome_name(outcome: ClassOutcome) -> &'static str {
    match outcome {
        ClassOutcome::TruePositive => "true positives",
        ClassOutcome::FalsePositive => "false positives",
        ClassOutcome::FalseNegative => "false negatives",
        ClassOutcome::TrueNegative => "true negatives",
        ClassOutcome::Said => "predicted, truth unknown",
    }
}

/// Renders a mean map, with the region of a shortcut marked.
fn heat(part: &DataSetPart, picture: Option<&Picture>, shortcut: Option<&Shortcut>) -> Markup {
    let shape = format!("aspect-ratio:{}/{}", part.size.0, part.size.1);
    html! {
        @match picture {
            Some(picture) => div.still role="img" aria-label="mean map" style={ (shape) ";background-image:url(" (picture.uri) ")" } { (rectangle(shortcut)) },
            None => div.still style=(shape) { p.reason { "no heat" } },
        }
    }
}

fn rectangle(shortcut: Option<&Shortcut>) -> Markup {
    html! { @if let Some(shortcut) = shortcut {
        @let [top, left, height, width] = shortcut.place.rectangle().map(|share| 100.0 * share);
        svg.truth viewBox="0 0 100 100" preserveAspectRatio="none" {
            title { (shortcut.place) }
            path d={ "M" (left) " " (top) "h" (width) "v" (height) "h-" (width) "z" } {}
        }
    } }
}

fn bar(mean: &HeatGrid) -> Markup {
    let most = mean.cells().iter().copied().fold(0.0, f32::max);
    html! {
        span.bar style="background-image:var(--heat-bar)" {}
        span.ends { span { "0" } span { "per cell" } span { (percent(f64::from(most))) } }
    }
}

fn edges(mean: &HeatGrid) -> Markup {
    html! { span.meaning { (percent(mean.share(on_border))) " on the border, " (percent(mean.share(in_corner))) " in corners" } }
}

fn one_cluster(part: &DataSetPart, cluster: &Cluster, pictures: &ClusterPictures) -> Markup {
    let shortcut = cluster.shortcut.as_ref();
    html! {
        div.cluster.bad[shortcut.is_some()] tabindex="0" role="region" aria-label={ "Cluster of " (cluster.images) " images" } {
            figure {
                (heat(part, pictures.mean.as_ref(), shortcut))
                figcaption {
                    b { (cluster.images) " images" }
                    @if let Some(shortcut) = shortcut { span.badge.bad { (shortcut.place) } }
                    (bar(&cluster.mean)) (edges(&cluster.mean))
                }
            }
            @for exemplar in &pictures.exemplars { (one_exemplar(part, exemplar, shortcut)) }
        }
    }
}

fn one_exemplar(part: &DataSetPart, exemplar: &Exemplar, shortcut: Option<&Shortcut>) -> Markup {
    let shape = format!("aspect-ratio:{}/{}", part.size.0, part.size.1);
    html! {
        figure.pixelated[exemplar.image.pixelated] style={ "--image:url(" (exemplar.image.uri) ")" } {
            div.still.photo role="img" aria-label={ (exemplar.name) " with its heat map" } style=(shape) {
                div.grey {}
                div.veil style={ "background-image:url(" (exemplar.veil.uri) ")" } {}
                (rectangle(shortcut))
            }
            figcaption { span.layer { (exemplar.name) } }
        }
    }
}
