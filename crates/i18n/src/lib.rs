//! Reads the texts of pages in the customer's language.
//!
//! A crate with pages has its own locale files. It loads them with `fluent_templates::static_loader!` and reads them
//! through [`LocaleTexts`].

use std::borrow::Cow;
use std::collections::HashMap;

// `static_loader!` refers to this crate by name, so users of the macro need it in scope.
pub use fluent_templates;
use fluent_templates::{LanguageIdentifier, Loader, StaticLoader, langid};

static ENGLISH: LanguageIdentifier = langid!("en");
static FRENCH: LanguageIdentifier = langid!("fr");

/// The texts of a crate's pages in one language.
#[derive(Clone, Copy)]
pub struct LocaleTexts {
    loader: &'static StaticLoader,
    language: &'static LanguageIdentifier,
}

impl LocaleTexts {
    /// Selects a language by its tag: `fr` for French, anything else for English.
    pub fn new(loader: &'static StaticLoader, tag: &str) -> Self {
        Self { loader, language: if tag == "fr" { &FRENCH } else { &ENGLISH } }
    }

    /// Returns the text with a key of the locale files. The text must have no placeholders.
    pub fn get(self, key: &str) -> String {
        self.loader.lookup(self.language, key)
    }

    /// Returns the text with a key, or `None` if the locale files do not contain the key. The text must have no
    /// placeholders.
    pub fn find(self, key: &str) -> Option<String> {
        self.loader.try_lookup(self.language, key)
    }

    /// Returns the text with a key, its placeholders replaced by values.
    pub fn format(self, key: &str, values: &[(&'static str, &str)]) -> String {
        let arguments = values.iter().map(|(name, value)| (Cow::Borrowed(*name), (*value).into()));
        self.loader.lookup_with_args(self.language, key, &arguments.collect::<HashMap<_, _>>())
    }

    /// Formats a date with the pattern that the locale files define under the key `day`. `day_of_month` is inserted as
    /// it is. The key of a month's name is `PREFIX-NUMBER`, such as `month-short-11`.
    pub fn format_date(self, month_prefix: &str, day_of_month: &str, month: i8, year: i16) -> String {
        let (month, year) = (self.get(&format!("{month_prefix}-{month}")), year.to_string());
        self.format("day", &[("day", day_of_month), ("month", &month), ("year", &year)])
    }
}

/// Returns the keys of a locale file, so that tests can compare the files of two languages.
pub fn message_keys(locale_file: &str) -> Vec<&str> {
    let messages = locale_file.lines().filter(|line| !line.starts_with(['#', ' ']));
    messages.filter_map(|line| Some(line.split_once(" =")?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_keys_skip_comments_and_continuation_lines() {
        let file = "# A comment = no key\nfirst = One\n    more text = of the first\nsecond =\n";

        assert_eq!(message_keys(file), ["first", "second"]);
    }
}
