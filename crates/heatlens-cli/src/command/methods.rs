//! `heatlens methods`: the registry, for people and for programs.

use heatlens::method::{METHODS, MapKind, Method};
use serde_json::{Value, json};

use crate::arguments::Methods;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Methods) -> Result<(), Failure> {
    if options.json {
        let rows: Vec<Value> = METHODS.iter().map(|m| row(m)).collect();
        output::line(serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for method in METHODS {
        output::line(format!("{:<18} {}: {}", method.id, method.title, method.summary));
        output::line(format!("{:<18} {}", "", method.formula));
        output::line(format!("{:<18} {}", "", method.paper));
        if let Some(caution) = method.caution {
            output::line(format!("{:<18} caution: {caution}", ""));
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
        "kind": match method.kind { MapKind::Layer => "layer", MapKind::Input => "input" },
        "uses_layer": method.uses_layer,
        "caution": method.caution,
    })
}
