//! The macro that declares the entities of the standard.

/// Declares the type of a JSON object whose fields are optional and named in camel case.
// Enumerations of the standard are fields of type `String`: a value that a provider adds is passed on, and does not make
// the whole response unreadable.
macro_rules! entity {
    ($(#[$meta:meta])* $name:ident { $($fields:tt)* }) => {
        $crate::entity::entity! { $(#[$meta])* $name as Object { $($fields)* } }
    };
    ($(#[$meta:meta])* $name:ident as $shape:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        #[expect(missing_docs, reason = "fields are named by the standard")]
        pub struct $name {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>),*
        }

        impl $crate::shape::Shaped for $name {
            const SHAPE: &'static $crate::shape::Shape =
                &$crate::shape::Shape::$shape(&[$($crate::shape::field!($field: $type)),*]);
        }
    };
}
pub(crate) use entity;
