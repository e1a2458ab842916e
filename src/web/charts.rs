//! Charts as SVG, made here: nothing of them needs a script, a style of its own, or colour to be read.
//!
//! A share has its pattern beside its colour (WCAG 2.2, 1.4.1), each mark has a title, and a page puts the same numbers in a table
//! beside the picture.

use std::fmt::Write as _;

use super::words::grouped;

/// How rotations ended on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DayCount {
    pub(super) done: u32,
    pub(super) failed: u32,
    pub(super) unknown: u32,
    pub(super) refused: u32,
}

impl DayCount {
    fn parts(self) -> [(&'static str, u32); 4] {
        [("done", self.done), ("failed", self.failed), ("unknown", self.unknown), ("refused", self.refused)]
    }

    pub(super) fn total(self) -> u32 {
        self.parts().into_iter().map(|(_, count)| count).sum()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The patterns of the shares. An id is looked up in the whole document, so each page has them once.
pub(super) const PATTERNS: &str = r##"<svg class="defs" width="0" height="0" aria-hidden="true" focusable="false"><defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" class="p-failed"/><line x1="0" y1="0" x2="0" y2="6" class="p-line"/></pattern><pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" class="p-unknown"/><circle cx="3" cy="3" r="1.4" class="p-dot"/></pattern><pattern id="bars" width="4" height="4" patternUnits="userSpaceOnUse"><rect width="4" height="4" class="p-refused"/><line x1="0" y1="0" x2="4" y2="0" class="p-line"/></pattern></defs></svg>"##;

/// The smallest of 1, 2, 4, 6, 8, 10, 20, 40 … that is no less than a number: half of it is whole too, from 2 on.
fn ceiling(most: u32) -> u32 {
    let mut step = 1u32;
    loop {
        for factor in [1, 2, 4, 6, 8] {
            if let Some(bound) = step.checked_mul(factor).filter(|bound| *bound >= most) {
                return bound;
            }
        }
        match step.checked_mul(10) {
            Some(next) => step = next,
            None => return u32::MAX,
        }
    }
}

/// Rotations a day, one bar for each, by how they ended; `days` are (date, count), the oldest first.
pub(super) fn days(days: &[(String, DayCount)]) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 200.0;
    const LEFT: f64 = 44.0;
    const TOP: f64 = 8.0;
    const FOOT: f64 = 24.0;
    let top = ceiling(days.iter().map(|(_, count)| count.total()).max().unwrap_or(0).max(4));
    let scale = (HEIGHT - TOP - FOOT) / f64::from(top);
    let slot = (WIDTH - LEFT) / f64::from(u32::try_from(days.len().max(1)).unwrap_or(1));
    let total: u32 = days.iter().map(|(_, count)| count.total()).sum();
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Rotations a day: {total} in {} days\">",
        days.len()
    );
    for part in 0..=2u32 {
        let value = f64::from(top) * f64::from(part) / 2.0;
        let y = HEIGHT - FOOT - value * scale;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (place, (day, count)) in days.iter().enumerate() {
        let x = LEFT + slot * f64::from(u32::try_from(place).unwrap_or(0));
        let mut y = HEIGHT - FOOT;
        for (what, number) in count.parts().into_iter().filter(|(_, number)| *number > 0) {
            let height = f64::from(number) * scale;
            y -= height;
            let _ = write!(
                svg,
                "<rect class=\"s-{what}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{}: {number} {what}</title></rect>",
                x + slot * 0.14,
                slot * 0.72,
                escape(day)
            );
        }
        // A label for each week, counted from the last day.
        if (days.len() - 1 - place).is_multiple_of(7) {
            // The last one would be cut at the edge.
            let (anchor, x) = if place + 1 == days.len() { ("end", x + slot) } else { ("middle", x + slot / 2.0) };
            let _ = write!(
                svg,
                "<text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                HEIGHT - 7.0,
                escape(day.get(5..).unwrap_or(day))
            );
        }
    }
    svg + "</svg>"
}

/// Counts as bars that lie, each with its label and its number.
pub(super) fn bars(label: &str, rows: &[(&str, usize, &str)]) -> String {
    const WIDTH: f64 = 720.0;
    const ROW: f64 = 28.0;
    const LEFT: f64 = 190.0;
    const RIGHT: f64 = 70.0;
    let most = rows.iter().map(|(_, count, _)| *count).max().unwrap_or(0).max(1);
    let height = ROW * f64::from(u32::try_from(rows.len()).unwrap_or(0));
    let mut svg =
        format!("<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", escape(label));
    for (place, (name, count, class)) in rows.iter().enumerate() {
        let y = ROW * f64::from(u32::try_from(place).unwrap_or(0));
        let share =
            f64::from(u32::try_from(*count).unwrap_or(u32::MAX)) / f64::from(u32::try_from(most).unwrap_or(u32::MAX));
        let width = (WIDTH - LEFT - RIGHT) * share;
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect class=\"s-{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/><text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 12.0,
            y + 19.0,
            escape(name),
            y + 6.0,
            width.max(1.0),
            LEFT + width + 8.0,
            y + 19.0,
            grouped(*count)
        );
    }
    svg + "</svg>"
}

/// The runs of a job in seven days from `begin`: (second, title) each, spread over so many seconds.
pub(super) fn week(label: &str, begin: i64, midnights: &[i64], runs: &[(i64, String)], spread: u64) -> String {
    const WIDTH: f64 = 700.0;
    const HEIGHT: f64 = 26.0;
    const WEEK: f64 = 604_800.0;
    let seconds = |seconds: i64| f64::from(i32::try_from(seconds).unwrap_or(i32::MAX));
    let x = |at: i64| seconds(at - begin).clamp(0.0, WEEK) / WEEK * WIDTH;
    let width = (seconds(i64::try_from(spread).unwrap_or(0)) / WEEK * WIDTH).max(3.0);
    let mut svg = format!(
        "<svg class=\"week\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\"><rect class=\"bed\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>",
        escape(label)
    );
    for midnight in midnights {
        let at = x(*midnight);
        let _ = write!(svg, "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>");
    }
    for (at, title) in runs {
        let at = x(*at).min(WIDTH - 3.0);
        let _ = write!(
            svg,
            "<rect class=\"run\" x=\"{at:.1}\" y=\"5\" width=\"{:.1}\" height=\"16\"><title>{}</title></rect>",
            width.min(WIDTH - at),
            escape(title)
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_of_days_has_a_mark_for_each_outcome_and_fits() {
        let count = DayCount { done: 40, failed: 3, unknown: 1, refused: 2 };
        let list: Vec<(String, DayCount)> = (1..=30).map(|day| (format!("2026-11-{day:02}"), count)).collect();
        let svg = days(&list);
        assert_eq!(svg.matches("<title>").count(), 120);
        assert!(
            svg.contains("2026-11-30: 3 failed")
                && svg.contains(">11-30<")
                && svg.contains(">60<")
                && svg.contains("text-anchor=\"end\">11-30<"),
            "{svg}"
        );
        assert!(!svg.contains("style=") && svg.contains("1380 in 30 days"));
        assert!(days(&[]).ends_with("</svg>"));
    }

    #[test]
    fn what_is_written_into_a_chart_is_text() {
        let svg = bars("a \"b\" <script>", &[("<x>&", 1200, "done")]);
        assert!(
            !svg.contains("<script>")
                && !svg.contains("<x>")
                && svg.contains("&lt;x&gt;&amp;")
                && svg.contains("1,200")
        );
        let svg = week("j\"", 0, &[86_400], &[(10, "<b>".into()), (700_000, "late".into())], 3600);
        assert!(
            !svg.contains("<b>") && svg.matches("<rect class=\"run\"").count() == 2 && svg.contains("x=\"697.0\""),
            "{svg}"
        );
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (most, bound) in [(0, 1), (1, 1), (3, 4), (5, 6), (11, 20), (51, 60), (99, 100), (u32::MAX, u32::MAX)] {
            assert_eq!(ceiling(most), bound);
        }
    }
}
