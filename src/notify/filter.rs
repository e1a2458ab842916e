//! Which notices a notifier is told.

use super::notice::Notice;
use crate::config::NotifyFilter;
use crate::model::{Urgency, glob_match};

/// Whether a notifier is told of a notice. What ends a trouble is told to whoever may have been told of the trouble.
#[must_use]
pub fn passes(filter: &NotifyFilter, notice: &Notice) -> bool {
    let event = &notice.event;
    let any = |globs: &[String], name: &str| globs.is_empty() || globs.iter().any(|glob| glob_match(glob, name));
    let urgent = notice.urgency >= filter.severity || notice.ends() && filter.severity <= Urgency::Error;
    let named = filter.events.is_empty()
        || filter.events.iter().any(|glob| glob_match(glob, notice.topic.as_str()) || glob_match(glob, &event.event));
    urgent && named && any(&filter.devices, event.device()) && any(&filter.accounts, event.account())
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
}
