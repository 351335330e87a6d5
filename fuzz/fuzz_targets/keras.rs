#![no_main]

use std::sync::LazyLock;

use heatlens_fuzz::targets::{self, Place};

static PLACE: LazyLock<Option<Place>> = LazyLock::new(|| Place::new().ok());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(place) = PLACE.as_ref() {
        targets::keras(place, bytes);
    }
});
