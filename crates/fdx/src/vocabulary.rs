//! The values of the standard's enumerations, by entity and field.
//!
//! The Rust types contain strings for these fields, so that a value that a provider adds does not make a response
//! unreadable. This module finds the values that the standard does not define.
//!
//! The file `vocabulary.json` describes the fields of each entity: by a list of values, by the name of a shared list (`@…`), or
//! by the name of the entity that the field contains, once or as a list. The field `*` describes all other fields.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static ENTITIES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../vocabulary.json")).unwrap_or_default());

/// Finds all values in an entity, at any depth, that the standard does not define. Each is reported as `path: value`.
///
/// `kind` is the name of an entity in the standard (`depositAccount`, `holding`, `customer`), the name of a page's list
/// (`accounts`, `transactions`), or `account` or `transaction` for an object whose only key names the type of its
/// content.
pub fn find_unknown_words(kind: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check_entity(kind, kind, value, &mut found);
    found
}

fn check_entity(kind: &str, path: &str, value: &Value, found: &mut Vec<String>) {
    let Some(Value::Object(known)) = ENTITIES.get(kind) else {
        found.push(format!("{path}: {kind} is not an entity"));
        return;
    };
    let Value::Object(fields) = value else {
        found.push(format!("{path}: not an object"));
        return;
    };
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        match known.get(name).or_else(|| known.get("*")) {
            // The names of shared lists begin with `@`, so that they cannot be confused with entities.
            Some(Value::String(list)) if list.starts_with('@') => {
                check_word(ENTITIES.get(list), &path, value, found);
            }
            Some(Value::String(kind)) => check_entities(kind, &path, value, found),
            Some(words) => check_word(Some(words), &path, value, found),
            // The field contains free text, a number or a date, so that every value is allowed.
            None => {}
        }
    }
}

fn check_entities(kind: &str, path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                check_entity(kind, &format!("{path}[{nth}]"), item, found);
            }
        }
        single => check_entity(kind, path, single, found),
    }
}

fn check_word(words: Option<&Value>, path: &str, value: &Value, found: &mut Vec<String>) {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let words = words.and_then(Value::as_array);
    for value in values.iter().filter(|value| words.is_none_or(|words| !words.contains(value))) {
        found.push(format!("{path}: {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vocabulary_file_references_only_defined_names() {
        assert!(ENTITIES.len() > 30);
        for (kind, fields) in ENTITIES.iter().filter(|(kind, _)| !kind.starts_with('@')) {
            for (name, rule) in fields.as_object().unwrap() {
                match rule {
                    Value::String(other) => assert!(ENTITIES.contains_key(other), "{kind}.{name}: {other}"),
                    words => {
                        let words = words.as_array().unwrap();
                        assert!(
                            words.len() > 1 || ["accountCategory", "*"].contains(&&**name),
                            "{kind}.{name}"
                        );
                        assert!(words.iter().all(Value::is_string), "{kind}.{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn value_outside_vocabulary_is_reported_at_any_depth() {
        let page = json!({"accounts": [
            {"depositAccount": {"accountType": "CHECKING", "status": "OPEN", "currency": {"currencyCode": "CAD"}}},
            {"depositAccount": {"accountType": "MORTGAGE", "status": "FROZEN", "currency": {"currencyCode": "C$"}}},
            {"investmentAccount": {"holdings": [{"holdingType": "STOCK"}, {"holdingType": "CASH"}]}},
            {"petAccount": {}},
        ]});
        assert_eq!(
            find_unknown_words("accounts", &page),
            [
                "accounts.accounts[1].depositAccount.accountType: \"MORTGAGE\"",
                "accounts.accounts[1].depositAccount.currency.currencyCode: \"C$\"",
                "accounts.accounts[1].depositAccount.status: \"FROZEN\"",
                "accounts.accounts[2].investmentAccount.holdings[1].holdingType: \"CASH\"",
                "accounts.accounts[3].petAccount: {}",
            ]
        );
    }

    /// The fields whose value is a list, so that each item is checked.
    const LISTS: [&str; 17] = [
        "holdings",
        "openOrders",
        "contribution",
        "investmentLoans",
        "balanceList",
        "pensionSource",
        "addresses",
        "telephones",
        "accounts",
        "links",
        "types",
        "holders",
        "availability",
        "metrics",
        "fdxVersions",
        "operations",
        "operationIds",
    ];

    /// Creates an entity with every field of the vocabulary. Each field has the first of its allowed values.
    fn sample_entity(kind: &str) -> Value {
        let mut fields = Map::new();
        for (name, rule) in ENTITIES[kind].as_object().unwrap() {
            let value = match rule {
                Value::String(list) if list.starts_with('@') => ENTITIES[list][0].clone(),
                Value::String(kind) => sample_entity(kind),
                words => words[0].clone(),
            };
            let listed = LISTS.contains(&name.as_str());
            fields.insert(name.clone(), if listed { json!([value]) } else { value });
        }
        fields.remove("*");
        fields.into()
    }

    #[test]
    fn fdx_types_keep_every_vocabulary_field() {
        fn assert_all_fields_known<T: serde::de::DeserializeOwned + crate::Shaped>(value: &Value) {
            let read = crate::parse::<T>(value.to_string().as_bytes()).unwrap();
            assert_eq!(read.dropped, 0, "{value}");
        }
        let mut kinds = 0;
        for (several, one) in [("account", true), ("transaction", false)] {
            for (kind, value) in sample_entity(several).as_object().unwrap() {
                assert_eq!(find_unknown_words(kind, value), Vec::<String>::new());
                let element = json!({ kind: value });
                if one {
                    assert_all_fields_known::<crate::Account>(&element);
                } else {
                    assert_all_fields_known::<crate::Transaction>(&element);
                }
                kinds += 1;
            }
        }
        assert_eq!(kinds, 13);
        assert_all_fields_known::<crate::PaymentNetwork>(&sample_entity("paymentNetwork"));
        assert_all_fields_known::<crate::Statement>(&sample_entity("statement"));
        assert_all_fields_known::<crate::AvailabilityList>(&sample_entity("availabilityList"));
        assert_all_fields_known::<crate::Capability>(&sample_entity("capability"));
        assert_all_fields_known::<crate::CertificationMetrics>(&sample_entity("certificationMetrics"));
        assert_all_fields_known::<crate::AccountContact>(&sample_entity("accountContact"));
        assert_all_fields_known::<crate::Customer>(&sample_entity("customer"));
        assert_eq!(find_unknown_words("customer", &sample_entity("customer")), Vec::<String>::new());
    }

    #[test]
    fn card_purchase_type_is_unknown_before_fdx_5_3() {
        let purchase = json!({"locTransaction": {"transactionType": "PURCHASE", "status": "POSTED"}});
        assert_eq!(find_unknown_words("transaction", &purchase).len(), 1);
        let payment = json!({"locTransaction": {"transactionType": "PAYMENT", "status": "POSTED"}});
        assert_eq!(find_unknown_words("transaction", &payment), Vec::<String>::new());
    }

    #[test]
    fn unknown_entity_or_non_text_value_is_reported() {
        assert_eq!(find_unknown_words("pet", &json!({})), ["pet: pet is not an entity"]);
        assert_eq!(find_unknown_words("holding", &json!([])), ["holding: not an object"]);
        assert_eq!(find_unknown_words("holding", &json!({"holdingType": 7})), ["holding.holdingType: 7"]);
        assert_eq!(find_unknown_words("holding", &json!({"currency": {"currencyCode": null}})).len(), 1);
        let link = json!({"action": "FETCH", "types": ["application/pdf", "text/html"]});
        assert_eq!(
            find_unknown_words("hateoasLink", &link),
            ["hateoasLink.action: \"FETCH\"", "hateoasLink.types: \"text/html\""]
        );
    }
}
