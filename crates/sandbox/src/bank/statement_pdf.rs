//! Renders a statement as PDF in a monospaced font, so that columns align without measuring the text.
//!
//! Courier is one of the fonts that every PDF reader has, so the document contains no font.

use pdf_writer::{Content, Name, Pdf, Rect, Ref, Str, TextStr};

use super::ledger::{MonthlyStatement, StatementRow, StatementWording};
use super::profile::BankProfile;

/// The size of letter paper in points (1/72 inch).
const PAGE_SIZE_POINTS: (f32, f32) = (612.0, 792.0);
const LEFT_MARGIN: f32 = 54.0;
const TOP_MARGIN: f32 = 72.0;
const LINE_HEIGHT: f32 = 13.0;
/// The number of lines on a page below its title.
const LINES_PER_PAGE: usize = 46;
const LINE_CHARS: usize = 96;
const FONT_SIZE: f32 = 8.5;
const TITLE_FONT_SIZE: f32 = 17.0;
/// The name of the font in the resources of each page.
const FONT_NAME: Name<'static> = Name(b"F1");

/// Renders a statement as a PDF document.
pub(super) fn render_pdf(profile: &BankProfile, statement: &MonthlyStatement, holders: &[String]) -> Vec<u8> {
    let wording = &profile.catalog.wording;
    let lines = format_lines(wording, statement, holders);
    let pages: Vec<&[String]> = lines.chunks(LINES_PER_PAGE).collect();
    let title = format!("{} - {} {}", profile.name, wording.title, statement.first_day.strftime("%Y-%m"));

    let mut next_ref = Ref::new(1);
    let [catalog, tree, info, font] = std::array::from_fn(|_| next_ref.bump());
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree).lang(TextStr(profile.language.lang()));
    pdf.document_info(info).title(TextStr(&title));
    pdf.type1_font(font).base_font(Name(b"Courier")).encoding_predefined(Name(b"WinAnsiEncoding"));
    let mut kids = Vec::with_capacity(pages.len());
    for (nth, page_lines) in pages.iter().enumerate() {
        let (page_ref, content_ref) = (next_ref.bump(), next_ref.bump());
        kids.push(page_ref);
        let page_number = format!("{} / {}", nth + 1, pages.len());
        pdf.stream(content_ref, &draw_page(profile.name, page_lines, &page_number));
        let mut page = pdf.page(page_ref);
        page.media_box(Rect::new(0.0, 0.0, PAGE_SIZE_POINTS.0, PAGE_SIZE_POINTS.1));
        page.parent(tree).contents(content_ref);
        page.resources().fonts().pair(FONT_NAME, font);
    }
    let count = i32::try_from(kids.len()).unwrap_or(i32::MAX);
    pdf.pages(tree).kids(kids).count(count);
    pdf.finish()
}

/// Draws the title, the lines and the number of a page.
fn draw_page(title: &str, lines: &[String], page_number: &str) -> Vec<u8> {
    let mut content = Content::new();
    let mut write = |y: f32, size: f32, text: &str| {
        content.begin_text().set_font(FONT_NAME, size);
        // The origin of a page is its lower left corner.
        content.next_line(LEFT_MARGIN, PAGE_SIZE_POINTS.1 - y);
        content.show(Str(&encode_text(text))).end_text();
    };
    write(TOP_MARGIN, TITLE_FONT_SIZE, title);
    let mut y = TOP_MARGIN + 2.0 * LINE_HEIGHT;
    for line in lines {
        write(y, FONT_SIZE, line);
        y += LINE_HEIGHT;
    }
    write(PAGE_SIZE_POINTS.1 - TOP_MARGIN / 2.0, FONT_SIZE, &format!("{page_number:>LINE_CHARS$}"));
    content.finish().to_vec()
}

/// Encodes a text as `WinAnsiEncoding`, which has all letters of English and French.
fn encode_text(text: &str) -> Vec<u8> {
    let encode = |c: char| match c {
        '€' => 0x80,
        'Œ' => 0x8c,
        '’' => 0x92,
        '–' => 0x96,
        '—' => 0x97,
        'œ' => 0x9c,
        // These characters have the codes of Latin-1.
        ' '..='~' | '\u{a0}'..='ÿ' => u8::try_from(c).unwrap_or(b'?'),
        _ => b'?',
    };
    text.chars().map(encode).collect()
}

/// Formats the text of a statement as lines of `LINE_CHARS` characters.
fn format_lines(wording: &StatementWording, statement: &MonthlyStatement, holders: &[String]) -> Vec<String> {
    let format_amount = |cents| format_cents(cents, wording.separators);
    let (first_day, last_day) = (statement.first_day.to_string(), statement.last_day.to_string());
    let [day, description, amount, balance] = wording.columns;
    let mut lines = vec![
        format!("{}, {first_day} - {last_day}", wording.title),
        format!("{} {} ({})", statement.account, statement.number, statement.currency),
        holders.join(", "),
        String::new(),
        format_line(day, description, amount, balance),
        "-".repeat(LINE_CHARS),
        format_line(&first_day, wording.opening, "", &format_amount(statement.opening)),
    ];
    let row = |row: &StatementRow| {
        format_line(
            &row.day.to_string(),
            &row.description,
            &format_amount(row.cents),
            &format_amount(row.balance),
        )
    };
    lines.extend(statement.rows.iter().map(row));
    lines.push("-".repeat(LINE_CHARS));
    lines.push(format_line(&last_day, wording.closing, "", &format_amount(statement.closing)));
    lines
}

/// Formats one line of `LINE_CHARS` characters; a long description is cut off.
fn format_line(day: &str, description: &str, amount: &str, balance: &str) -> String {
    format!("{day:<10}  {description:<52.52}  {amount:>14}  {balance:>14}")
}

/// Formats cents with the given decimal and thousands separators.
fn format_cents(cents: i64, [decimal_separator, thousands_separator]: [char; 2]) -> String {
    let (dollars, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let digits = dollars.to_string();
    let mut text = String::from(if cents < 0 { "-" } else { "" });
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(thousands_separator);
        }
        text.push(digit);
    }
    format!("{text}{decimal_separator}{rest:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_cents_are_formatted_with_separators_of_bank() {
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
        let row = |number, description: &str, cents, balance| StatementRow {
            day: day(number),
            description: description.into(),
            cents,
            balance,
        };
        let statement = MonthlyStatement {
            id: "x-2026-10".into(),
            account: "Compte courant",
            number: "****1234".into(),
            owners: &["alice"],
            currency: "CAD",
            first_day: day(1),
            last_day: day(31),
            is_ready: true,
            opening: 100_000,
            closing: 98_766,
            rows: vec![row(3, "CAFÉ LES DEUX RIVES", -1_234, 98_766)],
        };
        let lines = format_lines(
            &super::super::profile::RIDEAU.catalog.wording,
            &statement,
            &["Alice Tremblay".into()],
        );

        assert_eq!(lines[0], "Relevé de compte, 2026-10-01 - 2026-10-31");
        assert_eq!(lines[1], "Compte courant ****1234 (CAD)");
        assert_eq!(lines[2], "Alice Tremblay");
        assert_eq!(lines[6], format_line("2026-10-01", "Solde d'ouverture", "", "1\u{a0}000,00"));
        assert_eq!(lines[7], format_line("2026-10-03", "CAFÉ LES DEUX RIVES", "-12,34", "987,66"));
        assert_eq!(lines[9], format_line("2026-10-31", "Solde de fermeture", "", "987,66"));
    }

    #[test]
    fn statement_pdf_text_keeps_letters_of_both_languages() {
        assert_eq!(
            encode_text("CAFÉ œuvre d’été\u{a0}$ (1 €)"),
            b"CAF\xc9 \x9cuvre d\x92\xe9t\xe9\xa0$ (1 \x80)"
        );
        assert_eq!(encode_text("a\n銀"), b"a??");
    }

    #[test]
    fn statement_pdf_line_has_fixed_width() {
        let description = "é".repeat(80);
        assert_eq!(format_line("2026-10-01", &description, "1.00", "2.00").chars().count(), LINE_CHARS);
    }
}
