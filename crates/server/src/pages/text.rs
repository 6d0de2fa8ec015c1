//! Reads the translated texts of the pages for customers.

use domain::Timestamp;
use domain::rule::authorize::Language;
use i18n::{LocaleTexts, fluent_templates};

fluent_templates::static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        // The Unicode isolation marks that Fluent puts around values would appear in plain text and in tests.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// The texts of the pages in one language.
#[derive(Clone, Copy, Debug)]
pub struct PageTexts(Language);

impl PageTexts {
    /// Selects the texts in a language.
    pub const fn new(language: Language) -> Self {
        Self(language)
    }

    /// Returns the language tag for the HTML attribute `lang`.
    pub const fn lang(self) -> &'static str {
        self.0.as_str()
    }

    fn texts(self) -> LocaleTexts {
        LocaleTexts::new(&LOCALES, self.lang())
    }

    /// Returns the text with a key of the locale files. The text must have no placeholders.
    pub fn get(self, key: &str) -> String {
        self.texts().get(key)
    }

    /// Returns the text with a key of the locale files, with `value` in place of its only placeholder.
    pub fn format(self, key: &str, placeholder: &'static str, value: &str) -> String {
        self.format_values(key, &[(placeholder, value)])
    }

    /// Returns the text with a key of the locale files, with values in place of its placeholders.
    pub fn format_values(self, key: &str, values: &[(&'static str, &str)]) -> String {
        self.texts().format(key, values)
    }

    /// Formats a day in words: `November 24, 2026` or `24 novembre 2026`.
    pub fn format_day(self, at: Timestamp) -> String {
        let date = at.date();
        let day = match (self.0, date.day()) {
            // French has an ordinal number for the first day of a month only.
            (Language::Fr, 1) => "1er".to_owned(),
            (_, day) => day.to_string(),
        };
        self.texts().format_date("month", &day, date.month(), date.year())
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
        let first = at.plus(std::time::Duration::from_hours(7 * 24));
        assert_eq!(PageTexts::new(Language::En).format_day(first), "December 1, 2026");
        assert_eq!(PageTexts::new(Language::Fr).format_day(first), "1er décembre 2026");
    }

    #[test]
    fn locales_define_the_same_keys() {
        let (en, fr) =
            (include_str!("../../locales/en/pages.ftl"), include_str!("../../locales/fr/pages.ftl"));

        assert!(i18n::message_keys(en).len() > 30);
        assert_eq!(i18n::message_keys(en), i18n::message_keys(fr));
    }
}
