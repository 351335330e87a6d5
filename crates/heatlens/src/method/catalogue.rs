//! Output of the registry: a text list, a JSON array, and the page `docs/methods.md`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{METHODS, MapKind, Method, MethodParameter, Setting, Work};

const NO_EXPORT: &str = "no: it runs the model many times";

/// Returns the methods as text. `whole` adds the details omitted from a long list: costs, sanity checks, other
/// names.
#[must_use]
pub fn text(methods: &[&Method], whole: bool) -> String {
    let mut lines = Vec::new();
    for method in methods {
        lines.push(format!("{:<27} {}: {}", method.id, method.title, method.summary));
        let mut more = vec![method.formula.to_owned(), method.paper.to_owned()];
        let set = |p: &MethodParameter| format!("--set {}={}: {}", p.name, default_text(p), p.summary);
        more.extend(method.parameters.iter().map(set));
        more.extend(method.caution.map(|caution| format!("caution: {caution}")));
        if whole {
            more.extend(details(method));
        }
        lines.extend(more.into_iter().map(|text| format!("{:<27} {text}", "")));
    }
    lines.join("\n")
}

fn details(method: &Method) -> Vec<String> {
    let exports = if exports(method) { "yes: `heatlens convert --with-explanation`" } else { NO_EXPORT };
    let layer = match method.uses_layer {
        true => "uses a layer: --layer chooses it",
        false => "uses no layer",
    };
    let others = method.other_names().join(", ");
    let rows = [
        ("cost", method.cost),
        ("sanity", method.sanity),
        ("layer", layer),
        ("goes into a file", exports),
        ("also called", &others),
    ];
    rows.iter().filter(|(_, text)| !text.is_empty()).map(|(what, text)| format!("{what}: {text}")).collect()
}

/// Returns true if the method's map can be exported with the model.
fn exports(method: &Method) -> bool {
    matches!(method.work, Work::Graph(_))
}

/// Returns the methods as a JSON array of objects.
#[must_use]
pub fn to_json(methods: &[&Method]) -> Value {
    methods.iter().map(|method| row(method)).collect()
}

fn row(method: &Method) -> Value {
    json!({
        "id": method.id,
        "title": method.title,
        "summary": method.summary,
        "other_names": method.other_names(),
        "formula": method.formula,
        "paper": method.paper,
        "kind": match method.kind {
            MapKind::Layer => "layer",
            MapKind::Input => "input",
            MapKind::Concepts => "concepts",
        },
        "cost": method.cost,
        "sanity": method.sanity,
        "uses_layer": method.uses_layer,
        "parameters": method.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "exports": exports(method),
        "caution": method.caution,
    })
}

fn parameter(parameter: &MethodParameter) -> Value {
    let (default, choices) = match parameter.default {
        Setting::Number(number) => (json!(number), None),
        Setting::Count(count) => (json!(count), None),
        Setting::Choice(words) => (json!(words.first()), Some(words)),
    };
    json!({"name": parameter.name, "default": default, "choices": choices, "summary": parameter.summary})
}

/// Formats the default value; for a choice, all words with the default first.
fn default_text(parameter: &MethodParameter) -> String {
    match parameter.default {
        Setting::Number(number) => number.to_string(),
        Setting::Count(count) => count.to_string(),
        Setting::Choice(words) => words.join("|"),
    }
}

/// Returns the page in Markdown; its examples are the images in the folder `pictures` named after the methods.
#[must_use]
pub fn markdown(pictures: Option<&Path>) -> String {
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

What each method shows, by which formula, at what cost, and what is known about whether it can be trusted. Maps are kept
raw and signed; pictures show their positive part unless they say otherwise. The examples are of one image of the
demo: is there a small ring in the clutter?

A = activations of the layer, G = ∂y/∂A, y = the score explained, x = the image, k = a channel.

y is the class's logit. Methods that cover parts of the image or silence parts of the layer and compare scores (occlusion,
RISE, LIME, Kernel SHAP, Sobol, HSIC, extremal perturbation, Score-CAM and its variants, Ablation-CAM, Recipro-CAM) take, under a
softmax, the log odds of the class instead, ln p ÷ (1 − p): the zero of one logit among several means nothing, that of log
odds divides for from against. Of one class against another it is the difference of their logits. With `--compat` they
explain the logit, by the papers' formulas; `--score probability` the probability
([decision 23](decisions/023-for-and-against.md)). D-RISE, for detectors, compares boxes and probabilities instead
([how](heads.md#d-rise)).

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
    let exports = if exports(method) { "yes (`convert --with-explanation`)" } else { NO_EXPORT };
    let (id, title) = (method.id, method.title);
    // The id is the target of links.
    let _ = writeln!(page, "\n## <a id=\"{id}\"></a>{title}\n\n`{id}`: {}.\n", method.summary);
    let file = format!("{id}.png");
    if let Some(folder) = pictures.filter(|folder| folder.join(&file).exists()) {
        let folder = folder.strip_prefix("docs").unwrap_or(folder);
        let _ = writeln!(page, "![{title} of a demo image]({}/{file})\n", folder.display());
    }
    let mut point = |what: &str, text: &str| {
        let _ = writeln!(page, "- **{what}:** {text}.");
    };
    point("Formula", method.formula);
    point("Result", shape);
    point("Cost", method.cost);
    point("Paper", method.paper);
    point("Sanity checks", method.sanity);
    if let Some(caution) = method.caution {
        point("Caution", caution);
    }
    for parameter in method.parameters {
        point(&format!("`--set {}={}`", parameter.name, default_text(parameter)), parameter.summary);
    }
    point("Inside an exported model", exports);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the page in the repository matches the registry.
    #[test]
    fn the_page_is_up_to_date() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let written = std::fs::read_to_string(docs.join("methods.md")).unwrap_or_default();
        let fresh = markdown(Some(&docs.join("images/methods")));
        let fresh = fresh.replace(&format!("{}/", docs.display()), "");
        let differs = written.lines().zip(fresh.lines()).find(|(a, b)| a != b);
        assert!(written == fresh, "run tools/docs/methods.sh; first difference: {differs:?}");
    }
}
