//! Queries and forms, as browsers write them (WHATWG URL, application/x-www-form-urlencoded).

use crate::model::{percent_decode, percent_encode};

/// The fields of a query or a form, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads them. What is no UTF-8 has signs in its place.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a name, or nothing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

fn decode(text: &str) -> String {
    String::from_utf8_lossy(&percent_decode(&text.replace('+', " "))).into_owned()
}

/// A query of these fields, without those that are empty.
pub(super) fn query(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    fields.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let fields = Fields::parse("account=web1%2Fadmin&account=a+b&&flag&bad=%zz%4&u=%F0%9F%94%91&x=%ff");
        assert_eq!(fields.all("account").collect::<Vec<_>>(), ["web1/admin", "a b"]);
        assert_eq!((fields.get("flag"), fields.text("bad"), fields.text("u")), (Some(""), "%zz%4", "🔑"));
        assert_eq!((fields.text("x"), fields.get("none")), ("\u{fffd}", None));
    }

    #[test]
    fn a_query_says_the_same_when_it_is_read_again() {
        let text = query(&[("q", "a&b=c d/é"), ("state", ""), ("sort", "name")]);
        assert_eq!(
            Fields::parse(&text),
            Fields(vec![("q".into(), "a&b=c d/é".into()), ("sort".into(), "name".into())])
        );
    }
}
