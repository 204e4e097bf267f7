//! Units of debug information searched for structs and variables by name.
//!
//! Only what stands directly below a unit is looked at (one step per sibling), so that a large file costs little more
//! than reading its abbreviations.

use super::{Found, StructLayout, Wanted};
use crate::base::Svma;
use gimli::{AttributeValue, DebuggingInformationEntry, Dwarf, EndianSlice, LittleEndian, Unit, UnitHeader};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// Typedefs of typedefs end there.
const MAX_TYPEDEFS: usize = 8;

/// Searches units, those of the hinted files first, until all is found.
pub(super) fn search(dwarf: &Dwarf<Slice<'_>>, wanted: &Wanted<'_>, found: &mut Found) -> gimli::Result<()> {
    let mut later = Vec::new();
    for header in headers(dwarf)? {
        let Ok(unit) = dwarf.unit(header) else { continue };
        if !wanted.hint_files.is_empty() && !is_hinted(&unit, wanted) {
            later.push(header);
            continue;
        }
        let _ = search_unit(dwarf, &unit, wanted, found);
        if is_complete(wanted, found) {
            return Ok(());
        }
    }
    for header in later {
        let Ok(unit) = dwarf.unit(header) else { continue };
        let _ = search_unit(dwarf, &unit, wanted, found);
        if is_complete(wanted, found) {
            break;
        }
    }
    Ok(())
}

fn headers<'a>(dwarf: &Dwarf<Slice<'a>>) -> gimli::Result<Vec<UnitHeader<Slice<'a>>>> {
    let mut headers = Vec::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        headers.push(header);
    }
    let mut types = dwarf.type_units();
    while let Some(header) = types.next()? {
        headers.push(header);
    }
    Ok(headers)
}

fn is_hinted(unit: &Unit<Slice<'_>>, wanted: &Wanted<'_>) -> bool {
    let Some(name) = unit.name.as_ref().and_then(|name| name.to_string().ok()) else { return false };
    let last = name.rsplit('/').next().unwrap_or(name);
    wanted.hint_files.contains(&last)
}

fn is_complete(wanted: &Wanted<'_>, found: &Found) -> bool {
    wanted.structs.iter().all(|name| found.structs.contains_key(*name))
        && wanted.variables.iter().all(|name| found.variables.contains_key(*name))
}

fn search_unit<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    wanted: &Wanted<'_>,
    found: &mut Found,
) -> gimli::Result<()> {
    let mut cursor = unit.entries();
    cursor.next_dfs()?; // the unit itself
    if cursor.next_dfs()?.is_none() {
        return Ok(());
    }
    while let Some(entry) = cursor.current() {
        match entry.tag() {
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_typedef => {
                add_struct(dwarf, unit, entry, wanted, found);
            }
            gimli::DW_TAG_variable => add_variable(dwarf, unit, entry, wanted, found),
            _ => {}
        }
        if is_complete(wanted, found) || cursor.next_sibling()?.is_none() {
            break;
        }
    }
    Ok(())
}

fn name<'a>(dwarf: &Dwarf<Slice<'a>>, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<&'a str> {
    let value = entry.attr_value(gimli::DW_AT_name)?;
    std::str::from_utf8(dwarf.attr_string(unit, value).ok()?.slice()).ok()
}

/// The wanted name that this is, if it has not been found yet.
fn missing<'w>(wanted: &[&'w str], name: &str, is_known: impl Fn(&str) -> bool) -> Option<&'w str> {
    wanted.iter().copied().find(|&wanted| wanted == name && !is_known(wanted))
}

fn add_struct<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    entry: &Entry<'a>,
    wanted: &Wanted<'_>,
    found: &mut Found,
) {
    if wanted.structs.is_empty() {
        return;
    }
    let Some(name) = name(dwarf, unit, entry) else { return };
    let Some(name) = missing(wanted.structs, name, |name| found.structs.contains_key(name)) else { return };
    if let Some(layout) = layout(dwarf, unit, entry) {
        found.structs.insert(name.to_owned(), layout);
    }
}

/// The layout of a struct, through typedefs within the unit; `None` for declarations.
fn layout<'a>(dwarf: &Dwarf<Slice<'a>>, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<StructLayout> {
    let mut entry = entry.clone();
    for _ in 0..MAX_TYPEDEFS {
        if entry.tag() != gimli::DW_TAG_typedef {
            break;
        }
        entry = match entry.attr_value(gimli::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => unit.entry(offset).ok()?,
            other => return elsewhere(dwarf, other),
        };
    }
    let is_struct = matches!(entry.tag(), gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type);
    let size = entry.attr_value(gimli::DW_AT_byte_size).filter(|_| is_struct)?.udata_value()?;
    let mut cursor = unit.entries_at_offset(entry.offset()).ok()?;
    cursor.next_dfs().ok()?;
    let mut members = Vec::new();
    if entry.has_children() && cursor.next_dfs().ok()?.is_some() {
        while let Some(child) = cursor.current() {
            members.extend(member(dwarf, unit, child));
            if cursor.next_sibling().ok()?.is_none() {
                break;
            }
        }
    }
    Some(StructLayout { size, members })
}

/// A typedef whose struct is in another unit of the file or in the supplementary one.
fn elsewhere<'a>(dwarf: &Dwarf<Slice<'a>>, reference: AttributeValue<Slice<'a>>) -> Option<StructLayout> {
    let (dwarf, offset) = match reference {
        AttributeValue::DebugTypesRef(signature) => return by_signature(dwarf, signature),
        AttributeValue::DebugInfoRef(offset) => (dwarf, offset),
        AttributeValue::DebugInfoRefSup(offset) => (dwarf.sup()?, offset),
        _ => return None,
    };
    let mut units = dwarf.units();
    while let Some(header) = units.next().ok()? {
        if let Some(in_unit) = offset.to_unit_offset(&header) {
            let unit = dwarf.unit(header).ok()?;
            let entry = unit.entry(in_unit).ok()?;
            // One step only: a typedef there that leads on to a third unit is given up.
            return (entry.tag() != gimli::DW_TAG_typedef).then(|| layout(dwarf, &unit, &entry))?;
        }
    }
    None
}

/// A struct in a type unit of its own (`-fdebug-types-section`).
fn by_signature(dwarf: &Dwarf<Slice<'_>>, wanted: gimli::DebugTypeSignature) -> Option<StructLayout> {
    headers(dwarf).ok()?.into_iter().find_map(|header| {
        let (gimli::UnitType::Type { type_signature, type_offset }
        | gimli::UnitType::SplitType { type_signature, type_offset }) = header.type_()
        else {
            return None;
        };
        if type_signature != wanted {
            return None;
        }
        let unit = dwarf.unit(header).ok()?;
        let entry = unit.entry(type_offset).ok()?;
        (entry.tag() != gimli::DW_TAG_typedef).then(|| layout(dwarf, &unit, &entry))?
    })
}

fn member<'a>(dwarf: &Dwarf<Slice<'a>>, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<(String, u64)> {
    if entry.tag() != gimli::DW_TAG_member || entry.attr_value(gimli::DW_AT_data_bit_offset).is_some() {
        return None;
    }
    let offset = match entry.attr_value(gimli::DW_AT_data_member_location)? {
        AttributeValue::Exprloc(expression) => constant(&expression, unit)?,
        value => value.udata_value()?,
    };
    Some((name(dwarf, unit, entry)?.to_owned(), offset))
}

/// DWARF 2 and 3 write offsets as expressions: `DW_OP_plus_uconst N`.
fn constant(expression: &gimli::Expression<Slice<'_>>, unit: &Unit<Slice<'_>>) -> Option<u64> {
    match expression.operations(unit.encoding()).next().ok()?? {
        gimli::Operation::PlusConstant { value } => Some(value),
        _ => None,
    }
}

fn add_variable<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    entry: &Entry<'a>,
    wanted: &Wanted<'_>,
    found: &mut Found,
) {
    if wanted.variables.is_empty() {
        return;
    }
    // A definition apart from its declaration has the name there.
    let declared = || match entry.attr_value(gimli::DW_AT_specification)? {
        AttributeValue::UnitRef(offset) => name(dwarf, unit, &unit.entry(offset).ok()?),
        _ => None,
    };
    let Some(name) = name(dwarf, unit, entry).or_else(declared) else { return };
    let Some(name) = missing(wanted.variables, name, |name| found.variables.contains_key(name)) else { return };
    let Some(AttributeValue::Exprloc(expression)) = entry.attr_value(gimli::DW_AT_location) else { return };
    let first = expression.operations(unit.encoding()).next();
    let address = match first {
        Ok(Some(gimli::Operation::Address { address })) => Some(address),
        Ok(Some(gimli::Operation::AddressIndex { index })) => dwarf.address(unit, index).ok(),
        _ => None,
    };
    if let Some(address) = address {
        found.variables.insert(name.to_owned(), Svma(address));
    }
}
