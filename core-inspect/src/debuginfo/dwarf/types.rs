//! Entries of types turned into [`DebugType`]s, one at a time; what they refer to stays an id.
//!
//! DWARF 5, chapter 5 "Type Entries"; `DW_TAG_variant_part` for Rust's enums; in split files and with
//! `-fdebug-types-section` a declaration's `DW_AT_signature` names the type unit with the definition.

use super::file::{Die, Entry, ModuleDwarf, OpenUnit, Value};
use super::sections::Needs;
use crate::debuginfo::model::{
    Argument, DebugKind, DebugType, DebugTypeId, Encoding, Member, Record, TypeSource, Variant, Variants, VirtualBase,
};
use gimli::{AttributeValue, Operation};

/// Types that say that they are another type of a type unit end there.
const MAX_SIGNATURES: u32 = 4;

/// A type with those that only it knows of: the inner dimensions of an array.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) ty: DebugType,
    pub(crate) inner: Vec<(DebugTypeId, DebugType)>,
}

impl ModuleDwarf {
    /// Reads the type at an entry; `None` for what is no type. Sizes of others are asked from `types`.
    pub(crate) fn resolve(&self, die: Die, types: &dyn Sizes) -> Option<Resolved> {
        self.resolve_signed(die, types, 0)
    }

    fn resolve_signed(&self, die: Die, types: &dyn Sizes, step: u32) -> Option<Resolved> {
        let open = self.unit(die.unit, Needs::Types)?;
        let entry = open.entry(die.offset)?;
        if let Some(signature) = entry.attr_value(gimli::DW_AT_signature).filter(|_| step < MAX_SIGNATURES)
            && let Some(definition) = self.target(&open, signature)
        {
            return self.resolve_signed(definition, types, step + 1);
        }
        Some(Reader { module: self, open: &open, types }.read(&entry))
    }
}

/// Sizes of types that others refer to.
pub(crate) trait Sizes {
    /// Bytes of a value, through aliases.
    fn size_of(&self, id: DebugTypeId) -> Option<u64>;
}

struct Reader<'r, 'a> {
    module: &'r ModuleDwarf,
    open: &'r OpenUnit<'a>,
    types: &'r dyn Sizes,
}

impl<'a> Reader<'_, 'a> {
    fn read(&self, entry: &Entry<'a>) -> Resolved {
        let mut inner = Vec::new();
        let to = || self.module.type_of(self.open, entry);
        let (kind, mut size) = match entry.tag() {
            gimli::DW_TAG_base_type => (DebugKind::Base(encoding(entry)), bytes(entry)),
            gimli::DW_TAG_pointer_type => {
                (DebugKind::Pointer { to: to(), is_reference: false }, self.pointer_bytes(entry))
            }
            gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type => {
                (DebugKind::Pointer { to: to(), is_reference: true }, self.pointer_bytes(entry))
            }
            gimli::DW_TAG_ptr_to_member_type => (DebugKind::MemberPointer, self.member_pointer_bytes(entry)),
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_interface_type => {
                (DebugKind::Record(self.record(entry, false)), bytes(entry))
            }
            gimli::DW_TAG_union_type => (DebugKind::Record(self.record(entry, true)), bytes(entry)),
            gimli::DW_TAG_array_type => self.array(entry, &mut inner),
            gimli::DW_TAG_enumeration_type => {
                let size = bytes(entry).or_else(|| to().and_then(|to| self.types.size_of(to)));
                (DebugKind::Enumeration, size)
            }
            gimli::DW_TAG_subroutine_type => (DebugKind::Function, None),
            tag if is_alias(tag) => (DebugKind::Alias { to: to() }, None),
            _ => (DebugKind::Unknown, bytes(entry)),
        };
        if matches!(&kind, DebugKind::Record(record) if record.is_declaration) {
            size = None;
        }
        Resolved { ty: self.describe(entry, kind, size), inner }
    }

    fn describe(&self, entry: &Entry<'a>, kind: DebugKind, size: Option<u64>) -> DebugType {
        let has_no_name = matches!(kind, DebugKind::Pointer { .. } | DebugKind::Array { .. } | DebugKind::Function);
        let name = if has_no_name { None } else { self.module.qualified_name(self.open, entry) };
        DebugType {
            name: name.unwrap_or_default(),
            size,
            arguments: if matches!(kind, DebugKind::Record(_)) { self.arguments(entry) } else { Vec::new() },
            kind,
            declared: self.module.declared(self.open, entry),
            language: self.open.language,
            module: self.module.module,
        }
    }

    fn pointer_bytes(&self, entry: &Entry<'a>) -> Option<u64> {
        bytes(entry).or(Some(u64::from(self.open.unit.encoding().address_size)))
    }

    /// Itanium C++ ABI 2.3: one word to data members, two to functions.
    fn member_pointer_bytes(&self, entry: &Entry<'a>) -> Option<u64> {
        let word = u64::from(self.open.unit.encoding().address_size);
        let target = self.module.target(self.open, entry.attr_value(gimli::DW_AT_type)?)?;
        let is_function = |_: &OpenUnit<'_>, entry: &Entry<'_>| entry.tag() == gimli::DW_TAG_subroutine_type;
        let words = if self.module.with_entry(target, is_function)? { 2 } else { 1 };
        bytes(entry).or(Some(word * words))
    }

    /// Calls `visit` with each child.
    fn children(&self, entry: &Entry<'a>, mut visit: impl FnMut(&Entry<'a>)) {
        let mut walk = || {
            let mut cursor = self.open.unit.entries_at_offset(entry.offset()).ok()?;
            cursor.next_dfs().ok()?;
            if !entry.has_children() || !cursor.next_entry().ok()? {
                return None;
            }
            while let Some(child) = cursor.current().filter(|child| !child.is_null()) {
                visit(child);
                cursor.next_sibling().ok()?;
            }
            Some(())
        };
        let _ = walk(); // damaged entries end the list
    }

    fn record(&self, entry: &Entry<'a>, is_union: bool) -> Record {
        let is_declaration = is_set(entry, gimli::DW_AT_declaration);
        let mut record = Record { is_union, is_declaration, ..Record::default() };
        self.children(entry, |child| match child.tag() {
            gimli::DW_TAG_member => record.members.extend(self.member(child)),
            gimli::DW_TAG_inheritance => {
                let is_virtual = !matches!(
                    child.attr_value(gimli::DW_AT_virtuality),
                    None | Some(AttributeValue::Virtuality(gimli::DW_VIRTUALITY_none))
                );
                if is_virtual {
                    record.virtual_bases.extend(self.virtual_base(child));
                } else {
                    record.bases.extend(self.member(child));
                }
            }
            gimli::DW_TAG_variant_part => record.variants = Some(self.variants(child)),
            _ => {}
        });
        record
    }

    /// `DW_OP_dup, DW_OP_deref, DW_OP_lit24, DW_OP_minus, DW_OP_deref, DW_OP_plus` over the object's address, with any number:
    /// what gcc, clang and the Itanium ABI's vtables have.
    fn virtual_base(&self, entry: &Entry<'a>) -> Option<VirtualBase> {
        let Some(AttributeValue::Exprloc(expression)) = entry.attr_value(gimli::DW_AT_data_member_location) else {
            return None;
        };
        let mut operations = expression.operations(self.open.unit.encoding());
        let mut next = || operations.next().ok().flatten();
        let (dup, deref) = (next()?, next()?);
        let before = match next()? {
            Operation::UnsignedConstant { value } => value,
            Operation::SignedConstant { value } => u64::try_from(value).ok()?,
            _ => return None,
        };
        let rest = (next()?, next()?, next()?, next());
        let is_it = matches!((dup, deref), (Operation::Pick { index: 0 }, Operation::Deref { .. }))
            && matches!(rest, (Operation::Minus, Operation::Deref { .. }, Operation::Plus, None));
        let ty = self.module.type_of(self.open, entry).filter(|_| is_it)?;
        Some(VirtualBase { ty, before })
    }

    /// A data member; `None` for static ones and those at a place that is computed.
    fn member(&self, entry: &Entry<'a>) -> Option<Member> {
        if is_set(entry, gimli::DW_AT_external) || is_set(entry, gimli::DW_AT_declaration) {
            return None;
        }
        let bit_offset = entry.attr_value(gimli::DW_AT_data_bit_offset).and_then(|value| value.udata_value());
        let offset = match entry.attr_value(gimli::DW_AT_data_member_location) {
            Some(AttributeValue::Exprloc(expression)) => {
                // DWARF 2 and 3: `DW_OP_plus_uconst N`.
                match expression.operations(self.open.unit.encoding()).next().ok()?? {
                    Operation::PlusConstant { value } => value,
                    _ => return None,
                }
            }
            Some(value) => value.udata_value()?,
            None => bit_offset.unwrap_or(0) / 8,
        };
        Some(Member {
            name: self.open.name(entry).map(str::to_owned),
            offset,
            ty: self.module.type_of(self.open, entry)?,
            is_bits: bit_offset.is_some() || entry.has_attr(gimli::DW_AT_bit_size),
        })
    }

    fn variants(&self, part: &Entry<'a>) -> Variants {
        let discriminant_at =
            part.attr_value(gimli::DW_AT_discr).and_then(|value| self.module.target(self.open, value));
        let mut found = Variants::default();
        let mut variants = Vec::new();
        self.children(part, |child| match child.tag() {
            gimli::DW_TAG_member if Some(self.open.die(child)) == discriminant_at => {
                found.discriminant = self.member(child);
            }
            gimli::DW_TAG_variant => {
                let mut members = Vec::new();
                self.children(child, |member| {
                    if member.tag() == gimli::DW_TAG_member {
                        members.extend(self.member(member));
                    }
                });
                variants.push((child.attr_value(gimli::DW_AT_discr_value), members));
            }
            _ => {}
        });
        let size = found.discriminant.as_ref().and_then(|member| self.types.size_of(member.ty));
        let variant = |(value, members)| Variant { value: number(value, size), members };
        found.all = variants.into_iter().map(variant).collect();
        found
    }

    /// Template and generic arguments, those of packs in their place.
    fn arguments(&self, entry: &Entry<'a>) -> Vec<Argument> {
        let mut found = Vec::new();
        self.children(entry, |child| match child.tag() {
            gimli::DW_TAG_GNU_template_parameter_pack => {
                self.children(child, |child| found.extend(self.argument(child)));
            }
            _ => found.extend(self.argument(child)),
        });
        found
    }

    fn argument(&self, entry: &Entry<'a>) -> Option<Argument> {
        let name = || self.open.name(entry).unwrap_or_default().to_owned();
        match entry.tag() {
            gimli::DW_TAG_template_type_parameter => {
                let is_void = !entry.has_attr(gimli::DW_AT_type);
                let ty = if is_void { VOID } else { self.module.type_of(self.open, entry)? };
                Some(Argument::Type(name(), ty))
            }
            gimli::DW_TAG_template_value_parameter => {
                let value = entry.attr_value(gimli::DW_AT_const_value)?;
                Some(Argument::Value(name(), value.sdata_value().or_else(|| value.udata_value().map(|v| v as i64))?))
            }
            _ => None,
        }
    }

    /// The outermost dimension; the others become types of their own, whose ids are those of their bounds' entries.
    fn array(&self, entry: &Entry<'a>, inner: &mut Vec<(DebugTypeId, DebugType)>) -> (DebugKind, Option<u64>) {
        let Some(element) = self.module.type_of(self.open, entry) else { return (DebugKind::Unknown, None) };
        let mut bounds = Vec::new();
        self.children(entry, |child| {
            if matches!(child.tag(), gimli::DW_TAG_subrange_type | gimli::DW_TAG_enumeration_type) {
                bounds.push((self.module.id(self.open.die(child)), count(child)));
            }
        });
        let stride = entry.attr_value(gimli::DW_AT_byte_stride).and_then(|value| value.udata_value());
        let mut size = stride.or_else(|| self.types.size_of(element));
        let mut element = element;
        for (id, count) in bounds.iter().skip(1).rev() {
            let Some(id) = *id else { continue };
            size = size.zip(*count).and_then(|(size, count)| size.checked_mul(count));
            inner.push((id, self.describe(entry, DebugKind::Array { element, count: *count }, size)));
            element = id;
        }
        let count = bounds.first().and_then(|(_, count)| *count);
        let total = bytes(entry).or_else(|| size.zip(count).and_then(|(size, count)| size.checked_mul(count)));
        (DebugKind::Array { element, count }, total)
    }
}

/// The type `void`; no entry has this id.
pub(crate) const VOID: DebugTypeId = DebugTypeId(0);

fn bytes(entry: &Entry<'_>) -> Option<u64> {
    let bits = || entry.attr_value(gimli::DW_AT_bit_size)?.udata_value().map(|bits| bits.div_ceil(8));
    entry.attr_value(gimli::DW_AT_byte_size).and_then(|value| value.udata_value()).or_else(bits)
}

fn is_set(entry: &Entry<'_>, name: gimli::DwAt) -> bool {
    matches!(entry.attr_value(name), Some(AttributeValue::Flag(true)))
}

fn is_alias(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_template_alias
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
            | gimli::DW_TAG_packed_type
            | gimli::DW_TAG_shared_type
            | gimli::DW_TAG_immutable_type
            | gimli::DW_TAG_subrange_type
    )
}

fn encoding(entry: &Entry<'_>) -> Encoding {
    let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(gimli::DW_AT_encoding) else {
        return Encoding::Other;
    };
    match encoding {
        gimli::DW_ATE_boolean => Encoding::Boolean,
        gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_UTF | gimli::DW_ATE_ASCII => {
            Encoding::Character
        }
        gimli::DW_ATE_signed => Encoding::Signed,
        gimli::DW_ATE_unsigned => Encoding::Unsigned,
        gimli::DW_ATE_float | gimli::DW_ATE_decimal_float => Encoding::Float,
        _ => Encoding::Other,
    }
}

/// How many elements a dimension has: its count, or one more than its upper bound. Bounds that are computed, and those
/// of flexible arrays (absent, or -1), give none.
fn count(bound: &Entry<'_>) -> Option<u64> {
    if let Some(count) = bound.attr_value(gimli::DW_AT_count) {
        return count.udata_value().filter(|count| i64::try_from(*count).is_ok());
    }
    let upper = bound.attr_value(gimli::DW_AT_upper_bound)?;
    let upper = match upper {
        AttributeValue::Sdata(value) => value,
        // Of fixed sizes only the larger ones may be -1, for no element: gcc writes 255 in one byte.
        AttributeValue::Data4(value) if value == u32::MAX => -1,
        AttributeValue::Data8(value) => value.cast_signed(),
        other => other.udata_value().and_then(|value| i64::try_from(value).ok())?,
    };
    let lower = bound.attr_value(gimli::DW_AT_lower_bound).and_then(|value| value.sdata_value()).unwrap_or(0);
    u64::try_from(upper.checked_sub(lower)?.checked_add(1)?).ok()
}

/// A discriminant's value in as many bytes as it has.
fn number(value: Option<Value<'_>>, bytes: Option<u64>) -> Option<u128> {
    let value = match value? {
        AttributeValue::Block(block) => {
            let bytes = block.slice().get(..16)?;
            return bytes.first_chunk::<16>().map(|bytes| u128::from_le_bytes(*bytes));
        }
        AttributeValue::Data16(value) => return Some(value),
        AttributeValue::Sdata(value) => i128::from(value) as u128,
        other => u128::from(other.udata_value()?),
    };
    let bits = bytes.unwrap_or(8).saturating_mul(8);
    Some(if bits < 128 { value & ((1 << bits) - 1) } else { value })
}

/// The empty type for ids that stand for nothing.
pub(crate) fn unknown(module: u32) -> DebugType {
    DebugType {
        name: String::new(),
        size: None,
        kind: DebugKind::Unknown,
        arguments: Vec::new(),
        declared: None,
        language: crate::debuginfo::model::Language::Other,
        module,
    }
}

impl<T: TypeSource> Sizes for T {
    fn size_of(&self, id: DebugTypeId) -> Option<u64> {
        self.size(id)
    }
}
