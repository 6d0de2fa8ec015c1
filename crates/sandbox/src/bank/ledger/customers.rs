//! The customers of the sandbox: the same six people at every bank.

use jiff::civil;

/// A person who can sign in at a bank.
pub(crate) struct BankCustomer {
    pub(crate) username: &'static str,
    pub(crate) first_name: &'static str,
    pub(super) last_name: &'static str,
    pub(super) date_of_birth: civil::Date,
    pub(super) address_line: &'static str,
    pub(super) city: &'static str,
    pub(super) region: &'static str,
    pub(super) postal_code: &'static str,
    pub(super) telephone: &'static str,
    /// A social insurance number that belongs to no one: numbers that begin with 0 are not issued.
    pub(super) tax_id: &'static str,
    pub(super) business: Option<Business>,
}

/// The business that a customer owns.
pub(super) struct Business {
    pub(super) name: &'static str,
    pub(super) registered_id: &'static str,
    /// The NAICS code of the business's industry.
    pub(super) industry: &'static str,
}

macro_rules! customer {
    ($username:literal $first:literal $last:literal, $born:expr,
     $line:literal $city:literal $region:literal $postal:literal, $telephone:literal $tax_id:literal, $business:expr) => {
        BankCustomer {
            username: $username,
            first_name: $first,
            last_name: $last,
            date_of_birth: civil::date($born.0, $born.1, $born.2),
            address_line: $line,
            city: $city,
            region: $region,
            postal_code: $postal,
            telephone: $telephone,
            tax_id: $tax_id,
            business: $business,
        }
    };
}

const MILLWORK: Business =
    Business { name: "Singh Millwork Ltd.", registered_id: "1002847-3", industry: "321911" };

pub(super) static CUSTOMERS: [BankCustomer; 6] = [
    customer!("alice" "Alice" "Tremblay", (1987, 4, 12),
        "12 rue des Lilas" "Montréal" "QC" "H2X 1Y4", "5145550101" "046454286", None),
    customer!("bob" "Bob" "Tremblay", (1985, 9, 30),
        "12 rue des Lilas" "Montréal" "QC" "H2X 1Y4", "5145550102" "012345674", None),
    customer!("chloe" "Chloé" "Gagnon", (1993, 1, 5),
        "845, av. Cartier" "Québec" "QC" "G1R 2S6", "4185550103" "023456783", None),
    customer!("david" "David" "Singh", (1972, 11, 21),
        "77 King Street West" "Toronto" "ON" "M5K 1A1", "4165550104" "034567892", Some(MILLWORK)),
    customer!("emma" "Emma" "MacLeod", (2004, 6, 17),
        "3 Water Street" "Halifax" "NS" "B3J 1S3", "9025550105" "045678901", None),
    customer!("farid" "Farid" "Haddad", (1990, 2, 28),
        "1500 Robson Street" "Vancouver" "BC" "V6E 1C2", "6045550106" "056789013", None),
];

impl BankCustomer {
    pub(crate) fn full_name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}
