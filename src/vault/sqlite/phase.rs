//! Phases as the database has them.

use std::borrow::Cow;

use crate::rotation::{Doubt, Phase, Which};

pub(super) fn phase_text(phase: Phase) -> Cow<'static, str> {
    let plain = match phase {
        Phase::Idle => "idle",
        Phase::Prepared => "prepared",
        Phase::Changing => "changing",
        Phase::Sent => "sent",
        Phase::Verifying => "verifying",
        Phase::Uncertain(doubt) => return doubt_text(doubt).into(),
        Phase::Quarantined => "quarantined",
        Phase::Mending => "mending",
    };
    plain.into()
}

/// `uncertain-WHICH`, then `-only` where the other one was refused, `-hung` where the device hung up, and the number of looks
/// in vain.
fn doubt_text(doubt: Doubt) -> String {
    let Doubt { likely, other_refused, hung_up, looks } = doubt;
    let (only, hung) = (if other_refused { "-only" } else { "" }, if hung_up { "-hung" } else { "" });
    let looks = if looks > 0 { format!("-{looks}") } else { String::new() };
    format!("uncertain-{}{only}{hung}{looks}", likely.name())
}

pub(super) fn parse_phase(text: &str) -> Option<Phase> {
    let plain = [
        Phase::Idle,
        Phase::Prepared,
        Phase::Changing,
        Phase::Sent,
        Phase::Verifying,
        Phase::Quarantined,
        Phase::Mending,
    ];
    plain.into_iter().find(|phase| phase_text(*phase) == text).or_else(|| parse_doubt(text).map(Phase::Uncertain))
}

fn parse_doubt(text: &str) -> Option<Doubt> {
    let mut words = text.strip_prefix("uncertain-")?.split('-');
    let likely =
        [Which::Old, Which::New].into_iter().zip([words.next()?; 2]).find(|(which, word)| which.name() == *word);
    let mut doubt = Doubt::fresh(likely?.0);
    for word in words {
        match word {
            "only" => doubt.other_refused = true,
            "hung" => doubt.hung_up = true,
            number => doubt.looks = number.parse().ok()?,
        }
    }
    Some(doubt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_doubt_is_read_as_it_was_written_and_so_are_those_of_before() {
        let flags = [false, true];
        for (likely, looks) in
            [Which::Old, Which::New].into_iter().flat_map(|likely| [(likely, 0), (likely, 1), (likely, 255)])
        {
            for (other_refused, hung_up) in flags.into_iter().flat_map(|first| flags.map(|second| (first, second))) {
                let phase = Phase::Uncertain(Doubt { likely, other_refused, hung_up, looks });
                assert_eq!(parse_phase(&phase_text(phase)), Some(phase));
            }
        }
        let before = Doubt { other_refused: true, hung_up: true, ..Doubt::fresh(Which::New) };
        assert_eq!(parse_phase("uncertain-new-only-hung"), Some(Phase::Uncertain(before)));
        for nonsense in ["uncertain", "uncertain-", "uncertain-newer", "uncertain-new-x", "uncertain-new-256", "idle-1"]
        {
            assert_eq!(parse_phase(nonsense), None, "{nonsense}");
        }
    }
}
