//! How entities of the standard are declared. Words of its enumerations are texts: a provider's new word
//! is passed on, it does not spoil an answer.

/// An object whose fields are all optional and are named in camel case on the wire.
macro_rules! entity {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        #[expect(missing_docs, reason = "fields are named by the standard")]
        pub struct $name {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>),*
        }
    };
}
pub(crate) use entity;
