//! Secrets that notifiers need, read each time: who changes one needs no reload.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::SecretSource;
use crate::files;
use crate::model::Secret;

/// A URL, a key or a password has less.
const MOST: u64 = 16 * 1024;
const TIME: Duration = Duration::from_secs(10);

/// The text of a file or credential, without the line end behind it.
///
/// # Errors
/// It cannot be read in time, is empty, or others can read it. The error names the place and nothing of the text.
pub(super) async fn read(source: &SecretSource) -> Result<Secret, String> {
    let (path, what) = match source {
        SecretSource::File(path) => (path.clone(), path.display().to_string()),
        SecretSource::Credential(name) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                format!("credential {name}: systemd passes none; add LoadCredential={name}:FILE to the unit")
            })?;
            (PathBuf::from(folder).join(name), format!("credential {name}"))
        }
    };
    let is_file = matches!(source, SecretSource::File(_));
    let read = tokio::task::spawn_blocking(move || {
        let (bytes, found) = files::read(&path, MOST).map_err(|error| error.to_string())?;
        let mode = found.mode() & 0o777;
        if is_file && mode & 0o077 != 0 {
            return Err(format!("others can read it (mode {mode:04o}); run: chmod 0600 {}", path.display()));
        }
        let text = files::text_of(bytes).map_err(|error| error.to_string())?;
        let text = Secret::new(text.trim_end_matches(['\n', '\r']).to_owned());
        if text.expose().is_empty() || text.has_control_character() {
            return Err("it is to hold one line of text".to_owned());
        }
        Ok(text)
    });
    let read = tokio::time::timeout(TIME, read).await.map_err(|_| format!("{what}: its disk does not answer"))?;
    read.unwrap_or_else(|error| Err(error.to_string())).map_err(|why| format!("{what}: {why}"))
}
