use std::path::Path;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::control::people::Person;
use crate::model::Secret;
use crate::vault::VaultKey;

fn daemon(folder: &Path) -> Arc<Core> {
    std::fs::create_dir_all(folder.join("config.d")).unwrap();
    std::fs::create_dir(folder.join("templates")).unwrap();
    std::fs::write(folder.join("templates/t.template"), "exec \"[#NEW_PASSWORD#]\"\nexpect \"*ok*\"\nend\n").unwrap();
    VaultKey::create(&folder.join("vault.key")).unwrap();
    let config = "[daemon]\nstate_dir = \"state\"\nsocket = \"socket\"\ntemplate_dirs = [\"templates\"]\n[vault]\nkey_file = \"vault.key\"\n";
    std::fs::write(folder.join("rotord.toml"), config).unwrap();
    Core::start(&folder.join("rotord.toml")).unwrap()
}

fn write_section(folder: &Path) {
    let text = "[device.web1]\naddress = \"192.0.2.10\"\ntemplate = \"t\"\n[account.\"web1/admin\"]\n";
    std::fs::write(folder.join("config.d/web1.toml"), text).unwrap();
}

/// The request of a caller who may do everything.
fn request(core: &Arc<Core>, password: &str) -> impl Future<Output = Result<Json<DoneBody>, ApiError>> + use<> {
    let uid = nix::unistd::geteuid().as_raw();
    let peer = Peer { uid, pid: 1, person: Arc::new(Person::nameless(uid)) };
    let password = Some(SecretText(Secret::new(password.into())));
    let body = NewAccountBody { account: "web1/admin".into(), password, totp: None, ssh_key: None };
    enroll(State(core.clone()), ConnectInfo(peer), Json(body))
}

fn name() -> AccountName {
    AccountName::parse("web1/admin").unwrap()
}

async fn stored(core: &Core) -> Option<String> {
    let found = core.vault.call(|tx| tx.secret(&name(), &Kind::Password)).await.unwrap();
    found.map(|secret| secret.expose().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_added_to_the_end_where_its_caller_leaves_and_after_what_comes_in_force_before() {
    let folder = tempfile::tempdir().unwrap();
    let core = daemon(folder.path());
    let turn = core.adopting().await;
    {
        let mut asked = std::pin::pin!(request(&core, "First-1"));
        let pending = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(pending, Poll::Pending), "another config is about to come in force");
        // The caller leaves here.
    }
    // What the other one wrote is seen: the config is read in its turn, not before.
    write_section(folder.path());
    let mut adoptions = core.adoptions();
    drop(turn);
    tokio::time::timeout(Duration::from_secs(120), adoptions.changed()).await.unwrap().unwrap();
    assert!(core.config().accounts.contains_key(&name()));
    assert_eq!(stored(&core).await.as_deref(), Some("First-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_a_reload_put_in_force_is_added_once() {
    let folder = tempfile::tempdir().unwrap();
    let core = daemon(folder.path());
    write_section(folder.path());
    core.reload().await;
    assert!(core.config().accounts.contains_key(&name()));
    request(&core, "First-1").await.unwrap();
    let refused = request(&core, "Second-2").await.unwrap_err().into_body();
    assert!(refused.error.contains("already") && refused.exit == 2, "{}", refused.error);
    assert_eq!(stored(&core).await.as_deref(), Some("First-1"));
}
