//! Records of a CSV as RFC 4180 has them, and nothing that only looks like it: a value that is read in another way than it was
//! meant is another password.
//!
//! Taken beyond the RFC: `\n` alone ends a record, a record may have fewer fields, and a quote may stand inside a field that
//! has none around it, as programs write it that quote only where they must.

use zeroize::Zeroizing;

/// A record: the line that it begins in, from 1, and its fields.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) line: u64,
    pub(crate) fields: Vec<Zeroizing<String>>,
}

impl Record {
    /// Whether nothing stands in it, as in the rows that a spreadsheet adds at the end.
    pub(crate) fn is_blank(&self) -> bool {
        self.fields.iter().all(|field| field.trim().is_empty())
    }
}

/// What is wrong in a line, without a character of it.
pub(crate) type Slip = String;

/// The records of a text. Behind a quote that stands wrong nobody knows where a field ends, so that slip ends the reading.
pub(crate) fn records(text: &str) -> (Vec<Record>, Option<Slip>) {
    let mut reader = Reader { rest: text, line: 1 };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        match reader.record() {
            Ok(record) => records.push(record),
            Err(slip) => return (records, Some(slip)),
        }
    }
    (records, None)
}

struct Reader<'a> {
    rest: &'a str,
    line: u64,
}

/// How a field ended.
#[derive(PartialEq, Eq)]
enum End {
    Field,
    Record,
}

impl Reader<'_> {
    fn record(&mut self) -> Result<Record, Slip> {
        let mut record = Record { line: self.line, fields: Vec::new() };
        loop {
            let (field, end) = if self.rest.starts_with('"') { self.quoted()? } else { self.plain()? };
            record.fields.push(field);
            if end == End::Record {
                return Ok(record);
            }
        }
    }

    /// A field without quotes around it.
    fn plain(&mut self) -> Result<(Zeroizing<String>, End), Slip> {
        let length = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
        let field = Zeroizing::new(self.rest[..length].to_owned());
        if field.trim_start().starts_with('"') {
            return Err(format!(
                "line {}: a space stands before a quote; a field in quotes begins with the quote",
                self.line
            ));
        }
        self.rest = &self.rest[length..];
        let end = self.end().ok_or_else(|| format!("line {}: a carriage return stands inside a field", self.line))?;
        Ok((field, end))
    }

    /// A field in quotes, in which a quote is written twice.
    fn quoted(&mut self) -> Result<(Zeroizing<String>, End), Slip> {
        let begun = self.line;
        let mut field = Zeroizing::new(String::new());
        self.rest = &self.rest[1..];
        loop {
            let Some(at) = self.rest.find('"') else {
                return Err(format!("line {begun}: a quote that is opened here is never closed"));
            };
            self.line += u64::try_from(self.rest[..at].matches('\n').count()).unwrap_or(0);
            field.push_str(&self.rest[..at]);
            self.rest = &self.rest[at + 1..];
            if self.rest.starts_with('"') {
                field.push('"');
                self.rest = &self.rest[1..];
                continue;
            }
            let line = self.line;
            let end = self.end().ok_or_else(|| {
                format!("line {line}: something stands behind a closing quote; a quote inside a field in quotes is written twice (RFC 4180)")
            })?;
            return Ok((field, end));
        }
    }

    /// What ends a field: a comma, a line end, or the end of the text.
    fn end(&mut self) -> Option<End> {
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            return Some(End::Field);
        }
        let rest = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'));
        match rest {
            Some(rest) => {
                self.rest = rest;
                self.line += 1;
            }
            None if self.rest == "\r" => self.rest = "",
            None if self.rest.is_empty() => {}
            None => return None,
        }
        Some(End::Record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rfc_4180_has_is_read_to_the_letter() {
        for (text, expected) in [
            ("a,b,c", vec![vec!["a", "b", "c"]]),
            ("a,b\r\nc,d\r\n", vec![vec!["a", "b"], vec!["c", "d"]]),
            ("a\n\n,\nb\n", vec![vec!["a"], vec![""], vec!["", ""], vec!["b"]]),
            ("\"a\",\"b,c\",\"\"\n", vec![vec!["a", "b,c", ""]]),
            ("\"p,\"\"w\"", vec![vec!["p,\"w"]]),
            ("\"\"\"\"\n", vec![vec!["\""]]),
            ("\"two\r\nlines\",x\n", vec![vec!["two\r\nlines", "x"]]),
            // A quote inside a field without quotes is one.
            ("ab\"c,ends\",i\"n\"side\n", vec![vec!["ab\"c", "ends\"", "i\"n\"side"]]),
            ("back\\slash,'x'\n", vec![vec!["back\\slash", "'x'"]]),
        ] {
            let (records, slip) = records(text);
            let found: Vec<Vec<&str>> =
                records.iter().map(|record| record.fields.iter().map(|field| field.as_str()).collect()).collect();
            assert_eq!((found, slip), (expected, None), "{text:?}");
        }
    }

    #[test]
    fn malformed_quotes_are_told_with_their_line_and_never_repaired() {
        for (text, expected) in [
            ("a\nb,\"\"hunter2\"\n", "line 2: something stands behind a closing quote"),
            ("a\nb,\"hun\"ter2\"\n", "line 2: something stands behind"),
            ("b,\"hun\"ter2", "line 1: something stands behind"),
            ("b,\"hunter2\" \n", "line 1: something stands behind"),
            ("b,\"hunter\\\"2\"\n", "line 1: something stands behind"),
            ("a\nb,\"hunter2\nc,d\n", "line 2: a quote that is opened here is never closed"),
            ("a\n\"x\ny\"z\n", "line 3: something stands behind"),
            ("a, \"hunter2\"\n", "line 1: a space stands before a quote"),
            ("a,hun\rter2\n", "line 1: a carriage return"),
            ("a,\"hun\"\rter2\n", "line 1: something stands behind"),
        ] {
            let slip = records(text).1.unwrap_or_else(|| panic!("{text:?} is read"));
            assert!(slip.contains(expected) && !slip.contains("hun"), "{text:?}: {slip}");
        }
    }
}
