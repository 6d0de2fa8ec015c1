//! The macro that declares enums which are stored and sent as text.

/// An enum with one text value for each variant.
pub trait StrEnum: Copy + Into<&'static str> + strum::VariantArray {
    /// Returns the text by which the value is stored and sent.
    fn value_str(self) -> &'static str {
        self.into()
    }
}

impl<E: Copy + Into<&'static str> + strum::VariantArray> StrEnum for E {}

/// Declares an enum with the text value of each variant, and implements `as_str`, `ALL`, `Display` and `FromStr`.
///
/// The values are explicit and not derived from the names of the variants: they are in stores and audit chains, and a
/// renamed variant must not change them.
#[macro_export]
macro_rules! str_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::EnumString, strum::IntoStaticStr,
            strum::VariantArray
        )]
        pub enum $name { $($(#[$doc])* #[strum(serialize = $value)] $variant,)+ }

        impl $name {
            /// Every variant, in the order of the declaration.
            pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

            /// Returns the text by which the value is stored and sent.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $value),+ }
            }
        }
    };
}
