//! Marked text: a text whose pieces are code, links to types, shell variables or parts of JSON.

use askama::Template;
use askama::filters::HtmlSafe;
use serde_json::Value;

/// The kind of a piece of text, which determines how the page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Plain,
    Code,
    /// The name of a type that the page describes.
    Type,
    /// The name of a JSON member.
    Key,
    /// A JSON string that is not a key.
    Text,
    /// A number, true, false or null in JSON.
    Literal,
    /// A shell variable whose value the reader supplies.
    Variable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) mark: Mark,
    pub(super) text: String,
}

/// A text that consists of marked pieces. Templates render it as escaped HTML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Template)]
#[template(path = "docs/text.html")]
pub(super) struct MarkedText(pub(super) Vec<Piece>);

impl HtmlSafe for MarkedText {}

impl MarkedText {
    /// Parses a text in which code is enclosed in backticks. An unpaired backtick is kept as text.
    pub(super) fn from_description(text: &str) -> Self {
        let parts: Vec<&str> = text.split('`').collect();
        // With an unpaired backtick the number of parts is even. The backticks are then ordinary characters.
        if parts.len().is_multiple_of(2) {
            return Self::default().with_piece(Mark::Plain, text);
        }
        let marks = [Mark::Plain, Mark::Code].into_iter().cycle();
        parts.into_iter().zip(marks).fold(Self::default(), |all, (part, mark)| all.with_piece(mark, part))
    }

    /// Formats JSON with indentation and marks its parts.
    pub(super) fn from_json(value: &Value) -> Self {
        let mut text = Self::default();
        text.push_json(value, 0);
        text
    }

    /// Parses a command and marks its shell variables.
    pub(super) fn from_command(line: &str) -> Self {
        let mut text = Self::default();
        for (nth, part) in line.split('$').enumerate() {
            // A dollar sign that is not followed by a variable name is plain text, as in the escaped `\$5`.
            let end = part.find(|c: char| !(c.is_ascii_uppercase() || c == '_')).unwrap_or(part.len());
            if nth == 0 || end == 0 {
                text.push(Mark::Plain, if nth == 0 { part.to_owned() } else { format!("${part}") });
            } else {
                text.push(Mark::Variable, format!("${}", &part[..end]));
                text.push(Mark::Plain, part[end..].to_owned());
            }
        }
        text
    }

    /// Returns the text with a piece appended.
    pub(super) fn with_piece(mut self, mark: Mark, text: &str) -> Self {
        self.push(mark, text.to_owned());
        self
    }

    /// Returns the text with another one appended.
    pub(super) fn with_text(mut self, other: Self) -> Self {
        other.0.into_iter().for_each(|piece| self.push(piece.mark, piece.text));
        self
    }

    /// Joins texts into one, with the unmarked text `separator` between them.
    pub(super) fn join(texts: impl IntoIterator<Item = Self>, separator: &str) -> Self {
        texts
            .into_iter()
            .reduce(|joined, next| joined.with_piece(Mark::Plain, separator).with_text(next))
            .unwrap_or_default()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the characters of the text, without marks.
    pub(super) fn to_plain_text(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    fn push(&mut self, mark: Mark, text: String) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if last.mark == mark && mark == Mark::Plain => last.text.push_str(&text),
            _ => self.0.push(Piece { mark, text }),
        }
    }

    fn push_json(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                let members: Vec<_> = members.iter().collect();
                self.push_list(['{', '}'], &members, depth, |text, (name, value)| {
                    text.push(Mark::Key, Value::from(name.as_str()).to_string());
                    text.push(Mark::Plain, ": ".into());
                    text.push_json(value, depth + 1);
                });
            }
            Value::Array(items) if !items.is_empty() => {
                self.push_list(['[', ']'], items, depth, |text, item| text.push_json(item, depth + 1));
            }
            Value::String(_) => self.push(Mark::Text, value.to_string()),
            Value::Object(_) | Value::Array(_) => self.push(Mark::Plain, value.to_string()),
            Value::Number(_) | Value::Bool(_) | Value::Null => self.push(Mark::Literal, value.to_string()),
        }
    }

    fn push_list<T>(
        &mut self,
        brackets: [char; 2],
        items: &[T],
        depth: usize,
        mut each: impl FnMut(&mut Self, &T),
    ) {
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        self.push(Mark::Plain, brackets[0].into());
        for (nth, item) in items.iter().enumerate() {
            self.push(Mark::Plain, format!("{}{}", if nth == 0 { "" } else { "," }, line(depth + 1)));
            each(self, item);
        }
        self.push(Mark::Plain, format!("{}{}", line(depth), brackets[1]));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn description_code_is_marked_and_html_is_escaped() {
        let html = MarkedText::from_description("Of a `<b>` & more").render().unwrap();
        assert_eq!(html, "Of a <code>&#60;b&#62;</code> &#38; more");
        assert_eq!(MarkedText::from_description("a ` b").to_plain_text(), "a ` b");
    }

    #[test]
    fn highlighted_json_text_equals_formatted_json() {
        let value = json!({"a": [1.50, {"b": null}, [], {}], "c": "<\"x\">", "d": true});
        let text = MarkedText::from_json(&value);
        assert_eq!(serde_json::from_str::<Value>(&text.to_plain_text()).unwrap(), value);
        assert_eq!(text.to_plain_text(), format!("{value:#}"));
    }

    #[test]
    fn command_marks_shell_variables() {
        let line = "curl \"$HUB/x/$ACCOUNT_ID?a=\\$5\" $";
        let text = MarkedText::from_command(line);
        let variables: Vec<_> =
            text.0.iter().filter(|p| p.mark == Mark::Variable).map(|p| &*p.text).collect();
        assert_eq!((variables, text.to_plain_text()), (vec!["$HUB", "$ACCOUNT_ID"], line.to_owned()));
    }
}
