//! Tests of composed operators against plain loops in double precision, and of their gradients against central
//! differences, for one sample and for three.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic

mod activation;
mod attention;
mod blocks;
mod common;
mod einsum;
mod grid_sample;
mod lstm;
mod norm;
mod normalization;
mod resize;
mod roi_align;
