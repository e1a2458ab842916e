//! By how many time steps a device's clock is off, learned from which codes it takes.
//!
//! RFC 6238 (section 6) has the verifier look for the drift of a token's clock within a window of steps. Here it is the
//! verifier's clock that nobody can set, so whoever makes the codes looks for it.

/// Steps in either direction within which an offset is looked for.
pub const WINDOW: i64 = 2;

/// What is known of a device's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skew {
    /// The device takes codes of so many steps later than the host's clock says; negative where its clock is behind.
    pub steps: i64,
    /// Refusals that moved the search on, in a session or in a login that looked for another offset.
    pub tried: u32,
    /// The known offset has worked since: in the search it comes next.
    pub worked: bool,
    /// How long after its step began a code of the known offset was sent that the device took after it had refused one, in
    /// milliseconds: where it takes them in a part of each step alone, that is in it.
    pub phase_ms: Option<i64>,
}

impl Skew {
    /// The offset for a login that may look for another one. The first is the known one: a refusal may have had other
    /// reasons than a clock.
    #[must_use]
    pub fn probe(self) -> i64 {
        if self.worked {
            return self.steps;
        }
        let nearest_first = (0..=WINDOW).flat_map(|n| if n == 0 { vec![0] } else { vec![n, -n] });
        let others = nearest_first.filter(|steps| *steps != self.steps);
        let all: Vec<i64> = std::iter::once(self.steps).chain(others).collect();
        all[usize::try_from(self.tried).unwrap_or(0) % all.len()]
    }

    /// What is known once a device took a code of this offset; `None` where that is nothing new.
    ///
    /// At the edge of what a device takes, the same offset works late in a step and never at its begin. So that the known
    /// one worked ends the search only where that is `sure`: in a login right after another one, whose code is sent as
    /// its step begins. Else the search goes on where it was, once the known one was refused again: a budget for one more
    /// login is not to be spent on what may work where something did. `phase_ms` is when in its step the code was sent, where
    /// one had been refused before.
    #[must_use]
    pub fn took(self, offset: i64, sure: bool, phase_ms: Option<i64>) -> Option<Self> {
        let same = offset == self.steps;
        let goes_on = same && !sure;
        let known = Self {
            steps: offset,
            tried: if goes_on { self.tried } else { 0 },
            worked: goes_on && self.tried > 0,
            phase_ms: phase_ms.or(self.phase_ms.filter(|_| same)),
        };
        (known != self).then_some(known)
    }

    /// What is known once such a code was refused.
    #[must_use]
    pub fn refused(self) -> Self {
        if self.worked {
            return Self { worked: false, ..self };
        }
        Self { tried: self.tried.saturating_add(1), ..self }
    }

    /// What is known once a code of the known offset was refused that was sent when one had been taken before.
    #[must_use]
    pub fn refused_then(self) -> Self {
        Self { phase_ms: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_of_the_window_is_tried_the_known_one_first_and_then_all_again() {
        let mut skew = Skew { steps: 2, ..Skew::default() };
        let mut tried = Vec::new();
        for _ in 0..7 {
            tried.push(skew.probe());
            skew = skew.refused();
        }
        assert_eq!(tried, [2, 0, 1, -1, -2, 2, 0]);
        assert_eq!(skew.steps, 2, "a refusal unlearns nothing");
    }

    #[test]
    fn what_was_taken_is_known_and_nothing_new_is_not_told() {
        let skew = Skew { tried: 3, ..Skew::default() };
        let behind = Skew { steps: -1, ..Skew::default() };
        assert_eq!(skew.took(-1, false, None), Some(behind));
        assert_eq!((behind.took(-1, true, None), behind.took(-1, false, None)), (None, None));
        assert_eq!(skew.took(0, true, None), Some(Skew::default()));
    }

    #[test]
    fn what_worked_by_turns_is_tried_once_more_and_then_the_search_goes_on_where_it_was() {
        let skew = Skew { tried: 3, ..Skew::default() };
        let worked = skew.took(0, false, None).unwrap();
        assert_eq!((skew.probe(), worked.probe()), (2, 0));
        assert_eq!((worked.took(0, false, None), worked.refused()), (None, skew));
    }

    #[test]
    fn when_in_its_step_a_code_was_taken_holds_for_its_offset_until_one_is_refused_then() {
        let skew = Skew::default().took(0, false, Some(600)).unwrap();
        assert_eq!((skew.phase_ms, skew.took(0, true, None)), (Some(600), None));
        assert_eq!(skew.took(0, false, Some(700)).unwrap().phase_ms, Some(700));
        assert_eq!(skew.took(1, false, None).unwrap().phase_ms, None);
        assert_eq!((skew.refused().phase_ms, skew.refused_then()), (Some(600), Skew::default()));
    }
}
