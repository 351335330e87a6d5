//! Einstein summation: ONNX `Einsum`.
//!
//! `"bij,bjk->bik"` names the axes of the operands and of the result; axes missing in the result are summed over.
//! Operands are contracted from the left, two at a time: each pair becomes one matrix product over the axes that both
//! have and that are not needed later, or an elementwise product if there are none.

use std::collections::{BTreeMap, BTreeSet};

use super::invalid;
use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::slice::Slice;

/// Name of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// An axis covered by `...`, counted from the last of them.
    Ellipsis(usize),
    Letter(char),
}

/// A value with the names of its axes.
#[derive(Clone, Debug)]
struct Operand {
    value: ValueId,
    labels: Vec<Label>,
}

type Labels = BTreeSet<Label>;

fn wrong(message: impl Into<String>) -> GraphError {
    invalid("Einsum", message)
}

/// Computes the sum that `equation` describes over products of `operands`.
///
/// # Errors
/// If the equation is malformed, does not match the shapes of the operands, or mixes samples of the batch.
pub fn einsum(b: &mut Builder<'_>, equation: &str, operands: &[ValueId]) -> Result<ValueId, GraphError> {
    let text: String = equation.chars().filter(|c| *c != ' ').collect();
    let (terms, output) = match text.split_once("->") {
        Some((terms, output)) => (terms, Some(output)),
        None => (text.as_str(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    if terms.len() != operands.len() {
        return Err(wrong(format!("{equation:?} names {} operands, found {}", terms.len(), operands.len())));
    }
    let mut read = Vec::new();
    for (term, &value) in terms.iter().zip(operands) {
        read.push(Operand { value, labels: labels(term, b.shape(value).rank())? });
    }
    let dots = read.iter().flat_map(|o| &o.labels).filter_map(|l| match l {
        Label::Ellipsis(i) => Some(i + 1),
        Label::Letter(_) => None,
    });
    let dots = dots.max().unwrap_or(0);
    let output = match output {
        Some(term) if term.contains("...") => labels(term, term.len() - "...".len() + dots)?,
        Some(term) => labels(term, term.len())?,
        None => implied(&read, dots),
    };
    let sizes = sizes(b, &read)?;
    for (i, label) in output.iter().enumerate() {
        if !sizes.contains_key(label) || output[..i].contains(label) {
            return Err(wrong(format!(
                "the result of {equation:?} names axes that are absent or named twice"
            )));
        }
    }
    contract_all(b, read, &output, &sizes)
}

/// Parses the labels of a term for an operand of the given rank.
fn labels(term: &str, rank: usize) -> Result<Vec<Label>, GraphError> {
    let letters = |part: &str| -> Result<Vec<Label>, GraphError> {
        match part.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(odd) => Err(wrong(format!("{odd:?} in the term {term:?}"))),
            None => Ok(part.chars().map(Label::Letter).collect()),
        }
    };
    let misfit = || wrong(format!("the term {term:?} for {rank} axes"));
    let found = match term.split_once("...") {
        None => letters(term)?,
        Some((front, back)) => {
            let (front, back) = (letters(front)?, letters(back)?);
            let dots = rank.checked_sub(front.len() + back.len()).ok_or_else(misfit)?;
            [front, (0..dots).rev().map(Label::Ellipsis).collect(), back].concat()
        }
    };
    if rank != found.len() {
        return Err(misfit());
    }
    Ok(found)
}

/// Labels of the result if the equation omits them: the axes of `...`, then the letters that occur once.
fn implied(operands: &[Operand], dots: usize) -> Vec<Label> {
    let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
    for label in operands.iter().flat_map(|o| &o.labels) {
        *counts.entry(*label).or_default() += 1;
    }
    let letters = counts.iter().filter(|(l, n)| matches!(l, Label::Letter(_)) && **n == 1);
    (0..dots).rev().map(Label::Ellipsis).chain(letters.map(|(l, _)| *l)).collect()
}

/// Size of each label; sizes of 1 broadcast.
fn sizes(b: &Builder<'_>, operands: &[Operand]) -> Result<BTreeMap<Label, Dim>, GraphError> {
    let mut sizes: BTreeMap<Label, Dim> = BTreeMap::new();
    for operand in operands {
        for (&label, &dim) in operand.labels.iter().zip(&b.shape(operand.value).0) {
            let known = sizes.entry(label).or_insert(dim);
            if known.is_one() {
                *known = dim;
            } else if *known != dim && !dim.is_one() {
                return Err(wrong(format!("an axis has sizes {known} and {dim}")));
            }
        }
    }
    Ok(sizes)
}

fn contract_all(
    b: &mut Builder<'_>,
    operands: Vec<Operand>,
    output: &[Label],
    sizes: &BTreeMap<Label, Dim>,
) -> Result<ValueId, GraphError> {
    let mut simple = Vec::new();
    for operand in operands {
        let operand = without_broadcast(b, operand, sizes)?;
        simple.push(diagonals(b, operand)?);
    }
    let wanted =
        |rest: &[Operand]| -> Labels { rest.iter().flat_map(|o| &o.labels).chain(output).copied().collect() };
    let mut result: Option<Operand> = None;
    for i in 0..simple.len() {
        let others: Vec<Operand> = result.iter().cloned().chain(simple[i + 1..].iter().cloned()).collect();
        let next = sum_out(b, simple[i].clone(), &wanted(&others))?;
        result = Some(match result {
            None => next,
            Some(left) => contract(b, &left, &next, &wanted(&simple[i + 1..]))?,
        });
    }
    let result = result.ok_or_else(|| wrong("no operands"))?;
    arrange(b, &result, output)
}

/// Drops axes of size 1 where other operands have larger ones: products broadcast along missing axes.
fn without_broadcast(
    b: &mut Builder<'_>,
    operand: Operand,
    sizes: &BTreeMap<Label, Dim>,
) -> Result<Operand, GraphError> {
    let shape = b.shape(operand.value);
    let stays = |(label, dim): &(&Label, &Dim)| !dim.is_one() || sizes.get(label).is_none_or(|d| d.is_one());
    let (labels, dims) = operand.labels.iter().zip(&shape.0).filter(stays).unzip();
    Ok(Operand { value: b.reshape(operand.value, Shape(dims))?, labels })
}

/// Takes the diagonal over axes with the same label.
fn diagonals(b: &mut Builder<'_>, mut operand: Operand) -> Result<Operand, GraphError> {
    loop {
        let labels = &operand.labels;
        let twice = (0..labels.len())
            .find_map(|j| labels[..j].iter().position(|label| *label == labels[j]).map(|i| (i, j)));
        let Some((i, j)) = twice else { return Ok(operand) };
        let label = labels[i];
        let mut rest: Vec<usize> = (0..labels.len()).filter(|&axis| axis != i && axis != j).collect();
        let shape = b.shape(operand.value);
        let (Dim::Fixed(size), true) = (shape.0[i], shape.0[i] == shape.0[j]) else {
            return Err(wrong(format!("the diagonal of {shape}")));
        };
        let mut kept: Vec<Label> = rest.iter().map(|&axis| labels[axis]).collect();
        let mut dims: Vec<Dim> = rest.iter().map(|&axis| shape.0[axis]).collect();
        rest.extend([i, j]);
        let last = b.transpose(operand.value, &rest)?;
        let square = size.checked_mul(size).ok_or_else(|| wrong("sizes overflow"))?;
        let axis = dims.len();
        dims.push(Dim::Fixed(square));
        let flat = b.reshape(last, Shape(dims))?;
        let value = b.apply(Slice { axis, start: 0, len: size, step: size + 1 }, &[flat])?;
        kept.push(label);
        operand = Operand { value, labels: kept };
    }
}

/// Sums over the axes that are not wanted.
fn sum_out(b: &mut Builder<'_>, operand: Operand, wanted: &Labels) -> Result<Operand, GraphError> {
    let axes: Vec<usize> =
        (0..operand.labels.len()).filter(|&axis| !wanted.contains(&operand.labels[axis])).collect();
    if axes.is_empty() {
        return Ok(operand);
    }
    let value = b.sum(operand.value, &axes, false)?;
    let labels = operand.labels.into_iter().filter(|label| wanted.contains(label)).collect();
    Ok(Operand { value, labels })
}

/// Multiplies two operands and sums over the axes that both have and that are not wanted.
fn contract(
    b: &mut Builder<'_>,
    left: &Operand,
    right: &Operand,
    wanted: &Labels,
) -> Result<Operand, GraphError> {
    let of = |o: &Operand, keep: &dyn Fn(&Label) -> bool| -> Vec<Label> {
        o.labels.iter().copied().filter(|l| keep(l)).collect()
    };
    let in_both = |l: &Label| left.labels.contains(l) && right.labels.contains(l);
    let shared = of(left, &|l| in_both(l) && wanted.contains(l));
    let summed = of(left, &|l| in_both(l) && !wanted.contains(l));
    let (rows, columns) = (of(left, &|l| !in_both(l)), of(right, &|l| !in_both(l)));
    let groups_left = [Group::Apart(&shared), Group::Merged(&rows), Group::Merged(&summed)];
    let groups_right = [Group::Apart(&shared), Group::Merged(&summed), Group::Merged(&columns)];
    let labels = |parts: [&[Label]; 3]| parts.concat();
    if summed.is_empty() {
        let a = grouped(b, left, &[Group::Apart(&shared), Group::Apart(&rows), Group::Ones(columns.len())])?;
        let c = grouped(b, right, &[Group::Apart(&shared), Group::Ones(rows.len()), Group::Apart(&columns)])?;
        return Ok(Operand { value: b.mul(a.0, c.0)?, labels: labels([&shared, &rows, &columns]) });
    }
    let (a, c) = (grouped(b, left, &groups_left)?, grouped(b, right, &groups_right)?);
    let product = b.matmul(a.0, c.0)?;
    let dims = |dims: &[(Label, Dim)], wanted: &[Label]| -> Vec<(Label, Dim)> {
        wanted.iter().filter_map(|l| dims.iter().find(|(own, _)| own == l).copied()).collect()
    };
    let apart = [
        dims(&a.1, &shared),
        dims(&a.1, &batch_first(&rows, &a.1)),
        dims(&c.1, &batch_first(&columns, &c.1)),
    ];
    let (labels, dims): (Vec<Label>, Vec<Dim>) = apart.concat().into_iter().unzip();
    Ok(Operand { value: b.reshape(product, Shape(dims))?, labels })
}

/// Arrangement of some axes of an operand in a product.
enum Group<'a> {
    /// Separate axes.
    Apart(&'a [Label]),
    /// Axes merged into one.
    Merged(&'a [Label]),
    /// The given number of axes of size 1.
    Ones(usize),
}

/// Sorts labels so that merged axes start with the batch axis, which keeps the elements of a sample together.
fn batch_first(labels: &[Label], dims: &[(Label, Dim)]) -> Vec<Label> {
    let is_batch = |l: &Label| dims.iter().any(|(own, dim)| own == l && dim.is_batch());
    let mut sorted = labels.to_vec();
    sorted.sort_by_key(|l| !is_batch(l));
    sorted
}

/// Arranges the axes of an operand in groups; also returns the sizes of its axes.
fn grouped(
    b: &mut Builder<'_>,
    operand: &Operand,
    groups: &[Group<'_>],
) -> Result<(ValueId, Vec<(Label, Dim)>), GraphError> {
    let sizes: Vec<(Label, Dim)> = operand.labels.iter().copied().zip(b.shape(operand.value).0).collect();
    let size = |label: &Label| sizes.iter().find(|(own, _)| own == label).map(|(_, dim)| *dim);
    let (mut order, mut dims) = (Vec::new(), Vec::new());
    for group in groups {
        match group {
            Group::Apart(labels) => {
                order.extend_from_slice(labels);
                dims.extend(labels.iter().filter_map(size));
            }
            Group::Merged(labels) => {
                let labels = batch_first(labels, &sizes);
                dims.push(merged(labels.iter().filter_map(size))?);
                order.extend(labels);
            }
            Group::Ones(count) => dims.resize(dims.len() + count, Dim::Fixed(1)),
        }
    }
    let value = arrange(b, operand, &order)?;
    Ok((b.reshape(value, Shape(dims))?, sizes))
}

fn merged(dims: impl Iterator<Item = Dim>) -> Result<Dim, GraphError> {
    let (mut size, mut batches) = (1usize, 0);
    for dim in dims {
        size = size.checked_mul(dim.at(1)).ok_or_else(|| wrong("sizes overflow"))?;
        batches += usize::from(dim.is_batch());
    }
    match batches {
        0 => Ok(Dim::Fixed(size)),
        1 => Ok(Dim::Batch(size)),
        _ => Err(super::refuse(
            "Einsum",
            OpError::Unsupported("relating the samples of a batch to each other".to_owned()),
        )),
    }
}

/// Permutes the axes of an operand into the given order.
fn arrange(b: &mut Builder<'_>, operand: &Operand, order: &[Label]) -> Result<ValueId, GraphError> {
    let place = |label: &Label| operand.labels.iter().position(|own| own == label);
    let perm: Option<Vec<usize>> = order.iter().map(place).collect();
    let perm = perm.ok_or_else(|| wrong("an axis of the result is absent"))?;
    if perm.iter().enumerate().all(|(to, &from)| to == from) {
        return Ok(operand.value);
    }
    b.transpose(operand.value, &perm)
}
