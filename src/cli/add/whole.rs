//! A new file of `config.d` and what the daemon stores with it: both or neither, whatever becomes of the caller.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use super::file::NewFile;
use crate::cli::Failure;
use crate::config::{ConfigTurn, TurnKind, take_turn};
use crate::control::{Client, ClientError, ImportLookBody, ImportLookedBody};
use crate::model::folder_of;

/// So long another command that changes the config is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What comes into the config.
pub(in crate::cli) struct Change<'a> {
    /// The file.
    pub(in crate::cli) path: &'a Path,
    /// Its text.
    pub(in crate::cli) text: &'a str,
    /// A device of it.
    pub(in crate::cli) device: &'a str,
    /// The user name of an account on that device, where an account comes.
    pub(in crate::cli) user: Option<&'a str>,
    /// What is said where it is not done, as in "was not added".
    pub(in crate::cli) not_done: &'a str,
}

/// How a change ended well.
pub(in crate::cli) enum Taken<T> {
    /// The daemon said so.
    Answered(T),
    /// The answer was lost, and the daemon was asked whether it was done.
    InForce,
}

impl Change<'_> {
    /// Writes the file and has the daemon take it in by a request; where that is refused the file goes again.
    ///
    /// # Errors
    /// Neither is done; or nobody knows whether the daemon did its part, and the file stays.
    pub(in crate::cli) async fn make<B: Serialize, T: DeserializeOwned>(
        &self,
        client: &Client,
        (path, body): (&str, &B),
    ) -> Result<Taken<T>, Failure> {
        let _turn = self.turn()?;
        // From here on it is done or undone as a whole: no signal of a terminal comes in between, nor that of its end.
        let ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let _ignored = ends.map(signal);
        let file = NewFile::write(self.path, self.text)?;
        let error = match client.post::<_, T>(path, body).await {
            Ok(answer) => {
                file.keep();
                return Ok(Taken::Answered(answer));
            }
            Err(error) => error,
        };
        if is_lost(&error) {
            match self.is_in_force(client).await {
                Ok(true) => {
                    file.keep();
                    return Ok(Taken::InForce);
                }
                Ok(false) => {}
                Err(why) => {
                    file.keep();
                    return Err(self.unknown(&error, &why));
                }
            }
        }
        drop(file);
        let Failure { message, exit } = Failure::from(error);
        Err(Failure {
            message: format!("{}, and {} is gone again: {message}", self.not_done, self.path.display()),
            exit,
        })
    }

    /// Waits for other commands that change the config, and for a reload.
    fn turn(&self) -> Result<Option<ConfigTurn>, Failure> {
        let folder = folder_of(folder_of(self.path));
        let waiting = || eprintln!("rotorctl: another command, or a reload, has the config at present: waiting for it");
        match take_turn(folder, TurnKind::Change, PATIENCE, waiting) {
            Ok(turn) => Ok(Some(turn)),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(Failure::usage(format!(
                "{}: another command has had the config in {} for {} s; see who: fuser -v {}/rotord.toml",
                self.not_done,
                folder.display(),
                PATIENCE.as_secs(),
                folder.display()
            ))),
            // What cannot be locked can be written all the same: on some filesystems nobody locks.
            Err(_) => Ok(None),
        }
    }

    /// Whether the daemon has it in force. It answers once nothing is about to come in force.
    async fn is_in_force(&self, client: &Client) -> Result<bool, ClientError> {
        let looked: ImportLookedBody = client.post("/v1/import/look", &ImportLookBody::default()).await?;
        let is_there = |known: &crate::control::ImportDevice| {
            known.name == self.device && self.user.is_none_or(|user| known.users.iter().any(|known| known == user))
        };
        Ok(looked.devices.iter().any(is_there))
    }

    /// What is said where nobody knows whether it was done.
    fn unknown(&self, lost: &ClientError, why: &ClientError) -> Failure {
        let file = self.path.display();
        let account = self.user.map_or_else(String::new, |user| format!(" {}/{user}", self.device));
        let command = format!("rotorctl doctor{account}");
        Failure {
            message: format!(
                "nobody knows whether the daemon did its part: {lost}; asked again: {why}\n{file} stays. When the daemon answers, '{command}' tells whether the secrets are stored. If they are not, remove the file and run this again."
            ),
            exit: 5,
        }
    }
}

/// Whether a request that failed may have been done.
fn is_lost(error: &ClientError) -> bool {
    matches!(error, ClientError::Broken(_)) || error.exit() == 5
}
