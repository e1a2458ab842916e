//! How many connections callers may have at once: each of them, each kind of them, and all together.
//!
//! The descriptors of this process are for devices, vault, log and escrow first. Callers share a part of them, and each kind has a
//! part of its own, so that nobody takes the room of root or of the daemon's user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// Whom a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// Root and the daemon's own user.
    Privileged,
    /// Who has a role.
    Member,
    /// Who has none, and who is not known yet.
    Stranger,
}

/// So many connections of a class at once: all together, and of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    all: usize,
    of_one: usize,
}

/// The bounds of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    privileged: Bound,
    members: Bound,
    strangers: Bound,
}

impl Bounds {
    /// Bounds for a process that may have so many descriptors open: a quarter of them at the most is for callers.
    pub(super) fn within(descriptors: usize) -> Self {
        let room = (descriptors / 4).max(16);
        let (privileged, members, strangers) =
            ((room / 4).clamp(4, 64), (room / 2).clamp(4, 256), (room / 4).clamp(4, 64));
        Self {
            privileged: Bound { all: privileged, of_one: privileged },
            members: Bound { all: members, of_one: (members / 4).max(2) },
            strangers: Bound { all: strangers, of_one: (strangers / 4).max(1) },
        }
    }

    /// Bounds for this process.
    pub(super) fn of_this_process() -> Self {
        let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        Self::within(usize::try_from(soft).unwrap_or(usize::MAX))
    }

    fn of(&self, class: Class) -> Bound {
        match class {
            Class::Privileged => self.privileged,
            Class::Member => self.members,
            Class::Stranger => self.strangers,
        }
    }
}

/// Who is inside.
type Inside = HashMap<(Class, u32), usize>;

/// Where callers come in.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    bounds: Bounds,
    inside: Arc<Mutex<Inside>>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    key: (Class, u32),
    inside: Arc<Mutex<Inside>>,
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = lock(&self.inside);
        if let Some(count) = inside.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.key);
            }
        }
    }
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, inside: Arc::default() }
    }

    /// A place for a connection of this user, unless he or his class has as many as there are for it.
    pub(super) fn enter(&self, class: Class, uid: u32) -> Option<Place> {
        let bound = self.bounds.of(class);
        let mut inside = lock(&self.inside);
        let all: usize = inside.iter().filter(|((of, _), _)| *of == class).map(|(_, count)| count).sum();
        let own = inside.get(&(class, uid)).copied().unwrap_or(0);
        if all >= bound.all || own >= bound.of_one {
            return None;
        }
        *inside.entry((class, uid)).or_default() += 1;
        Some(Place { key: (class, uid), inside: self.inside.clone() })
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        lock(&self.inside).values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(gate: &Gate, class: Class, uid: u32) -> Vec<Place> {
        std::iter::from_fn(|| gate.enter(class, uid)).collect()
    }

    #[test]
    fn nobody_takes_the_room_of_others_or_of_another_class() {
        let gate = Gate::new(Bounds::within(1024));
        let one = fill(&gate, Class::Member, 1001);
        assert_eq!(one.len(), 32);
        let all: Vec<Vec<Place>> = (1002..1100).map(|uid| fill(&gate, Class::Member, uid)).collect();
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 128 - 32);
        let strangers: Vec<Vec<Place>> = (2000..2100).map(|uid| fill(&gate, Class::Stranger, uid)).collect();
        assert_eq!(strangers.iter().map(Vec::len).sum::<usize>(), 64);
        let root = fill(&gate, Class::Privileged, 0);
        assert_eq!(root.len(), 64);
        assert_eq!(gate.inside(), 256);
        drop(one);
        assert!(gate.enter(Class::Member, 1001).is_some());
        drop((all, strangers, root));
        assert_eq!(gate.inside(), 0);
    }

    #[test]
    fn most_descriptors_are_for_other_things_than_callers() {
        for descriptors in [256, 1024, 4096, 16_384, 1 << 20] {
            let bounds = Bounds::within(descriptors);
            let all = bounds.privileged.all + bounds.members.all + bounds.strangers.all;
            assert!(all * 4 <= descriptors && all <= 384, "{descriptors}: {bounds:?}");
            assert!(bounds.strangers.of_one < bounds.strangers.all && bounds.members.of_one < bounds.members.all);
        }
    }
}
