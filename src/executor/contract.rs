//! The contract between an attempt and an executor: what is asked, and what comes of it.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::error::DeviceError;
use super::observer::Observer;
use super::values::Stored;
use crate::clock::Waiting;
use crate::config::{Account, Config};
use crate::dialogue::RunFailure;
use crate::model::{AccountName, Secret};
use crate::recognition::Evidence;
use crate::recording::Said;
use crate::template::Checked;
use crate::totp::Seed;

/// Changes and proves passwords on the devices of one kind.
///
/// An executor uses each code once ([`Guards::codes`](super::Guards::codes)), stays within the lockout budget ([`Guards::risks`](super::Guards::risks)), holds a slot of the
/// device while its session stands ([`Observer::slot`]), announces each secret before it leaves ([`Observer::leaves`]), and sends no
/// secret before it has found the device to be the one on record.
pub trait Executor: Send + Sync {
    /// Logs in and runs a template. The machine may ask for it again where a login was refused.
    ///
    /// The new password leaves only after [`Observer::commit_point`] has returned `Ok`. Where that was not asked or did not, the device
    /// has not seen the new password. It ends soon after [`Observer::cancelled`] returns. When it returns, its session is closed.
    fn change<'a>(&'a self, request: ChangeRequest<'a>, observer: &'a dyn Observer) -> Waiting<'a, ChangeResult>;

    /// Logs in afresh with one password and changes nothing: a new connection, and a fresh code where one is asked for. When it
    /// returns, its session is closed.
    fn prove<'a>(&'a self, request: ProofRequest<'a>, observer: &'a dyn Observer) -> Waiting<'a, Proof>;
}

/// A change to make.
pub struct ChangeRequest<'a> {
    /// The config of the attempt.
    pub config: &'a Config,
    /// The account whose password changes.
    pub account: &'a Account,
    /// The account that logs in; often the same.
    pub login: &'a Account,
    /// What runs.
    pub template: &'a Arc<Checked>,
    /// The new password.
    pub new: Option<Secret>,
    /// Whether codes of another time step are tried, since the device's clock may be off.
    pub probe: bool,
    /// Secrets of an account that is being added, in place of what is stored.
    pub given: Option<&'a GivenSecrets>,
    /// Who leads the dialogue.
    pub lead: Lead<'a>,
}

/// The secrets of an account that is being added: they are not stored yet.
#[derive(Debug, Clone)]
pub struct GivenSecrets {
    /// Whose they are.
    pub account: AccountName,
    /// Its password.
    pub password: Option<Secret>,
    /// Its TOTP seed.
    pub seed: Option<Seed>,
    /// Its private key, in OpenSSH's format.
    pub key: Option<Secret>,
}

impl GivenSecrets {
    /// What an account has: what is given, where it is given for this account.
    pub(crate) fn or_stored(given: Option<&Self>, account: &AccountName, stored: Stored) -> Stored {
        match given.filter(|given| given.account == *account) {
            Some(Self { password, seed, key, .. }) => {
                Stored { password: password.clone(), seed: seed.clone(), key: key.clone(), fields: stored.fields }
            }
            None => stored,
        }
    }
}

/// Who leads a change after the login.
pub enum Lead<'a> {
    /// The template.
    Template,
    /// A person, whose lines take the place of the template's. An executor that cannot do so says [`DeviceError::Incapable`].
    Person {
        /// The person.
        person: &'a mut Person,
        /// What is said is put down here.
        said: &'a Mutex<Vec<Said>>,
    },
    /// Nobody: it is looked what the device is, and nothing is changed. An executor that cannot tell says
    /// [`DeviceError::Incapable`].
    Look {
        /// What was seen is put down here.
        seen: &'a Mutex<Option<Evidence>>,
    },
}

/// What came of a change.
#[derive(Debug)]
pub enum ChangeResult {
    /// The dialogue came to its end.
    Ran {
        /// Whether the new password was sent.
        committed: bool,
    },
    /// The login did not let in, or broke off.
    LoginFailed(DeviceError),
    /// Logged in; then the template did not get what it waits for.
    Failed(RunFailure),
    /// Logged in; then the connection, the vault or the commit point failed, or it was cancelled.
    Broken(DeviceError),
    /// That it logged in could not be made durable ([`Observer::logged_in`]); nothing was done.
    NotRecorded(String),
}

/// A password to prove.
pub struct ProofRequest<'a> {
    /// The config of the attempt.
    pub config: &'a Config,
    /// The account.
    pub account: &'a Account,
    /// The account that makes its changes, which logs in where the account cannot.
    pub login: &'a Account,
    /// The password.
    pub password: Tried,
    /// Its name for people: new, old or stored.
    pub called: &'static str,
    /// Whether codes of another time step are tried, since the device's clock may be off.
    pub probe: bool,
    /// Whether that the password is refused is no news.
    pub restored: bool,
}

/// The password that a proof tries.
#[derive(Debug, Clone)]
pub enum Tried {
    /// The stored one.
    Stored,
    /// The candidate, where there is one.
    Candidate(Option<Secret>),
}

/// What a login showed of a password.
#[derive(Debug)]
pub enum Proof {
    /// There is no such password to try.
    Absent,
    /// The device took it.
    Proved(ProvedBy),
    /// The device judged and refused it, in a session that stands: in words.
    Refused(String),
    /// It showed nothing of the password: in words.
    Nothing(String),
    /// The login with it failed: what that shows of it, the error tells.
    LoginFailed(DeviceError),
    /// The session in which it was to be tried did not open, or broke.
    SessionFailed(DeviceError),
}

/// How a password was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvedBy {
    /// A login took it.
    Login,
    /// A login took it, and demanded a new one: only who gave the right one is asked for that.
    DemandOfNew,
    /// The template's section verify, in a session.
    Section,
}

/// The other end of a conversation: lines of a person come in, with tags for secrets, and what the device prints goes out.
pub struct Person {
    /// Lines; it ends when the person is done.
    pub lines: mpsc::Receiver<String>,
    /// Masked text, without control characters of a terminal.
    pub shown: mpsc::UnboundedSender<String>,
}
