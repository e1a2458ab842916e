//! What has a place in the log of its own: a notifier; of mail, each address. So an address that is refused is in nobody's way, and no
//! other gets a mail again because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Channel, Notifier};

/// A notifier with one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    /// Under which the vault has how far it is: the notifier's name, and on a line of its own the address of a mail.
    pub(super) key: String,
    /// What people call it.
    pub(super) label: String,
    /// The notifier; one of mail has this lane's address alone.
    pub(super) notifier: Arc<Notifier>,
}

/// The lanes of notifiers.
pub(super) fn lanes(notifiers: &BTreeMap<String, Arc<Notifier>>) -> Vec<Lane> {
    notifiers.values().flat_map(of_one).collect()
}

fn of_one(notifier: &Arc<Notifier>) -> Vec<Lane> {
    let name = &notifier.name;
    let Channel::Email { to, .. } = &notifier.channel else {
        return vec![Lane { key: name.clone(), label: name.clone(), notifier: notifier.clone() }];
    };
    let addresses: BTreeSet<&String> = to.iter().collect();
    let is_one = addresses.len() == 1;
    let lane = |address: &String| {
        let mut own = Notifier::clone(notifier);
        if let Channel::Email { to, .. } = &mut own.channel {
            *to = vec![address.clone()];
        }
        // No name has a line end in it.
        let label = if is_one { name.clone() } else { format!("{name} ({address})") };
        Lane { key: format!("{name}\n{address}"), label, notifier: Arc::new(own) }
    };
    addresses.into_iter().map(lane).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{MailTransport, NotifyFilter};

    #[test]
    fn mail_has_a_lane_for_each_address_and_anything_else_one() {
        let notifier = |name: &str, channel: Channel| {
            let (filter, fold) = (NotifyFilter::default(), Duration::ZERO);
            (
                name.to_owned(),
                Arc::new(Notifier { name: name.into(), channel, filter, fold, digest: None, backlog: 10 }),
            )
        };
        let mail = |to: &[&str]| Channel::Email {
            server: ("mx".into(), 25),
            transport: MailTransport::Tls,
            from: "rotord@example.org".into(),
            to: to.iter().map(|address| (*address).to_owned()).collect(),
            login: None,
            ca_file: None,
        };
        let program = Channel::Command { command: vec!["/bin/true".into()], user: None, timeout: Duration::ZERO };
        let all = [
            notifier("a", mail(&["x@example.org", "y@example.org", "x@example.org"])),
            notifier("b", mail(&["x@example.org"])),
            notifier("c", program),
        ];
        let lanes = lanes(&all.into());
        let named: Vec<(&str, &str)> = lanes.iter().map(|lane| (lane.key.as_str(), lane.label.as_str())).collect();
        assert_eq!(
            named,
            [
                ("a\nx@example.org", "a (x@example.org)"),
                ("a\ny@example.org", "a (y@example.org)"),
                ("b\nx@example.org", "b"),
                ("c", "c")
            ]
        );
        let Channel::Email { to, .. } = &lanes[1].notifier.channel else { panic!() };
        assert_eq!(to, &["y@example.org"]);
    }
}
