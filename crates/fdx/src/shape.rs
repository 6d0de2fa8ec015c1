//! The shapes of the standard's JSON values: which fields an object has, and what each contains. The macros that declare
//! the types declare their shapes, too, so that both agree.

use crate::error::ErrorBody;
use crate::scalar::{Amount, Date, DateTime};

/// The shape of a JSON value.
#[derive(Debug)]
pub enum Shape {
    Text,
    Boolean,
    Integer,
    /// A whole number that is not negative.
    Count,
    Amount,
    Date,
    DateTime,
    /// The code of an error, which is a number or a text.
    ErrorCode,
    /// A value that no response to a recipient contains.
    Omitted(&'static Self),
    List(&'static Self),
    /// An object with these fields, all of them optional.
    Object(&'static [Field]),
    /// An object with these fields, or the code of a currency as a text.
    Currency(&'static [Field]),
    /// An account or transaction of one of these types.
    Element(&'static [Field]),
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: &'static Shape,
    pub(crate) group: FieldGroup,
    /// True if the text consists of digits that may begin with zeros. A number that a provider sends for it is not
    /// accepted, because its zeros are lost.
    pub(crate) is_digits: bool,
}

impl Field {
    pub(crate) const fn new(name: &'static str, shape: &'static Shape) -> Self {
        const DIGITS: [&str; 13] = [
            "accountNumber",
            "accountNumberDisplay",
            "routingTransitNumber",
            "micrNumber",
            "bankId",
            "identifier",
            "referenceBankId",
            "referenceBranchId",
            "taxId",
            "governmentId",
            "registeredId",
            "postalCode",
            "number",
        ];
        let is_digits = is_one_of(name, &DIGITS);
        Self { name, shape, group: FieldGroup::of_account_field(name), is_digits }
    }
}

/// The part of an account or transaction to which a field belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldGroup {
    /// The id of the account.
    AccountId,
    /// The id of the account to which this account belongs.
    ParentAccountId,
    /// A field that `resultType=lightweight` contains.
    Lightweight,
    /// A field that allows payments: the full account number, the routing number or the MICR number.
    PaymentDetails,
    /// A field of the data cluster INVESTMENTS: holdings and everything related to them.
    Holdings,
    /// Any other field.
    Detail,
}

impl FieldGroup {
    const fn of_account_field(name: &str) -> Self {
        const PARENT_ID: [&str; 1] = ["parentAccountId"];
        // The account id belongs to every result type, but is replaced.
        const LIGHTWEIGHT: [&str; 8] = [
            "accountCategory",
            "accountType",
            "accountNumberDisplay",
            "productName",
            "nickname",
            "status",
            "description",
            "currency",
        ];
        // `accountNumberDisplay` is not among them: it shows only the last digits.
        const PAYMENT_DETAILS: [&str; 3] = ["accountNumber", "routingTransitNumber", "micrNumber"];
        const HOLDINGS: [&str; 6] =
            ["holdings", "openOrders", "contribution", "vesting", "investmentLoans", "pensionSource"];
        if is_one_of(name, &["accountId"]) {
            Self::AccountId
        } else if is_one_of(name, &PARENT_ID) {
            Self::ParentAccountId
        } else if is_one_of(name, &LIGHTWEIGHT) {
            Self::Lightweight
        } else if is_one_of(name, &PAYMENT_DETAILS) {
            Self::PaymentDetails
        } else if is_one_of(name, &HOLDINGS) {
            Self::Holdings
        } else {
            Self::Detail
        }
    }
}

const fn is_one_of(name: &str, names: &[&str]) -> bool {
    let mut index = 0;
    while index < names.len() {
        if is_equal(name.as_bytes(), names[index].as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

// `==` of slices is not available in constants.
const fn is_equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A type with a shape.
pub trait Shaped {
    /// The shape of the type's JSON values.
    const SHAPE: &'static Shape;
}

macro_rules! impl_shaped {
    ($($type:ty = $shape:ident),+ $(,)?) => {$(
        impl Shaped for $type {
            const SHAPE: &'static Shape = &Shape::$shape;
        }
    )+};
}
impl_shaped! {
    String = Text, bool = Boolean, i64 = Integer, u64 = Count, Amount = Amount, Date = Date, DateTime = DateTime,
}

impl<T: Shaped> Shaped for Vec<T> {
    const SHAPE: &'static Shape = &Shape::List(T::SHAPE);
}

impl Shaped for ErrorBody {
    // Free text of the provider may contain data that the customer did not consent to, so recipients get only the code.
    const SHAPE: &'static Shape = &Shape::Object(&[
        Field::new("code", &Shape::ErrorCode),
        Field::new("message", &Shape::Omitted(&Shape::Text)),
        Field::new("debugMessage", &Shape::Omitted(&Shape::Text)),
    ]);
}

/// The number of bytes of a field's name in camel case. A raw identifier has the prefix `r#`, which is no part of it.
pub(crate) const fn camel_case_len(snake: &str) -> usize {
    let bytes = snake.as_bytes();
    let (mut index, mut len) = (raw_prefix_len(bytes), 0);
    while index < bytes.len() {
        if bytes[index] != b'_' {
            len += 1;
        }
        index += 1;
    }
    len
}

/// Converts a field's name to camel case, as serde does.
pub(crate) const fn to_camel_case<const N: usize>(snake: &str) -> [u8; N] {
    let bytes = snake.as_bytes();
    let (mut index, mut len) = (raw_prefix_len(bytes), 0);
    let mut camel = [0; N];
    let mut starts_word = false;
    while index < bytes.len() {
        if bytes[index] == b'_' {
            starts_word = true;
        } else {
            // The variants of enums begin with a capital letter, fields do not.
            camel[len] = match bytes[index] {
                first if len == 0 => first.to_ascii_lowercase(),
                first if starts_word => first.to_ascii_uppercase(),
                other => other,
            };
            starts_word = false;
            len += 1;
        }
        index += 1;
    }
    camel
}

const fn raw_prefix_len(bytes: &[u8]) -> usize {
    match bytes {
        [b'r', b'#', ..] => 2,
        _ => 0,
    }
}

/// Returns the text of a constant name. All names are ASCII.
pub(crate) const fn to_text(name: &'static [u8]) -> &'static str {
    match std::str::from_utf8(name) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// Creates the [`Field`] for a field of a struct or for a variant of an enum, whose name is converted to camel case.
macro_rules! field {
    ($name:ident: $type:ty) => {{
        const LEN: usize = $crate::shape::camel_case_len(stringify!($name));
        const NAME: [u8; LEN] = $crate::shape::to_camel_case(stringify!($name));
        $crate::shape::Field::new($crate::shape::to_text(&NAME), <$type as $crate::shape::Shaped>::SHAPE)
    }};
}
pub(crate) use field;
