//! A statement as a PDF: lines of one width, so that columns stand without measuring.

use std::sync::LazyLock;

use krilla::Document;
use krilla::geom::Point;
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::text::{Font, TextDirection};

use super::book::{MonthlyStatement, StatementRow, StatementWording};
use super::profile::BankProfile;

/// Hack: see `fonts/Hack-Regular-LICENSE.txt`.
static FONT: LazyLock<Option<Font>> = LazyLock::new(|| {
    let data: &'static [u8] = include_bytes!("../../fonts/Hack-Regular.ttf");
    Font::new(data.to_vec().into(), 0)
});

/// Letter paper, in points.
const PAGE_SIZE_POINTS: (f32, f32) = (612.0, 792.0);
const LEFT: f32 = 54.0;
const TOP: f32 = 72.0;
const LEADING: f32 = 13.0;
/// How many lines a page has below its head.
const LINES_PER_PAGE: usize = 46;
const FONT_SIZE: f32 = 8.5;
const TITLE_FONT_SIZE: f32 = 17.0;

/// The document; none if it cannot be made.
pub(super) fn render_pdf(
    look: &BankProfile,
    sheet: &MonthlyStatement,
    holders: &[String],
) -> Option<Vec<u8>> {
    let font = FONT.clone()?;
    let words = &look.books.wording;
    let lines = format_lines(words, sheet, holders);
    let pages: Vec<&[String]> = lines.chunks(LINES_PER_PAGE).collect();
    let mut document = Document::new();
    let title = format!("{} - {} {}", look.name, words.statement, sheet.first.strftime("%Y-%m"));
    document.set_metadata(Metadata::new().title(title).language(look.language.lang().to_owned()));
    for (nth, page_lines) in pages.iter().enumerate() {
        let mut page =
            document.start_page_with(PageSettings::from_wh(PAGE_SIZE_POINTS.0, PAGE_SIZE_POINTS.1)?);
        let mut surface = page.surface();
        let mut write = |down: f32, size: f32, text: &str| {
            let at = Point::from_xy(LEFT, down);
            surface.draw_text(at, font.clone(), size, text, false, TextDirection::LeftToRight);
        };
        write(TOP, TITLE_FONT_SIZE, look.name);
        let mut down = TOP + 2.0 * LEADING;
        for line in *page_lines {
            write(down, FONT_SIZE, line);
            down += LEADING;
        }
        write(
            PAGE_SIZE_POINTS.1 - TOP / 2.0,
            FONT_SIZE,
            &format!("{:>96}", format!("{} / {}", nth + 1, pages.len())),
        );
        surface.finish();
        page.finish();
    }
    document.finish().ok()
}

/// Everything that is written, line by line.
fn format_lines(words: &StatementWording, sheet: &MonthlyStatement, holders: &[String]) -> Vec<String> {
    let format_amount = |cents| format_cents(cents, words.separators);
    let [day, booking, amount, balance] = words.columns;
    let mut lines = vec![
        format!("{}, {} - {}", words.statement, sheet.first, sheet.last),
        format!("{} {} ({})", sheet.account, sheet.number, sheet.currency),
        holders.join(", "),
        String::new(),
        format_line(day, booking, amount, balance),
        "-".repeat(LINE_CHARS),
        format_line(&sheet.first.to_string(), words.opening, "", &format_amount(sheet.opening)),
    ];
    let row = |row: &StatementRow| {
        format_line(
            &row.day.to_string(),
            &row.description,
            &format_amount(row.cents),
            &format_amount(row.balance),
        )
    };
    lines.extend(sheet.rows.iter().map(row));
    lines.push("-".repeat(LINE_CHARS));
    lines.push(format_line(&sheet.last.to_string(), words.closing, "", &format_amount(sheet.closing)));
    lines
}

const LINE_CHARS: usize = 96;

fn format_line(day: &str, says: &str, amount: &str, balance: &str) -> String {
    format!("{day:<10}  {says:<52.52}  {amount:>14}  {balance:>14}")
}

/// Cents as people write them, with the marks before cents and between thousands.
fn format_cents(cents: i64, [before_cents, between]: [char; 2]) -> String {
    let (whole, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let digits = whole.to_string();
    let mut text = String::from(if cents < 0 { "-" } else { "" });
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(between);
        }
        text.push(digit);
    }
    format!("{text}{before_cents}{rest:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_are_formatted_with_separators_of_the_bank() {
        assert_eq!(format_cents(123_456_789, ['.', ',']), "1,234,567.89");
        assert_eq!(format_cents(-100_005, [',', '\u{a0}']), "-1\u{a0}000,05");
        assert_eq!(
            (format_cents(7, ['.', ',']), format_cents(99_999, ['.', ','])),
            ("0.07".into(), "999.99".into())
        );
    }

    #[test]
    fn statement_pdf_lists_opening_postings_and_closing_balance() {
        let day = |day| jiff::civil::date(2026, 10, day);
        let row = |on, says: &str, cents, balance| StatementRow {
            day: day(on),
            description: says.into(),
            cents,
            balance,
        };
        let sheet = MonthlyStatement {
            id: "x-2026-10".into(),
            account: "Compte courant",
            number: "****1234".into(),
            owners: &["alice"],
            currency: "CAD",
            first: day(1),
            last: day(31),
            is_ready: true,
            opening: 100_000,
            closing: 98_766,
            rows: vec![row(3, "CAFÉ LES DEUX RIVES", -1_234, 98_766)],
        };
        let lines =
            format_lines(&super::super::profile::RIDEAU.books.wording, &sheet, &["Alice Tremblay".into()]);
        let wide =
            |day: &str, says: &str, amount: &str, balance: &str| format_line(day, says, amount, balance);
        assert_eq!(lines[0], "Relevé de compte, 2026-10-01 - 2026-10-31");
        assert_eq!(lines[1], "Compte courant ****1234 (CAD)");
        assert_eq!(lines[2], "Alice Tremblay");
        assert_eq!(lines[6], wide("2026-10-01", "Solde d'ouverture", "", "1\u{a0}000,00"));
        assert_eq!(lines[7], wide("2026-10-03", "CAFÉ LES DEUX RIVES", "-12,34", "987,66"));
        assert_eq!(lines[9], wide("2026-10-31", "Solde de fermeture", "", "987,66"));
    }

    #[test]
    fn statement_pdf_line_has_fixed_width() {
        let says = "é".repeat(80);
        assert_eq!(format_line("2026-10-01", &says, "1.00", "2.00").chars().count(), LINE_CHARS);
    }
}
