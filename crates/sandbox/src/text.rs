//! Texts of the sandbox's pages, in the language of the reader.

use std::borrow::Cow;
use std::collections::HashMap;

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

/// Texts in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SandboxLanguage {
    En,
    Fr,
}

impl SandboxLanguage {
    /// The first language of a list of tags (`ui_locales`, `Accept-Language`) that is served.
    pub(crate) fn from_tags(tags: &str) -> Option<Self> {
        let mut tags = tags.split([' ', ',', ';']).map(str::trim);
        tags.find_map(|tag| match tag.split('-').next() {
            Some(language) if language.eq_ignore_ascii_case("en") => Some(Self::En),
            Some(language) if language.eq_ignore_ascii_case("fr") => Some(Self::Fr),
            _ => None,
        })
    }

    /// The value of `lang`.
    pub(crate) const fn lang(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    /// The language that the pages offer instead.
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

    /// A text.
    pub(crate) fn t(self, key: &str) -> String {
        LOCALES.lookup(self.id(), key)
    }

    /// A text, if there is one of that key.
    pub(crate) fn find(self, key: &str) -> Option<String> {
        LOCALES.try_lookup(self.id(), key)
    }

    /// A text with one name in it.
    pub(crate) fn translate_with(self, key: &str, name: &'static str, value: &str) -> String {
        let arguments = HashMap::from([(Cow::Borrowed(name), FluentValue::from(value.to_owned()))]);
        LOCALES.lookup_with_args(self.id(), key, &arguments)
    }

    /// A text with several names in it.
    pub(crate) fn translate_with_args(self, key: &str, values: &[(&'static str, &str)]) -> String {
        let named = values.iter().map(|(name, value)| (Cow::Borrowed(*name), (*value).into()));
        LOCALES.lookup_with_args(self.id(), key, &named.collect())
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
            (include_str!("../locales/en/words.ftl"), include_str!("../locales/fr/words.ftl")),
        ] {
            assert_eq!(keys(en), keys(fr));
        }
    }
}
