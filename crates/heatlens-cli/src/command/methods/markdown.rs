//! The registry as a page: `docs/methods.md`.

use std::fmt::Write as _;
use std::path::Path;

use heatlens::method::{METHODS, MapKind, Method, Work};

/// The page; examples are the pictures of `pictures` that are called after a method.
pub(super) fn page(pictures: Option<&Path>) -> String {
    let mut page = String::from(HEAD);
    for method in METHODS {
        // Writing to a String cannot fail.
        let _ =
            writeln!(page, "| [`{}`](#{}) | {} | {} |", method.id, method.id, method.summary, method.cost);
    }
    for method in METHODS {
        section(&mut page, method, pictures);
    }
    page
}

const HEAD: &str = "\
# The methods

<!-- Written by `heatlens methods --markdown`; see tools/docs/methods.sh. -->

What each method shows, by which formula, at what cost, and what is known of whether it can be believed. Maps are kept
raw and signed; pictures show their positive part unless they say otherwise. The examples are of one image of the
demo: is there a small ring in the clutter?

A = activations of the layer, G = ∂y/∂A, y = the score explained, x = the image, k = a channel.

| method | shows | passes for an image |
|---|---|---|
";

fn section(page: &mut String, method: &Method, pictures: Option<&Path>) {
    let shape = match method.kind {
        MapKind::Layer if method.uses_layer => "a heat map at the layer's resolution, N×h×w",
        MapKind::Layer => "a heat map, N×h×w",
        MapKind::Input => "a number for each pixel and channel, N×C×H×W",
        MapKind::Concepts => "a heat map for each of several patterns, N×k×h×w",
    };
    let exports = match method.work {
        Work::Graph(_) => "yes (`convert --with-explanation`)",
        Work::Passes(_) => "no: it runs the model many times",
    };
    let file = format!("{}.png", method.id);
    let _ = writeln!(page, "\n## {}\n\n`{}`: {}.\n", anchor(method), method.id, method.summary);
    if let Some(folder) = pictures.filter(|folder| folder.join(&file).exists()) {
        let folder = folder.strip_prefix("docs").unwrap_or(folder);
        let _ = writeln!(page, "![{} of a demo image]({}/{file})\n", method.title, folder.display());
    }
    let mut point = |what: &str, text: &str| {
        let _ = writeln!(page, "- **{what}:** {text}");
    };
    point("Formula", &format!("{}.", method.formula));
    point("Result", &format!("{shape}."));
    point("Cost", &format!("{}.", method.cost));
    point("Paper", &format!("{}.", method.paper));
    point("Sanity checks", &format!("{}.", method.sanity));
    if let Some(caution) = method.caution {
        point("Caution", &format!("{caution}."));
    }
    for parameter in method.parameters {
        let default = super::default_text(parameter);
        point(&format!("`--set {}={default}`", parameter.name), &format!("{}.", parameter.summary));
    }
    point("Inside an exported model", &format!("{exports}."));
}

/// The title, with the id as the place that links lead to.
fn anchor(method: &Method) -> String {
    format!("<a id=\"{}\"></a>{}", method.id, method.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page in the repository is the one that the registry writes.
    #[test]
    fn the_page_is_up_to_date() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let written = std::fs::read_to_string(docs.join("methods.md")).unwrap_or_default();
        let fresh = page(Some(&docs.join("images/methods")));
        let fresh = fresh.replace(&format!("{}/", docs.display()), "");
        let differs = written.lines().zip(fresh.lines()).find(|(a, b)| a != b);
        assert!(written == fresh, "run tools/docs/methods.sh; first difference: {differs:?}");
    }
}
