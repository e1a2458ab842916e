//! Which notices a notifier is told.

use super::notice::Notice;
use crate::config::NotifyFilter;
use crate::model::{Topic, Urgency, glob_match};

/// Whether a notifier is told of a notice. What ends a trouble is told to whoever was to be told of the trouble.
#[must_use]
pub fn passes(filter: &NotifyFilter, notice: &Notice) -> bool {
    let event = &notice.event;
    let any = |globs: &[String], name: &str| globs.is_empty() || globs.iter().any(|glob| glob_match(glob, name));
    let own = notice.urgency >= filter.severity
        && (any(&filter.events, notice.topic.as_str()) || any(&filter.events, &event.event));
    let ends = |(topic, urgency): &(Topic, Urgency)| *urgency >= filter.severity && any(&filter.events, topic.as_str());
    (own || notice.ended.iter().any(ends))
        && any(&filter.devices, event.device())
        && any(&filter.accounts, event.account())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::event::Event;
    use crate::notify::notice::Story;

    fn notice(event: &str, account: &str) -> Notice {
        let device = account.split('/').next().map(str::to_owned);
        Story::default().take(Event {
            seq: 1,
            account: Some(account.into()),
            device,
            ..Event::outside(event, String::new(), "")
        })
    }

    #[test]
    fn events_devices_accounts_and_severity_each_leave_out() {
        let all = NotifyFilter { severity: Urgency::Info, ..NotifyFilter::default() };
        let cases: [(NotifyFilter, &str, bool); 10] = [
            (NotifyFilter::default(), "rotation.failed", true),
            (NotifyFilter::default(), "rotation.done", false),
            (all.clone(), "rotation.done", true),
            (NotifyFilter { events: vec!["quarantine".into()], ..all.clone() }, "account.quarantined", true),
            (NotifyFilter { events: vec!["account.*".into()], ..all.clone() }, "account.quarantined", true),
            (NotifyFilter { events: vec!["quarantine".into()], ..all.clone() }, "rotation.failed", false),
            (NotifyFilter { devices: vec!["dc*".into()], ..all.clone() }, "rotation.failed", false),
            (NotifyFilter { devices: vec!["web*".into()], ..all.clone() }, "rotation.failed", true),
            (NotifyFilter { accounts: vec!["*/root".into()], ..all.clone() }, "rotation.done", false),
            (NotifyFilter { accounts: vec!["*/admin".into()], ..all }, "rotation.done", true),
        ];
        for (filter, event, expected) in cases {
            assert_eq!(passes(&filter, &notice(event, "web1/admin")), expected, "{filter:?} {event}");
        }
    }

    #[test]
    fn the_end_of_a_trouble_is_told_to_whoever_was_told_of_it_and_to_nobody_else() {
        let mut story = Story::default();
        let mut end_of = |trouble: &str| {
            let event = |name: &str| Event {
                seq: 1,
                account: Some("web1/admin".into()),
                device: Some("web1".into()),
                ..Event::outside(name, String::new(), "")
            };
            story.take(event(trouble));
            story.take(event("rotation.done"))
        };
        let (failed, quarantined) = (end_of("rotation.failed"), end_of("account.quarantined"));
        let warnings = NotifyFilter::default();
        let errors = NotifyFilter { severity: Urgency::Error, ..NotifyFilter::default() };
        let named = NotifyFilter { events: vec!["quarantine".into()], ..NotifyFilter::default() };
        for (filter, notice, expected) in [
            (&warnings, &failed, true),
            (&errors, &failed, false),
            (&errors, &quarantined, true),
            (&named, &failed, false),
            (&named, &quarantined, true),
            (&warnings, &notice("rotation.done", "web1/admin"), false),
        ] {
            assert_eq!(passes(filter, notice), expected, "{filter:?} {notice:?}");
        }
    }
}
