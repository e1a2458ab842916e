//! The simulator: the daemon's own code in a world that is made to break it, from one seed, without real time.
//!
//! What is true here: the state machine, admission, the scheduler, recovery, the single-use rule, policies, the login,
//! the template language and its runner, all as the daemon runs them. What is simulated: time, randomness, the executor,
//! the network, the devices, the disk under the vault, and the people. After each call to the vault and each change at a
//! device an omniscient checker looks at every promise.

mod checker;
mod coverage;
#[cfg(test)]
mod doubt_tests;
mod events;
mod executor;
mod faults;
mod fleet;
mod habits;
mod history;
mod host;
mod logins;
mod memory_transaction;
mod memory_vault;
#[cfg(test)]
mod night;
mod person;
mod random;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod schedule_tests;
mod setting;
mod settle;
mod shell;
mod turns;
mod universe;

pub use coverage::{Coverage, cannot_happen};
pub use faults::Fault;
pub use habits::Habit;
pub use history::{Ended, Plan, run};
pub use random::Random;

/// Which promise a violation breaks, without the names and numbers of the history.
#[must_use]
pub fn kind_of(violation: &str) -> String {
    let plain = |word: &&str| !word.contains(['/', '«', '"']) && !word.chars().any(|c| c.is_ascii_digit());
    violation.split_whitespace().filter(plain).take(12).collect::<Vec<_>>().join(" ")
}

/// Makes a failing history as small as it gets: faults and habits are left out and days cut off as long as the same promise is
/// broken. Returns the smallest one, told.
#[must_use]
pub fn shrink(plan: Plan) -> Ended {
    let Some(first) = run(plan).violation else {
        return run(Plan { tell: true, ..plan });
    };
    let fails = |plan: Plan| run(plan).violation.is_some_and(|found| kind_of(&found) == kind_of(&first));
    let mut best = plan;
    for _ in 0..2 {
        for fault in Fault::ALL {
            let smaller = Plan { without: best.without | fault.bit(), ..best };
            if smaller.without != best.without && fails(smaller) {
                best = smaller;
            }
        }
        for habit in Habit::ALL {
            let smaller = Plan { without_habits: best.without_habits | habit.bit(), ..best };
            if smaller.without_habits != best.without_habits && fails(smaller) {
                best = smaller;
            }
        }
        while best.days > 1 && fails(Plan { days: best.days - 1, ..best }) {
            best.days -= 1;
        }
    }
    run(Plan { tell: true, ..best })
}
