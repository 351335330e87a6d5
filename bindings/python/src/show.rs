//! HTML view of an explanation for notebooks: images in a row, without scripts.

use std::borrow::Cow;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heatlens::method::MapKind;
use heatlens::render::FileFormat;
use heatlens::{Explanation, Heatmap};
use image::RgbImage;

/// Returns the image, then each map: alone and overlaid on the image, or alone for pixel-level maps.
pub(crate) fn html<'e>(
    name: &str,
    answer: &str,
    found: &Explanation,
    maps: impl Iterator<Item = (Cow<'e, str>, Heatmap<'e>)>,
) -> io::Result<String> {
    let mut figures = figure(found.image(), name)?;
    for (id, map) in maps {
        figures += &of_map(&id, &map)?;
    }
    let notes: String = found.notes().map(|note| format!("<div>{}</div>", escaped(note))).collect();
    Ok(format!(
        "<div><b>{}</b><div style=\"display:flex;flex-wrap:wrap;gap:8px\">{figures}</div><small>{notes}</small></div>",
        escaped(answer)
    ))
}

fn of_map(id: &str, map: &Heatmap<'_>) -> io::Result<String> {
    let title = format!("{id} for {}", map.class_name());
    let title = map.why_empty().map_or(title.clone(), |reason| format!("{title}: {reason}"));
    let alone = figure(&map.picture().image, &title)?;
    match map.method().kind {
        MapKind::Layer => Ok(alone + &figure(&map.overlay().image, &format!("{id} over it"))?),
        MapKind::Input | MapKind::Concepts => Ok(alone),
    }
}

fn figure(picture: &RgbImage, caption: &str) -> io::Result<String> {
    let (data, caption) = (STANDARD.encode(FileFormat::Png.encode(picture)?), escaped(caption));
    Ok(format!(
        "<figure style=\"margin:0;width:190px\"><img style=\"width:190px;image-rendering:pixelated\" alt=\"{caption}\" src=\"data:image/png;base64,{data}\"><figcaption style=\"font-size:smaller\">{caption}</figcaption></figure>"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
