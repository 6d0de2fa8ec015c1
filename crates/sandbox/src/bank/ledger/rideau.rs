//! The accounts of *Caisse Rideau*. The names of its products and its invented payees are French.

use jiff::civil::{Weekday, date};

use super::account_spec::{
    AccountSpec, DepositTerm, Habit, HabitSchedule, InvestmentPlan, LoanTerms, PlanWording, Position, habit,
    mirror, purchase, sweep,
};

pub(super) const ACCOUNTS: &[AccountSpec] = &[
    AccountSpec::deposit("cr-alice-courant", &["alice"], "Compte courant", "CHECKING")
        .opening(121_740)
        .habits(ALICE),
    AccountSpec::deposit(
        "cr-alice-epargne",
        &["alice"],
        "Épargne à intérêt élevé",
        "HIGHINTERESTSAVINGSACCOUNT",
    )
    .opening(455_000)
    .rate(265)
    .habits(&[mirror("cr-alice-courant", "TRANSFER", &["VIREMENT DU COMPTE COURANT"], "transfer")]),
    AccountSpec::investment("cr-alice-celi", &["alice"], "CELI Placements", &CELI).opening(8_015),
    AccountSpec::deposit("cr-bob-courant", &["bob"], "Compte courant", "CHECKING")
        .opening(160_480)
        .habits(BOB),
    AccountSpec::deposit("cr-conjoint", &["alice", "bob"], "Compte conjoint", "CHECKING")
        .opening(92_160)
        .nickname("Maison")
        .habits(JOINT),
    AccountSpec::credit_line(
        "cr-bob-marge",
        &["bob"],
        "Marge de crédit personnelle",
        ("LINEOFCREDIT", 1_000_000),
    )
    .opening(-184_300)
    .rate(945)
    .habits(&[habit(
        HabitSchedule::Yearly(5, 22),
        (-120_000, -190_000),
        "WITHDRAWAL",
        &["RETRAIT VERS LE COMPTE COURANT"],
        "transfer",
    )]),
    AccountSpec::loan("cr-bob-pret", &["bob"], "Prêt personnel", ("PERSONALLOAN", LOAN)).rate(790),
    AccountSpec::deposit("cr-chloe-courant", &["chloe"], "Compte Profil", "CHECKING")
        .opening(233_900)
        .habits(CHLOE),
    AccountSpec::card("cr-chloe-carte", &["chloe"], "Carte Récompenses Or", ("VISA", 700_000, false))
        .opening(-61_050)
        .rate(1_990)
        .habits(CHLOE_CARD),
    AccountSpec::loan("cr-chloe-hypotheque", &["chloe"], "Hypothèque fixe 3 ans", ("MORTGAGE", MORTGAGE))
        .rate(524),
    AccountSpec::investment("cr-chloe-reee", &["chloe"], "REEE familial", &REEE)
        .opening(0)
        .nickname("Études de Léa"),
    AccountSpec::deposit("cr-david-entreprise", &["david"], "Compte Entreprise", "COMMERCIALDEPOSIT")
        .opening(980_000)
        .habits(BUSINESS),
    AccountSpec::credit_line(
        "cr-david-marge",
        &["david"],
        "Marge de crédit commerciale",
        ("COMMERCIALLINEOFCREDIT", 5_000_000),
    )
    .opening(-640_000)
    .rate(720)
    .habits(&[habit(
        HabitSchedule::Yearly(2, 4),
        (-900_000, -1_400_000),
        "WITHDRAWAL",
        &["AVANCE SUR MARGE"],
        "transfer",
    )]),
    AccountSpec::term_deposit("cr-david-cpg", &["david"], "Certificat de placement garanti 18 mois", CPG)
        .opening(2_500_000)
        .rate(405),
    AccountSpec::deposit("cr-emma-etudiant", &["emma"], "Compte Étudiant", "CHECKING")
        .opening(64_120)
        .habits(EMMA),
    AccountSpec::card("cr-emma-carte", &["emma"], "Carte Départ", ("MASTERCARD", 100_000, true))
        .opening(-9_980)
        .rate(2_090)
        .habits(EMMA_CARD),
    AccountSpec::deposit("cr-farid-courant", &["farid"], "Compte courant", "CHECKING").closed(),
];

const GROCERIES: &[&str] = &["ÉPICERIE LAFOREST", "MARCHÉ DU VIEUX-HULL", "FRUITERIE DES CHUTES"];
const COFFEE: &[&str] = &["BRÛLERIE DU CANAL", "CAFÉ LES DEUX RIVES", "PÂTISSERIE MERCIER"];
const RESTAURANTS: &[&str] = &["RESTO LE FARFADET", "CASSE-CROÛTE CHEZ GILLES", "CRÊPERIE DU PORTAGE"];
const SHOPS: &[&str] = &["LIBRAIRIE DU SOLEIL LEVANT", "QUINCAILLERIE BEAUCHAMP", "BOUTIQUE LAINE ET LIN"];
const FUEL: &[&str] = &["PÉTRO-OUTAOUAIS", "STATION DU PONT"];

const fn monthly_fee(cents: i64) -> Habit {
    habit(HabitSchedule::MonthDay(27), (-cents, -cents), "FEE", &["FRAIS MENSUELS"], "fees")
}

const ALICE: &[Habit] = &[
    habit(
        HabitSchedule::MonthDay(2),
        (68_000, 79_000),
        "DEPOSIT",
        &["HONORAIRES TRADUCTION OUTAOUAIS"],
        "income",
    ),
    habit(
        HabitSchedule::MonthDay(10),
        (-20_000, -20_000),
        "TRANSFER",
        &["VIREMENT AU COMPTE CONJOINT"],
        "transfer",
    ),
    mirror("cr-alice-celi", "TRANSFER", &["COTISATION CELI"], "transfer"),
    habit(HabitSchedule::Chance(40), (-400, -1_150), "POSDEBIT", COFFEE, "restaurants"),
    habit(HabitSchedule::Chance(16), (-1_800, -7_200), "POSDEBIT", SHOPS, "shopping"),
    sweep(160_000, &["VIREMENT À L'ÉPARGNE"]),
    monthly_fee(295),
];
const BOB: &[Habit] = &[
    habit(HabitSchedule::Payday, (59_000, 62_000), "DIRECTDEPOSIT", &["PAIE COLLÈGE DE LA RIVE"], "income"),
    habit(
        HabitSchedule::MonthDay(10),
        (-20_000, -20_000),
        "TRANSFER",
        &["VIREMENT AU COMPTE CONJOINT"],
        "transfer",
    ),
    mirror("cr-bob-pret", "BILLPAYMENT", &["REMBOURSEMENT PRÊT PERSONNEL"], "transfer"),
    mirror("cr-bob-marge", "BILLPAYMENT", &["PAIEMENT MARGE DE CRÉDIT"], "transfer"),
    habit(HabitSchedule::Chance(34), (-900, -3_300), "POSDEBIT", RESTAURANTS, "restaurants"),
    habit(
        HabitSchedule::Chance(8),
        (-6_000, -6_000),
        "ATMWITHDRAWAL",
        &["RETRAIT AU GUICHET RUE LAURIER"],
        "cash",
    ),
    sweep(260_000, &["VIREMENT À MAPLE TRUST"]),
    monthly_fee(295),
];
const JOINT: &[Habit] = &[
    habit(
        HabitSchedule::MonthDay(10),
        (20_000, 20_000),
        "TRANSFER",
        &["VIREMENT D'ALICE TREMBLAY"],
        "transfer",
    ),
    habit(
        HabitSchedule::MonthDay(10),
        (20_000, 20_000),
        "TRANSFER",
        &["VIREMENT DE BOB TREMBLAY"],
        "transfer",
    ),
    habit(HabitSchedule::MonthDay(15), (-9_800, -16_400), "BILLPAYMENT", &["ÉNERGIE BORÉALE"], "utilities"),
    habit(HabitSchedule::Weekly(Weekday::Friday, 190), (-3_800, -8_400), "POSDEBIT", GROCERIES, "groceries"),
    sweep(200_000, &["VIREMENT PROJET CHALET"]),
];
const CHLOE: &[Habit] = &[
    habit(
        HabitSchedule::Payday,
        (198_000, 201_000),
        "DIRECTDEPOSIT",
        &["PAIE CLINIQUE VÉTÉRINAIRE LIMOILOU"],
        "income",
    ),
    mirror("cr-chloe-hypotheque", "BILLPAYMENT", &["HYPOTHÈQUE CAISSE RIDEAU"], "housing"),
    mirror("cr-chloe-carte", "BILLPAYMENT", &["PAIEMENT CARTE RÉCOMPENSES OR"], "transfer"),
    mirror("cr-chloe-reee", "TRANSFER", &["COTISATION REEE"], "transfer"),
    habit(HabitSchedule::MonthDay(4), (-8_490, -8_490), "BILLPAYMENT", &["TÉLÉPHONIE DU NORD"], "utilities"),
    habit(
        HabitSchedule::MonthDay(21),
        (-21_500, -21_500),
        "BILLPAYMENT",
        &["TAXES MUNICIPALES VILLE DE QUÉBEC"],
        "housing",
    ),
    habit(
        HabitSchedule::Weekly(Weekday::Saturday, 235),
        (-5_600, -12_700),
        "POSDEBIT",
        GROCERIES,
        "groceries",
    ),
    habit(HabitSchedule::Chance(60), (-390, -980), "POSDEBIT", COFFEE, "restaurants"),
    sweep(350_000, &["VIREMENT À L'ÉPARGNE EXTERNE"]),
    monthly_fee(895),
];
const CHLOE_CARD: &[Habit] = &[
    purchase(HabitSchedule::Chance(44), (-1_600, -7_400), RESTAURANTS, "restaurants"),
    purchase(HabitSchedule::Chance(20), (-2_200, -14_900), SHOPS, "shopping"),
    purchase(HabitSchedule::Weekly(Weekday::Thursday, 170), (-3_900, -8_100), FUEL, "transport"),
    purchase(
        HabitSchedule::Chance(6),
        (-1_500, -9_000),
        &["LIBRAIRIE DU MARAIS PARIS", "AUBERGE DES ALPES ANNECY"],
        "travel",
    )
    .in_currency("EUR"),
    habit(HabitSchedule::Yearly(10, 8), (-9_900, -9_900), "FEE", &["FRAIS ANNUELS DE CARTE"], "fees"),
];
const BUSINESS: &[Habit] = &[
    habit(
        HabitSchedule::Weekly(Weekday::Monday, 225),
        (190_000, 460_000),
        "DEPOSIT",
        &["DÉPÔT CONSTRUCTION BÉLANGER", "DÉPÔT HABITATIONS DU LAC"],
        "income",
    ),
    habit(
        HabitSchedule::Weekly(Weekday::Wednesday, 150),
        (-70_000, -210_000),
        "CHECK",
        &["CHÈQUE SCIERIE GATINEAU", "CHÈQUE VERNIS ET BOIS INC"],
        "supplies",
    ),
    habit(HabitSchedule::Payday, (-210_000, -230_000), "WITHDRAWAL", &["PAIE DES EMPLOYÉS"], "wages"),
    habit(
        HabitSchedule::MonthDay(3),
        (-120_000, -120_000),
        "BILLPAYMENT",
        &["LOYER PARC INDUSTRIEL"],
        "housing",
    ),
    mirror("cr-david-marge", "BILLPAYMENT", &["REMBOURSEMENT MARGE COMMERCIALE"], "transfer"),
    sweep(2_000_000, &["VIREMENT À LA RÉSERVE"]),
    monthly_fee(2_900),
];
const EMMA: &[Habit] = &[
    habit(HabitSchedule::MonthDay(1), (52_000, 60_000), "TRANSFER", &["VIREMENT DE H MACLEOD"], "income"),
    mirror("cr-emma-carte", "BILLPAYMENT", &["PAIEMENT CARTE DÉPART"], "transfer"),
    habit(HabitSchedule::Weekly(Weekday::Sunday, 150), (-2_400, -5_600), "POSDEBIT", GROCERIES, "groceries"),
    habit(HabitSchedule::Chance(40), (-450, -1_300), "POSDEBIT", COFFEE, "restaurants"),
    sweep(120_000, &["VIREMENT FONDS D'ÉTUDES"]),
];
const EMMA_CARD: &[Habit] = &[
    purchase(HabitSchedule::Chance(20), (-800, -2_900), RESTAURANTS, "restaurants"),
    purchase(HabitSchedule::MonthDay(9), (-799, -799), &["LANTERNE DIFFUSION"], "entertainment"),
    purchase(HabitSchedule::Chance(5), (-900, -2_500), &["POCKET GAMES SEATTLE"], "entertainment")
        .in_currency("USD"),
];

const LOAN: LoanTerms = LoanTerms {
    start_date: date(2022, 9, 8),
    months: 84,
    original_principal: 1_500_000,
    payment: 23_305,
    monthly_rate_billionths: 6_583_333,
    compounding: "MONTHLY",
    renewal_months: None,
    payment_description: "VERSEMENT PRÊT PERSONNEL",
};
const MORTGAGE: LoanTerms = LoanTerms {
    start_date: date(2022, 8, 1),
    months: 300,
    original_principal: 24_800_000,
    payment: 147_650,
    monthly_rate_billionths: 4_319_690,
    compounding: "SEMIANNUALLY",
    renewal_months: Some(36),
    payment_description: "VERSEMENT HYPOTHÉCAIRE",
};
const CPG: DepositTerm = DepositTerm { months: 18, start_date: date(2022, 9, 20) };
const PLAN_WORDING: PlanWording = PlanWording {
    contribution: "COTISATION",
    bought: "ACHAT",
    sold: "VENTE",
    dividend: "DIVIDENDE",
    reinvested: "DIVIDENDE RÉINVESTI",
    interest: "INTÉRÊTS",
    fee: "FRAIS D'ADMINISTRATION",
};
const CELI: InvestmentPlan = InvestmentPlan {
    account_type: "TAXFREESAVINGSACCOUNT",
    positions: &[
        Position { symbol: "FERV", units: 3_106_200, unit_cost: 1_104, acquired_on: date(2021, 5, 10) },
        Position { symbol: "OBLQ", units: 2_040_000, unit_cost: 1_002, acquired_on: date(2022, 3, 14) },
    ],
    monthly_contribution: Some((16, 12_500, "FERV")),
    grant: None,
    trades: &[],
    fee: 0,
    wording: PLAN_WORDING,
};
const REEE: InvestmentPlan = InvestmentPlan {
    account_type: "REGISTEREDEDUCATIONSAVINGSPLAN",
    positions: &[Position {
        symbol: "FERV",
        units: 5_220_000,
        unit_cost: 1_071,
        acquired_on: date(2020, 9, 1),
    }],
    monthly_contribution: Some((5, 16_500, "FERV")),
    grant: Some((30, "SUBVENTIONS CANADIENNE ET QUÉBÉCOISE POUR L'ÉPARGNE-ÉTUDES")),
    trades: &[],
    fee: 0,
    wording: PLAN_WORDING,
};
