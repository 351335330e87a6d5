//! `heatlens methods`: the registry, for people and for programs.

mod markdown;

use heatlens::method::{METHODS, MapKind, Method, Parameter, Setting, Work};
use serde_json::{Value, json};

use crate::arguments::Methods;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Methods) -> Result<(), Failure> {
    if options.markdown {
        output::line(markdown::page(options.pictures.as_deref()).trim_end());
        return Ok(());
    }
    if options.json {
        let rows: Vec<Value> = METHODS.iter().map(|m| row(m)).collect();
        output::line(serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for method in METHODS {
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
    }
    Ok(())
}

fn row(method: &Method) -> Value {
    json!({
        "id": method.id,
        "title": method.title,
        "summary": method.summary,
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
