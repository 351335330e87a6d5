//! Strings in attributes of groups.
//!
//! An attribute stores a string of variable length as a reference to a heap, and thousands of references may point to
//! the same long string. `hdf5-reader` decodes all attributes of a group at once, so their decoded size is computed
//! first.

use std::collections::BTreeMap;

use hdf5_reader::Datatype;
use hdf5_reader::attribute_api::RawAttribute;
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::global_heap::GlobalHeapCollection;
use hdf5_reader::group::Group;
use hdf5_reader::messages::datatype::StringSize;

use super::{Store, damaged};
use crate::keras::KerasError;
use crate::keras::limits::{MAX_CONFIG, MAX_TEXTS, check};

/// Sizes of strings by heap address and index, read on demand.
type Heaps = BTreeMap<u64, BTreeMap<u16, u64>>;

impl Store {
    /// Returns an attribute that holds a string, or `None` if it does not exist.
    pub(in crate::keras) fn text(&self, path: &str, name: &str) -> Result<Option<String>, KerasError> {
        let mut texts = self.texts(path, name)?;
        Ok(texts.as_mut().and_then(Vec::pop))
    }

    /// Returns an attribute that holds strings, or `None` if it does not exist.
    pub(in crate::keras) fn texts(&self, path: &str, name: &str) -> Result<Option<Vec<String>>, KerasError> {
        let Some(group) = self.group(path)? else { return Ok(None) };
        let at = |e: &Hdf5Error| damaged(&format!("attribute {name:?} of {path:?}"), e);
        if !self.affordable(&group, name).map_err(|trouble| trouble.at(&format!("attributes of {path:?}")))? {
            return Ok(None);
        }
        let attribute = match group.attribute(name) {
            Ok(attribute) => attribute,
            Err(Hdf5Error::AttributeNotFound(_)) => return Ok(None),
            Err(error) => return Err(at(&error)),
        };
        check("a text", attribute.raw_data.len() as u64, MAX_CONFIG)?;
        // An empty list is stored as an empty list of numbers.
        if attribute.shape.contains(&0) {
            return Ok(Some(Vec::new()));
        }
        if attribute.shape.is_empty() {
            return attribute.read_string().map(|text| Some(vec![text])).map_err(|e| at(&e));
        }
        attribute.read_strings().map(Some).map_err(|e| at(&e))
    }

    /// True if a group has an attribute; an error if the group's attributes are too large to decode.
    fn affordable(&self, group: &Group, name: &str) -> Result<bool, super::Trouble> {
        let attributes = group.raw_attributes()?;
        // Each attribute is looked up among the others.
        let count = attributes.len() as u64;
        self.spend(count.saturating_mul(count) / 8)?;
        let mut heaps = Heaps::new();
        let mut sum = 0u64;
        for attribute in &attributes {
            sum = sum.saturating_add(self.decoded(attribute, &mut heaps)?);
            check("the text in the attributes of a group", sum, MAX_TEXTS)?;
        }
        self.spend(sum)?;
        Ok(attributes.iter().any(|attribute| attribute.name() == name))
    }

    /// Returns the size of an attribute in bytes after following its references.
    fn decoded(&self, attribute: &RawAttribute, heaps: &mut Heaps) -> Result<u64, super::Trouble> {
        let message = attribute.message();
        let stored = message.raw_data.len() as u64;
        let variable = matches!(
            message.datatype,
            Datatype::VarLen { .. } | Datatype::String { size: StringSize::Variable, .. }
        );
        if !variable {
            return Ok(stored);
        }
        // Each reference: an unchecked length, the heap's address, the index of the string in it.
        let offset_size = usize::from(self.file.superblock().offset_size);
        let mut sum = stored;
        for reference in message.raw_data.chunks_exact(4 + offset_size + 4) {
            let (address, number) = reference[4..].split_at(offset_size);
            let le = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
            #[allow(clippy::cast_possible_truncation)] // like the decoder
            let number = le(number) as u16;
            let heap = match heaps.entry(le(address)) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let sizes = self.heap(*entry.key())?;
                    entry.insert(sizes)
                }
            };
            sum = sum.saturating_add(heap.get(&number).copied().unwrap_or(0));
        }
        Ok(sum)
    }

    /// Returns the sizes of the strings in a heap; empty if there is no heap, which the decoder reports.
    fn heap(&self, address: u64) -> Result<BTreeMap<u16, u64>, KerasError> {
        let superblock = self.file.superblock();
        let address = superblock.base_address.saturating_add(address);
        let heap = GlobalHeapCollection::parse_at_storage(
            self.storage.as_ref(),
            address,
            superblock.offset_size,
            superblock.length_size,
        );
        let objects = heap.map(|heap| heap.objects).unwrap_or_default();
        // Heaps may overlap, so a file may contain more of them than its length suggests.
        self.spend(objects.iter().map(|object| 16 + object.data.len() as u64).sum::<u64>() + 16)?;
        Ok(objects.iter().map(|object| (object.index, object.data.len() as u64)).collect())
    }
}
