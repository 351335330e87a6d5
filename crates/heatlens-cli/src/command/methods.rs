//! `heatlens methods`: the registry, for people and for programs.

mod markdown;

use heatlens::method::{METHODS, MapKind, Method, Parameter, Setting, Work, find};
use serde_json::{Value, json};

use crate::arguments::Methods;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Methods) -> Result<(), Failure> {
    if options.markdown {
        output::line(markdown::page(options.pictures.as_deref()).trim_end());
        return Ok(());
    }
    let named = options.methods.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>();
    let named = named.map_err(|e| Failure::usage(e.to_string()))?;
    let shown = if named.is_empty() { METHODS } else { named.as_slice() };
    if options.json {
        let rows: Vec<Value> = shown.iter().map(|m| row(m)).collect();
        output::line(serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for &method in shown {
        output::line(format!("{:<27} {}: {}", method.id, method.title, method.summary));
        output::line(format!("{:<27} {}", "", method.formula));
        output::line(format!("{:<27} {}", "", method.paper));
        for parameter in method.parameters {
            let default = default_text(parameter);
            output::line(format!("{:<27} --set {}={default}: {}", "", parameter.name, parameter.summary));
        }
        if let Some(caution) = method.caution {
            output::line(format!("{:<27} caution: {caution}", ""));
        }
        if !named.is_empty() {
            tell_more(method);
        }
    }
    Ok(())
}

/// What the list leaves out.
fn tell_more(method: &Method) {
    let exports = match method.work {
        Work::Graph(_) => "yes: `heatlens convert --with-explanation`",
        Work::Passes(_) => "no: it runs the model many times",
    };
    let layer = match method.uses_layer {
        true => "looks at a layer: --layer chooses it",
        false => "looks at no layer",
    };
    for (what, text) in
        [("cost", method.cost), ("sanity", method.sanity), ("layer", layer), ("goes into a file", exports)]
    {
        output::line(format!("{:<27} {what}: {text}", ""));
    }
    let others = method.other_names();
    if !others.is_empty() {
        output::line(format!("{:<27} also called: {}", "", others.join(", ")));
    }
}

fn row(method: &Method) -> Value {
    json!({
        "id": method.id,
        "title": method.title,
        "summary": method.summary,
        "other_names": method.other_names(),
        "formula": method.formula,
        "paper": method.paper,
        "kind": kind(method),
        "cost": method.cost,
        "sanity": method.sanity,
        "uses_layer": method.uses_layer,
        "parameters": method.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "exports": matches!(method.work, Work::Graph(_)),
        "caution": method.caution,
    })
}

fn kind(method: &Method) -> &'static str {
    match method.kind {
        MapKind::Layer => "layer",
        MapKind::Input => "input",
        MapKind::Concepts => "concepts",
    }
}

fn parameter(parameter: &Parameter) -> Value {
    let default = match parameter.default {
        Setting::Number(number) => json!(number),
        Setting::Count(count) => json!(count),
        Setting::Choice(words) => json!(words.first()),
    };
    let choices = match parameter.default {
        Setting::Choice(words) => json!(words),
        _ => Value::Null,
    };
    json!({
        "name": parameter.name,
        "default": default,
        "choices": choices,
        "summary": parameter.summary,
    })
}

/// The default; of a choice all words, the default first.
fn default_text(parameter: &Parameter) -> String {
    match parameter.default {
        Setting::Number(number) => number.to_string(),
        Setting::Count(count) => count.to_string(),
        Setting::Choice(words) => words.join("|"),
    }
}
