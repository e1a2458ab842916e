#!/usr/bin/env python3
"""What the daemon takes with very many accounts: benches/scale.py BINARIES [ACCOUNTS [DEVICES]] [--json FILE].

Measures real daemons with made configs: check, ready, import, memory at rest, status, reload, and all accounts due at the same
moment while their devices refuse the connection. Nothing but loopback is contacted. Every wait is for an event: the service
manager's READY=1, the end of a command, a line of the audit log.
"""
import argparse, base64, glob, os, signal, socket, subprocess, sys, tempfile, threading, time

from common import Daemon, Figures, head_of_config, new_key, now

FINGERPRINT = "SHA256:" + "A" * 43


def write_config(folder, port, accounts, devices, schedule):
    each = accounts // devices
    with open(f"{folder}/rotord.toml", "w") as config:
        config.write(head_of_config())
        for device in range(devices):
            config.write(f'[device.d{device:05}]\naddress = "127.0.0.1:{port}"\nhost_key = ["{FINGERPRINT}"]\ntemplate = "linux-passwd"\nmax_sessions = 2\n')
            config.write("".join(f'[account."d{device:05}/u{user:04}"]\n' for user in range(each)))
        config.write(f'[job.all]\nschedule = "{schedule}"\naccounts = ["*"]\non_signal = true\n')


def secrets(accounts, devices):
    lines = ["account,password,totp"]
    for at in range(accounts):
        device, user = divmod(at, accounts // devices)
        seed = base64.b32encode(at.to_bytes(20, "big")).decode()
        lines.append(f"d{device:05}/u{user:04},Some.Passw0rd-{at},{seed}")
    return ("\n".join(lines) + "\n").encode()


class Pings(threading.Thread):
    """Asks for one account again and again; the longest answer."""

    def __init__(self, daemon, path):
        super().__init__(daemon=True)
        self.asked, self.path, self.longest, self.count, self.ends = daemon, path, 0.0, 0, threading.Event()

    def run(self):
        while not self.ends.wait(0.01):
            self.longest = max(self.longest, self.asked.get(self.path)[1])
            self.count += 1

    def end(self):
        self.ends.set()
        self.join()
        return self.longest


def outcomes(folder, tails):
    """How many attempts have their end in the audit log by now."""
    for path in sorted(glob.glob(f"{folder}/state/audit/*.jsonl")):
        with open(path, "rb") as file:
            at, count = tails.get(path, (0, 0))
            file.seek(at)
            while block := file.read(1 << 22):
                block = block[:block.rfind(b"\n") + 1] if b"\n" in block else b""
                if not block:
                    break
                count += block.count(b'"event":"rotation.failed"')
                at += len(block)
                file.seek(at)
            tails[path] = (at, count)
    return sum(count for _, count in tails.values())


def best(times, measure):
    """The least and the median of a few."""
    found = sorted(measure() for _ in range(times))
    return found[len(found) // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries")
    parser.add_argument("accounts", nargs="?", type=int, default=100_000)
    parser.add_argument("devices", nargs="?", type=int, default=10_000)
    parser.add_argument("--json")
    parser.add_argument("--skip-due", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--wait", type=float, default=600, help="the most seconds until all have their outcome")
    asked = parser.parse_args()
    binaries, folder = os.path.abspath(asked.binaries), tempfile.mkdtemp(prefix="rotord-scale-")
    print(folder, file=sys.stderr)
    refusing = socket.socket()
    refusing.bind(("127.0.0.1", 0))  # taken, and nobody listens: a connection is refused
    write_config(folder, refusing.getsockname()[1], asked.accounts, asked.devices, "0 0 1 1 *")
    new_key(binaries, folder)
    figures = Figures("benches/scale.py")
    figure = figures.add

    def check():
        begun = now()
        subprocess.run([f"{binaries}/rotord", "check", "--config", f"{folder}/rotord.toml"], check=True, stdout=subprocess.DEVNULL)
        return now() - begun

    figure("check", best(3, check), "s", 0.4)
    daemon = Daemon(binaries, folder)
    figure("ready, an empty vault", daemon.ready, "s")
    took, _ = daemon.ctl("import", "-", input=secrets(asked.accounts, asked.devices))
    figure(f"import of {2 * asked.accounts} secrets", took, "s", 3)
    figure("memory at its highest during the import", daemon.status("VmHWM"), "MB")
    daemon.stop()

    def ready():
        one = Daemon(binaries, folder)
        one.stop()
        return one.ready

    figure("ready after the start", best(3, ready), "s", 0.5)
    daemon = Daemon(binaries, folder)
    account = "/v1/accounts/d00000/u0000/explain"
    daemon.get(account)
    figure("memory at rest", daemon.status("VmRSS"), "MB", 60)
    figure("memory at its highest during the start", daemon.status("VmHWM"), "MB")
    figure("status --json of all", best(3, lambda: daemon.ctl("--json", "status")[0]), "s")
    took = [daemon.get("/v1/accounts") for _ in range(3)]
    figure("status of all, by the API, to the last byte", sorted(last for _, last, _ in took)[1], "s", 0.3)
    figure("status of all, by the API, to the first byte", sorted(first for first, _, _ in took)[1], "s")
    figure("its size", took[0][2] / 1e6, "MB")
    figure("memory after it", daemon.status("VmRSS"), "MB")
    pings = Pings(daemon, account)
    pings.start()

    def reload():
        begun = now()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until("READY=1")
        return now() - begun

    figure("reload", best(5, reload), "s", 0.2)
    figure("the longest answer to explain meanwhile", pings.end(), "s")
    figure("memory after the reloads", daemon.status("VmRSS"), "MB")
    if not asked.skip_due:
        daemon.forget_peak()
        before, cpu, tails = outcomes(folder, {}), daemon.cpu(), {}
        rest = daemon.status("VmRSS")
        pings = Pings(daemon, account)
        pings.start()
        begun = now()
        daemon.process.send_signal(signal.SIGUSR1)
        # The end of each attempt is a line of the log; nothing else tells of it that costs the daemon nothing.
        while outcomes(folder, tails) - before < asked.accounts and now() - begun < asked.wait:
            time.sleep(0.25)
        done = outcomes(folder, tails) - before
        figure("all due at once: outcomes", done, "")
        figure("all due at once: until each has its outcome", now() - begun, "s")
        figure("all due at once: CPU", daemon.cpu() - cpu, "s", 20)
        figure("all due at once: the longest answer to explain", pings.end(), "s")
        figure("all due at once: memory at its highest", daemon.status("VmHWM"), "MB", 150)
        figure("memory after it", daemon.status("VmRSS"), "MB")
    daemon.stop()
    figures.write(asked.json)
    refusing.close()
    if not asked.keep:
        subprocess.run(["rm", "-rf", folder])


if __name__ == "__main__":
    main()
