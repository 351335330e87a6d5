//! Access to a node's attributes that rejects unknown ones.
//!
//! Ignoring an attribute could silently change the result of a node, so [`Attributes::finish`] rejects all that were
//! not read.

use std::collections::BTreeMap;

use super::proto::attribute_proto::AttributeType;
use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::error::OpError;
use crate::op::invalid;

/// Attributes of a node that have not been read yet.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    left: BTreeMap<&'a str, &'a AttributeProto>,
    op: &'a str,
    opset: i64,
}

impl<'a> Attributes<'a> {
    /// Collects the attributes of `node`, in a file that declares version `opset` of the operator set.
    pub(super) fn new(node: &'a NodeProto, opset: i64) -> Result<Self, OpError> {
        let mut left = BTreeMap::new();
        for attribute in &node.attribute {
            if left.insert(attribute.name(), attribute).is_some() {
                return Err(invalid(format!("attribute {:?} is given twice", attribute.name())));
            }
        }
        Ok(Self { left, op: node.op_type(), opset })
    }

    /// Returns the name of the operator.
    pub(super) fn op(&self) -> &'a str {
        self.op
    }

    /// Returns the version of the operator set.
    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    /// Rejects attributes that were not read.
    pub(super) fn finish(self) -> Result<(), OpError> {
        let left: Vec<String> = self.left.into_keys().map(|name| format!("attribute {name:?}")).collect();
        if left.is_empty() { Ok(()) } else { Err(OpError::Unsupported(left.join(", "))) }
    }

    /// Drops an attribute without effect after training.
    pub(super) fn ignore(&mut self, name: &str) {
        self.left.remove(name);
    }

    /// Reads an integer.
    pub(super) fn int(&mut self, name: &str) -> Result<Option<i64>, OpError> {
        Ok(self.take(name, AttributeType::Int)?.map(AttributeProto::i))
    }

    /// Reads an integer that is 0 or 1; returns false if absent.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, OpError> {
        match self.int(name)? {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(invalid(format!("expected 0 or 1 for {name:?}, found {other}"))),
        }
    }

    /// Reads a list of integers.
    pub(super) fn ints(&mut self, name: &str) -> Result<Option<&'a [i64]>, OpError> {
        Ok(self.take(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    /// Reads a list of sizes, i.e. non-negative integers.
    pub(super) fn sizes(&mut self, name: &str) -> Result<Option<Vec<usize>>, OpError> {
        let Some(ints) = self.ints(name)? else { return Ok(None) };
        let sizes: Result<Vec<usize>, _> = ints.iter().map(|&i| usize::try_from(i)).collect();
        sizes.map(Some).map_err(|_| OpError::Unsupported(format!("a negative number in {name:?} ({ints:?})")))
    }

    /// Reads a floating-point number.
    pub(super) fn float(&mut self, name: &str) -> Result<Option<f32>, OpError> {
        Ok(self.take(name, AttributeType::Float)?.map(AttributeProto::f))
    }

    /// Reads a list of floating-point numbers.
    pub(super) fn floats(&mut self, name: &str) -> Result<Option<&'a [f32]>, OpError> {
        Ok(self.take(name, AttributeType::Floats)?.map(|a| a.floats.as_slice()))
    }

    /// Reads a string.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<&'a str>, OpError> {
        let Some(attribute) = self.take(name, AttributeType::String)? else { return Ok(None) };
        let text = std::str::from_utf8(attribute.s.as_deref().unwrap_or_default());
        text.map(Some).map_err(|_| invalid(format!("attribute {name:?} is not a string")))
    }

    /// Reads a list of strings.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<&'a str>>, OpError> {
        let Some(attribute) = self.take(name, AttributeType::Strings)? else { return Ok(None) };
        let texts: Result<Vec<&str>, _> = attribute.strings.iter().map(|s| std::str::from_utf8(s)).collect();
        texts.map(Some).map_err(|_| invalid(format!("attribute {name:?} is not a list of strings")))
    }

    /// Reads an array.
    pub(super) fn tensor(&mut self, name: &str) -> Result<Option<&'a TensorProto>, OpError> {
        Ok(self.take(name, AttributeType::Tensor)?.and_then(|a| a.t.as_ref()))
    }

    fn take(&mut self, name: &str, wanted: AttributeType) -> Result<Option<&'a AttributeProto>, OpError> {
        let Some(attribute) = self.left.remove(name) else { return Ok(None) };
        if !attribute.ref_attr_name().is_empty() {
            return Err(invalid(format!(
                "attribute {name:?} refers to an attribute of a function, but is not \
                in a function"
            )));
        }
        // The first version of the format had no `type`.
        if attribute.r#type.is_none() || attribute.r#type() == wanted {
            return Ok(Some(attribute));
        }
        let found = attribute.r#type().as_str_name();
        Err(invalid(format!("expected attribute {name:?} to be {}, found {found}", wanted.as_str_name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeProto {
        let attribute = |name: &str, i| AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: Some(i),
            ..AttributeProto::default()
        };
        NodeProto { attribute: vec![attribute("axis", 2), attribute("surprise", 1)], ..NodeProto::default() }
    }

    #[test]
    fn what_nobody_reads_is_refused_by_name() {
        let node = node();
        let mut attributes = Attributes::new(&node, 17).unwrap();
        assert_eq!(attributes.int("axis").unwrap(), Some(2));
        assert_eq!(attributes.int("absent").unwrap(), None);
        let error = attributes.finish().unwrap_err().to_string();
        assert_eq!(error, "attribute \"surprise\" is not supported");
    }

    #[test]
    fn another_type_is_an_error() {
        let node = node();
        let mut attributes = Attributes::new(&node, 17).unwrap();
        let error = attributes.float("axis").unwrap_err().to_string();
        assert_eq!(error, "expected attribute \"axis\" to be FLOAT, found INT");
    }

    #[test]
    fn twice_is_an_error() {
        let mut node = node();
        node.attribute.extend(node.attribute.clone());
        assert!(Attributes::new(&node, 17).is_err());
    }
}
