use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use proptest::prelude::*;

use super::*;
use crate::model::AccountName;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn next(expression: &str, zone: Tz, after: &str) -> String {
    let next = Crontab::parse(expression).unwrap().next_after(utc(after), zone).unwrap();
    next.with_timezone(&zone).to_rfc3339()
}

const BERLIN: Tz = chrono_tz::Europe::Berlin;

#[test]
fn five_fields_mean_what_crontab_means() {
    assert_eq!(next("30 2 * * *", BERLIN, "2026-01-10T12:00:00Z"), "2026-01-11T02:30:00+01:00");
    assert_eq!(next("0 0 * * 1", BERLIN, "2026-01-10T12:00:00Z"), "2026-01-12T00:00:00+01:00", "1 is Monday");
    assert_eq!(next("0 0 * * 0", BERLIN, "2026-01-05T12:00:00Z"), "2026-01-11T00:00:00+01:00", "0 is Sunday");
    assert_eq!(next("0 0 * * 7", BERLIN, "2026-01-05T12:00:00Z"), "2026-01-11T00:00:00+01:00", "7 is Sunday");
    assert_eq!(
        next("0 0 13 * fri", BERLIN, "2026-01-10T12:00:00Z"),
        "2026-01-13T00:00:00+01:00",
        "the 13th or a Friday"
    );
    assert_eq!(
        next("0 0 13 * fri", BERLIN, "2026-01-13T12:00:00Z"),
        "2026-01-16T00:00:00+01:00",
        "the 13th or a Friday"
    );
}

/// Six runs after 2026-01-10 12:00 UTC, as cronsim 2.8 tells them, which follows Debian's cron.
const AS_CRON: &[(&str, [&str; 6])] = &[
    (
        "0 0 1,15 * 5",
        [
            "2026-01-15 00:00",
            "2026-01-16 00:00",
            "2026-01-23 00:00",
            "2026-01-30 00:00",
            "2026-02-01 00:00",
            "2026-02-06 00:00",
        ],
    ),
    (
        "0 0 1-7 * */7",
        [
            "2026-02-01 00:00",
            "2026-03-01 00:00",
            "2026-04-05 00:00",
            "2026-05-03 00:00",
            "2026-06-07 00:00",
            "2026-07-05 00:00",
        ],
    ),
    (
        "0 12 */2 * 1",
        [
            "2026-01-19 12:00",
            "2026-02-09 12:00",
            "2026-02-23 12:00",
            "2026-03-09 12:00",
            "2026-03-23 12:00",
            "2026-04-13 12:00",
        ],
    ),
    (
        "0 2 */15 * */2",
        [
            "2026-01-31 02:00",
            "2026-02-01 02:00",
            "2026-03-01 02:00",
            "2026-03-31 02:00",
            "2026-04-16 02:00",
            "2026-05-16 02:00",
        ],
    ),
    (
        "0 0 */10 * 1-5",
        [
            "2026-01-21 00:00",
            "2026-02-11 00:00",
            "2026-03-11 00:00",
            "2026-03-31 00:00",
            "2026-04-01 00:00",
            "2026-04-21 00:00",
        ],
    ),
    (
        "30 4 1-7 * *",
        [
            "2026-02-01 04:30",
            "2026-02-02 04:30",
            "2026-02-03 04:30",
            "2026-02-04 04:30",
            "2026-02-05 04:30",
            "2026-02-06 04:30",
        ],
    ),
    (
        "0 0 * * */2",
        [
            "2026-01-11 00:00",
            "2026-01-13 00:00",
            "2026-01-15 00:00",
            "2026-01-17 00:00",
            "2026-01-18 00:00",
            "2026-01-20 00:00",
        ],
    ),
    (
        "0 0 2-31/2 * */3",
        [
            "2026-01-14 00:00",
            "2026-01-18 00:00",
            "2026-01-24 00:00",
            "2026-01-28 00:00",
            "2026-02-04 00:00",
            "2026-02-08 00:00",
        ],
    ),
    (
        "0 0 13 * */5",
        [
            "2026-02-13 00:00",
            "2026-03-13 00:00",
            "2026-09-13 00:00",
            "2026-11-13 00:00",
            "2026-12-13 00:00",
            "2027-06-13 00:00",
        ],
    ),
    (
        "0 3 */3 2 mon",
        [
            "2026-02-16 03:00",
            "2027-02-01 03:00",
            "2027-02-22 03:00",
            "2028-02-07 03:00",
            "2028-02-28 03:00",
            "2029-02-19 03:00",
        ],
    ),
];

#[test]
fn a_day_field_that_begins_with_a_star_has_to_match_too() {
    for (text, expected) in AS_CRON {
        let crontab = Crontab::parse(text).unwrap();
        let mut at = utc("2026-01-10T12:00:00Z");
        for expected in expected {
            at = crontab.next_after(at, Tz::UTC).unwrap();
            assert_eq!(at.format("%Y-%m-%d %H:%M").to_string(), *expected, "{text}");
        }
    }
    for (text, mixed) in [
        ("0 0 1-7 * */7", true),
        ("0 12 */2 * 1", true),
        ("0 0 */2 * */3", true),
        ("0 0 1,15 * 5", false),
        ("0 0 */2 * *", false),
        ("0 0 * * */2", false),
        ("0 0 1-7 * *", false),
        ("0 0 13 * fri", false),
        ("*/5 * 1 * 1", false),
    ] {
        assert_eq!(Crontab::parse(text).unwrap().mixes_days(), mixed, "{text}");
    }
}

#[test]
fn a_schedule_of_years_gone_by_has_no_next_run() {
    let crontab = Crontab::parse("0 0 2 * * ? 2020").unwrap();
    assert_eq!(crontab.next_after(utc("2026-01-10T12:00:00Z"), Tz::UTC), None);
    assert!(crontab.next_after(utc("2020-03-10T12:00:00Z"), Tz::UTC).is_some());
}

#[test]
fn a_time_in_the_gap_comes_right_after_it_and_one_in_the_overlap_once() {
    assert_eq!(next("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z"), "2026-03-29T03:00:00+02:00");
    assert_eq!(next("30 2 * * *", BERLIN, "2026-03-29T01:00:00Z"), "2026-03-30T02:30:00+02:00");
    assert_eq!(next("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z"), "2026-10-25T02:30:00+02:00");
    assert_eq!(next("30 2 * * *", BERLIN, "2026-10-25T00:30:00Z"), "2026-10-26T02:30:00+01:00");
}

#[test]
fn a_rhythm_goes_on_through_the_overlap() {
    assert_eq!(next("30 * * * *", BERLIN, "2026-10-25T00:30:00Z"), "2026-10-25T02:30:00+01:00");
    assert_eq!(next("@hourly", BERLIN, "2026-03-29T00:30:00Z"), "2026-03-29T03:00:00+02:00");
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("61 * * * *", "minute \"61\""),
        ("* * * *", "4 fields"),
        ("0 0 30 2 *", "no such day"),
        ("@fortnightly", "@weekly"),
        ("*/0 * * * *", "step"),
        ("0 9-5 * * *", "backwards"),
        ("0 0 * * fry", "day of week"),
    ] {
        let error = Crontab::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_window_may_run_over_midnight_and_opens_again() {
    let window = Window::parse("22:00-05:00").unwrap();
    assert!(window.contains(utc("2026-01-10T22:30:00Z"), BERLIN));
    assert!(window.contains(utc("2026-01-10T03:59:00Z"), BERLIN));
    assert!(!window.contains(utc("2026-01-10T12:00:00Z"), BERLIN));
    assert_eq!(window.next_open(utc("2026-01-10T12:00:30Z"), BERLIN), utc("2026-01-10T21:00:00Z"));
    assert!(Window::parse("1-5").is_err());
}

#[test]
fn the_spread_is_stable_and_even() {
    let hour = Duration::from_secs(3600);
    let offsets: Vec<i64> =
        (0..1000).map(|n| spread_offset_ms(&AccountName::parse(&format!("d{n}/admin")).unwrap(), hour)).collect();
    assert_eq!(offsets[5], spread_offset_ms(&AccountName::parse("d5/admin").unwrap(), hour));
    assert!(offsets.iter().all(|offset| (0..3_600_000).contains(offset)));
    for quarter in 0..4 {
        let count = offsets.iter().filter(|offset| **offset / 900_000 == quarter).count();
        assert!((180..320).contains(&count), "{count} of 1000 in quarter {quarter}");
    }
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (low..=high).prop_map(|n| n.to_string()),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
        1 => (2..12u32).prop_map(|step| format!("*/{step}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let second = prop_oneof![3 => Just("0".to_owned()), 1 => field(0, 59)];
    (second, field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7))
        .prop_map(|(s, m, h, d, mo, w)| format!("{s} {m} {h} {d} {mo} {w}"))
}

fn zone() -> impl Strategy<Value = Tz> {
    proptest::sample::select(vec![
        BERLIN,
        chrono_tz::UTC,
        chrono_tz::America::New_York,
        chrono_tz::America::Sao_Paulo,
        chrono_tz::Australia::Lord_Howe,
        chrono_tz::Asia::Kolkata,
        chrono_tz::Pacific::Auckland,
        chrono_tz::Africa::Casablanca,
    ])
}

/// Half of the instants stand within some seconds of a change of the clocks, where the errors are.
fn perhaps_near_a_change(start: i64, near: Option<usize>, within: i64) -> DateTime<Utc> {
    const CHANGES: [&str; 5] = [
        "2026-03-29T00:00:00Z",
        "2026-10-25T00:00:00Z",
        "2026-03-08T06:30:00Z",
        "2026-11-01T05:30:00Z",
        "2026-04-04T14:30:00Z",
    ];
    let start = near.map_or(start, |n| utc(CHANGES[n % CHANGES.len()]).timestamp() + start % within - within / 2);
    Utc.timestamp_opt(start, 0).unwrap()
}

#[test]
fn a_window_opens_again_where_the_clocks_go_back_into_it() {
    let window = Window::parse("02:00-01:01").unwrap();
    let at = window.next_open(utc("2026-11-01T05:01:00Z"), chrono_tz::America::New_York);
    assert_eq!(at, utc("2026-11-01T06:00:00Z"), "at one o'clock, for the second time");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_window_opens_when_a_look_at_each_minute_first_finds_it_open(
        from in 0u32..1440, length in 1u32..1440, zone in zone(),
        start in 1_577_836_800i64..1_956_528_000, near in proptest::option::of(0usize..40),
    ) {
        let time = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        let window = Window::parse(&format!("{}-{}", time(from), time(from + length))).unwrap();
        let at = perhaps_near_a_change(start, near, 2 * 86_400);
        let mut expected = at;
        while !window.contains(expected, zone) {
            expected = Utc.timestamp_opt((expected.timestamp() / 60 + 1) * 60, 0).unwrap();
        }
        prop_assert_eq!(window.next_open(at, zone), expected, "{:?} in {} at {}", window, zone, at);
    }

    #[test]
    fn the_next_run_is_the_one_that_croner_finds(
        text in expression(), zone in zone(), start in 1_577_836_800i64..1_956_528_000, near in proptest::option::of(0usize..40),
    ) {
        let start = perhaps_near_a_change(start, near, 14_400);
        // Of a day field that begins with a star croner makes no exception by itself.
        let days: Vec<&str> = text.split(' ').collect();
        let both = days[3].starts_with('*') || days[5].starts_with('*');
        let oracle = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).dom_and_dow(both);
        let oracle = oracle.build().parse(&text).unwrap();
        let ours = Crontab::parse(&text).unwrap();
        let mut at = start;
        for _ in 0..3 {
            let expected = oracle.find_next_occurrence(&at.with_timezone(&zone), false).unwrap().with_timezone(&Utc);
            let found = ours.next_after(at, zone).unwrap();
            prop_assert_eq!(found, expected, "{} in {} after {}", text, zone, at);
            at = found;
        }
    }
}
