//! Copies one page of a list, and reads its position in the list.

use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{CopyItem, Item, ItemOutcome};
use crate::parse::{ParseError, without_byte_order_mark};
use crate::read::{
    DropReason, DropReport, Members, NameSeed, Path, Reading, Slot, Step, Version, parse_count, read_members,
    read_text,
};
use crate::shape::{Field, Shape};

/// The part of a page that is copied.
#[derive(Clone, Copy, Debug)]
pub struct PageWindow {
    /// The name of the list.
    pub list: &'static str,
    /// The number of items at the begin of the page that are skipped.
    pub skip: usize,
    /// The maximum number of items that are copied.
    pub limit: usize,
}

/// The query parameter by which a provider is asked for the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageParameter {
    /// `offset`, which belongs to `nextOffset`.
    Offset,
    /// `pageKey`, which belongs to `nextPageKey`.
    PageKey,
}

impl PageParameter {
    /// Returns the name of the parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offset => "offset",
            Self::PageKey => "pageKey",
        }
    }
}

/// The position of the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextPage {
    /// The parameter that the provider used.
    pub parameter: PageParameter,
    /// The value of the parameter, which is not empty.
    pub value: String,
}

/// The names of the query parameters for dates in a link of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkDates {
    /// `startTime` and `endTime`.
    Time,
    /// `startDate` and `endDate`.
    Date,
}

/// The result of copying one page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopiedPage {
    /// The position of the next page; `None` on the last page.
    pub next: Option<NextPage>,
    /// The date parameters in the link to the next page; `None` if it has none, or both kinds.
    pub link_dates: Option<LinkDates>,
    /// The number of items of the list, if the provider sent it.
    pub total: Option<u64>,
    /// The number of items that the page has at the provider.
    pub received: usize,
    /// The number of items from the begin of the page that were skipped, copied or left out. It is less than `received` if
    /// the limit was reached before the end of the page.
    pub consumed: usize,
    /// The number of items that were copied.
    pub copied: usize,
    /// The number of items that were not copied, for whatever reason.
    pub left_out: usize,
    /// The number of items that were left out because they cannot be read or served, and that the rules are known to
    /// cover.
    pub omitted: usize,
    unreadable: usize,
}

/// Copies the items of a page to `out`, separated by commas. If `out` already contains items, those of the page are
/// appended. What was left out is added to `report`.
pub fn copy_page(
    text: &[u8],
    version: Version,
    window: PageWindow,
    items: &mut impl CopyItem,
    out: &mut Vec<u8>,
    report: &mut DropReport,
) -> Result<CopiedPage, ParseError> {
    // Usually most of a response is copied.
    out.reserve(text.len());
    let mut reading = Reading { version, report, keeps_internal_fields: false };
    let mut failure = None;
    let mut deserializer = serde_json::Deserializer::from_slice(without_byte_order_mark(text));
    let visitor = PageVisitor { window, items, out, reading: &mut reading, failure: &mut failure };
    let page = deserializer.deserialize_map(visitor);
    let page = page.map_err(|error| match failure {
        // The text is not JSON, whatever was read before.
        _ if !error.is_data() => error.into(),
        // A failure of this module is more precise than the error that ended the reading because of it.
        Some(failure) => failure,
        None => ParseError::WrongShape,
    })?;
    // Text after the value makes the response invalid.
    deserializer.end()?;
    page.finish(&mut reading)
}

/// The members of a page.
#[derive(Default)]
struct PageMembers<'t> {
    page: Option<&'t str>,
    links: Option<&'t str>,
    /// The list, and whether it is null.
    list: Option<(CopiedPage, bool)>,
    has_error: bool,
}

impl PageMembers<'_> {
    fn finish(self, reading: &mut Reading<'_>) -> Result<CopiedPage, ParseError> {
        let is_object = |json: Option<&str>| json.is_some_and(|json| json.starts_with('{'));
        let (mut copied, is_null) = match self.list {
            Some(list) => list,
            // A missing list is not an empty one: the response may be an error, or belong to another API.
            None if self.has_error => return Err(ParseError::ErrorInBody),
            None => return Err(ParseError::MissingList),
        };
        if is_null && !is_object(self.page) && !is_object(self.links) {
            return Err(if self.has_error { ParseError::ErrorInBody } else { ParseError::MissingList });
        }
        if self.has_error && copied.received == 0 {
            return Err(ParseError::ErrorInBody);
        }
        let read = copied.copied + copied.left_out;
        if read > 0 && copied.unreadable == read {
            return Err(ParseError::NoReadableElement);
        }
        (copied.next, copied.total) = read_position(self.page, self.links, reading)?;
        copied.link_dates = self.links.and_then(find_link_dates);
        Ok(copied)
    }
}

/// Reads the position of the next page and the total.
fn read_position(
    page: Option<&str>,
    links: Option<&str>,
    reading: &mut Reading<'_>,
) -> Result<(Option<NextPage>, Option<u64>), ParseError> {
    const FIELDS: &[Field] = &[
        Field::new("nextOffset", &Shape::Text),
        Field::new("nextPageKey", &Shape::Text),
        Field::new("totalElements", &Shape::Count),
        Field::new("prevOffset", &Shape::Text),
        Field::new("previousPageKey", &Shape::Text),
    ];
    let at = Path::ROOT.then(Step::Name("page"));
    let members = page.and_then(|page| read_members(page, FIELDS, Version::V5));
    let (mut next, mut total, mut is_unknown) = (None, None, false);
    match &members {
        Some(members) => {
            for (index, parameter) in [(0, PageParameter::Offset), (1, PageParameter::PageKey)] {
                match read_offset(members, index) {
                    Ok(value) => {
                        next = next.or(value.map(|value| NextPage { parameter, value }));
                    }
                    Err(reason) => {
                        let name = FIELDS.get(index).map_or("", |field| field.name);
                        reading.drop_field(&at.then(Step::Name(name)), reason);
                        is_unknown = true;
                    }
                }
            }
            if let Slot::Json(json) = members.slot(2) {
                total = parse_count(json);
                if total.is_none() {
                    reading.drop_field(&at.then(Step::Name("totalElements")), DropReason::Unreadable);
                }
            }
            reading.report.add(&at.then(Step::Unknown), DropReason::Unknown, members.unknown);
        }
        // An empty array is how some languages write an empty object.
        None if page.is_some_and(|page| page != "null") => {
            reading.drop_field(&at, DropReason::Unreadable);
            is_unknown = page != Some("[]");
        }
        None => {}
    }
    if next.is_none() {
        next = read_next_link(links, reading)?;
    }
    // A list that may have more pages must not look complete.
    if is_unknown && next.is_none() { Err(ParseError::UnknownPosition) } else { Ok((next, total)) }
}

/// Reads the text of an offset, which is a string or a number. An empty text counts as absent.
fn read_offset(members: &Members<'_>, index: usize) -> Result<Option<String>, DropReason> {
    match members.slot(index) {
        Slot::Absent => Ok(None),
        Slot::Repeated => Err(DropReason::Repeated),
        Slot::Json(json) if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Ok(Some(json.to_owned()))
        }
        Slot::Json(json) => {
            let text = read_text(json).ok_or(DropReason::Unreadable)?;
            Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
        }
    }
}

/// Reads the position from the link to the next page. Only the parameter of the link is used: the next request goes to
/// the configured server.
fn read_next_link(links: Option<&str>, reading: &mut Reading<'_>) -> Result<Option<NextPage>, ParseError> {
    const LINKS: &[Field] = &[Field::new("next", &Shape::Text)];
    const LINK: &[Field] = &[Field::new("href", &Shape::Text)];
    let at = Path::ROOT.then(Step::Name("links"));
    let Some(links) = links.filter(|links| *links != "null") else { return Ok(None) };
    let Some(members) = read_members(links, LINKS, Version::V5) else {
        reading.drop_field(&at, DropReason::Unreadable);
        return Ok(None);
    };
    let href = match members.slot(0) {
        Slot::Absent => return Ok(None),
        Slot::Json(json) if json.starts_with('"') => Slot::Json(json),
        Slot::Json(json) => match read_members(json, LINK, Version::V5) {
            Some(link) => link.slot(0),
            None => Slot::Repeated,
        },
        Slot::Repeated => Slot::Repeated,
    };
    let href = match href {
        Slot::Absent => return Ok(None),
        Slot::Json(json) => read_text(json),
        Slot::Repeated => None,
    };
    let Some(href) = href else {
        reading.drop_field(&at.then(Step::Name("next")), DropReason::Unreadable);
        return Err(ParseError::UnknownPosition);
    };
    if href.is_empty() {
        return Ok(None);
    }
    let next = form_urlencoded::parse(query_of(&href).as_bytes()).find_map(|(name, value)| {
        let parameters = [PageParameter::Offset, PageParameter::PageKey];
        let parameter = parameters.into_iter().find(|parameter| parameter.name() == name)?;
        Some(NextPage { parameter, value: value.into_owned() }).filter(|next| !next.value.is_empty())
    });
    next.map(Some).ok_or(ParseError::UnknownPosition)
}

/// Finds the date parameters in the link to the next page. A provider repeats the query there, with the names that it uses
/// itself. What cannot be read was reported with the position.
fn find_link_dates(links: &str) -> Option<LinkDates> {
    const LINKS: &[Field] = &[Field::new("next", &Shape::Text)];
    const LINK: &[Field] = &[Field::new("href", &Shape::Text)];
    let Slot::Json(next) = read_members(links, LINKS, Version::V5)?.slot(0) else { return None };
    let href = if next.starts_with('"') {
        read_text(next)?
    } else {
        let Slot::Json(href) = read_members(next, LINK, Version::V5)?.slot(0) else { return None };
        read_text(href)?
    };
    let (mut time, mut date) = (false, false);
    for (name, _) in form_urlencoded::parse(query_of(&href).as_bytes()) {
        time |= matches!(&*name, "startTime" | "endTime");
        date |= matches!(&*name, "startDate" | "endDate");
    }
    match (time, date) {
        (true, false) => Some(LinkDates::Time),
        (false, true) => Some(LinkDates::Date),
        // A provider that knows both kinds, or repeats whatever it got, proves nothing.
        (true, true) | (false, false) => None,
    }
}

fn query_of(href: &str) -> &str {
    href.split('#').next().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query)
}

struct PageVisitor<'c, 'r, I> {
    window: PageWindow,
    items: &'c mut I,
    out: &'c mut Vec<u8>,
    reading: &'c mut Reading<'r>,
    failure: &'c mut Option<ParseError>,
}

enum PageMember {
    Page,
    Links,
    List,
    Error,
    Unknown,
}

impl<'de, I: CopyItem> Visitor<'de> for PageVisitor<'_, '_, I> {
    type Value = PageMembers<'de>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a page of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PageMembers<'de>, A::Error> {
        let Self { window, items, out, reading, failure } = self;
        let find = |name: &str| match name {
            "page" => PageMember::Page,
            "links" => PageMember::Links,
            "code" | "error" | "errors" => PageMember::Error,
            name if name == window.list => PageMember::List,
            _ => PageMember::Unknown,
        };
        let (mut members, mut unknown) = (PageMembers::default(), 0);
        while let Some(member) = map.next_key_seed(NameSeed(find))? {
            match member {
                PageMember::Page if members.page.is_none() => {
                    members.page = Some(map.next_value::<&RawValue>()?.get());
                }
                PageMember::Links if members.links.is_none() => {
                    members.links = Some(map.next_value::<&RawValue>()?.get());
                }
                PageMember::List if members.list.is_none() => {
                    let list = ListSeed {
                        window,
                        items: &mut *items,
                        out: &mut *out,
                        reading: &mut *reading,
                        failure: &mut *failure,
                    };
                    let list = map.next_value_seed(list);
                    if list.as_ref().is_err_and(|_| failure.is_none()) {
                        *failure = Some(ParseError::InvalidList);
                    }
                    members.list = Some(list?);
                }
                PageMember::Page | PageMember::Links | PageMember::List => {
                    // It is ambiguous which of the two the provider means.
                    *failure = Some(ParseError::InvalidList);
                    return Err(Error::custom("a member occurs twice"));
                }
                PageMember::Error | PageMember::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    unknown += 1;
                    members.has_error |= matches!(member, PageMember::Error);
                }
            }
        }
        reading.report.add(&Path::ROOT.then(Step::Unknown), DropReason::Unknown, unknown);
        Ok(members)
    }
}

/// Copies the items of a list. Returns the numbers of items, and whether the list is null.
struct ListSeed<'c, 'r, I> {
    window: PageWindow,
    items: &'c mut I,
    out: &'c mut Vec<u8>,
    reading: &'c mut Reading<'r>,
    failure: &'c mut Option<ParseError>,
}

impl<'de, I: CopyItem> DeserializeSeed<'de> for ListSeed<'_, '_, I> {
    type Value = (CopiedPage, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, I: CopyItem> Visitor<'de> for ListSeed<'_, '_, I> {
    type Value = (CopiedPage, bool);

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an array or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok((CopiedPage::default(), true))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut page = CopiedPage::default();
        loop {
            let is_read = page.received >= self.window.skip && page.copied < self.window.limit;
            if !is_read {
                if elements.next_element::<IgnoredAny>()?.is_none() {
                    return Ok((page, false));
                }
                page.received += 1;
                page.consumed += usize::from(page.received <= self.window.skip);
                continue;
            }
            let Some(element) = elements.next_element::<&RawValue>()? else { return Ok((page, false)) };
            let outcome = self.copy(element.get(), page.received);
            match outcome {
                Ok(outcome) => page.count(outcome),
                Err(error) => {
                    *self.failure = Some(error);
                    return Err(Error::custom("the page cannot be read"));
                }
            }
        }
    }
}

impl<I: CopyItem> ListSeed<'_, '_, I> {
    fn copy(&mut self, json: &str, index: usize) -> Result<ItemOutcome, ParseError> {
        let list = Path::ROOT.then(Step::Name(self.window.list));
        let end = self.out.len();
        if end > 0 {
            self.out.push(b',');
        }
        let item = Item { json, at: list.then(Step::Index(index)), reading: self.reading };
        let outcome = self.items.copy(item, self.out)?;
        if outcome != ItemOutcome::Copied {
            self.out.truncate(end);
        }
        Ok(outcome)
    }
}

impl CopiedPage {
    fn count(&mut self, outcome: ItemOutcome) {
        self.received += 1;
        self.consumed = self.received;
        match outcome {
            ItemOutcome::Copied => self.copied += 1,
            ItemOutcome::Excluded => self.left_out += 1,
            ItemOutcome::Unreadable { is_covered } => {
                self.left_out += 1;
                self.unreadable += 1;
                self.omitted += usize::from(is_covered);
            }
            ItemOutcome::UnknownType { is_covered } => {
                self.left_out += 1;
                self.omitted += usize::from(is_covered);
            }
        }
    }
}
