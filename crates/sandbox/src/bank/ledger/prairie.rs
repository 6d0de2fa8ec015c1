//! The accounts of *Prairie Credit Union*: only as many as its grant rule (one grant for each customer) needs.

use jiff::civil::Weekday;

use super::account_spec::{AccountSpec, Habit, HabitSchedule, habit, mirror, purchase, sweep};

pub(super) const ACCOUNTS: &[AccountSpec] = &[
    AccountSpec::deposit("pc-alice-chequing", &["alice"], "Member Chequing", "CHECKING")
        .opening(143_300)
        .habits(ALICE),
    AccountSpec::deposit("pc-alice-savings", &["alice"], "Member Savings", "SAVINGS")
        .opening(318_000)
        .rate(160)
        .habits(&[mirror("pc-alice-chequing", "TRANSFER", &["TRANSFER FROM CHEQUING"], "transfer")]),
    AccountSpec::deposit("pc-bob-chequing", &["bob"], "Member Chequing", "CHECKING")
        .opening(96_450)
        .habits(BOB),
    AccountSpec::card("pc-bob-card", &["bob"], "Harvest Card", ("MASTERCARD", 300_000, true))
        .opening(-18_240)
        .rate(1_899)
        .habits(&[purchase(
            HabitSchedule::Chance(60),
            (-1_200, -5_800),
            &["ELEVATOR DINER", "PRAIRIE HARDWARE"],
            "shopping",
        )]),
    AccountSpec::deposit("pc-joint-savings", &["alice", "bob"], "Joint Savings", "SAVINGS")
        .opening(205_000)
        .rate(190)
        .habits(&[habit(
            HabitSchedule::MonthDay(12),
            (15_000, 15_000),
            "TRANSFER",
            &["TRANSFER FROM MEMBER"],
            "transfer",
        )]),
];

const ALICE: &[Habit] = &[
    habit(HabitSchedule::MonthDay(30), (48_000, 52_000), "DEPOSIT", &["WHEATLAND CRAFTS MARKET"], "income"),
    habit(
        HabitSchedule::Weekly(Weekday::Saturday, 200),
        (-2_000, -8_000),
        "POSDEBIT",
        &["CO-OP FOODS"],
        "groceries",
    ),
    sweep(150_000, &["TRANSFER TO MEMBER SAVINGS"]),
];
const BOB: &[Habit] = &[
    habit(HabitSchedule::Payday, (34_000, 37_000), "DIRECTDEPOSIT", &["WHEATLAND SCHOOL DIVISION"], "income"),
    habit(
        HabitSchedule::Weekly(Weekday::Saturday, 160),
        (-2_000, -6_000),
        "POSDEBIT",
        &["CO-OP FOODS"],
        "groceries",
    ),
    mirror("pc-bob-card", "BILLPAYMENT", &["HARVEST CARD PAYMENT"], "transfer"),
    sweep(150_000, &["TRANSFER ELSEWHERE"]),
];
