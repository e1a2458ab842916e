//! A user without a role does to the socket what he can: idle connections, bodies that never end, refused requests without end.
//! Meanwhile a rotation ends well, root is answered, and neither memory nor log grows.
//!
//! REFUSED sets how many refused requests there are at least, and root then has its answers within a second (20,000 where it is not
//! set): REFUSED=600000 cargo test --profile quick --test system load -- --nocapture

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rotord::demo::PasswdShell;

use crate::access::{nobody_runs, open_up};
use crate::scripted::{sections, with_users};

/// Idle connections and slow bodies first, which stay open; then as many requests as are wanted, by several processes at once, and on
/// until the changes have ended.
const FLOOD: &str = r#"
import os, resource, socket, sys, time
path, wanted = sys.argv[1], int(os.environ["WANTED"])
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
body = b"POST /v1/secret/show HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
def knock(says=b""):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    try: s.sendall(says)
    except OSError: pass
    return s
held = [knock() for _ in range(2000)] + [knock(body) for _ in range(256)]
def refused():
    s = knock(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    try: answer = s.recv(4096)
    except OSError: answer = b""
    s.close()
    return b" 403 " in answer or b" 503 " in answer or not answer
PROCESSES = int(os.environ["PROCESSES"])
begun = time.time()
for n in range(PROCESSES):
    read, write = os.pipe()
    if os.fork() == 0:
        asked, ok = 0, True
        while ok and asked < wanted // PROCESSES or not os.path.exists(path + ".changed") and time.time() < begun + 120:
            ok = all([refused() for _ in range(100)]) and ok
            asked += 100
        os.write(write, b"%d" % asked)
        os._exit(0 if ok else 1)
    os.close(write)
    held.append(read)
ends = [os.waitpid(-1, 0)[1] for _ in range(PROCESSES)]
print(sum(int(os.read(read, 100)) for read in held[-PROCESSES:]) if not any(ends) else 0)
"#;

#[test]
fn a_user_without_a_role_harms_nobody() {
    let wanted = std::env::var("REFUSED").ok();
    let whole = wanted.is_some();
    let wanted = wanted.unwrap_or_else(|| "20000".to_owned());
    let scripted =
        with_users("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))), &["admin", "other"]);
    let place = &scripted.place;
    let config = sections(&scripted.device, "linux-passwd");
    place.configure(&format!("[access]\nviewer = [\"root\"]\n{config}[account.\"dev/other\"]\n"));
    open_up(place);
    let daemon = place.daemon();
    place.must(&["import", "-"], &format!("account,password,totp\n{}{}", scripted.row("admin"), scripted.row("other")));
    let audit = || -> u64 {
        let files = std::fs::read_dir(place.path("state/audit")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let before = (audit(), place.log().len());
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let (flood, slowest, asked) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let told = nobody_runs(place, FLOOD, &[("WANTED", &wanted), ("PROCESSES", if whole { "8" } else { "2" })]);
            over.store(true, Ordering::SeqCst);
            (told, begun.elapsed())
        });
        let changes = scope.spawn(|| {
            let results = ["dev/admin", "dev/other"].map(|account| place.rotate(account));
            std::fs::write(place.path("socket.changed"), "").unwrap();
            results.map(|(outcome, detail, _)| assert_eq!(outcome, "done", "{detail}"))
        });
        let (mut slowest, mut asked) = (Duration::ZERO, 0);
        while !over.load(Ordering::SeqCst) {
            let since = Instant::now();
            assert_eq!(place.ctl(&["status"], "").status.code(), Some(0));
            slowest = slowest.max(since.elapsed());
            asked += 1;
        }
        changes.join().unwrap();
        (flood.join().unwrap(), slowest, asked)
    });
    let (events, lines) = (audit() - before.0, place.log().len() - before.1);
    let (refused, time) = (flood.0.trim().parse::<u64>().unwrap(), flood.1);
    println!(
        "{refused} refused requests in {time:?}: root was answered {asked} times, after {slowest:?} at the latest; {} kB of memory at the \
         most; the audit log grew by {events} bytes, the daemon's by {lines}",
        daemon.peak_kb()
    );
    assert!(refused >= wanted.parse().unwrap(), "one of them was not refused");
    // Where other tests run beside this one, a whole second may pass before a process is given a turn.
    assert!(slowest < Duration::from_secs(if whole { 1 } else { 10 }), "{slowest:?}");
    assert!(daemon.peak_kb() < 60 * 1024, "{} kB", daemon.peak_kb());
    assert!(events < 1_000_000 && lines < 1_000_000, "{events} and {lines} bytes");
}
