//! `heatlens methods`: list of methods, as text or JSON.

use heatlens::method::{METHODS, catalogue};

use crate::arguments::Methods;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Methods) -> Result<(), Failure> {
    let named = heatlens::run::methods(&options.methods)?;
    let shown = if named.is_empty() { METHODS } else { named.as_slice() };
    output::line(match (options.markdown, options.json) {
        (true, _) => catalogue::markdown(options.pictures.as_deref()).trim_end().to_owned(),
        (false, true) => format!("{:#}", catalogue::to_json(shown)),
        (false, false) => catalogue::text(shown, !named.is_empty()),
    });
    Ok(())
}
