//! Rows, whose columns are read by name.
//!
//! A column is never read by position: two columns of the same type could then be swapped in a statement without an
//! error. Names are resolved against the list that belongs to the statement, so that a row allocates no names.

use serde::de::DeserializeOwned;

use crate::account_list::{AccountListOpener, AccountListOwner};
use crate::error::{Result, StoreError};
use crate::row_mac::{RowAuthenticator, RowMac};
use crate::settings::StoreKeys;
use crate::value::{FromValue, Value};

/// The column names of a statement's result, shared by all of its rows.
#[derive(Debug)]
pub(crate) struct Columns {
    statement: &'static str,
    names: Box<[Box<str>]>,
}

impl Columns {
    /// Creates the list. Fails if two columns have the same name, because a lookup would be ambiguous.
    pub(crate) fn new<'a>(statement: &'static str, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let names: Box<[Box<str>]> = names.into_iter().map(Box::from).collect();
        let columns = Self { statement, names };
        let mut sorted: Vec<&str> = columns.names.iter().map(|name| &**name).collect();
        sorted.sort_unstable();
        match sorted.array_windows().find(|[left, right]| left == right) {
            Some([name, _]) => Err(columns.error(name, "is not unique: name it with AS")),
            None => Ok(columns),
        }
    }

    fn error(&self, column: &str, problem: impl std::fmt::Display) -> StoreError {
        StoreError::Internal(format!("column `{column}` of statement `{}`: {problem}", self.statement))
    }
}

/// A row of a statement's result.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    columns: &'static Columns,
    /// The values by column; `None` once a value has been taken.
    values: Vec<Option<Value>>,
    /// The index of the column after the one that was read last.
    next: usize,
    /// The keys with which the row can be verified and its list of accounts opened; `None` before the transaction has set them.
    keys: Option<(RowAuthenticator, AccountListOpener)>,
    /// True if the row is converted although it does not verify.
    is_unverified_accepted: bool,
    /// True if the row has not verified.
    is_unverified: bool,
}

impl Row {
    pub(crate) const fn new(columns: &'static Columns, values: Vec<Option<Value>>) -> Self {
        Self { columns, values, next: 0, keys: None, is_unverified_accepted: false, is_unverified: false }
    }

    pub(crate) fn set_keys(&mut self, keys: &StoreKeys) {
        self.keys = Some((keys.rows.clone(), keys.accounts.clone()));
    }

    fn keys(&self) -> Result<&(RowAuthenticator, AccountListOpener)> {
        let error = || StoreError::Internal("a row cannot be verified without a key".into());
        self.keys.as_ref().ok_or_else(error)
    }

    /// Opens a sealed list of accounts. Returns `None` if it was changed or belongs to another owner.
    pub(crate) fn open_accounts(
        &self,
        owner: AccountListOwner<'_>,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Vec<String>>> {
        Ok(self.keys()?.1.open(owner, key, sealed))
    }

    /// Ensures that the hub has written the columns that a MAC covers. Their values must not have been taken yet.
    pub(crate) fn verify(&mut self, mac: &RowMac) -> Result<()> {
        let (authenticator, _) = self.keys()?;
        let mut computation = authenticator.begin(mac);
        let mut next = 0;
        for column in mac.columns {
            let index = self.find_column(column, next)?;
            computation.add(self.value_at(index, column)?);
            next = index + 1;
        }
        if computation.matches(self.value_at(self.find_column(mac.mac, next)?, mac.mac)?) {
            return Ok(());
        }
        let id = self.find_column(mac.id.0, 0).and_then(|index| self.value_at(index, mac.id.0)).ok();
        let id = authenticator.report(mac, id);
        self.is_unverified = true;
        if self.is_unverified_accepted {
            return Ok(());
        }
        Err(StoreError::UnverifiedRow { table: mac.table, id })
    }

    /// Returns whether the value of a column is null.
    pub(crate) fn is_null(&self, column: &str) -> Result<bool> {
        Ok(*self.value_at(self.find_column(column, self.next)?, column)? == Value::Null)
    }

    fn value_at(&self, index: usize, column: &str) -> Result<&Value> {
        let value = self.values.get(index).and_then(Option::as_ref);
        value.ok_or_else(|| self.columns.error(column, "was read before"))
    }

    /// Returns the index of a column. Columns are usually read in the order of the statement, so most lookups need one
    /// comparison, with the column at `expected`.
    fn find_column(&self, column: &str, expected: usize) -> Result<usize> {
        let names = &self.columns.names;
        if names.get(expected).is_some_and(|name| **name == *column) {
            return Ok(expected);
        }
        let index = names.iter().position(|name| **name == *column);
        index.ok_or_else(|| self.columns.error(column, "does not exist"))
    }

    /// Takes the value of a column. Each column can be read once, because its text or blob is moved out of the row.
    pub(crate) fn get<T: FromValue>(&mut self, column: &str) -> Result<T> {
        let index = self.find_column(column, self.next)?;
        self.next = index + 1;
        let value = self.values.get_mut(index).and_then(Option::take);
        let value = value.ok_or_else(|| self.columns.error(column, "was read before"))?;
        T::from_value(value).map_err(|error| self.columns.error(column, error))
    }

    /// Reads the value of a column, and leaves it in the row.
    pub(crate) fn peek<T: FromValue>(&self, column: &str) -> Result<T> {
        let value = self.value_at(self.find_column(column, self.next)?, column)?;
        T::from_value(value.clone()).map_err(|error| self.columns.error(column, error))
    }

    /// Takes the value of a column without a conversion, for a column whose type depends on another one.
    pub(crate) fn get_raw(&mut self, column: &str) -> Result<Value> {
        self.get(column)
    }

    /// Takes the value of a text column that contains JSON.
    pub(crate) fn get_json<T: DeserializeOwned>(&mut self, column: &str) -> Result<T> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.columns.error(column, error))
    }

    /// Takes the value of a text column that contains JSON or is null.
    pub(crate) fn get_optional_json<T: DeserializeOwned>(&mut self, column: &str) -> Result<Option<T>> {
        let text: Option<String> = self.get(column)?;
        let parsed = text.map(|text| serde_json::from_str(&text)).transpose();
        parsed.map_err(|error| self.columns.error(column, error))
    }
}

/// A type that can be read from a row.
pub(crate) trait FromRow: Sized {
    fn from_row(row: &mut Row) -> Result<Self>;
}

/// A row of a list, in which one row that another program has changed must not hide the others.
pub(crate) enum ListedRow<T> {
    Verified(T),
    /// A row that must not be shown. Its value, if it can be converted, only serves to continue the list after it.
    Unverified(Option<T>),
}

impl<T> ListedRow<T> {
    /// Returns the value if it may be shown.
    pub(crate) fn into_verified(self) -> Option<T> {
        match self {
            Self::Verified(value) => Some(value),
            Self::Unverified(_) => None,
        }
    }

    /// Returns the value, verified or not.
    pub(crate) fn into_value(self) -> Option<T> {
        match self {
            Self::Verified(value) => Some(value),
            Self::Unverified(value) => value,
        }
    }
}

impl<T: FromRow> FromRow for ListedRow<T> {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.is_unverified_accepted = true;
        let value = T::from_row(row);
        // Another program can also have written values that cannot be converted.
        if row.is_unverified { Ok(Self::Unverified(value.ok())) } else { value.map(Self::Verified) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_row(columns: &[(&str, Value)]) -> Row {
        let names = Columns::new("test", columns.iter().map(|(name, _)| *name)).unwrap();
        let values = columns.iter().map(|(_, value)| Some(value.clone())).collect();
        Row::new(Box::leak(Box::new(names)), values)
    }

    fn text(value: &str) -> Value {
        Value::Text(value.into())
    }

    #[test]
    fn columns_are_read_by_name_in_any_order() {
        let mut row = build_row(&[("number", Value::Int(1)), ("absent", Value::Null), ("text", text("a"))]);

        assert_eq!(row.get::<String>("text").unwrap(), "a");
        assert_eq!(row.get::<i64>("number").unwrap(), 1);
        assert_eq!(row.get::<Option<String>>("absent").unwrap(), None);
    }

    #[test]
    fn swapped_columns_of_one_type_keep_their_values() {
        for mut row in [
            build_row(&[("purpose_en", text("why")), ("purpose_fr", text("pourquoi"))]),
            build_row(&[("purpose_fr", text("pourquoi")), ("purpose_en", text("why"))]),
        ] {
            assert_eq!(row.get::<String>("purpose_en").unwrap(), "why");
            assert_eq!(row.get::<String>("purpose_fr").unwrap(), "pourquoi");
        }
    }

    #[test]
    fn unknown_column_returns_error_with_its_name() {
        let mut row = build_row(&[("id", Value::Int(1))]);

        let error = row.get::<i64>("identity").unwrap_err();

        assert_eq!(
            error.to_string(),
            "internal store error: column `identity` of statement `test`: does not exist"
        );
    }

    #[test]
    fn column_read_twice_returns_error() {
        let mut row = build_row(&[("id", Value::Int(1))]);
        row.get::<i64>("id").unwrap();

        let error = row.get::<i64>("id").unwrap_err();

        assert!(error.to_string().ends_with("column `id` of statement `test`: was read before"), "{error}");
    }

    #[test]
    fn repeated_column_name_is_rejected() {
        let error = Columns::new("test", ["status", "id", "status"]).unwrap_err();

        assert!(error.to_string().contains("column `status` of statement `test`: is not unique"), "{error}");
    }

    #[test]
    fn invalid_value_returns_error_with_column_and_without_value() {
        let mut row = build_row(&[("key", text("secret"))]);

        let error = row.get::<Vec<u8>>("key").unwrap_err();

        assert!(
            error.to_string().ends_with("column `key` of statement `test`: the stored value is not a blob")
        );
    }

    #[test]
    fn invalid_json_returns_error_with_column() {
        let mut row = build_row(&[("contacts", text("[")), ("accounts", Value::Null)]);

        assert!(row.get_json::<Vec<String>>("contacts").unwrap_err().to_string().contains("`contacts`"));
        assert_eq!(row.get_optional_json::<Vec<String>>("accounts").unwrap(), None);
    }
}
