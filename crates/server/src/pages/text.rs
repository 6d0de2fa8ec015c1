//! Translated texts of the pages.

use std::borrow::Cow;
use std::collections::HashMap;

use domain::Timestamp;
use domain::rule::authorize::Language;
use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{Loader, static_loader};
use unic_langid::{LanguageIdentifier, langid};

static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

static EN: LanguageIdentifier = langid!("en");
static FR: LanguageIdentifier = langid!("fr");

/// The texts of the pages in one language.
#[derive(Clone, Copy, Debug)]
pub struct PageTexts(Language);

impl PageTexts {
    /// Selects a language.
    pub const fn new(language: Language) -> Self {
        Self(language)
    }

    /// Returns the language tag for the HTML attribute `lang`.
    pub const fn lang(self) -> &'static str {
        self.0.as_str()
    }

    fn locale(self) -> &'static LanguageIdentifier {
        match self.0 {
            Language::En => &EN,
            Language::Fr => &FR,
        }
    }

    /// Returns a text without placeholders.
    pub fn get(self, key: &str) -> String {
        LOCALES.lookup(self.locale(), key)
    }

    /// Returns a text with its only placeholder filled in.
    pub fn format(self, key: &str, placeholder: &'static str, value: &str) -> String {
        let arguments = HashMap::from([(Cow::Borrowed(placeholder), FluentValue::from(value.to_owned()))]);
        LOCALES.lookup_with_args(self.locale(), key, &arguments)
    }

    /// Writes a day out: `November 24, 2026`, `24 novembre 2026`.
    pub fn format_day(self, at: Timestamp) -> String {
        let date = at.date();
        let arguments = HashMap::from([
            (Cow::Borrowed("day"), FluentValue::from(date.day().to_string())),
            (Cow::Borrowed("month"), FluentValue::from(self.get(&format!("month-{}", date.month())))),
            (Cow::Borrowed("year"), FluentValue::from(date.year().to_string())),
        ]);
        LOCALES.lookup_with_args(self.locale(), "day", &arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_is_formatted_for_each_language() {
        let at = Timestamp::from_millis(1_795_500_000_000);
        assert_eq!(PageTexts::new(Language::En).format_day(at), "November 24, 2026");
        assert_eq!(PageTexts::new(Language::Fr).format_day(at), "24 novembre 2026");
    }

    #[test]
    fn locales_define_the_same_keys() {
        let keys = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|l| !l.starts_with(['#', ' ']));
            lines.filter_map(|l| Some(l.split_once(" =")?.0.to_owned())).collect()
        };
        let (en, fr) =
            (include_str!("../../locales/en/pages.ftl"), include_str!("../../locales/fr/pages.ftl"));
        assert!(keys(en).len() > 30);
        assert_eq!(keys(en), keys(fr));
    }
}
