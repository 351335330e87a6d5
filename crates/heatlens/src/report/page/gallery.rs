//! The gallery of images and maps, with controls to sort, filter and fade.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::report::collect::{Gallery, MAX_BYTES, MAX_IMAGES, MAX_MAPS};
use crate::report::image_card::{CardMap, Drawn, ImageCard, MapInfo, Outline};
use crate::report::occlusion_check::OcclusionCheck;
use crate::trust::literature::is_finding;

/// Renders the gallery with its controls.
pub(super) fn section(gallery: &Gallery, absence: Option<&str>) -> Markup {
    let shown = gallery.cards.len();
    html! {
        section #images {
            h2 { "Where the model looks" }
            @if shown < gallery.total {
                p.muted {
                    "This page shows " (shown) " of " (gallery.total) " images, so that it stays small enough to send (at most "
                    (MAX_IMAGES) " images, " (MAX_MAPS) " maps and " (MAX_BYTES >> 20) " MB of pictures): up \
                        to half are the first that the model got wrong, the rest the first of the others. \
                        manifest.jsonl in the same folder lists all."
                }
            }
            @if let Some(absence) = absence { p.absence { (absence) } }
            (controls(gallery))
            p.count aria-live="polite" { span #count { (shown) } " of " (shown) " images" }
            div #cards.cards { @for card in &gallery.cards { (one(gallery, card)) } }
            p.muted.none hidden { "No image passes these filters." }
            (reading(gallery))
        }
    }
}

fn controls(gallery: &Gallery) -> Markup {
    let cards = &gallery.cards;
    let judged = cards.iter().any(|c| c.right.is_some());
    let checked = cards.iter().any(|c| c.check.is_some());
    let classes = classes(cards);
    html! {
        form.controls {
            @if gallery.maps.len() > 1 {
                label { "Map" select #map {
                    @for (i, map) in gallery.maps.iter().enumerate() { option value=(i) selected[i == gallery.main] { (map.title) } }
                } }
            }
            label { "Order" select #sort {
                option value="order" { "as in the data" }
                @if judged { option value="errors" { "errors first" } }
                @if checked { option value="faith" { "least faithful first" } }
                option value="unsure" { "least confident first" }
            } }
            @if judged {
                label { "Show" select #outcome {
                    option value="" { "right and wrong" }
                    option value="0" { "wrong only" }
                    option value="1" { "right only" }
                } }
            }
            @if classes.len() > 1 {
                label { "Class" select #class {
                    option value="" { "every class" }
                    @for class in &classes { option value=(class) { (class) } }
                } }
            }
            label.wide { "Image ↔ map, all images" input #fade type="range" min="0" max="100" value="50"; }
        }
    }
}

/// Returns every class that occurs as a label or a prediction.
fn classes(cards: &[ImageCard]) -> Vec<&str> {
    let mut classes: Vec<&str> =
        cards.iter().flat_map(|c| c.label.as_deref().into_iter().chain([c.predicted.as_str()])).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

fn one(gallery: &Gallery, card: &ImageCard) -> Markup {
    let right = match card.right {
        Some(true) => "1",
        Some(false) => "0",
        None => "",
    };
    let faith = card.check.map_or(String::new(), |check| format!("{:.6}", check.lead()));
    html! {
        article.card.pixelated[card.image.pixelated] aria-label=(card.name) style=(pictures(card))
            data-order=(card.item) data-right=(right) data-faith=(faith) data-sure=(format!("{:.6}", card.probability))
            data-label=[card.label.as_deref()] data-predicted=(card.predicted) {
            div.stage style={ "aspect-ratio:" (card.image.width) "/" (card.image.height) } {
                div.photo role="img" aria-label={ "the image " (card.name) } {}
                @for (i, map) in card.maps.iter().enumerate() {
                    div.layers data-map=(i) hidden[i != gallery.main] { (layers(i, map)) (outlined(map.focus.as_ref(), "focus", "outline of what is explained")) }
                }
                (outlined(card.truth.as_ref(), "truth", "outline of the true object"))
            }
            label.fade { span { "image" } input type="range" min="0" max="100" value="50" aria-label={ "from image to map: " (card.name) }; span { "map" } }
            @for (i, map) in card.maps.iter().enumerate() {
                div.legend data-map=(i) hidden[i != gallery.main] { (legend(map)) }
            }
            (caption(card))
            details {
                summary { (count(card.maps.len(), "map")) " and details" }
                (tiles(gallery, card))
                dl.facts-list {
                    div { dt { "from" } dd { (card.source) } }
                    @if let Some(check) = card.check { div { dt { "blanking" } dd { (blanking(gallery, check)) } } }
                }
            }
        }
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Returns the pictures as CSS variables, so that each is embedded only once.
fn pictures(card: &ImageCard) -> String {
    let mut style = format!("--image:url({})", card.image.uri);
    for (i, map) in card.maps.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = match &map.drawn {
            Drawn::Heat { heat, veil, signed, .. } => {
                write!(style, ";--h{i}:url({});--v{i}:url({});--s{i}:url({})", heat.uri, veil.uri, signed.uri)
            }
            Drawn::Whole { picture, .. } => write!(style, ";--h{i}:url({})", picture.uri),
            Drawn::Empty { .. } => Ok(()),
        };
    }
    style
}

fn layers(i: usize, map: &CardMap) -> Markup {
    html! { @match &map.drawn {
        Drawn::Heat { .. } => {
            div.veil style={ "background-image:var(--v" (i) ")" } {}
            div.heat role="img" aria-label={ "heat for " (map.class) } style={ "background-image:var(--h" (i) ")" } {}
        },
        Drawn::Whole { picture, .. } => {
            div.whole.pixelated[picture.pixelated] role="img" aria-label={ "map for " (map.class) } style={ "background-image:var(--h" (i) ")" } {}
        },
        Drawn::Empty { reason } => p.reason { (reason) },
    } }
}

fn outlined(outline: Option<&Outline>, kind: &str, title: &str) -> Markup {
    html! {
        @if let Some(outline) = outline {
            svg.outline.(kind) viewBox={ "0 0 " (outline.size.0) " " (outline.size.1) } preserveAspectRatio="none" {
                title { (title) }
                path d=(outline.path) {}
            }
        }
    }
}

/// Renders the meaning of the displayed map's colours.
fn legend(map: &CardMap) -> Markup {
    html! { @match &map.drawn {
        Drawn::Heat { high, .. } => (bar("heat-bar", "0", high, &format!("evidence for {}", map.class))),
        Drawn::Whole { meaning, .. } => span.meaning { (meaning) " (" (map.class) ")" },
        Drawn::Empty { .. } => span.meaning { "no heat to show" },
    } }
}

fn bar(colors: &str, low: &str, high: &str, meaning: &str) -> Markup {
    html! {
        span.bar style={ "background-image:var(--" (colors) ")" } {}
        span.ends { span { (low) } span { (meaning) } span { (high) } }
    }
}

fn caption(card: &ImageCard) -> Markup {
    html! {
        div.caption {
            p.name { (card.name) }
            @if let Some(measure) = &card.measure { p { (measure) } }
            @else { @match (card.right, &card.label) {
                (Some(right), Some(label)) => {
                    p { span.badge.(if right { "good" } else { "bad" }) { (if right { "right" } else { "wrong" }) }
                        " predicted " b { (card.predicted) } @if !right { ", is " b { (label) } } ", " (sure(card.probability)) }
                },
                _ => p { "predicted " b { (card.predicted) } ", " (sure(card.probability)) },
            } }
        }
    }
}

fn sure(probability: f64) -> String {
    if probability > 0.9995 {
        "p\u{a0}=\u{a0}100\u{a0}%".to_owned()
    } else {
        format!("p\u{a0}=\u{a0}{:.1}\u{a0}%", 100.0 * probability)
    }
}

fn blanking(gallery: &Gallery, check: OcclusionCheck) -> String {
    let method = gallery.maps.get(gallery.main).map_or("the map", |m| m.title.as_str());
    format!(
        "Blanking the hottest tenth ({method}) lowers the score by {:.2}, the coldest tenth by {:.2}.{}",
        check.hottest,
        check.coldest,
        if check.lead() > 0.0 { "" } else { " The map does not point at what the model uses here." }
    )
}

/// Renders all maps of a card: one method at several layers as a strip, others side by side.
fn tiles(gallery: &Gallery, card: &ImageCard) -> Markup {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let alone =
        |i: usize| gallery.maps.iter().filter(|map| map.method == gallery.maps[i].method).count() == 1;
    for i in 0..gallery.maps.len() {
        let joins = |last: &Vec<usize>| {
            last.first()
                .is_some_and(|&l| gallery.maps[l].method == gallery.maps[i].method || (alone(l) && alone(i)))
        };
        match groups.last_mut().filter(|last| joins(last)) {
            Some(last) => last.push(i),
            None => groups.push(vec![i]),
        }
    }
    html! {
        @for members in &groups {
            div.tiles.strip[members.first().is_some_and(|&i| !alone(i))] {
                @for &i in members {
                    @if let (Some(info), Some(map)) = (gallery.maps.get(i), card.maps.get(i)) { (tile(i, info, map, card)) }
                }
            }
        }
    }
}

fn tile(i: usize, info: &MapInfo, map: &CardMap, card: &ImageCard) -> Markup {
    let shape = format!("aspect-ratio:{}/{}", card.image.width, card.image.height);
    html! { @match &map.drawn {
        Drawn::Heat { high, largest, .. } => {
            figure { div.still.photo style=(shape) { div.veil style={ "background-image:var(--v" (i) ")" } {} }
                figcaption { b { (info.title) } (layer(info)) (bar("heat-bar", "0", high, &format!("evidence for {}", map.class))) } }
            figure { div.still style={ (shape) ";background-image:var(--s" (i) ")" } {}
                figcaption { b { "both signs" } (bar("signed-bar", &format!("−{largest}"), &format!("+{largest}"), &format!("against · for {}", map.class))) } }
        },
        Drawn::Whole { meaning, picture } => figure {
            div.still.pixelated[picture.pixelated] style={ (shape) ";background-image:var(--h" (i) ")" } {}
            figcaption { b { (info.title) } (layer(info)) span.meaning { (meaning) " (" (map.class) ")" } }
        },
        Drawn::Empty { reason } => figure { div.still style=(shape) { p.reason { (reason) } } figcaption { b { (info.title) } (layer(info)) } },
    } }
}

fn layer(info: &MapInfo) -> Markup {
    let new = info.layer.as_ref().filter(|layer| !info.title.contains(*layer));
    html! { @if let Some(layer) = new { span.layer { (layer) } } }
}

/// Explains once how to read the maps.
fn reading(gallery: &Gallery) -> Markup {
    let mut seen: Vec<&str> = Vec::new();
    let methods = gallery.maps.iter().filter(|map| {
        let new = !seen.contains(&map.method);
        seen.push(map.method);
        new
    });
    html! {
        @if !gallery.maps.is_empty() {
            h3 { "How to read the maps" }
            dl.meanings {
                @for map in methods {
                    div { dt { (map.title) } dd { "Shows " (map.summary) "." @if let Some(caution) = map.caution.filter(|c| !is_finding(c)) { " Careful: " (caution) "." } } }
                }
            }
        }
    }
}
