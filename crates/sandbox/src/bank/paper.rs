//! A statement as a PDF: lines of one width, so that columns stand without measuring.

use std::sync::LazyLock;

use krilla::Document;
use krilla::geom::Point;
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::text::{Font, TextDirection};

use super::book::{Row, Sheet, Words};
use super::look::Look;

/// Hack: see `fonts/Hack-Regular-LICENSE.txt`.
static FONT: LazyLock<Option<Font>> = LazyLock::new(|| {
    let data: &'static [u8] = include_bytes!("../../fonts/Hack-Regular.ttf");
    Font::new(data.to_vec().into(), 0)
});

/// Letter paper, in points.
const PAPER: (f32, f32) = (612.0, 792.0);
const LEFT: f32 = 54.0;
const TOP: f32 = 72.0;
const LEADING: f32 = 13.0;
/// How many lines a page has below its head.
const LINES: usize = 46;
const SIZE: f32 = 8.5;
const TITLE: f32 = 17.0;

/// The document; none if it cannot be made.
pub(super) fn pdf(look: &Look, sheet: &Sheet, holders: &[String]) -> Option<Vec<u8>> {
    let font = FONT.clone()?;
    let words = &look.books.words;
    let lines = lines(words, sheet, holders);
    let pages: Vec<&[String]> = lines.chunks(LINES).collect();
    let mut document = Document::new();
    let title = format!("{} - {} {}", look.name, words.statement, sheet.first.strftime("%Y-%m"));
    document.set_metadata(Metadata::new().title(title).language(look.language.lang().to_owned()));
    for (nth, page_lines) in pages.iter().enumerate() {
        let mut page = document.start_page_with(PageSettings::from_wh(PAPER.0, PAPER.1)?);
        let mut surface = page.surface();
        let mut write = |down: f32, size: f32, text: &str| {
            let at = Point::from_xy(LEFT, down);
            surface.draw_text(at, font.clone(), size, text, false, TextDirection::LeftToRight);
        };
        write(TOP, TITLE, look.name);
        let mut down = TOP + 2.0 * LEADING;
        for line in *page_lines {
            write(down, SIZE, line);
            down += LEADING;
        }
        write(PAPER.1 - TOP / 2.0, SIZE, &format!("{:>96}", format!("{} / {}", nth + 1, pages.len())));
        surface.finish();
        page.finish();
    }
    document.finish().ok()
}

/// Everything that is written, line by line.
fn lines(words: &Words, sheet: &Sheet, holders: &[String]) -> Vec<String> {
    let shown = |cents| money(cents, words.marks);
    let [day, booking, amount, balance] = words.columns;
    let mut lines = vec![
        format!("{}, {} - {}", words.statement, sheet.first, sheet.last),
        format!("{} {} ({})", sheet.account, sheet.number, sheet.currency),
        holders.join(", "),
        String::new(),
        line(day, booking, amount, balance),
        "-".repeat(WIDTH),
        line(&sheet.first.to_string(), words.opening, "", &shown(sheet.opening)),
    ];
    let row = |row: &Row| line(&row.day.to_string(), &row.says, &shown(row.cents), &shown(row.balance));
    lines.extend(sheet.rows.iter().map(row));
    lines.push("-".repeat(WIDTH));
    lines.push(line(&sheet.last.to_string(), words.closing, "", &shown(sheet.closing)));
    lines
}

const WIDTH: usize = 96;

fn line(day: &str, says: &str, amount: &str, balance: &str) -> String {
    format!("{day:<10}  {says:<52.52}  {amount:>14}  {balance:>14}")
}

/// Cents as people write them, with the marks before cents and between thousands.
fn money(cents: i64, [before_cents, between]: [char; 2]) -> String {
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
    fn money_is_written_as_the_banks_customers_write_it() {
        assert_eq!(money(123_456_789, ['.', ',']), "1,234,567.89");
        assert_eq!(money(-100_005, [',', '\u{a0}']), "-1\u{a0}000,05");
        assert_eq!((money(7, ['.', ',']), money(99_999, ['.', ','])), ("0.07".into(), "999.99".into()));
    }

    #[test]
    fn a_statement_says_where_it_begins_what_happened_and_where_it_ends() {
        let day = |day| jiff::civil::date(2026, 10, day);
        let row = |on, says: &str, cents, balance| Row { day: day(on), says: says.into(), cents, balance };
        let sheet = Sheet {
            id: "x-2026-10".into(),
            account: "Compte courant",
            number: "****1234".into(),
            owners: &["alice"],
            currency: "CAD",
            first: day(1),
            last: day(31),
            is_made: true,
            opening: 100_000,
            closing: 98_766,
            rows: vec![row(3, "CAFÉ LES DEUX RIVES", -1_234, 98_766)],
        };
        let lines = lines(&super::super::look::RIDEAU.books.words, &sheet, &["Alice Tremblay".into()]);
        let wide = |day: &str, says: &str, amount: &str, balance: &str| line(day, says, amount, balance);
        assert_eq!(lines[0], "Relevé de compte, 2026-10-01 - 2026-10-31");
        assert_eq!(lines[1], "Compte courant ****1234 (CAD)");
        assert_eq!(lines[2], "Alice Tremblay");
        assert_eq!(lines[6], wide("2026-10-01", "Solde d'ouverture", "", "1\u{a0}000,00"));
        assert_eq!(lines[7], wide("2026-10-03", "CAFÉ LES DEUX RIVES", "-12,34", "987,66"));
        assert_eq!(lines[9], wide("2026-10-31", "Solde de fermeture", "", "987,66"));
    }

    #[test]
    fn every_line_is_of_one_width() {
        let says = "é".repeat(80);
        assert_eq!(line("2026-10-01", &says, "1.00", "2.00").chars().count(), WIDTH);
    }
}
