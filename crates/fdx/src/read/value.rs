//! Copies values of known shapes. What cannot be read is left out and reported.

use super::members::{Members, Slot, for_each_element, read_members};
use super::path::{Path, Step};
use super::scalar::copy_scalar;
use super::{DropReason, Reading, Version, read_element};
use crate::shape::{Field, Shape};

/// Writes the name of a member, after a comma if it is not the first one since `start`.
pub(crate) fn write_name(out: &mut Vec<u8>, start: usize, name: &str) {
    if out.len() > start {
        out.push(b',');
    }
    // The names of the standard need no escapes.
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Copies a value. Returns false if it cannot be read; the caller then removes what was written. The text must be valid
/// JSON.
pub(crate) fn copy_value(
    shape: &'static Shape,
    json: &str,
    at: &Path<'_>,
    reading: &mut Reading<'_>,
    out: &mut Vec<u8>,
) -> bool {
    match shape {
        Shape::Currency(_) if json.starts_with('"') => {
            out.extend_from_slice(b"{\"currencyCode\":");
            let is_copied = copy_scalar(&Shape::Text, json, out);
            out.push(b'}');
            is_copied
        }
        Shape::Object(fields) | Shape::Currency(fields) => copy_object(fields, json, at, reading, out),
        Shape::List(shape) => copy_list(shape, json, at, reading, out),
        Shape::Element(types) => match read_element(types, json, reading.version) {
            Ok((kind, members)) => copy_known_element(kind, &members, at, reading, out),
            Err(_) => false,
        },
        Shape::Omitted(shape) => reading.keeps_internal_fields && copy_value(shape, json, at, reading, out),
        scalar => copy_scalar(scalar, json, out),
    }
}

fn copy_object(
    fields: &'static [Field],
    json: &str,
    at: &Path<'_>,
    reading: &mut Reading<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let Some(members) = read_members(json, fields, reading.version) else { return false };
    out.push(b'{');
    let start = out.len();
    copy_fields(&members, at, reading, out, start, |_| true);
    out.push(b'}');
    true
}

fn copy_known_element(
    kind: &'static Field,
    members: &Members<'_>,
    at: &Path<'_>,
    reading: &mut Reading<'_>,
    out: &mut Vec<u8>,
) -> bool {
    out.push(b'{');
    write_name(out, out.len(), kind.name);
    out.push(b'{');
    let start = out.len();
    copy_fields(members, &at.then(Step::Name(kind.name)), reading, out, start, |_| true);
    out.extend_from_slice(b"}}");
    true
}

fn copy_list(
    shape: &'static Shape,
    json: &str,
    at: &Path<'_>,
    reading: &mut Reading<'_>,
    out: &mut Vec<u8>,
) -> bool {
    out.push(b'[');
    let (start, mut received) = (out.len(), 0);
    let is_list = for_each_element(json, |index, element| {
        received = index + 1;
        let end = out.len();
        if end > start {
            out.push(b',');
        }
        let at = at.then(Step::Index(index));
        if !copy_value(shape, element, &at, reading, out) {
            out.truncate(end);
            reading.drop_field(&at, DropReason::Unreadable);
        }
    });
    // A list of which nothing can be read is not empty, so it is left out.
    let is_readable = is_list && (received == 0 || out.len() > start);
    out.push(b']');
    is_readable
}

/// Copies the fields of an object for which `keeps` returns true, separated by commas, and reports those that cannot be
/// read. `start` is the position in `out` at which the object begins.
pub(crate) fn copy_fields(
    members: &Members<'_>,
    at: &Path<'_>,
    reading: &mut Reading<'_>,
    out: &mut Vec<u8>,
    start: usize,
    keeps: impl Fn(&Field) -> bool,
) {
    for (index, field) in members.fields.iter().enumerate() {
        let json = match members.slot(index) {
            Slot::Absent => continue,
            _ if !keeps(field) => continue,
            Slot::Repeated => {
                reading.drop_field(&at.then(Step::Name(field.name)), DropReason::Repeated);
                continue;
            }
            Slot::Json(json) => json,
        };
        if matches!(field.shape, Shape::Omitted(_)) && !reading.keeps_internal_fields {
            continue;
        }
        let (end, at) = (out.len(), at.then(Step::Name(field.name)));
        write_name(out, start, field.name);
        if has_lost_zeros(field, json, reading.version) || !copy_value(field.shape, json, &at, reading, out) {
            out.truncate(end);
            reading.drop_field(&at, DropReason::Unreadable);
        }
    }
    reading.report.add(&at.then(Step::Unknown), DropReason::Unknown, members.unknown);
}

/// Returns whether a number was sent for a text of digits, so that its leading zeros are lost.
fn has_lost_zeros(field: &Field, json: &str, version: Version) -> bool {
    // FDX 5.2 defines check numbers as integers, FDX 6.x as texts.
    let is_text = field.is_digits || (field.name == "checkNumber" && version == Version::V6);
    is_text && !json.starts_with('"')
}
