//! Metrics as text: OpenMetrics 1.0, and the older text format of Prometheus, which its own `promtool check metrics` reads.

use std::fmt::{Display, Write};

use super::definitions::{Definition, Kind, Metric};
use super::values::Observed;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// The format that a reader wants, by the header `Accept` of his request.
    #[must_use]
    pub fn wanted(accept: Option<&str>) -> Self {
        let wants = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        if wants { Self::OpenMetrics } else { Self::Text }
    }

    /// The header `Content-Type` of the answer.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A label and its value.
pub type Label<'a> = (&'a str, &'a str);

/// Writes metrics, one family after another.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
    /// The family that is being written.
    family: Option<Metric>,
}

/// Writes a text in which `\`, a quote and a line end are escaped.
fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}

impl Exposition {
    /// What OpenMetrics ends with.
    pub const END: &str = "# EOF\n";

    /// Nothing is written yet.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(16 * 1024), family: None }
    }

    /// Begins the family of a metric, unless it is the one at hand.
    fn head(&mut self, metric: Metric) {
        if self.family.replace(metric) == Some(metric) {
            return;
        }
        let Definition { name, kind, unit, help, .. } = metric.definition();
        let (name, kind) = match (self.format, kind) {
            (Format::Text, Kind::Counter) => (metric.sample_name(), "counter"),
            (Format::Text, Kind::GaugeHistogram) => (name.to_owned(), "histogram"),
            (_, kind) => (name.to_owned(), word(kind)),
        };
        let _ = write!(self.text, "# HELP {name} ");
        match self.format {
            Format::OpenMetrics => escape(help, &mut self.text),
            Format::Text => self.text.push_str(&help.replace('\\', "\\\\").replace('\n', "\\n")),
        }
        let _ = writeln!(self.text, "\n# TYPE {name} {kind}");
        if self.format == Format::OpenMetrics && !unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[Label<'_>], le: Option<&str>, value: impl Display) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut open = '{';
        for (label, text) in labels.iter().copied().chain(le.map(|bound| ("le", bound))) {
            self.text.push(open);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(text, &mut self.text);
            self.text.push('"');
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A value of a counter or a gauge. All values of a metric come one after another.
    pub fn value(&mut self, metric: Metric, labels: &[Label<'_>], value: impl Display) {
        self.head(metric);
        let Definition { name, kind, labels: names, .. } = metric.definition();
        debug_assert!(labels.iter().map(|(name, _)| *name).eq(names.iter().copied()), "{name}");
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        self.line(name, suffix, labels, None, value);
    }

    /// The values of a histogram.
    pub fn histogram(&mut self, metric: Metric, labels: &[Label<'_>], observed: &Observed) {
        self.head(metric);
        let Definition { name, kind, .. } = metric.definition();
        let (count, sum) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::GaugeHistogram) => ("_gcount", "_gsum"),
            _ => ("_count", "_sum"),
        };
        let mut all = 0;
        for (place, counted) in observed.counts.iter().enumerate() {
            all += counted;
            // OpenMetrics has bounds written as floats.
            let bound = observed.bounds.get(place).map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
            self.line(name, "_bucket", labels, Some(&bound), all);
        }
        self.line(name, sum, labels, None, observed.sum);
        self.line(name, count, labels, None, all);
    }

    /// The whole.
    #[must_use]
    pub fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str(Self::END);
        }
        self.text
    }
}

/// The word of a kind in OpenMetrics.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::GaugeHistogram => "gaugehistogram",
    }
}

impl Kind {
    /// Its word in OpenMetrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        word(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(format: Format) -> String {
        let mut text = Exposition::new(format);
        let labels =
            |template| [("kind", "rotate"), ("outcome", "done"), ("trigger", "schedule"), ("template", template)];
        text.value(Metric::Attempts, &labels("a"), 3);
        text.value(Metric::Attempts, &labels("b\"\\\n"), 1);
        text.value(Metric::VaultWritable, &[], 1);
        text.histogram(Metric::VaultCommit, &[], &Observed { bounds: &[0.5, 1.0], counts: vec![2, 0, 1], sum: 4.25 });
        text.histogram(Metric::AgeRatio, &[], &Observed { bounds: &[1.0], counts: vec![5, 1], sum: 3.0 });
        text.end()
    }

    #[test]
    fn openmetrics_has_units_an_end_and_each_family_once() {
        let text = whole(Format::OpenMetrics);
        let expected = [
            "# TYPE rotord_attempts counter\n",
            "rotord_attempts_total{kind=\"rotate\",outcome=\"done\",trigger=\"schedule\",template=\"a\"} 3\n",
            "template=\"b\\\"\\\\\\n\"} 1\n",
            "# TYPE rotord_vault_writable gauge\nrotord_vault_writable 1\n",
            "# UNIT rotord_vault_commit_seconds seconds\n",
            "rotord_vault_commit_seconds_bucket{le=\"0.5\"} 2\nrotord_vault_commit_seconds_bucket{le=\"1.0\"} 2\n",
            "rotord_vault_commit_seconds_bucket{le=\"+Inf\"} 3\nrotord_vault_commit_seconds_sum 4.25\nrotord_vault_commit_seconds_count 3\n",
            "# TYPE rotord_password_age_ratio gaugehistogram\n",
            "rotord_password_age_ratio_gcount 6\n",
        ];
        for part in expected {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && text.matches("# TYPE rotord_attempts").count() == 1, "{text}");
    }

    #[test]
    fn the_older_format_names_a_counter_with_its_suffix() {
        let text = whole(Format::Text);
        assert!(text.contains("# TYPE rotord_attempts_total counter\n") && !text.contains("# UNIT"), "{text}");
        assert!(text.contains("# TYPE rotord_password_age_ratio histogram\n") && !text.contains("# EOF"), "{text}");
        assert!(text.contains("rotord_password_age_ratio_count 6\n"), "{text}");
    }

    #[test]
    fn a_reader_gets_the_format_that_he_asks_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (Some(prometheus), Format::OpenMetrics),
            (Some("text/plain"), Format::Text),
            (Some("*/*"), Format::Text),
            (None, Format::Text),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept:?}");
        }
    }
}
