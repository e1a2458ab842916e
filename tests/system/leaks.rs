//! No secret stands anywhere but sealed in the vault.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rotord::demo::{Reply, Shell, State};

use crate::lab::{Lab, Place};
use crate::scripted::with_shell;

fn files_below(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, into);
        } else if path.is_file() {
            into.push(path);
        }
    }
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn no_secret_is_in_logs_audit_state_environment_or_arguments() {
    let lab = Lab::start("user1 user2");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("lab", &lab);
    let mut secrets: Vec<String> =
        lab.accounts.iter().flat_map(|(_, password, seed)| [password.clone(), seed.clone()]).collect();
    place.must(&["secret", "set", "lab/user1", "--field", "ENABLE"], "Enable-Needle-77\n");
    secrets.push("Enable-Needle-77".into());
    let mut printed = Vec::new();
    for args in [
        &["rotate", "lab/user1"][..],
        &["status"],
        &["history", "lab/user1"],
        &["audit", "tail"],
        &["audit", "export", "--format", "cef"],
        &["verify", "lab/user1"],
    ] {
        let output = place.ctl(args, "");
        printed.extend(output.stdout);
        printed.extend(output.stderr);
    }
    secrets.push(place.password("lab/user1"));
    // A failing login, and a template that fails with the device's echo in its message.
    place.must(&["secret", "set", "lab/user2"], "Wrong-Needle-88\n");
    secrets.push("Wrong-Needle-88".into());
    printed.extend(place.ctl(&["rotate", "lab/user2"], "").stdout);
    let wrong = place.ctl(&["totp", "set", "lab/user2"], "GEZDGNBVGY3TQ0JQ\n");
    assert_eq!(wrong.status.code(), Some(2));
    printed.extend(wrong.stderr);
    secrets.push("GEZDGNBVGY3TQ0JQ".into());

    let mut places: Vec<(String, Vec<u8>)> = vec![("what was printed".into(), printed)];
    for name in ["environ", "cmdline"] {
        places.push((name.into(), std::fs::read(format!("/proc/{}/{name}", daemon.pid())).unwrap()));
    }
    daemon.signal("ABRT");
    drop(daemon);
    let mut files = Vec::new();
    files_below(place.folder.path(), &mut files);
    for core in ["core", "/var/lib/systemd/coredump"] {
        if Path::new(core).is_dir() {
            files_below(Path::new(core), &mut files);
        } else if Path::new(core).is_file() {
            files.push(core.into());
        }
    }
    assert!(files.iter().any(|file| file.ends_with("log")) && files.iter().any(|file| file.ends_with("vault.db")));
    places.extend(files.into_iter().map(|file| (file.display().to_string(), std::fs::read(&file).unwrap_or_default())));
    for (name, bytes) in &places {
        for secret in &secrets {
            assert!(!holds(bytes, secret), "a secret of {} characters is in {name}", secret.len());
        }
    }
    let log = place.log();
    assert!(log.contains("fresh code") && log.contains("DEBUG"), "the log was at its most talkative");
}

/// A switch that shows each line that it gets behind its prompt, broken at a column or in a window that slides, and refuses
/// every password.
struct Narrow {
    width: usize,
    slides: bool,
    in_config: bool,
    given: Arc<Mutex<Vec<String>>>,
}

impl Narrow {
    fn prompt(&self) -> String {
        format!("core-router-of-the-big-site-1{}#", if self.in_config { "(config)" } else { "" })
    }

    fn shown(&self, line: &str) -> String {
        let prompt = self.prompt();
        let all: Vec<char> = prompt.chars().chain(line.chars()).collect();
        let text = |part: &[char]| part.iter().collect::<String>();
        if !self.slides {
            let broken = all.chunks(self.width).map(text).collect::<Vec<_>>().join("\r\n");
            return broken.strip_prefix(&prompt).unwrap_or(&broken).to_owned();
        }
        let ends = (self.width..all.len() + 9).step_by(9).map(|end| end.min(all.len()));
        let windows = ends.map(|end| format!("\r{prompt}${}", text(&all[end.saturating_sub(self.width)..end])));
        windows.collect()
    }
}

impl Shell for Narrow {
    fn start(&mut self) -> Reply {
        Reply::Print(self.prompt().into_bytes())
    }

    fn line(&mut self, line: &str, _: &mut State) -> Reply {
        let shown = self.shown(line);
        let answer = match line.split(' ').next() {
            Some("exit" | "quit") => return Reply::Close(shown.into_bytes()),
            Some("configure") => {
                self.in_config = true;
                "Enter configuration commands, one per line.  End with CNTL/Z.\r\n"
            }
            Some("end") => {
                self.in_config = false;
                ""
            }
            Some("username") => {
                self.given.lock().unwrap().extend(line.split(' ').next_back().map(str::to_owned));
                "% Password does not meet the policy\r\n"
            }
            Some("write") => "Building configuration...\r\n[OK]\r\n",
            _ => "",
        };
        Reply::Print(format!("{shown}\r\n{answer}{}", self.prompt()).into_bytes())
    }
}

#[test]
fn no_piece_of_a_password_is_on_record_where_a_device_breaks_or_slides_its_echo() {
    for (width, slides) in [(80, false), (70, false), (9, false), (30, true)] {
        let given = Arc::new(Mutex::new(Vec::new()));
        let (of_shell, of_test) = (given.clone(), given);
        let shell = move |_: &str| -> Box<dyn Shell> {
            Box::new(Narrow { width, slides, in_config: false, given: of_shell.clone() })
        };
        let scripted = with_shell("cisco-ios", Arc::new(shell));
        let place = &scripted.place;
        let daemon = place.daemon();
        scripted.import();
        let mut records = Vec::new();
        for args in [
            &["rotate", "dev/admin"][..],
            &["rotate", "dev/admin", "--json"],
            &["status", "--json"],
            &["history", "dev/admin"],
            &["history", "dev/admin", "--json"],
            &["explain", "dev/admin"],
            &["audit", "tail", "--json"],
        ] {
            let output = place.ctl(args, "");
            records.push((args.join(" "), [output.stdout, output.stderr].concat()));
        }
        drop(daemon);
        let mut files = Vec::new();
        files_below(place.folder.path(), &mut files);
        files.retain(|file| !file.ends_with("vault.key"));
        records.extend(files.into_iter().map(|file| (file.display().to_string(), std::fs::read(&file).unwrap())));
        let given = of_test.lock().unwrap().clone();
        assert!(given.iter().any(|new| new.len() >= 12), "a new password went out: {}", given.len());
        assert!(place.log().contains("********"), "something is masked in the log: {}", place.log());
        for new in &given {
            for at in 0..=new.len() - 6 {
                for (name, bytes) in &records {
                    assert!(!holds(bytes, &new[at..at + 6]), "characters {at} to {} are in {name}", at + 6);
                }
            }
        }
    }
}
