//! Sample values with every field of a type, which show the fields that the hub can deliver.

use std::cell::Cell;

use serde::de::value::{BorrowedStrDeserializer, Error};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Creates values with every field. If the type is or contains an enum, there is one value for each variant.
pub fn complete_values<T: DeserializeOwned>() -> Vec<T> {
    let variants = Cell::new(1);
    let mut all = Vec::new();
    // The number of variants is known only after the first value was deserialized, so the loop starts with one variant.
    while all.len() < variants.get() {
        match T::deserialize(SampleDeserializer { variant_count: &variants, variant_index: all.len() }) {
            Ok(value) => all.push(value),
            Err(_) => break,
        }
    }
    all
}

/// The value of every text field. It can also be parsed as a date and as a point in time.
const TEXT: &str = "2026-01-01T00:00:00+00:00";

/// A deserializer that provides a valid value for every field of a type.
#[derive(Clone, Copy)]
struct SampleDeserializer<'a> {
    /// The number of variants of the enum in the type. The deserializer sets it when it reaches the enum.
    variant_count: &'a Cell<usize>,
    /// The index of the variant to create.
    variant_index: usize,
}

impl<'de> Deserializer<'de> for SampleDeserializer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Only numbers reach this method, and every numeric type accepts an integer.
        visitor.visit_i64(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(TEXT)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(TEXT)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SingleElement(Some(self)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(SampleFields { deserializer: self, fields })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.variant_count.set(variants.len());
        visitor.visit_enum(SampleVariant {
            deserializer: self,
            name: variants.get(self.variant_index).copied().unwrap_or_default(),
        })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char bytes byte_buf unit unit_struct tuple tuple_struct map
        identifier ignored_any
    }
}

struct SingleElement<'a>(Option<SampleDeserializer<'a>>);

impl<'de> SeqAccess<'de> for SingleElement<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|deserializer| seed.deserialize(deserializer)).transpose()
    }
}

struct SampleFields<'a> {
    deserializer: SampleDeserializer<'a>,
    fields: &'static [&'static str],
}

impl<'de> MapAccess<'de> for SampleFields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, rest)) = self.fields.split_first() else { return Ok(None) };
        self.fields = rest;
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.deserializer)
    }
}

struct SampleVariant<'a> {
    deserializer: SampleDeserializer<'a>,
    name: &'static str,
}

impl<'de> EnumAccess<'de> for SampleVariant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for SampleVariant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.deserializer)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserializer.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserializer.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Accounts, Customer, Transaction, parse};

    #[test]
    fn complete_values_fill_every_field_and_variant() {
        let accounts = complete_values::<Account>();
        assert_eq!(accounts.len(), 7, "one account of each type");
        assert_eq!(complete_values::<Transaction>().len(), 6);
        assert_eq!((complete_values::<Customer>().len(), complete_values::<Accounts>().len()), (1, 7));
        for account in accounts {
            let text = serde_json::to_string(&account).unwrap();
            for name in
                ["accountId", "currencyCode", "routingTransitNumber", "balanceAsOf", "lastActivityDate"]
            {
                assert!(text.contains(&format!("\"{name}\"")), "{name}: {text}");
            }
            assert_eq!(parse::<Account>(text.as_bytes()).unwrap().value, account);
        }
        let customer = serde_json::to_value(&complete_values::<Customer>()[0]).unwrap();
        assert_eq!(customer["telephones"][0]["number"], TEXT);
    }
}
