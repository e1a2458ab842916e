//! Passwords that a policy accepts, made from random bytes without bias.

use crate::model::{Candidate, Secret};
use zeroize::Zeroizing;

/// What a generated password looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordRules {
    /// Characters in all.
    pub length: usize,
    /// At least so many upper-case letters.
    pub upper: usize,
    /// At least so many lower-case letters.
    pub lower: usize,
    /// At least so many digits.
    pub digits: usize,
    /// At least so many symbols; with 0 there are none.
    pub symbols: usize,
    /// The symbols to choose from.
    pub symbol_set: String,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self { length: 24, upper: 2, lower: 2, digits: 2, symbols: 2, symbol_set: "-_.:+=@,".into() }
    }
}

/// Why no password can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The rules contradict each other.
    #[error("the policy cannot be met: {0}")]
    Rules(String),
    /// Many tries gave none: the excluded texts leave too little room.
    #[error(
        "no password was found that the device takes, that is no former one and does not hold the user name; raise 'length'"
    )]
    Exhausted,
    /// The source of randomness failed.
    #[error("the system's random source failed: {0}")]
    Random(String),
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

/// Fills a buffer with random bytes, or says why it cannot.
pub type Fill<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), String>;

impl PasswordRules {
    /// Whether any password can satisfy the rules.
    ///
    /// # Errors
    /// Says which rule is at odds with which.
    pub fn validate(&self) -> Result<(), String> {
        if !(8..=128).contains(&self.length) {
            return Err(format!("length is {}; it must be from 8 to 128", self.length));
        }
        let needed = self.upper + self.lower + self.digits + self.symbols;
        if needed > self.length {
            return Err(format!("upper + lower + digits + symbols is {needed}, more than length {}", self.length));
        }
        if self.symbols > 0 && self.symbol_set.is_empty() {
            return Err("symbols are demanded but symbol_set is empty".into());
        }
        if let Some(bad) = self.symbol_set.chars().find(|c| !c.is_ascii_punctuation()) {
            return Err(format!("symbol_set holds '{}', which is no printable ASCII symbol", bad.escape_debug()));
        }
        if self.upper + self.lower == 0 && needed == self.length {
            return Err("a password starts with a letter, and the rules leave no room for one".into());
        }
        Ok(())
    }

    /// Makes a password: at least so many of each kind, a letter first, without the user name (in any case), none
    /// of `former`, and one that the device takes.
    ///
    /// # Errors
    /// The rules cannot be met, or randomness failed.
    pub fn generate(
        &self,
        user: &str,
        former: &[Secret],
        takes: &dyn Fn(&str) -> bool,
        fill: Fill<'_>,
    ) -> Result<Candidate, GenerateError> {
        self.validate().map_err(GenerateError::Rules)?;
        for _ in 0..1000 {
            let secret = self.draw(fill)?;
            let text = secret.expose();
            let has_user = user.len() >= 3 && text.to_ascii_lowercase().contains(&user.to_ascii_lowercase());
            if !has_user && takes(text) && former.iter().all(|old| old.expose() != text) {
                return Ok(Candidate::new(secret));
            }
        }
        Err(GenerateError::Exhausted)
    }

    fn draw(&self, fill: Fill<'_>) -> Result<Secret, GenerateError> {
        let symbols = if self.symbols > 0 { self.symbol_set.as_str() } else { "" };
        let letters = format!("{UPPER}{LOWER}");
        let all = format!("{letters}{DIGITS}{symbols}");
        let mut chars: Zeroizing<Vec<char>> = Zeroizing::new(Vec::with_capacity(self.length));
        let kinds = [(UPPER, self.upper), (LOWER, self.lower), (DIGITS, self.digits), (symbols, self.symbols)];
        for (kind, count) in kinds {
            for _ in 0..count {
                chars.push(pick(kind, fill)?);
            }
        }
        if self.upper + self.lower == 0 {
            chars.push(pick(&letters, fill)?);
        }
        while chars.len() < self.length {
            chars.push(pick(&all, fill)?);
        }
        // Fisher and Yates; then the letter that comes first by chance is moved to the front.
        for last in (1..chars.len()).rev() {
            let other = below(last + 1, fill)?;
            chars.swap(last, other);
        }
        let letter = chars.iter().position(char::is_ascii_alphabetic).unwrap_or(0);
        chars.swap(0, letter);
        Ok(Secret::new(chars.iter().collect()))
    }
}

fn pick(from: &str, fill: Fill<'_>) -> Result<char, GenerateError> {
    let at = below(from.len(), fill)?;
    // All sets are ASCII: `validate` saw to it.
    from.as_bytes()
        .get(at)
        .map(|byte| char::from(*byte))
        .ok_or_else(|| GenerateError::Rules("an empty set of characters".into()))
}

/// A number below `bound` (1 to 256), every one equally likely: bytes past the last whole multiple are thrown away.
fn below(bound: usize, fill: Fill<'_>) -> Result<usize, GenerateError> {
    let bound = bound.clamp(1, 256);
    let limit = 256 - 256 % bound;
    loop {
        let mut byte = [0u8];
        fill(&mut byte).map_err(GenerateError::Random)?;
        if usize::from(byte[0]) < limit {
            return Ok(usize::from(byte[0]) % bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A small generator for tests (xorshift), so that a failing case can be run again.
    fn random(mut seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), String> {
        seed |= 1;
        move |bytes| {
            for byte in bytes {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                *byte = seed.to_le_bytes()[3];
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn a_generated_password_always_satisfies_its_rules(
            seed in any::<u64>(), length in 8usize..64, upper in 0usize..4, lower in 0usize..4, digits in 0usize..4, symbols in 0usize..4,
        ) {
            let rules = PasswordRules { length, upper, lower, digits, symbols, ..PasswordRules::default() };
            prop_assume!(rules.validate().is_ok());
            let password = rules.generate("admin", &[], &|_| true, &mut random(seed)).unwrap();
            let text = password.secret().expose();
            let count = |set: &str| text.chars().filter(|c| set.contains(*c)).count();
            prop_assert_eq!(text.len(), length);
            prop_assert!(count(UPPER) >= upper && count(LOWER) >= lower && count(DIGITS) >= digits);
            prop_assert!(count(&rules.symbol_set) >= symbols);
            prop_assert!(symbols > 0 || count(&rules.symbol_set) == 0);
            prop_assert!(text.starts_with(|c: char| c.is_ascii_alphabetic()));
            prop_assert!(!text.to_lowercase().contains("admin"));
            prop_assert!(text.chars().all(|c| !"'\"`$\\!*?[]{}()<>|&;#~ %^".contains(c)), "a shell would read {}", text);
        }
    }

    #[test]
    fn every_character_is_equally_likely() {
        let mut fill = random(7);
        let mut counts = [0u32; 70];
        for _ in 0..70_000 {
            counts[below(70, &mut fill).unwrap()] += 1;
        }
        let chi: f64 = counts.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 120.0, "chi-squared of 69 degrees of freedom: {chi}");
    }

    #[test]
    fn a_former_password_is_never_made_again() {
        let rules = PasswordRules::default();
        let first = rules.generate("x", &[], &|_| true, &mut random(3)).unwrap();
        let second = rules.generate("x", &[first.secret().clone()], &|_| true, &mut random(3)).unwrap();
        assert_ne!(first.secret().expose(), second.secret().expose());
    }

    #[test]
    fn rules_that_cannot_be_met_are_named() {
        let rules = PasswordRules { length: 8, upper: 9, ..PasswordRules::default() };
        assert!(
            rules.generate("x", &[], &|_| true, &mut random(1)).unwrap_err().to_string().contains("more than length")
        );
    }

    #[test]
    fn a_failing_random_source_makes_no_password() {
        let result = PasswordRules::default().generate("x", &[], &|_| true, &mut |_| Err("EIO".into()));
        assert_eq!(result.unwrap_err(), GenerateError::Random("EIO".into()));
    }

    #[test]
    fn what_the_device_does_not_take_is_not_made() {
        let rules = PasswordRules { length: 8, upper: 0, lower: 1, digits: 1, symbols: 0, symbol_set: String::new() };
        for seed in 1..200 {
            let takes = |text: &str| !text.starts_with(|c: char| c.is_ascii_uppercase()) && !text.contains('7');
            let made = rules.generate("x", &[], &takes, &mut random(seed)).unwrap();
            assert!(takes(made.secret().expose()));
        }
        let none = rules.generate("x", &[], &|_| false, &mut random(1));
        assert!(none.unwrap_err().to_string().contains("that the device takes"));
    }
}
