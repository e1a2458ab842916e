//! Users and their groups, as the host's directory names them: looked up once in a while, and never by the loop that lets callers in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// For so long it is believed what was found: who is put into a group need not wait longer for it.
const BELIEVED: Duration = Duration::from_secs(10);
/// A directory that takes longer tells nothing.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// Looks at once: a directory that hangs holds no more threads than these.
const LOOKS: usize = 8;
/// Users that are kept in mind.
const KEPT: usize = 1024;

/// A user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// His name, or his number where he has none.
    pub(super) name: String,
    /// Whether he has a name.
    named: bool,
    groups: Vec<String>,
}

impl Person {
    /// Somebody of whom nothing but the number is known.
    pub(super) fn nameless(uid: u32) -> Self {
        Self { name: uid.to_string(), named: false, groups: Vec::new() }
    }

    /// Asks the host's directory, which may take its time.
    fn look_up(uid: u32, gid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let mut ids = vec![Gid::from_raw(gid)];
        if let Some(name) = user.as_ref().and_then(|user| std::ffi::CString::new(user.name.as_str()).ok()) {
            ids.extend(getgrouplist(&name, Gid::from_raw(gid)).unwrap_or_default());
        }
        let groups: Vec<String> =
            ids.into_iter().filter_map(|gid| Group::from_gid(gid).ok().flatten()).map(|group| group.name).collect();
        match user {
            Some(user) => Self { name: user.name, named: true, groups },
            None => Self { groups, ..Self::nameless(uid) },
        }
    }

    /// Whether a list of `[access]` names him or a group of his.
    pub(super) fn is_in(&self, list: &[String]) -> bool {
        list.iter().any(|entry| match entry.strip_prefix('@') {
            Some(group) => self.groups.iter().any(|name| name == group),
            None => self.named && self.name == *entry,
        })
    }
}

/// Who was looked up, and when.
type Known = HashMap<(u32, u32), (Instant, Arc<Person>)>;

/// Those who called of late.
#[derive(Debug)]
pub(super) struct People {
    known: Mutex<Known>,
    looks: Arc<Semaphore>,
}

impl Default for People {
    fn default() -> Self {
        Self { known: Mutex::default(), looks: Arc::new(Semaphore::new(LOOKS)) }
    }
}

impl People {
    /// A user who was looked up a moment ago.
    pub(super) fn known(&self, uid: u32, gid: u32) -> Option<Arc<Person>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(uid, gid)).filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, person)| person.clone())
    }

    /// A user; `None` where the host's directory does not answer.
    pub(super) async fn find(&self, uid: u32, gid: u32) -> Option<Arc<Person>> {
        if let Some(person) = self.known(uid, gid) {
            return Some(person);
        }
        let look = async {
            let permit = self.looks.clone().acquire_owned().await.ok()?;
            let look = tokio::task::spawn_blocking(move || {
                // Held until the directory has answered, though nobody may wait for it any more.
                let _permit = permit;
                Person::look_up(uid, gid)
            });
            look.await.ok()
        };
        let person = Arc::new(timeout(LOOK_TIME, look).await.ok().flatten()?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.retain(|_, (at, _)| at.elapsed() < BELIEVED);
        }
        if known.len() < KEPT {
            known.insert((uid, gid), (Instant::now(), person.clone()));
        }
        Some(person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_is_in_a_list_by_name_and_by_group() {
        let people = People::default();
        assert!(people.known(0, 0).is_none());
        let root = people.find(0, 0).await.unwrap();
        assert!(root.is_in(&["root".into()]) && root.is_in(&["@root".into()]));
        assert!(!root.is_in(&["@nobody-is-in-it".into(), "0".into(), "@".into()]));
        assert_eq!(people.known(0, 0), Some(root));
    }

    #[test]
    fn a_number_without_a_name_is_in_no_list_by_it() {
        let person = Person::look_up(4_000_000_001, 4_000_000_001);
        assert_eq!(person, Person::nameless(4_000_000_001));
        assert!(!person.is_in(&["4000000001".into()]));
    }
}
