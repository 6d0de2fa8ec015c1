//! The languages of the sandbox's pages, and their texts.

use std::borrow::Cow;
use std::collections::HashMap;

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

/// A language in which pages are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SandboxLanguage {
    En,
    Fr,
}

impl SandboxLanguage {
    /// Returns the first available language of a list of tags, as in `ui_locales` or `Accept-Language`.
    pub(crate) fn from_tags(tags: &str) -> Option<Self> {
        let mut tags = tags.split([' ', ',', ';']).map(str::trim);
        tags.find_map(|tag| match tag.split('-').next() {
            Some(language) if language.eq_ignore_ascii_case("en") => Some(Self::En),
            Some(language) if language.eq_ignore_ascii_case("fr") => Some(Self::Fr),
            _ => None,
        })
    }

    /// Returns the value of the HTML attribute `lang`.
    pub(crate) const fn lang(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    /// Returns the language that pages offer instead of this one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::En => Self::Fr,
            Self::Fr => Self::En,
        }
    }

    fn id(self) -> &'static LanguageIdentifier {
        match self {
            Self::En => &EN,
            Self::Fr => &FR,
        }
    }

    /// Returns the text with a key.
    pub(crate) fn t(self, key: &str) -> String {
        LOCALES.lookup(self.id(), key)
    }

    /// Returns the text with a key, or none if there is no such text.
    pub(crate) fn find_text(self, key: &str) -> Option<String> {
        LOCALES.try_lookup(self.id(), key)
    }

    /// Returns the text with a key, in which placeholders are replaced by values.
    pub(crate) fn t_with(self, key: &str, values: &[(&'static str, &str)]) -> String {
        let arguments = values.iter().map(|(name, value)| (Cow::Borrowed(*name), (*value).into()));
        LOCALES.lookup_with_args(self.id(), key, &arguments.collect::<HashMap<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_first_supported_language_tag_is_selected() {
        assert_eq!(SandboxLanguage::from_tags("de fr-CA en"), Some(SandboxLanguage::Fr));
        assert_eq!(SandboxLanguage::from_tags("en-US,en;q=0.9,fr;q=0.8"), Some(SandboxLanguage::En));
        assert_eq!(SandboxLanguage::from_tags("de"), None);
    }

    #[test]
    fn sandbox_locales_have_equal_keys() {
        let keys = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|l| !l.starts_with(['#', ' ']));
            lines.filter_map(|l| Some(l.split_once(" =")?.0.to_owned())).collect()
        };

        for (en, fr) in [
            (include_str!("../locales/en/bank.ftl"), include_str!("../locales/fr/bank.ftl")),
            (include_str!("../locales/en/demo.ftl"), include_str!("../locales/fr/demo.ftl")),
            (include_str!("../locales/en/dates.ftl"), include_str!("../locales/fr/dates.ftl")),
        ] {
            assert_eq!(keys(en), keys(fr));
        }
    }
}
