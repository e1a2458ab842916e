#!/usr/bin/env python3
"""What monitoring costs: benches/notify.py BINARIES [--accounts N] [--attempts N] [--rounds N] [--json FILE].

1. A scrape of /metrics with very many accounts (100,000): as it is, and while another process holds the vault locked.
2. Attempts with five dead notifiers against attempts with none, in turn in the same run. The device of the attempts refuses each
   connection, so that what is measured is the daemon's own work: admission, vault, audit log and events.

Nothing but loopback is contacted. Every wait is for an event.
"""
import argparse, json, os, signal, socket, sqlite3, statistics, subprocess, sys, tempfile, threading, time

from common import Daemon, new_key, now
from scale import secrets, write_config

SCRAPES = 100


def start(binaries, folder):
    new_key(binaries, folder)
    return Daemon(binaries, folder)


def refused_port():
    """A port at which nobody listens: it stays taken by a socket that never will."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken, taken.getsockname()[1]


def scrape_times(daemon):
    found = sorted(daemon.get("/metrics")[1] * 1000 for _ in range(SCRAPES))
    return {"median_ms": round(statistics.median(found), 2), "p99_ms": round(found[SCRAPES * 99 // 100], 2), "longest_ms": round(found[-1], 2)}


def scrapes(binaries, accounts):
    with tempfile.TemporaryDirectory(prefix="rotord-bench-") as folder:
        taken, port = refused_port()
        write_config(folder, port, accounts, max(1, accounts // 20), "0 3 1 1 *")
        daemon = start(binaries, folder)
        try:
            daemon.ctl("import", "-", input=secrets(accounts, max(1, accounts // 20)))
            with_all = f'rotord_accounts{{state="idle"}} {accounts}'
            while with_all not in text_of(daemon):
                time.sleep(0.5)
            result = {"accounts": accounts, "bytes": daemon.get("/metrics")[2], "scrape": scrape_times(daemon)}
            with sqlite3.connect(f"{folder}/state/vault.db", isolation_level=None) as vault:
                vault.execute("BEGIN IMMEDIATE")
                result["scrape_with_the_vault_locked"] = scrape_times(daemon)
                vault.execute("ROLLBACK")
            return result
        finally:
            daemon.stop()
            taken.close()


def text_of(daemon):
    with socket.socket(socket.AF_UNIX) as api:
        api.connect(f"{daemon.folder}/socket")
        api.sendall(b"GET /metrics HTTP/1.1\r\nHost: rotord\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: api.recv(1 << 20), b"")).decode()


class Dead:
    """A receiver of HTTP that never takes a message."""

    def __init__(self, does):
        self.does, self.kept = does, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            if self.does == "hangs":
                self.kept.append(stream)
                continue
            threading.Thread(target=self.answer, args=(stream,), daemon=True).start()

    def answer(self, stream):
        try:
            while stream.recv(65536):
                if self.does == "fails":
                    stream.sendall(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n")
                else:
                    break
        except OSError:
            pass
        stream.close()


def attempts(binaries, count, rounds):
    with tempfile.TemporaryDirectory(prefix="rotord-bench-") as folder:
        (taken, port), (nobody, nowhere) = refused_port(), refused_port()
        write_config(folder, port, count, max(1, count // 20), "0 3 1 1 *")
        with open(f"{folder}/rotord.toml", "a") as config:
            config.write("[policy.default]\nattempts = 1\n")
        plain = open(f"{folder}/rotord.toml").read()
        hook = '[notify.{}]\nkind = "webhook"\nurl = "http://127.0.0.1:{}/"\nseverity = "info"\n'
        receivers = [Dead(does) for does in ("hangs", "fails", "closes")]
        sinks = "".join(hook.format(receiver.does, receiver.port) for receiver in receivers) + hook.format("nobody", nowhere)
        own = "" if os.geteuid() else 'user = "nobody"\n'
        sinks += f'[notify.endless]\nkind = "command"\ncommand = ["/bin/sleep", "1000"]\nseverity = "info"\n{own}'
        daemon = start(binaries, folder)
        try:
            daemon.ctl("import", "-", input=secrets(count, max(1, count // 20)))
            found = {"with": [], "without": []}
            # The first two turns warm up.
            for turn in range(-2, 2 * rounds):
                which = "with" if turn % 2 == 0 else "without"
                with open(f"{folder}/rotord.toml", "w") as config:
                    config.write(plain + (sinks if which == "with" else ""))
                daemon.process.send_signal(signal.SIGHUP)
                daemon.until("READY=1")
                wanted = 5 if which == "with" else 0
                while len(json.loads(daemon.ctl("notify", "list", "--json")[1])["notifiers"]) != wanted:
                    time.sleep(0.05)
                rotate = [f"{binaries}/rotorctl", "--socket", f"{folder}/socket", "rotate", "*", "--json"]
                # What notifiers do as they begin, such as reading what was told before, is not measured.
                subprocess.run(rotate, capture_output=True)
                begun, cpu = now(), daemon.cpu()
                done = subprocess.run(rotate, capture_output=True)
                results = json.loads(done.stdout)["results"]
                if len(results) != count:
                    sys.exit(f"{len(results)} of {count} attempts ended: {done.stderr.decode()[-500:]}")
                if turn >= 0:
                    found[which].append((now() - begun, daemon.cpu() - cpu))
            wall = {which: statistics.median(time for time, _ in all) for which, all in found.items()}
            cpu = {which: statistics.median(used for _, used in all) for which, all in found.items()}
            return {
                "attempts": count, "rounds": rounds,
                "seconds": {which: [round(time, 3) for time, _ in all] for which, all in found.items()},
                "ratio_of_seconds": round(wall["with"] / wall["without"], 3),
                "ratio_of_cpu": round(cpu["with"] / cpu["without"], 3),
            }
        finally:
            daemon.stop()
            taken.close()
            nobody.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries")
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--attempts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()
    binaries = os.path.abspath(args.binaries)
    result = {"scrapes": scrapes(binaries, args.accounts)}
    print(json.dumps(result, indent=1), flush=True)
    result["dead_notifiers"] = attempts(binaries, args.attempts, args.rounds)
    told = json.dumps(result, indent=1)
    print(told)
    if args.json:
        with open(args.json, "w") as file:
            file.write(told + "\n")


if __name__ == "__main__":
    main()
