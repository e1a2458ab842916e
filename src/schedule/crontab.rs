//! Crontab expressions on the `cron` crate: what users write is translated into what that crate takes, and its local
//! times are mapped to instants here.
//!
//! The crate wants seconds first, counts Sunday as 1, and demands day of month **and** day of week. Users write five
//! fields, count Sunday as 0 or 7, and mean **or** (crontab(5)). So an expression that restricts both days becomes two
//! schedules. A day field that begins with `*`, be it `*/2`, does not count as a restriction for that (entry.c of Vixie's cron
//! and of its descendants sets the star's flag by the first character): a day has to match both fields then. The crate is asked in UTC, as if every local time existed once; gaps and overlaps are settled here.

use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use cron::Schedule;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no schedule: {why}")]
pub struct CrontabError {
    /// The expression as written.
    pub text: String,
    /// The field at fault and what it may hold.
    pub why: String,
}

/// A schedule in local time.
#[derive(Debug, Clone)]
pub struct Crontab {
    schedules: Vec<Schedule>,
    /// One second, minute and hour each, without `*` or a step: a time of day rather than a rhythm.
    fixed_time: bool,
    mixes_days: bool,
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 7] = [
    Field { name: "second", low: 0, high: 59, names: &[] },
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: MONTHS },
    Field { name: "day of week", low: 0, high: 7, names: DAYS },
    Field { name: "year", low: 1970, high: 2099, names: &[] },
];

/// The values of a field; whether it begins with `*`, and whether it holds a `*` or a step.
struct Values {
    list: Vec<u32>,
    star: bool,
    rhythm: bool,
    /// It begins with `*` and is not `*` alone.
    stepped: bool,
}

impl Crontab {
    /// Parses five fields (minute first), six (second first), seven (year last), or `@hourly`, `@daily`, `@midnight`,
    /// `@weekly`, `@monthly`, `@yearly`, `@annually`.
    ///
    /// # Errors
    /// Names the field and what it may hold.
    pub fn parse(text: &str) -> Result<Self, CrontabError> {
        let error = |why: String| CrontabError { text: text.escape_debug().to_string(), why };
        let expanded = match text.trim().to_ascii_lowercase().as_str() {
            "@yearly" | "@annually" => "0 0 1 1 *".to_owned(),
            "@monthly" => "0 0 1 * *".to_owned(),
            "@weekly" => "0 0 * * 0".to_owned(),
            "@daily" | "@midnight" => "0 0 * * *".to_owned(),
            "@hourly" => "0 * * * *".to_owned(),
            other if other.starts_with('@') => {
                return Err(error(
                    "the names are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually".into(),
                ));
            }
            other => other.to_owned(),
        };
        let mut parts: Vec<&str> = expanded.split_whitespace().collect();
        match parts.len() {
            5 => {
                parts.insert(0, "0");
                parts.push("*");
            }
            6 => parts.push("*"),
            7 => {}
            n => {
                return Err(error(format!(
                    "it has {n} fields; five are minute, hour, day of month, month, day of week"
                )));
            }
        }
        let mut values = Vec::with_capacity(7);
        for (part, field) in parts.iter().zip(&FIELDS) {
            values.push(parse_field(part, field).map_err(error)?);
        }
        Self::build(&values).map_err(error)
    }

    fn build(values: &[Values]) -> Result<Self, String> {
        let [second, minute, hour, day, month, weekday, year] = values else {
            return Err("seven fields are needed".into());
        };
        let list = |values: &Values| values.list.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        // In the crate, Sunday is 1; a crontab's 0 and 7 are Sunday.
        let mut days: Vec<u32> = weekday.list.iter().map(|day| day % 7 + 1).collect();
        days.sort_unstable();
        days.dedup();
        let weekdays = days.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let expression = |day: &str, weekday: &str| {
            let year = if year.star && !year.rhythm_with_step() { "*".to_owned() } else { list(year) };
            let text =
                format!("{} {} {} {day} {} {weekday} {year}", list(second), list(minute), list(hour), list(month));
            Schedule::from_str(&text).map_err(|error| error.to_string())
        };
        let day_list = list(day);
        let schedules = if day.star || weekday.star {
            vec![expression(&day_list, &weekdays)?]
        } else {
            vec![expression(&day_list, "*")?, expression("*", &weekdays)?]
        };
        let fixed_time = [second, minute, hour].iter().all(|values| values.list.len() == 1 && !values.rhythm);
        let mixes_days = (day.stepped && weekday.list.len() < 7) || (weekday.stepped && day.list.len() < 31);
        let crontab = Self { schedules, fixed_time, mixes_days };
        if crontab.next_local(NaiveDateTime::default()).is_none() {
            return Err("no such day ever comes".into());
        }
        Ok(crontab)
    }

    /// Whether one day field begins with `*` and has a step while the other is restricted: both must match then, where otherwise
    /// one is enough. Few people expect it.
    #[must_use]
    pub fn mixes_days(&self) -> bool {
        self.mixes_days
    }

    /// The first run after an instant; `None` where there is none any more.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // A gap or an overlap moves local time by some hours: begin before it, and skip what is not after `after`.
        let before = TimeDelta::hours(if near_change(after, zone) { 4 } else { 0 });
        let mut local = after.with_timezone(&zone).naive_local() - before;
        let mut best: Option<DateTime<Utc>> = None;
        loop {
            let Some(candidate) = self.next_local(local) else {
                return best;
            };
            if best.is_some_and(|best| candidate > best.with_timezone(&zone).naive_local() + TimeDelta::hours(4)) {
                return best;
            }
            for instant in self.instants(candidate, zone) {
                if instant > after && best.is_none_or(|best| instant < best) {
                    best = Some(instant);
                }
            }
            // Past every gap or overlap that could still matter, the first find is the answer.
            if let Some(best) = best {
                let past = candidate > best.with_timezone(&zone).naive_local() + TimeDelta::hours(3);
                if self.fixed_time || past || !near_change(best, zone) {
                    return Some(best);
                }
            }
            local = candidate;
        }
    }

    fn next_local(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let after = after.and_utc();
        self.schedules.iter().filter_map(|schedule| schedule.after(&after).next()).min().map(|at| at.naive_utc())
    }

    /// The instants at which a scheduled local time happens: none, one, or in an overlap two.
    fn instants(&self, local: NaiveDateTime, zone: Tz) -> Vec<DateTime<Utc>> {
        match zone.from_local_datetime(&local) {
            LocalResult::Single(at) => vec![at.with_timezone(&Utc)],
            LocalResult::Ambiguous(first, _) if self.fixed_time => vec![first.with_timezone(&Utc)],
            LocalResult::Ambiguous(first, second) => {
                vec![first.with_timezone(&Utc), second.with_timezone(&Utc)]
            }
            LocalResult::None if self.fixed_time => after_gap(local, zone).into_iter().collect(),
            LocalResult::None => Vec::new(),
        }
    }
}

/// Whether the zone's offset changes within four hours of an instant.
fn near_change(at: DateTime<Utc>, zone: Tz) -> bool {
    use chrono::Offset;
    let offset = |hours| (at + TimeDelta::hours(hours)).with_timezone(&zone).offset().fix();
    offset(-4) != offset(0) || offset(0) != offset(4)
}

/// The first instant after the gap in which a local time falls.
fn after_gap(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    // Offsets change at whole seconds; gaps are at most a day (Samoa skipped one).
    let exists = |seconds: i64| zone.from_local_datetime(&(local + TimeDelta::seconds(seconds))).earliest();
    let (mut low, mut high) = (0, 90_000);
    exists(high)?;
    while low + 1 < high {
        let middle = (low + high) / 2;
        if exists(middle).is_some() { high = middle } else { low = middle }
    }
    exists(high).map(|at| at.with_timezone(&Utc))
}

impl Values {
    fn rhythm_with_step(&self) -> bool {
        self.list.len() < 130 && self.rhythm
    }
}

fn parse_field(text: &str, field: &Field) -> Result<Values, String> {
    let mut list = Vec::new();
    let mut rhythm = false;
    for part in text.split(',') {
        let (range, step) =
            match part.split_once('/') {
                Some((range, step)) => {
                    let step = step.parse::<u32>().ok().filter(|step| *step > 0);
                    (
                        range,
                        Some(step.ok_or_else(|| {
                            format!("the step of the {} in \"{part}\" is no number above 0", field.name)
                        })?),
                    )
                }
                None => (part, None),
            };
        rhythm |= step.is_some() || range == "*" || range == "?";
        let (low, high) = match range {
            "*" | "?" => (field.low, if field.name == "day of week" { 6 } else { field.high }),
            _ => match range.split_once('-') {
                Some((low, high)) => (value(low, field)?, value(high, field)?),
                None => {
                    let low = value(range, field)?;
                    (low, if step.is_some() { field.high } else { low })
                }
            },
        };
        if low > high {
            return Err(format!("the {} in \"{part}\" runs backwards", field.name));
        }
        list.extend((low..=high).step_by(usize::try_from(step.unwrap_or(1)).unwrap_or(1)));
    }
    list.sort_unstable();
    list.dedup();
    let star = text.starts_with(['*', '?']);
    Ok(Values { list, star, rhythm, stepped: star && text.len() > 1 })
}

fn value(text: &str, field: &Field) -> Result<u32, String> {
    if let Some(index) = field.names.iter().position(|name| *name == text) {
        return Ok(u32::try_from(index).unwrap_or(0) + u32::from(field.name == "month"));
    }
    text.parse().ok().filter(|value| (field.low..=field.high).contains(value)).ok_or_else(|| {
        let text = text.escape_debug();
        format!("the {} \"{text}\" is not from {} to {}", field.name, field.low, field.high)
    })
}
