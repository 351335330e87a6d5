//! Building blocks shared by several metrics.

mod impute;

pub(super) use impute::impute;
