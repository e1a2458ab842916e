//! Broken disks: full, failing, read-only, damaged. Nothing is sent that was not durable, and what can recover does so by
//! itself.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use rotord::demo::{PasswdShell, Reply, Shell, State};

use crate::lab::{Place, kill_traced, wait_for};
use crate::scripted::{FIRST, Scripted, with_shell};

/// A login whose success cannot be put on record counts as refused, so there is room for some.
fn linux() -> Scripted {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let sections = crate::scripted::sections(&scripted.device, "linux-passwd");
    scripted.place.configure(&(sections + "[policy.default]\nfailed_logins_per_hour = 10\n"));
    scripted
}

/// A daemon behind another program; killed when dropped, with all that it started.
struct Behind(Child);

impl Drop for Behind {
    fn drop(&mut self) {
        kill_traced(&mut self.0);
    }
}

/// `None` where the daemon ended instead of getting ready: the service manager would start it again.
fn behind(place: &Place, before: &[&str]) -> Option<Behind> {
    use std::os::unix::process::CommandExt;
    let log = fs::OpenOptions::new().create(true).append(true).open(place.path("log")).unwrap();
    let child = Command::new(before[0])
        .args(&before[1..])
        .args([env!("CARGO_BIN_EXE_rotord"), "--config"])
        .arg(place.path("rotord.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap();
    let mut behind = Behind(child);
    let ready = wait_for("the daemon or its end", || {
        if behind.0.try_wait().unwrap().is_some() {
            return Some(false);
        }
        place.ctl(&["audit", "verify"], "").status.success().then_some(true)
    });
    ready.then_some(behind)
}

/// Rotates until it works; how often it did not.
fn rotates_in_the_end(scripted: &Scripted) -> usize {
    let mut failures = 0;
    loop {
        let (outcome, detail, _) = scripted.place.rotate("dev/admin");
        if outcome == "done" {
            assert_eq!(scripted.device.state().replays, 0);
            return failures;
        }
        failures += 1;
        assert!(failures < 12, "{outcome}: {detail}");
    }
}

/// Whether the fault struck: a rotation failed, or the daemon did not start with it.
fn survives(call: &str, error: &str, first: usize) -> bool {
    let scripted = linux();
    let daemon = scripted.place.daemon();
    scripted.import();
    daemon.stop();
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:error={error}:when={first}..{}", first + 3);
    let faulty = behind(&scripted.place, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
    let failures = faulty.as_ref().map_or(1, |_| rotates_in_the_end(&scripted));
    drop(faulty);
    let _daemon = scripted.place.daemon();
    assert!(scripted.place.changes("dev/admin") <= 2);
    let (verified, _) = scripted.place.json(&["audit", "verify"]);
    assert_eq!(verified["ok"], true, "{call} {error} from {first}: {verified}");
    scripted.place.each_start_has_its_end(&format!("{call} {error} from {first}"));
    assert_eq!(scripted.place.password("dev/admin"), scripted.held(), "{call} {error} from {first}");
    failures > 0
}

#[test]
fn failing_syncs_and_writes_lose_nothing_and_pass() {
    let places = [("fsync", "EIO"), ("fdatasync", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EROFS")];
    std::thread::scope(|scope| {
        for (call, error) in places {
            scope.spawn(move || {
                let struck = [2, 3, 5, 9, 13, 17].into_iter().filter(|first| survives(call, error, *first)).count();
                assert!(struck > 0, "{call} {error} struck nothing");
            });
        }
    });
}

/// A state folder on a small disk of its own, which only the daemon sees.
fn on_a_small_disk(place: &Place) -> Behind {
    let state = place.path("state");
    fs::create_dir_all(&state).unwrap();
    let script = format!("mount -t tmpfs -o size=1200k,mode=0700 tmpfs '{}' && exec \"$0\" \"$@\"", state.display());
    behind(place, &["unshare", "--mount", "sh", "-c", &script]).unwrap()
}

/// The state folder as the daemon sees it.
fn seen(daemon: &Behind, place: &Place) -> std::path::PathBuf {
    let root = format!("/proc/{}/root", daemon.0.id());
    std::path::Path::new(&root).join(place.path("state").strip_prefix("/").unwrap())
}

#[test]
fn a_full_disk_stops_rotations_is_told_and_passes() {
    let scripted = linux();
    let place = &scripted.place;
    let daemon = on_a_small_disk(place);
    scripted.import();
    let fill = seen(&daemon, place).join("fill");
    let error = fs::write(&fill, vec![0; 4 << 20]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(28), "the disk is full: {error}");
    let (outcome, detail, _) = place.rotate("dev/admin");
    assert!(outcome == "failed" && detail.contains("full"), "{outcome}: {detail}");
    assert_eq!(scripted.held(), FIRST, "nothing was sent");
    let (status, _) = place.json(&["status"]);
    assert!(status["vault_error"].as_str().unwrap().contains("full"), "{status}");
    fs::remove_file(&fill).unwrap();
    rotates_in_the_end(&scripted);
    assert_eq!(place.password("dev/admin"), scripted.held());
    let (status, _) = place.json(&["status"]);
    assert!(status["vault_error"].is_null(), "{status}");
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
}

/// A state folder on a filesystem of its own, in a file, as ext4 comes on a disk: the kernel takes it away from under the
/// daemon as it does after an error of the disk.
fn on_a_failing_disk(place: &Place) -> Behind {
    let (state, image) = (place.path("state"), place.path("disk"));
    fs::create_dir_all(&state).unwrap();
    let script = format!(
        "[ -e '{image}' ] || {{ truncate -s 16M '{image}' && /sbin/mkfs.ext4 -q '{image}'; }}; \
         mount -o loop,errors=remount-ro '{image}' '{state}' && chmod 0700 '{state}' && exec \"$0\" \"$@\"",
        image = image.display(),
        state = state.display()
    );
    behind(place, &["unshare", "--mount", "sh", "-c", &script]).unwrap()
}

/// The filesystem goes read-only, open files and all (ext4(5), `abort`).
fn goes_read_only(daemon: u32, state: &std::path::Path) {
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &daemon.to_string(), "mount", "-o", "remount,abort"]).arg(state);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_filesystem_that_goes_read_only_stops_rotations_and_is_told() {
    let scripted = linux();
    let place = &scripted.place;
    let daemon = on_a_failing_disk(place);
    scripted.import();
    goes_read_only(daemon.0.id(), &place.path("state"));
    let error = fs::write(seen(&daemon, place).join("more"), "x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(30), "it is read-only: {error}");
    let (outcome, detail, _) = place.rotate("dev/admin");
    assert!(outcome == "failed" && detail.contains("read-only"), "{outcome}: {detail}");
    assert_eq!(scripted.held(), FIRST, "nothing was sent");
    let (status, _) = place.json(&["status"]);
    assert!(status["vault_error"].as_str().unwrap().contains("read-only"), "{status}");
    let (told, _) = place.json(&["explain", "dev/admin"]);
    let means = told["means"].to_string();
    assert!(means.contains("At present no change begins: ") && means.contains("read-only"), "{told}");
    let (again, _) = place.json(&["status"]);
    assert!(again["vault_error"].as_str().unwrap().contains("read-only"), "it is told as long as it lasts: {again}");
    drop(daemon);
    let _mended = on_a_failing_disk(place);
    rotates_in_the_end(&scripted);
    assert_eq!(place.password("dev/admin"), scripted.held());
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
}

/// Calls something once the device has the new password.
struct Then {
    shell: PasswdShell,
    then: Arc<dyn Fn() + Send + Sync>,
}

impl Shell for Then {
    fn start(&mut self) -> Reply {
        self.shell.start()
    }

    fn line(&mut self, line: &str, state: &mut State) -> Reply {
        let had = state.users["admin"].password.clone();
        let reply = self.shell.line(line, state);
        if state.users["admin"].password.expose() != had.expose() {
            (self.then)();
        }
        reply
    }
}

#[test]
fn a_filesystem_that_goes_read_only_in_the_middle_of_a_change_loses_no_password() {
    let disk: Arc<OnceLock<(u32, std::path::PathBuf)>> = Arc::default();
    let seen_by_device = disk.clone();
    let then = Arc::new(move || {
        let (daemon, state) = seen_by_device.get().unwrap();
        goes_read_only(*daemon, state);
    });
    let scripted = with_shell(
        "linux-passwd",
        Arc::new(move |user| Box::new(Then { shell: PasswdShell::new(user, false), then: then.clone() })),
    );
    let place = &scripted.place;
    let daemon = on_a_failing_disk(place);
    scripted.import();
    disk.set((daemon.0.id(), place.path("state"))).unwrap();
    let (outcome, detail, status) = place.rotate("dev/admin");
    assert!(outcome == "unknown" && status == 5 && detail.contains("read-only"), "{outcome} {status}: {detail}");
    assert_ne!(scripted.held(), FIRST);
    drop(daemon);
    let _mended = on_a_failing_disk(place);
    wait_for("the account to be at rest", || (place.state("dev/admin") == "idle").then_some(()));
    assert_eq!(place.password("dev/admin"), scripted.held());
    assert_eq!(place.changes("dev/admin"), 1);
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
}

#[test]
fn a_damaged_database_is_refused_with_what_to_do_and_left_alone() {
    let scripted = linux();
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    daemon.stop();
    let path = place.path("state/vault.db");
    // All of it in one file, so that no journal mends what is damaged here.
    let database = rusqlite::Connection::open(&path).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(database);
    for journal in ["state/vault.db-wal", "state/vault.db-shm"] {
        drop(fs::remove_file(place.path(journal)));
    }
    let whole = fs::read(&path).unwrap();
    let damages = [
        ("cut in half", whole[..whole.len() / 2].to_vec()),
        ("its head flipped", [&[whole[0] ^ 0xff], &whole[1..]].concat()),
        ("a page overwritten", [&whole[..4096], &[0xa5; 4096], &whole[8192..]].concat()),
        ("cut to nothing", Vec::new()),
        ("text", b"this is no database, and it is long enough to be looked at\n".repeat(100)),
    ];
    for (what, bytes) in damages {
        fs::write(&path, &bytes).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_rotord")).arg("--config").arg(place.path("rotord.toml")).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(12), "{what}: {error}");
        let named = error.contains("is damaged") || error.contains("is gone or empty");
        assert!(named && error.contains("backup"), "{what}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: it is left as it is");
    }
    fs::write(&path, &whole).unwrap();
    let _daemon = place.daemon();
    assert_eq!(place.password("dev/admin"), FIRST);
}
