//! The macro that declares queries which consist of one lookup.

/// Declares queries: each by its fields, the type of its reply and the expression that looks the reply up.
macro_rules! lookup {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $type:ty),* } -> $reply:ty = |$tx:ident, $query:ident| $lookup:expr;
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name { $(pub $field: $type),* }

        impl $crate::operation::Query for $name {
            type Reply = $reply;

            async fn run(&self, $tx: &mut $crate::tx::Tx<'_>) -> $crate::error::Result<$reply> {
                let $query = self;
                $lookup.await
            }
        }
    )+};
}
pub(super) use lookup;
