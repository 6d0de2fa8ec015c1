//! The languages of the sandbox's pages, and their texts.

use i18n::{LocaleTexts, fluent_templates};

fluent_templates::static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        // Isolating marks around values would show up in plain text and in tests.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// A language in which the pages of the banks and the demo app are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SandboxLanguage {
    En,
    Fr,
}

impl SandboxLanguage {
    /// Returns the first available language of a list of tags, as in `ui_locales` or `Accept-Language`.
    pub(crate) fn from_tags(tags: &str) -> Option<Self> {
        let mut tags = tags.split([' ', ',', ';']).map(str::trim);
        // Quality values are ignored: browsers and clients list languages in the order of preference.
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

    pub(crate) fn texts(self) -> LocaleTexts {
        LocaleTexts::new(&LOCALES, self.lang())
    }

    /// Returns the text with a key of the locale files in this language.
    pub(crate) fn t(self, key: &str) -> String {
        self.texts().get(key)
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
        for (en, fr) in [
            (include_str!("../locales/en/bank.ftl"), include_str!("../locales/fr/bank.ftl")),
            (include_str!("../locales/en/demo.ftl"), include_str!("../locales/fr/demo.ftl")),
            (include_str!("../locales/en/dates.ftl"), include_str!("../locales/fr/dates.ftl")),
        ] {
            assert_eq!(i18n::message_keys(en), i18n::message_keys(fr));
        }
    }
}
