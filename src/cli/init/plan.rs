//! What `rotorctl init` is to make, from what the caller says and what is there. Pure.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::config::DEFAULT_PATH;

/// What the caller says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) timezone: String,
    pub(super) viewer: Vec<String>,
    pub(super) operator: Vec<String>,
    pub(super) custodian: Vec<String>,
    /// The public half of the recovery key.
    pub(super) recovery_key: Option<String>,
    pub(super) escrow: Option<PathBuf>,
}

/// What is there already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Sections of the config, each with the file that has it.
    pub(super) sections: Vec<(String, PathBuf)>,
    /// Files and folders, of those that may be made.
    pub(super) paths: Vec<PathBuf>,
    /// There is a vault: its key is somewhere, and another one would not open it.
    pub(super) has_vault: bool,
    /// systemd keeps its units below `/etc/systemd/system`.
    pub(super) has_systemd: bool,
}

/// Whose a thing is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Root's, or the caller's where that is not root.
    Caller,
    /// The same, with the daemon's group.
    CallerWithGroup,
    /// The daemon's user.
    Daemon,
}

/// Something to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A folder.
    Folder { path: PathBuf, mode: u32, owner: Owner },
    /// The vault's key.
    Key { path: PathBuf },
    /// A file.
    File { path: PathBuf, text: String, mode: u32, owner: Owner },
}

impl Step {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder { path, .. } | Self::Key { path } | Self::File { path, .. } => path,
        }
    }

    /// Its kind, for people.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "folder",
            Self::Key { .. } => "vault key",
            Self::File { .. } => "file",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In this order.
    pub(super) steps: Vec<Step>,
    /// What stays as it is, and why that may matter.
    pub(super) kept: Vec<String>,
}

/// Where things are for a config at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) config: PathBuf,
    pub(super) base: PathBuf,
    pub(super) key: PathBuf,
    pub(super) state: PathBuf,
    /// The host's own, which the package has laid out and the unit for systemd reads.
    pub(super) is_hosts: bool,
}

/// The folder of systemd's drop-ins for the unit.
const DROP_IN: &str = "/etc/systemd/system/rotord.service.d/escrow.conf";

impl Layout {
    pub(super) fn of(config: &Path) -> Self {
        let base = crate::model::folder_of(config).to_owned();
        let is_hosts = config == Path::new(DEFAULT_PATH);
        let state = if is_hosts { "/var/lib/rotord".into() } else { base.join("state") };
        Self { config: config.to_owned(), key: base.join("vault.key"), state, base, is_hosts }
    }

    /// The file that holds what the caller says.
    pub(super) fn own_file(&self) -> PathBuf {
        self.base.join("config.d/init.toml")
    }

    /// All folders that may be made.
    pub(super) fn folders(&self, answers: &Answers) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = ["config.d", "templates"].iter().map(|name| self.base.join(name)).collect();
        folders.extend([self.base.clone(), self.state.clone()]);
        folders.extend(Path::new(DROP_IN).parent().map(Path::to_owned));
        folders.extend(answers.escrow.clone());
        folders
    }

    /// All files that may be made.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        vec![self.config.clone(), self.own_file(), self.key.clone(), DROP_IN.into()]
    }
}

/// What stands at the head of a config that has nothing yet.
const HEAD: &str = "# rotord's configuration: rotord.toml(5) explains every key. Sections may stand in files of their own too, in config.d/*.toml.\n# 'rotord check' tells what is wrong.\n";

/// What is to be made. Nothing that is there is touched.
pub(super) fn plan(layout: &Layout, answers: &Answers, found: &Found) -> Plan {
    let mut plan = Plan::default();
    let folder = |path: PathBuf, mode, owner| Step::Folder { path, mode, owner };
    let private = if layout.is_hosts { 0o640 } else { 0o600 };
    let mut steps = vec![
        folder(layout.base.clone(), 0o755, Owner::Caller),
        folder(layout.base.join("config.d"), 0o755, Owner::Caller),
        folder(layout.base.join("templates"), 0o755, Owner::Caller),
        folder(layout.state.clone(), 0o700, Owner::Daemon),
        Step::File { path: layout.config.clone(), text: HEAD.to_owned(), mode: private, owner: Owner::CallerWithGroup },
    ];
    if found.has_vault && !found.paths.contains(&layout.key) {
        plan.kept
            .push(format!("{} has a vault, so no key is made: another one would not open it", layout.state.display()));
    } else {
        steps.push(Step::Key { path: layout.key.clone() });
    }
    let (text, left_out) = own_text(layout, answers, found);
    plan.kept.extend(left_out);
    if let Some(escrow) = &answers.escrow {
        steps.push(folder(escrow.clone(), 0o700, Owner::Daemon));
        if layout.is_hosts && found.has_systemd {
            let text = unit_of_escrow(escrow);
            steps.push(folder(Path::new(DROP_IN).parent().unwrap_or(Path::new("/")).to_owned(), 0o755, Owner::Caller));
            steps.push(Step::File { path: DROP_IN.into(), text, mode: 0o644, owner: Owner::Caller });
        }
    }
    // Last: a config that names what is not there yet would be refused by a daemon that starts meanwhile.
    if !text.is_empty() {
        let path = layout.own_file();
        steps.push(Step::File { path, text, mode: private, owner: Owner::CallerWithGroup });
    }
    for step in steps {
        if found.paths.iter().any(|path| path == step.path()) {
            if !matches!(step, Step::Folder { .. }) {
                plan.kept.push(format!("{} is there, and stays as it is", step.path().display()));
            }
        } else {
            plan.steps.push(step);
        }
    }
    plan
}

/// What the unit needs to write into the folder of escrow, and to wait for its disk.
fn unit_of_escrow(escrow: &Path) -> String {
    let path = escrow.display();
    format!("[Unit]\nRequiresMountsFor={path}\n[Service]\nReadWritePaths={path}\n")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The sections that the caller's words make, and those that are left out since they stand somewhere already.
fn own_text(layout: &Layout, answers: &Answers, found: &Found) -> (String, Vec<String>) {
    let mut sections: Vec<(&str, String)> = Vec::new();
    let mut daemon = format!("timezone = {}\n", quoted(&answers.timezone));
    let mut vault = String::new();
    if !layout.is_hosts {
        let _ = writeln!(daemon, "state_dir = {}", quoted(&layout.state.display().to_string()));
        let _ = writeln!(daemon, "socket = {}", quoted(&layout.base.join("control.sock").display().to_string()));
        let folders = [layout.base.join("templates"), "/usr/share/rotord/templates".into()];
        let there = folders.iter().enumerate().filter(|(n, folder)| *n == 0 || folder.is_dir());
        let folders: Vec<String> = there.map(|(_, folder)| quoted(&folder.display().to_string())).collect();
        let _ = writeln!(daemon, "template_dirs = [{}]", folders.join(", "));
        let _ = writeln!(vault, "key_file = {}", quoted(&layout.key.display().to_string()));
    }
    sections.push(("daemon", daemon));
    if let Some(key) = &answers.recovery_key {
        let _ = writeln!(vault, "recovery_key = {}", quoted(key));
    }
    if let Some(escrow) = &answers.escrow {
        let _ = writeln!(vault, "escrow = {}", quoted(&escrow.display().to_string()));
    }
    sections.push(("vault", vault));
    let mut access = String::new();
    for (role, names) in
        [("viewer", &answers.viewer), ("operator", &answers.operator), ("custodian", &answers.custodian)]
    {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            let _ = writeln!(access, "{role} = [{}]", names.join(", "));
        }
    }
    sections.push(("access", access));
    let (mut text, mut left_out) = (String::new(), Vec::new());
    for (name, body) in sections.into_iter().filter(|(_, body)| !body.is_empty()) {
        match found.sections.iter().find(|(section, _)| section == name) {
            Some((_, file)) => {
                left_out.push(format!("[{name}] stands in {} already, and stays as it is", file.display()))
            }
            None => {
                let _ = writeln!(text, "{}[{name}]\n{}", if text.is_empty() { "" } else { "\n" }, body.trim_end());
            }
        }
    }
    (text, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers {
            timezone: "Europe/Berlin".into(),
            operator: vec!["@netops".into()],
            recovery_key: Some("age1x".into()),
            escrow: Some("/mnt/other/rotord".into()),
            ..Answers::default()
        }
    }

    fn file<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
        plan.steps.iter().find_map(|step| match step {
            Step::File { path, text, .. } if path.ends_with(name) => Some(text.as_str()),
            _ => None,
        })
    }

    #[test]
    fn all_is_made_where_nothing_is_there_and_nothing_where_all_is() {
        let layout = Layout::of(Path::new(DEFAULT_PATH));
        let nothing = Found { has_systemd: true, ..Found::default() };
        let made = plan(&layout, &answers(), &nothing);
        assert!(made.kept.is_empty());
        let text: toml::Table = toml::from_str(file(&made, "config.d/init.toml").unwrap()).unwrap();
        assert_eq!(text["daemon"]["timezone"].as_str(), Some("Europe/Berlin"));
        assert_eq!(text["access"]["operator"][0].as_str(), Some("@netops"));
        assert_eq!(text["vault"]["escrow"].as_str(), Some("/mnt/other/rotord"));
        assert!(text["daemon"].get("state_dir").is_none(), "the host's own places are the defaults");
        assert!(file(&made, "escrow.conf").unwrap().contains("ReadWritePaths=/mnt/other/rotord"));
        let key = made.steps.iter().position(|step| matches!(step, Step::Key { .. })).unwrap();
        assert!(key < made.steps.len() - 1, "the file that names things comes after them");

        let paths = [layout.folders(&answers()), layout.files()].concat();
        let again = plan(&layout, &answers(), &Found { paths, has_vault: true, ..nothing });
        assert_eq!(again.steps, []);
        assert!(again.kept.iter().any(|kept| kept.contains("init.toml")), "{:?}", again.kept);
    }

    #[test]
    fn a_section_that_stands_somewhere_is_left_there() {
        let layout = Layout::of(Path::new(DEFAULT_PATH));
        let found = Found {
            sections: vec![("daemon".into(), "/etc/rotord/rotord.toml".into()), ("device".into(), "x".into())],
            ..Found::default()
        };
        let made = plan(&layout, &answers(), &found);
        let text = file(&made, "config.d/init.toml").unwrap();
        assert!(!text.contains("[daemon]") && text.contains("[vault]") && text.contains("[access]"), "{text}");
        assert!(made.kept.concat().contains("[daemon] stands in /etc/rotord/rotord.toml"), "{:?}", made.kept);
    }

    #[test]
    fn a_vault_keeps_its_key() {
        let layout = Layout::of(Path::new(DEFAULT_PATH));
        let made = plan(&layout, &Answers::default(), &Found { has_vault: true, ..Found::default() });
        assert!(!made.steps.iter().any(|step| matches!(step, Step::Key { .. })));
        assert!(made.kept.concat().contains("no key is made"), "{:?}", made.kept);
    }

    #[test]
    fn elsewhere_than_on_the_host_everything_is_beside_the_config() {
        let layout = Layout::of(Path::new("/home/alice/rotord/rotord.toml"));
        let made = plan(&layout, &Answers { timezone: "UTC".into(), ..Answers::default() }, &Found::default());
        let text: toml::Table = toml::from_str(file(&made, "config.d/init.toml").unwrap()).unwrap();
        assert_eq!(text["daemon"]["state_dir"].as_str(), Some("/home/alice/rotord/state"));
        assert_eq!(text["vault"]["key_file"].as_str(), Some("/home/alice/rotord/vault.key"));
        assert!(made.steps.iter().all(|step| step.path().starts_with("/home/alice/rotord")));
    }
}
