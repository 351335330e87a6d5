//! What several metrics are made of.

mod impute;

pub(super) use impute::impute;
