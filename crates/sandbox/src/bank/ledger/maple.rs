//! The accounts of *Maple Trust*. The payees are invented.

use jiff::civil::{Weekday, date};

use super::account_spec::{
    AccountSpec, DepositTerm, Habit, HabitSchedule, InvestmentPlan, LoanTerms, PlanWording, Position, habit,
    mirror, purchase, sweep,
};

pub(super) const ACCOUNTS: &[AccountSpec] = &[
    AccountSpec::deposit("mt-alice-chequing", &["alice"], "Everyday Chequing", "CHECKING")
        .opening(264_018)
        .habits(ALICE),
    AccountSpec::deposit("mt-alice-savings", &["alice"], "Rainy Day Savings", "SAVINGS")
        .opening(612_044)
        .rate(185)
        .habits(ALICE_SAVINGS),
    AccountSpec::card("mt-alice-card", &["alice"], "Maple Rewards Card", ("VISA", 500_000, true))
        .opening(-41_877)
        .rate(1_999)
        .habits(ALICE_CARD),
    AccountSpec::deposit("mt-bob-chequing", &["bob"], "Everyday Chequing", "CHECKING")
        .opening(198_210)
        .habits(BOB),
    AccountSpec::deposit("mt-joint-savings", &["alice", "bob"], "Joint Savings", "SAVINGS")
        .opening(840_500)
        .rate(215)
        .nickname("Cottage fund")
        .habits(JOINT),
    AccountSpec::investment("mt-alice-tfsa", &["alice"], "Tax-Free Savings Account", &TFSA).opening(11_230),
    AccountSpec::loan("mt-alice-auto", &["alice"], "Car Loan", ("AUTOLOAN", CAR)).rate(649),
    AccountSpec::term_deposit("mt-bob-gic", &["bob"], "1-Year Guaranteed Investment Certificate", GIC)
        .opening(1_000_000)
        .rate(375),
    AccountSpec::investment("mt-bob-rrsp", &["bob"], "Registered Retirement Savings Plan", &RRSP)
        .opening(40_112),
    AccountSpec::deposit("mt-chloe-chequing", &["chloe"], "Everyday Chequing", "CHECKING")
        .opening(311_905)
        .habits(CHLOE),
    AccountSpec::card("mt-chloe-card", &["chloe"], "Maple Cash Back Card", ("MASTERCARD", 800_000, true))
        .opening(-63_290)
        .rate(2_099)
        .habits(CHLOE_CARD),
    AccountSpec::loan("mt-chloe-mortgage", &["chloe"], "5-Year Fixed Mortgage", ("MORTGAGE", MORTGAGE))
        .rate(479),
    AccountSpec::credit_line(
        "mt-chloe-heloc",
        &["chloe"],
        "Home Equity Line",
        ("HOMELINEOFCREDIT", 6_500_000),
    )
    .opening(-412_500)
    .rate(570)
    .nickname("Kitchen")
    .habits(&[habit(
        HabitSchedule::Yearly(4, 9),
        (-280_000, -360_000),
        "WITHDRAWAL",
        &["TRANSFER TO CHEQUING"],
        "transfer",
    )]),
    AccountSpec::deposit("mt-david-chequing", &["david"], "Everyday Chequing", "CHECKING")
        .opening(705_560)
        .habits(DAVID),
    AccountSpec::deposit("mt-david-savings", &["david"], "High Interest Savings", "SAVINGS")
        .opening(2_480_000)
        .rate(290)
        .habits(&[mirror("mt-david-chequing", "TRANSFER", &["TRANSFER FROM CHEQUING"], "transfer")]),
    AccountSpec::deposit("mt-david-business", &["david"], "Business Operating Account", "COMMERCIALDEPOSIT")
        .opening(3_465_300)
        .habits(MILLWORK),
    AccountSpec::deposit("mt-david-usd", &["david"], "U.S. Dollar Chequing", "CHECKING")
        .opening(420_000)
        .currency("USD")
        .habits(DOLLARS),
    AccountSpec::investment("mt-david-invest", &["david"], "Direct Investing Account", &CASH_ACCOUNT)
        .opening(356_400),
    AccountSpec::deposit("mt-emma-chequing", &["emma"], "Student Chequing", "CHECKING")
        .opening(188_450)
        .habits(EMMA),
    AccountSpec::card("mt-emma-card", &["emma"], "First Card", ("VISA", 150_000, false))
        .opening(-22_480)
        .rate(1_999)
        .habits(EMMA_CARD),
    AccountSpec::deposit("mt-farid-chequing", &["farid"], "Everyday Chequing", "CHECKING").closed(),
];

const COFFEE: &[&str] = &["CORNER COFFEE", "TWO SUGARS CAFE", "CAFE DU PARC"];
const GROCERIES: &[&str] = &["GROCER & SONS #118", "VALLEY FRESH MARKET", "FRUITERIE PLATEAU"];
const RESTAURANTS: &[&str] = &["BISTRO DU COIN", "NOODLE HOUSE SAIGON", "THE COPPER POT", "PIZZERIA LUCIA"];
const SHOPS: &[&str] =
    &["NORTHERN ONLINE STORE", "HARBOUR BOOKS", "TRAIL & LAKE OUTFITTERS", "HOME DEPARTMENT"];
const FUEL: &[&str] = &["PRAIRIE FUEL 0412", "ROADSIDE GAS"];
const FOREIGN_SHOPS: &[&str] = &["CLOUD NOTEBOOK INC SAN FRANCISCO", "RIVERSIDE BOOKSHOP NEW YORK"];
const LUNCH: &[&str] = &["CAMPUS CANTEEN", "DONAIR CORNER", "BUBBLE TEA BAR"];

const fn monthly_fee(cents: i64) -> Habit {
    habit(HabitSchedule::MonthDay(28), (-cents, -cents), "FEE", &["MONTHLY ACCOUNT FEE"], "fees")
}

const ALICE: &[Habit] = &[
    habit(HabitSchedule::Payday, (203_000, 205_550), "DIRECTDEPOSIT", &["PAYROLL NORTHWIND LTD"], "income"),
    habit(
        HabitSchedule::MonthDay(1),
        (-142_500, -142_500),
        "BILLPAYMENT",
        &["RENT LAKESIDE PROPERTIES"],
        "housing",
    ),
    habit(HabitSchedule::MonthDay(3), (-6_780, -6_780), "BILLPAYMENT", &["POLAR MOBILE"], "utilities"),
    habit(HabitSchedule::MonthDay(8), (-5_800, -13_200), "BILLPAYMENT", &["LAURENTIAN HYDRO"], "utilities"),
    habit(
        HabitSchedule::MonthDay(18),
        (-20_000, -20_000),
        "TRANSFER",
        &["TRANSFER TO JOINT SAVINGS"],
        "transfer",
    ),
    mirror("mt-alice-card", "BILLPAYMENT", &["MAPLE REWARDS CARD PAYMENT"], "transfer"),
    mirror("mt-alice-auto", "BILLPAYMENT", &["MAPLE TRUST CAR LOAN"], "housing"),
    mirror("mt-alice-tfsa", "TRANSFER", &["TRANSFER TO TFSA"], "transfer"),
    habit(
        HabitSchedule::Weekly(Weekday::Saturday, 250),
        (-5_200, -11_800),
        "POSDEBIT",
        GROCERIES,
        "groceries",
    ),
    habit(HabitSchedule::Chance(90), (-350, -780), "POSDEBIT", COFFEE, "restaurants"),
    habit(HabitSchedule::Chance(50), (-335, -335), "POSDEBIT", &["CITY TRANSIT"], "transport"),
    habit(
        HabitSchedule::Chance(9),
        (-6_000, -6_000),
        "ATMWITHDRAWAL",
        &["ABM WITHDRAWAL RUE ST-DENIS"],
        "cash",
    ),
    sweep(300_000, &["TRANSFER TO RAINY DAY SAVINGS"]),
    monthly_fee(495),
];
const ALICE_SAVINGS: &[Habit] = &[
    mirror("mt-alice-chequing", "TRANSFER", &["TRANSFER FROM CHEQUING"], "transfer"),
    habit(HabitSchedule::Yearly(12, 3), (-90_000, -140_000), "WITHDRAWAL", &["WITHDRAWAL IN BRANCH"], "cash"),
];
const ALICE_CARD: &[Habit] = &[
    purchase(HabitSchedule::Chance(48), (-1_500, -6_500), RESTAURANTS, "restaurants"),
    purchase(HabitSchedule::Chance(22), (-2_000, -11_000), SHOPS, "shopping"),
    purchase(HabitSchedule::Weekly(Weekday::Friday, 160), (-3_500, -7_500), FUEL, "transport"),
    purchase(HabitSchedule::MonthDay(7), (-1_699, -1_699), &["LANTERN STREAMING"], "entertainment"),
    purchase(HabitSchedule::Chance(7), (-1_200, -5_900), FOREIGN_SHOPS, "shopping").in_currency("USD"),
    habit(
        HabitSchedule::Yearly(2, 17),
        (2_400, 7_900),
        "ADJUSTMENT",
        &["REFUND NORTHERN ONLINE STORE"],
        "shopping",
    ),
    habit(HabitSchedule::Yearly(9, 2), (-3_900, -3_900), "FEE", &["ANNUAL CARD FEE"], "fees"),
];
const BOB: &[Habit] = &[
    habit(
        HabitSchedule::Payday,
        (171_400, 173_900),
        "DIRECTDEPOSIT",
        &["PAYROLL CITY OF MONT-CLAIR"],
        "income",
    ),
    habit(HabitSchedule::MonthDay(4), (-8_995, -8_995), "BILLPAYMENT", &["BOREAL INTERNET"], "utilities"),
    habit(
        HabitSchedule::MonthDay(18),
        (-20_000, -20_000),
        "TRANSFER",
        &["TRANSFER TO JOINT SAVINGS"],
        "transfer",
    ),
    habit(
        HabitSchedule::MonthDay(22),
        (-45_000, -45_000),
        "BILLPAYMENT",
        &["CPE LES PETITS PAS DAYCARE"],
        "family",
    ),
    mirror("mt-bob-rrsp", "TRANSFER", &["TRANSFER TO RRSP"], "transfer"),
    habit(HabitSchedule::Weekly(Weekday::Sunday, 240), (-7_400, -16_900), "POSDEBIT", GROCERIES, "groceries"),
    habit(HabitSchedule::Chance(70), (-900, -3_600), "POSDEBIT", RESTAURANTS, "restaurants"),
    habit(HabitSchedule::Weekly(Weekday::Thursday, 170), (-4_500, -8_200), "POSDEBIT", FUEL, "transport"),
    habit(
        HabitSchedule::Chance(12),
        (-8_000, -8_000),
        "ATMWITHDRAWAL",
        &["ABM WITHDRAWAL AV DU PARC"],
        "cash",
    ),
    habit(HabitSchedule::MonthDay(27), (-60_000, -86_000), "BILLPAYMENT", &["PEAK CREDIT CARD"], "transfer"),
    sweep(380_000, &["TRANSFER TO SAVINGS ELSEWHERE"]),
    monthly_fee(495),
];
const JOINT: &[Habit] = &[
    habit(
        HabitSchedule::MonthDay(18),
        (20_000, 20_000),
        "TRANSFER",
        &["TRANSFER FROM ALICE TREMBLAY"],
        "transfer",
    ),
    habit(
        HabitSchedule::MonthDay(18),
        (20_000, 20_000),
        "TRANSFER",
        &["TRANSFER FROM BOB TREMBLAY"],
        "transfer",
    ),
    habit(
        HabitSchedule::Yearly(7, 6),
        (-310_000, -390_000),
        "WITHDRAWAL",
        &["COTTAGE RENTAL LAC-AUX-HURONS"],
        "travel",
    ),
];
const CHLOE: &[Habit] = &[
    habit(
        HabitSchedule::Payday,
        (296_000, 298_500),
        "DIRECTDEPOSIT",
        &["PAIE CLINIQUE SAINT-ROCH"],
        "income",
    ),
    habit(
        HabitSchedule::MonthDay(5),
        (-28_150, -28_150),
        "BILLPAYMENT",
        &["VILLE DE QUEBEC TAXES"],
        "housing",
    ),
    habit(HabitSchedule::MonthDay(9), (-9_900, -21_000), "BILLPAYMENT", &["LAURENTIAN HYDRO"], "utilities"),
    habit(HabitSchedule::MonthDay(11), (-7_450, -7_450), "BILLPAYMENT", &["POLAR MOBILE"], "utilities"),
    mirror("mt-chloe-mortgage", "BILLPAYMENT", &["MAPLE TRUST MORTGAGE"], "housing"),
    mirror("mt-chloe-card", "BILLPAYMENT", &["MAPLE CASH BACK CARD PAYMENT"], "transfer"),
    mirror("mt-chloe-heloc", "BILLPAYMENT", &["HOME EQUITY LINE PAYMENT"], "transfer"),
    habit(
        HabitSchedule::Weekly(Weekday::Saturday, 245),
        (-6_200, -13_800),
        "POSDEBIT",
        GROCERIES,
        "groceries",
    ),
    habit(HabitSchedule::Chance(80), (-380, -850), "POSDEBIT", COFFEE, "restaurants"),
    sweep(450_000, &["TRANSFER TO CAISSE RIDEAU"]),
    monthly_fee(1_095),
];
const CHLOE_CARD: &[Habit] = &[
    purchase(HabitSchedule::Chance(60), (-1_800, -8_200), RESTAURANTS, "restaurants"),
    purchase(HabitSchedule::Chance(30), (-2_500, -17_500), SHOPS, "shopping"),
    purchase(HabitSchedule::Weekly(Weekday::Wednesday, 190), (-4_100, -8_600), FUEL, "transport"),
    purchase(
        HabitSchedule::Chance(8),
        (-1_900, -12_000),
        &["LIBRAIRIE DES QUAIS PARIS", "HOTEL DU PONT LYON"],
        "travel",
    )
    .in_currency("EUR"),
    purchase(HabitSchedule::MonthDay(12), (-1_249, -1_249), &["TEMPO MUSIC"], "entertainment"),
];
const DAVID: &[Habit] = &[
    habit(
        HabitSchedule::Payday,
        (320_000, 320_000),
        "DIRECTDEPOSIT",
        &["SINGH MILLWORK LTD SALARY"],
        "income",
    ),
    habit(
        HabitSchedule::MonthDay(1),
        (-365_000, -365_000),
        "BILLPAYMENT",
        &["BAYVIEW CONDOMINIUMS"],
        "housing",
    ),
    habit(
        HabitSchedule::MonthDay(6),
        (-14_230, -14_230),
        "BILLPAYMENT",
        &["BOREAL INTERNET & TV"],
        "utilities",
    ),
    habit(HabitSchedule::MonthDay(13), (-70_000, -110_000), "BILLPAYMENT", &["PEAK CREDIT CARD"], "transfer"),
    habit(
        HabitSchedule::Weekly(Weekday::Saturday, 220),
        (-8_000, -22_000),
        "POSDEBIT",
        GROCERIES,
        "groceries",
    ),
    habit(HabitSchedule::Chance(60), (-1_400, -6_800), "POSDEBIT", RESTAURANTS, "restaurants"),
    sweep(600_000, &["TRANSFER TO HIGH INTEREST SAVINGS"]),
];
const MILLWORK: &[Habit] = &[
    habit(
        HabitSchedule::Weekly(Weekday::Tuesday, 235),
        (450_000, 1_060_000),
        "DEPOSIT",
        &["DEPOSIT KINGSVIEW BUILDERS", "DEPOSIT HOLLIS HOMES INC", "MOBILE CHEQUE DEPOSIT"],
        "income",
    ),
    habit(HabitSchedule::Chance(30), (90_000, 260_000), "POSCREDIT", &["MERCHANT SETTLEMENT"], "income"),
    habit(HabitSchedule::Payday, (-640_000, -640_000), "WITHDRAWAL", &["PAYROLL 4 EMPLOYEES"], "wages"),
    habit(HabitSchedule::Payday, (-320_000, -320_000), "TRANSFER", &["SALARY D SINGH"], "wages"),
    habit(
        HabitSchedule::Weekly(Weekday::Thursday, 200),
        (-120_000, -340_000),
        "CHECK",
        &["CHEQUE ALGOMA LUMBER", "CHEQUE TORONTO HARDWARE SUPPLY"],
        "supplies",
    ),
    habit(
        HabitSchedule::MonthDay(2),
        (-385_000, -385_000),
        "BILLPAYMENT",
        &["JUNCTION INDUSTRIAL RENT"],
        "housing",
    ),
    habit(HabitSchedule::MonthDay(19), (-42_000, -78_000), "BILLPAYMENT", &["LAKESHORE POWER"], "utilities"),
    habit(
        HabitSchedule::MonthDay(25),
        (-180_000, -230_000),
        "BILLPAYMENT",
        &["GOVERNMENT REMITTANCE HST"],
        "taxes",
    ),
    sweep(4_500_000, &["TRANSFER TO RESERVE"]),
    monthly_fee(3_500),
];
const DOLLARS: &[Habit] = &[
    habit(
        HabitSchedule::MonthDay(10),
        (180_000, 240_000),
        "DEPOSIT",
        &["WIRE GREAT LAKES CABINETS DETROIT"],
        "income",
    ),
    habit(
        HabitSchedule::MonthDay(21),
        (-90_000, -150_000),
        "BILLPAYMENT",
        &["VERMONT HARDWOOD SUPPLY"],
        "supplies",
    ),
    sweep(900_000, &["TRANSFER TO BUSINESS ACCOUNT"]),
];
const EMMA: &[Habit] = &[
    habit(HabitSchedule::Payday, (62_000, 71_000), "DIRECTDEPOSIT", &["PAYROLL HARBOUR BOOKS"], "income"),
    habit(HabitSchedule::Yearly(9, 5), (240_000, 240_000), "DEPOSIT", &["NS STUDENT ASSISTANCE"], "income"),
    habit(
        HabitSchedule::MonthDay(2),
        (-72_000, -72_000),
        "TRANSFER",
        &["E-TRANSFER RENT J BOUDREAU"],
        "housing",
    ),
    habit(
        HabitSchedule::MonthDay(5),
        (-3_900, -3_900),
        "BILLPAYMENT",
        &["POLAR MOBILE STUDENT"],
        "utilities",
    ),
    mirror("mt-emma-card", "BILLPAYMENT", &["FIRST CARD PAYMENT"], "transfer"),
    habit(HabitSchedule::Weekly(Weekday::Sunday, 230), (-2_800, -6_400), "POSDEBIT", GROCERIES, "groceries"),
    habit(HabitSchedule::Chance(70), (-420, -1_350), "POSDEBIT", LUNCH, "restaurants"),
    habit(
        HabitSchedule::Chance(14),
        (-2_000, -2_000),
        "ATMWITHDRAWAL",
        &["ABM WITHDRAWAL SPRING GARDEN"],
        "cash",
    ),
    sweep(250_000, &["TRANSFER TO TUITION FUND"]),
];
const EMMA_CARD: &[Habit] = &[
    purchase(HabitSchedule::Chance(26), (-900, -3_200), LUNCH, "restaurants"),
    purchase(HabitSchedule::Chance(9), (-1_500, -6_800), SHOPS, "shopping"),
    purchase(HabitSchedule::MonthDay(14), (-599, -599), &["TEMPO MUSIC STUDENT"], "entertainment"),
];

const CAR: LoanTerms = LoanTerms {
    start_date: date(2022, 6, 12),
    months: 84,
    original_principal: 3_240_000,
    payment: 48_097,
    monthly_rate_billionths: 5_408_333,
    compounding: "MONTHLY",
    renewal_months: None,
    payment_description: "CAR LOAN PAYMENT",
};
const MORTGAGE: LoanTerms = LoanTerms {
    start_date: date(2022, 5, 1),
    months: 300,
    original_principal: 38_500_000,
    payment: 219_339,
    monthly_rate_billionths: 3_952_410,
    compounding: "SEMIANNUALLY",
    renewal_months: Some(60),
    payment_description: "MORTGAGE PAYMENT",
};
const GIC: DepositTerm = DepositTerm { months: 12, start_date: date(2022, 11, 3) };
const PLAN_WORDING: PlanWording = PlanWording {
    contribution: "CONTRIBUTION",
    bought: "BOUGHT",
    sold: "SOLD",
    dividend: "DIVIDEND",
    reinvested: "DIVIDEND REINVESTED",
    interest: "INTEREST",
    fee: "ADMINISTRATION FEE",
};
const TFSA: InvestmentPlan = InvestmentPlan {
    account_type: "TAXFREESAVINGSACCOUNT",
    positions: &[
        Position { symbol: "EQIX", units: 1_184_000, unit_cost: 2_241, acquired_on: date(2021, 3, 9) },
        Position { symbol: "NRW", units: 420_000, unit_cost: 8_805, acquired_on: date(2022, 2, 1) },
    ],
    monthly_contribution: Some((17, 15_000, "EQIX")),
    grant: None,
    trades: &[],
    fee: 0,
    wording: PLAN_WORDING,
};
const RRSP: InvestmentPlan = InvestmentPlan {
    account_type: "REGISTEREDRETIREMENTSAVINGSPLAN",
    positions: &[
        Position { symbol: "BALF", units: 9_410_500, unit_cost: 1_549, acquired_on: date(2020, 6, 15) },
        Position { symbol: "MAN33", units: 500_000, unit_cost: 9_655, acquired_on: date(2021, 7, 2) },
    ],
    monthly_contribution: Some((16, 25_000, "BALF")),
    grant: None,
    trades: &[],
    fee: 7_500,
    wording: PLAN_WORDING,
};
const CASH_ACCOUNT: InvestmentPlan = InvestmentPlan {
    account_type: "INVESTMENTACCOUNT",
    positions: &[
        Position { symbol: "NRW", units: 1_500_000, unit_cost: 7_640, acquired_on: date(2020, 10, 5) },
        Position { symbol: "MPL", units: 3_000_000, unit_cost: 3_288, acquired_on: date(2020, 11, 16) },
        Position { symbol: "ARX", units: 2_200_000, unit_cost: 1_411, acquired_on: date(2022, 1, 24) },
        Position { symbol: "MAN33", units: 800_000, unit_cost: 9_702, acquired_on: date(2021, 7, 2) },
    ],
    monthly_contribution: None,
    grant: None,
    trades: &[
        (3, 11, "ARX", 20),
        (6, 9, "NRW", -10),
        (9, 15, "MPL", -20),
        (11, 5, "NRW", 12),
        (11, 12, "MPL", 15),
    ],
    fee: 10_000,
    wording: PLAN_WORDING,
};
