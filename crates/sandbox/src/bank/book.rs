//! The bank's books: a pure function of seed, account and day. Yesterday never changes.

use fdx::{
    Account, Amount, Currency, Customer, CustomerName, Date, DeliveryAddress, DepositAccount,
    DepositTransaction, LocAccount, LocTransaction, TelephoneNumber, Timestamp, Transaction,
};
use jiff::ToSpan;
use jiff::civil::{self, Weekday};
use rust_decimal::Decimal;

/// A customer of the bank.
pub(super) struct Person {
    pub(super) username: &'static str,
    first: &'static str,
    last: &'static str,
    born: civil::Date,
    line1: &'static str,
    postal_code: &'static str,
    telephone: &'static str,
    pub(super) accounts: &'static [&'static str],
}

/// What kind of account a ledger is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Checking,
    Savings,
    Card,
}

struct Ledger {
    id: &'static str,
    kind: Kind,
    name: &'static str,
    closed: bool,
}

const fn ledger(id: &'static str, kind: Kind, name: &'static str) -> Ledger {
    Ledger { id, kind, name, closed: false }
}

const LEDGERS: &[Ledger] = &[
    ledger("mt-alice-chequing", Kind::Checking, "Everyday Chequing"),
    ledger("mt-alice-savings", Kind::Savings, "Rainy Day Savings"),
    ledger("mt-alice-card", Kind::Card, "Maple Rewards Card"),
    ledger("mt-joint-savings", Kind::Savings, "Joint Savings"),
    ledger("mt-bob-chequing", Kind::Checking, "Everyday Chequing"),
    ledger("mt-chloe-chequing", Kind::Checking, "Compte courant"),
    ledger("mt-chloe-card", Kind::Card, "Carte Érable"),
    ledger("mt-david-chequing", Kind::Checking, "Everyday Chequing"),
    ledger("mt-david-savings", Kind::Savings, "High Interest Savings"),
    ledger("mt-emma-chequing", Kind::Checking, "Student Chequing"),
    ledger("mt-emma-card", Kind::Card, "First Card"),
    Ledger { id: "mt-farid-chequing", kind: Kind::Checking, name: "Everyday Chequing", closed: true },
];

macro_rules! person {
    ($username:literal, $first:literal $last:literal, $born:expr, $line1:literal, $postal:literal, $tel:literal, $accounts:expr) => {
        Person {
            username: $username,
            first: $first,
            last: $last,
            born: civil::date($born.0, $born.1, $born.2),
            line1: $line1,
            postal_code: $postal,
            telephone: $tel,
            accounts: $accounts,
        }
    };
}

/// Everybody who can sign in.
pub(super) static CUSTOMERS: [Person; 6] = [
    person!("alice", "Alice" "Tremblay", (1987, 4, 12), "12 rue des Lilas", "H2X 1Y4", "5145550101",
        &["mt-alice-chequing", "mt-alice-savings", "mt-alice-card", "mt-joint-savings"]),
    person!("bob", "Bob" "Tremblay", (1985, 9, 30), "12 rue des Lilas", "H2X 1Y4", "5145550102",
        &["mt-bob-chequing", "mt-joint-savings"]),
    person!("chloe", "Chloé" "Gagnon", (1993, 1, 5), "845 av. Cartier", "G1R 2S6", "4185550103",
        &["mt-chloe-chequing", "mt-chloe-card"]),
    person!("david", "David" "Singh", (1972, 11, 21), "77 King Street West", "M5K 1A1", "4165550104",
        &["mt-david-chequing", "mt-david-savings"]),
    person!("emma", "Emma" "MacLeod", (2004, 6, 17), "3 Water Street", "B3J 1S3", "9025550105",
        &["mt-emma-chequing", "mt-emma-card"]),
    person!("farid", "Farid" "Haddad", (1990, 2, 28), "1500 Robson Street", "V6E 1C2", "6045550106",
        &["mt-farid-chequing"]),
];

/// The customer of a user name.
pub(super) fn person(username: &str) -> Option<&'static Person> {
    CUSTOMERS.iter().find(|p| p.username == username)
}

/// The books as they stand on a day.
pub(super) struct Book<'a> {
    pub(super) seed: &'a [u8],
    pub(super) today: civil::Date,
}

/// One booking: a day's amount, positive if the balance grows.
struct Booking {
    day: civil::Date,
    nth: usize,
    cents: i64,
    kind: &'static str,
    description: &'static str,
    category: &'static str,
}

/// The first day of the books; what a customer may see begins later.
const OPENED: civil::Date = civil::date(2023, 1, 1);
const OPENING_CENTS: i64 = 250_000;

impl Book<'_> {
    /// How a customer's accounts are called on the bank's own pages: id, name, masked number.
    pub(super) fn choices(&self, person: &Person) -> Vec<(&'static str, &'static str, String)> {
        let open = ledgers(person).filter(|l| !l.closed);
        open.map(|l| (l.id, l.name, masked(&self.number(l)))).collect()
    }

    /// A customer's profile.
    pub(super) fn customer(&self, person: &Person) -> Customer {
        let name = CustomerName {
            first: Some(person.first.into()),
            last: Some(person.last.into()),
            ..CustomerName::default()
        };
        let address = DeliveryAddress {
            r#type: Some("HOME".into()),
            line1: Some(person.line1.into()),
            postal_code: Some(person.postal_code.into()),
            country: Some("CA".into()),
            ..DeliveryAddress::default()
        };
        let telephone = TelephoneNumber {
            r#type: Some("CELL".into()),
            country: Some("1".into()),
            number: Some(person.telephone.into()),
        };
        Customer {
            customer_id: Some(self.customer_id(person.username)),
            r#type: Some("CONSUMER".into()),
            name: Some(name),
            date_of_birth: Some(Date(person.born)),
            email: Some(vec![format!("{}@example.org", person.username)]),
            addresses: Some(vec![address]),
            telephones: Some(vec![telephone]),
            ..Customer::default()
        }
    }

    /// The bank's stable id of a customer.
    pub(super) fn customer_id(&self, username: &str) -> String {
        format!("mtc-{}", &crate::random::derived(self.seed, &format!("customer/{username}"))[..12])
    }

    /// The customer's accounts among those chosen, in the bank's order.
    pub(super) fn accounts(&self, person: &Person, chosen: &[String]) -> Vec<Account> {
        ledgers(person).filter(|l| chosen.iter().any(|id| id == l.id)).map(|l| self.account(l)).collect()
    }

    /// Two years of an account's transactions, the newest first.
    pub(super) fn transactions(&self, account: &str) -> Vec<Transaction> {
        let Some(ledger) = LEDGERS.iter().find(|l| l.id == account) else {
            return Vec::new();
        };
        let since = self.today.checked_sub(24.months()).unwrap_or(OPENED);
        let mut bookings = self.bookings(ledger);
        bookings.retain(|b| b.day >= since);
        bookings.iter().rev().map(|b| self.transaction(ledger, b)).collect()
    }

    fn number(&self, ledger: &Ledger) -> String {
        let bytes = crate::random::mac(self.seed, &format!("number/{}", ledger.id));
        bytes.iter().take(9).map(|b| char::from(b'0' + b % 10)).collect()
    }

    fn account(&self, ledger: &Ledger) -> Account {
        let bookings = self.bookings(ledger);
        let cents = OPENING_CENTS + bookings.iter().map(|b| b.cents).sum::<i64>();
        let before: i64 = bookings.iter().filter(|b| b.day < self.today).map(|b| b.cents).sum();
        let number = self.number(ledger);
        macro_rules! common {
            ($name:ident, $category:literal, $type:expr, $balance_type:literal { $($own:tt)* }) => {
                Box::new($name {
                    account_id: Some(ledger.id.into()),
                    account_category: Some($category.into()),
                    account_type: Some($type.into()),
                    account_number_display: Some(masked(&number)),
                    account_number: Some(number),
                    product_name: Some(ledger.name.into()),
                    nickname: Some(ledger.name.into()),
                    status: Some(if ledger.closed { "CLOSED" } else { "OPEN" }.into()),
                    currency: Some(Currency { currency_code: Some("CAD".into()), ..Currency::default() }),
                    balance_type: Some($balance_type.into()),
                    last_activity_date: bookings.last().map(|b| Date(b.day)),
                    balance_as_of: Some(noon(self.today)),
                    $($own)*
                    ..$name::default()
                })
            };
        }
        match ledger.kind {
            Kind::Card => Account::LocAccount(common!(LocAccount, "LOC_ACCOUNT", "CREDITCARD", "LIABILITY" {
                current_balance: Some(money(OPENING_CENTS - cents)),
                credit_line: Some(money(500_000)),
                available_credit: Some(money(500_000 + cents - OPENING_CENTS)),
                minimum_payment_amount: Some(money(1_000)),
                purchases_apr: Some(Amount(Decimal::new(1999, 2))),
                card_network: Some("VISA".into()),
            })),
            kind => {
                let word = if kind == Kind::Checking { "CHECKING" } else { "SAVINGS" };
                Account::DepositAccount(common!(DepositAccount, "DEPOSIT_ACCOUNT", word, "ASSET" {
                    routing_transit_number: Some("000112345".into()),
                    transfer_in: Some(!ledger.closed),
                    transfer_out: Some(!ledger.closed),
                    current_balance: Some(money(cents)),
                    available_balance: Some(money(cents)),
                    opening_day_balance: Some(money(OPENING_CENTS + before)),
                }))
            }
        }
    }

    fn transaction(&self, ledger: &Ledger, booking: &Booking) -> Transaction {
        let pending = booking.day == self.today;
        let prefix = if pending { "p" } else { "t" };
        let label = format!("{}/{}/{}", ledger.id, booking.day, booking.nth);
        let id = format!("{prefix}-{}", &crate::random::derived(self.seed, &label)[..20]);
        macro_rules! common {
            ($name:ident) => {
                Box::new($name {
                    account_id: Some(ledger.id.into()),
                    transaction_id: Some(id),
                    posted_timestamp: (!pending).then(|| noon(booking.day)),
                    transaction_timestamp: Some(noon(booking.day)),
                    description: Some(booking.description.into()),
                    debit_credit_memo: Some(if booking.cents < 0 { "DEBIT" } else { "CREDIT" }.into()),
                    category: Some(booking.category.into()),
                    status: Some(if pending { "PENDING" } else { "POSTED" }.into()),
                    amount: Some(money(booking.cents.abs())),
                    transaction_type: Some(booking.kind.into()),
                    ..$name::default()
                })
            };
        }
        match ledger.kind {
            Kind::Card => Transaction::LocTransaction(common!(LocTransaction)),
            Kind::Checking | Kind::Savings => Transaction::DepositTransaction(common!(DepositTransaction)),
        }
    }

    fn bookings(&self, ledger: &Ledger) -> Vec<Booking> {
        if ledger.closed {
            return Vec::new();
        }
        let days = OPENED.series(1.day()).take_while(|day| *day <= self.today);
        days.flat_map(|day| self.booked_on(ledger, day)).collect()
    }

    fn booked_on(&self, ledger: &Ledger, day: civil::Date) -> Vec<Booking> {
        let draw = crate::random::mac(self.seed, &format!("day/{}/{day}", ledger.id));
        let mut booked = Vec::new();
        let mut book = |cents: i64, kind, description, category| {
            booked.push(Booking { day, nth: booked.len(), cents, kind, description, category });
        };
        match ledger.kind {
            Kind::Checking => checking(day, &draw, &mut book),
            Kind::Savings => savings(day, &draw, &mut book),
            Kind::Card => card(day, &draw, &mut book),
        }
        booked
    }
}

type Book1<'a> = dyn FnMut(i64, &'static str, &'static str, &'static str) + 'a;

/// An amount between two bounds in cents, from two drawn bytes.
fn between(draw: &[u8], at: usize, low: i64, high: i64) -> i64 {
    let number = i64::from(draw[at]) << 8 | i64::from(draw[at + 1]);
    low + number * (high - low) / 65_535
}

fn checking(day: civil::Date, draw: &[u8], book: &mut Book1<'_>) {
    if day.day() == 15 || day == day.last_of_month() {
        book(185_000 + i64::from(draw[0]) * 10, "DIRECTDEPOSIT", "PAYROLL NORTHWIND LTD", "income");
    }
    match day.day() {
        1 => book(-142_500, "BILLPAYMENT", "RENT LAKESIDE PROPERTIES", "housing"),
        3 => book(-6_780, "BILLPAYMENT", "POLAR MOBILE", "utilities"),
        16 => book(-30_000, "TRANSFER", "TRANSFER TO SAVINGS", "transfer"),
        20 => book(-70_000, "BILLPAYMENT", "CARD PAYMENT", "transfer"),
        28 => book(-495, "FEE", "MONTHLY ACCOUNT FEE", "fees"),
        _ => {}
    }
    if day.weekday() == Weekday::Saturday {
        book(-between(draw, 2, 6_000, 16_000), "POSDEBIT", "GROCER & SONS", "groceries");
    } else if draw[4] < 100 {
        book(-between(draw, 5, 350, 780), "POSDEBIT", "CORNER COFFEE", "restaurants");
    }
    if draw[7] < 50 {
        book(-335, "POSDEBIT", "CITY TRANSIT", "transport");
    }
}

fn savings(day: civil::Date, draw: &[u8], book: &mut Book1<'_>) {
    if day.day() == 16 {
        book(30_000, "TRANSFER", "TRANSFER FROM CHEQUING", "transfer");
    }
    if day == day.last_of_month() {
        book(between(draw, 0, 150, 900), "INTEREST", "INTEREST PAID", "interest");
    }
}

fn card(day: civil::Date, draw: &[u8], book: &mut Book1<'_>) {
    if day.day() == 20 {
        book(70_000, "PAYMENT", "PAYMENT RECEIVED - THANK YOU", "transfer");
    }
    if draw[0] < 90 {
        book(-between(draw, 1, 1_500, 6_500), "PURCHASE", "BISTRO DU COIN", "restaurants");
    }
    if draw[3] < 40 {
        book(-between(draw, 4, 2_000, 11_000), "PURCHASE", "NORTHERN ONLINE STORE", "shopping");
    }
    if day.weekday() == Weekday::Friday && draw[6] < 160 {
        book(-between(draw, 7, 3_500, 7_500), "PURCHASE", "PRAIRIE FUEL", "transport");
    }
}

fn ledgers(person: &Person) -> impl Iterator<Item = &'static Ledger> {
    let theirs = person.accounts;
    LEDGERS.iter().filter(move |l| theirs.contains(&l.id))
}

fn masked(number: &str) -> String {
    format!("****{}", &number[number.len() - 4..])
}

fn money(cents: i64) -> Amount {
    Amount(Decimal::new(cents, 2))
}

fn noon(day: civil::Date) -> Timestamp {
    let zoned = day.at(12, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
    Timestamp(zoned.map_or(jiff::Timestamp::UNIX_EPOCH, |z| z.timestamp()))
}

/// When a transaction happened, for the date filter.
pub(super) fn happened_on(transaction: &Transaction) -> Option<civil::Date> {
    let at = match transaction {
        Transaction::DepositTransaction(t) => t.transaction_timestamp,
        Transaction::LocTransaction(t) => t.transaction_timestamp,
        _ => None,
    };
    at.map(|at| at.0.to_zoned(jiff::tz::TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"a seed";
    const TODAY: civil::Date = civil::date(2026, 11, 24);

    fn book(today: civil::Date) -> Book<'static> {
        Book { seed: SEED, today }
    }

    fn amount(account: &Account) -> Decimal {
        match account {
            Account::DepositAccount(a) => a.current_balance.unwrap().0,
            Account::LocAccount(a) => -a.current_balance.unwrap().0,
            _ => unreachable!("the bank has deposits and cards"),
        }
    }

    #[test]
    fn yesterday_never_changes() {
        let posted = |today: civil::Date| -> Vec<Transaction> {
            let all = book(today).transactions("mt-alice-chequing");
            let window = civil::date(2025, 1, 1)..civil::date(2026, 11, 23);
            all.into_iter().filter(|t| window.contains(&happened_on(t).unwrap())).collect()
        };
        assert!(posted(TODAY).len() > 300);
        assert_eq!(posted(TODAY), posted(TODAY.tomorrow().unwrap()));
    }

    #[test]
    fn a_days_balance_is_the_day_before_plus_its_bookings() {
        for id in ["mt-alice-chequing", "mt-alice-savings", "mt-alice-card"] {
            let at = |today| amount(&book(today).accounts(&CUSTOMERS[0], &[id.to_owned()])[0]);
            let day = civil::date(2026, 11, 20);
            let booked: Decimal = book(day)
                .transactions(id)
                .iter()
                .filter(|t| happened_on(t) == Some(day))
                .map(|t| match t {
                    Transaction::DepositTransaction(t) => signed(t.amount, t.debit_credit_memo.as_deref()),
                    Transaction::LocTransaction(t) => signed(t.amount, t.debit_credit_memo.as_deref()),
                    _ => unreachable!(),
                })
                .sum();
            assert_eq!(at(day), at(day.yesterday().unwrap()) + booked, "{id}");
        }
    }

    fn signed(amount: Option<Amount>, memo: Option<&str>) -> Decimal {
        if memo == Some("DEBIT") { -amount.unwrap().0 } else { amount.unwrap().0 }
    }

    #[test]
    fn what_is_pending_has_another_id_and_no_posting_time() {
        let day = civil::date(2026, 11, 20);
        let first = |today: civil::Date| {
            let all = book(today).transactions("mt-alice-chequing");
            let found = all.into_iter().find(|t| happened_on(t) == Some(day));
            serde_json::to_value(found.unwrap()).unwrap()["depositTransaction"].clone()
        };
        let (pending, posted) = (first(day), first(TODAY));
        assert_eq!((&pending["status"], &posted["status"]), (&"PENDING".into(), &"POSTED".into()));
        assert!(pending.get("postedTimestamp").is_none() && posted.get("postedTimestamp").is_some());
        assert_ne!(pending["transactionId"], posted["transactionId"]);
        assert_eq!(pending["description"], posted["description"]);
    }

    #[test]
    fn history_is_two_years_and_ids_are_unique() {
        let all = book(TODAY).transactions("mt-alice-card");
        let days: Vec<_> = all.iter().filter_map(happened_on).collect();
        assert!(days.is_sorted_by(|a, b| a >= b));
        assert!(days.iter().all(|d| *d >= civil::date(2024, 11, 24) && *d <= TODAY));
        let ids: std::collections::BTreeSet<_> = all.iter().filter_map(Transaction::id).collect();
        assert_eq!(ids.len(), all.len());
    }

    #[test]
    fn alice_and_bob_share_an_account_and_farid_has_only_a_closed_one() {
        let shared = |n: usize| CUSTOMERS[n].accounts.contains(&"mt-joint-savings");
        assert!(shared(0) && shared(1) && !shared(2));
        assert!(book(TODAY).choices(&CUSTOMERS[5]).is_empty());
    }
}
