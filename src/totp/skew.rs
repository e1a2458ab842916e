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
    /// Logins that were refused while another offset was looked for.
    pub tried: u32,
}

impl Skew {
    /// The offset for a login that may look for another one. The first is the one that good clocks have: a refusal may
    /// have had other reasons than a clock.
    #[must_use]
    pub fn probe(self) -> i64 {
        let nearest_first = (0..=WINDOW).flat_map(|n| if n == 0 { vec![0] } else { vec![n, -n] });
        let count = usize::try_from(2 * WINDOW + 1).unwrap_or(1);
        nearest_first.cycle().nth(usize::try_from(self.tried).unwrap_or(0) % count).unwrap_or(0)
    }

    /// What is known once a device took a code of this offset; `None` where that is nothing new.
    #[must_use]
    pub fn took(self, offset: i64) -> Option<Self> {
        let known = Self { steps: offset, tried: 0 };
        (known != self).then_some(known)
    }

    /// What is known once a login that looked for another offset was refused.
    #[must_use]
    pub fn refused(self) -> Self {
        Self { tried: self.tried.saturating_add(1), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_of_the_window_is_tried_the_nearest_first_and_then_all_again() {
        let mut skew = Skew { steps: 2, tried: 0 };
        let mut tried = Vec::new();
        for _ in 0..7 {
            tried.push(skew.probe());
            skew = skew.refused();
        }
        assert_eq!(tried, [0, 1, -1, 2, -2, 0, 1]);
        assert_eq!(skew.steps, 2, "a refusal unlearns nothing");
    }

    #[test]
    fn what_was_taken_is_known_and_nothing_new_is_not_told() {
        let skew = Skew { steps: 0, tried: 3 };
        assert_eq!(skew.took(-1), Some(Skew { steps: -1, tried: 0 }));
        assert_eq!(Skew { steps: -1, tried: 0 }.took(-1), None);
        assert_eq!(skew.took(0), Some(Skew::default()));
    }
}
