#!/usr/bin/env python3
"""Soak: the real daemon under load for a while, and whether memory, descriptors and threads stay flat.

Run as root, after cargo build --release --bins:

    benches/soak.py target/release [--seconds 1200] [--svg FILE] [--json FILE]

On the real OpenSSH of the tests, side by side until the time is over: verifies of all accounts, rotations as far as the cap of two
a day allows them (spread over the whole time), reloads, changes of the vault's key, reads (status, explain, audit tail).
A sample each second. The first third is warm-up; what is compared are the medians of the second and of the last third.
"""
import argparse, os, signal, statistics, subprocess, sys, tempfile, threading, time

from common import Daemon, Figures, Lab, head_of_config, new_key, now

STEP, USERS = 2, 40


class Load(threading.Thread):
    """Does something again and again, with a pause; how often it was done."""

    def __init__(self, ends, pause, work):
        super().__init__(daemon=True)
        self.ends, self.pause, self.work, self.count, self.error = ends, pause, work, 0, None

    def run(self):
        try:
            while not self.ends.wait(self.pause):
                self.work(self.count)
                self.count += 1
        except BaseException as error:  # told by whoever waits
            self.error = error
            self.ends.set()


def size(path):
    return sum(os.path.getsize(os.path.join(folder, file)) for folder, _, files in os.walk(path) for file in files) if os.path.isdir(path) \
        else os.path.getsize(path) if os.path.exists(path) else 0


def sample(daemon, folder):
    return {"memory": daemon.status("VmRSS"), "descriptors": daemon.descriptors(), "threads": daemon.threads(), "cpu": daemon.cpu(),
            "vault": size(f"{folder}/state/vault.db") / 1e6, "journal": size(f"{folder}/state/vault.db-wal") / 1e6,
            "log": size(f"{folder}/state/audit") / 1e6}


def draw(path, times, samples):
    """Memory, descriptors and threads over time, each scaled to its own highest value."""
    width, height, lines = 720, 240, []
    for at, (key, colour) in enumerate((("memory", "#1f77b4"), ("descriptors", "#d62728"), ("threads", "#2ca02c"))):
        values = [one[key] for one in samples]
        highest = max(values) or 1
        points = " ".join(f"{40 + (width - 60) * t / times[-1]:.1f},{height - 30 - (height - 70) * v / highest:.1f}" for t, v in zip(times, values))
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>'
                     f'<text x="{50 + 220 * at}" y="20" fill="{colour}">{key}: at most {highest:.0f}{" MB" if key == "memory" else ""}</text>')
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
                   f'<rect width="{width}" height="{height}" fill="white"/>{"".join(lines)}'
                   f'<line x1="40" y1="{height - 30}" x2="{width - 20}" y2="{height - 30}" stroke="black"/>'
                   f'<text x="{width - 120}" y="{height - 10}">{times[-1] / 60:.0f} minutes</text></svg>\n')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries")
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--svg")
    parser.add_argument("--json")
    asked = parser.parse_args()
    binaries, folder = os.path.abspath(asked.binaries), tempfile.mkdtemp(prefix="rotord-soak-")
    users = [f"user{n}" for n in range(USERS)]
    lab, daemon = Lab(f"{folder}/lab", users, STEP), None
    try:
        with open(f"{folder}/rotord.toml", "w") as config:
            config.write(head_of_config() + lab.device(4) + '[job.all]\nschedule = "0 0 1 1 *"\naccounts = ["*"]\n')
        new_key(binaries, folder)
        daemon = Daemon(binaries, folder)
        daemon.ctl("import", "-", input=lab.secrets(STEP))
        ends, keys = threading.Event(), [f"{folder}/key"]

        def rekey(count):
            path = f"{folder}/key{count}"
            daemon.ctl("key", "rotate", path)  # makes the file
            os.replace(path, keys[0])  # the config goes on naming the one in force

        def reload(_):
            daemon.process.send_signal(signal.SIGHUP)
            daemon.until("READY=1")

        def look(count):
            daemon.ctl("--json", "status")
            daemon.get(f"/v1/accounts/lab/user{count % USERS}/explain")
            daemon.ctl("audit", "tail")

        loads = {
            "verifies": Load(ends, 0.2, lambda count: daemon.ctl("verify", f"lab/user{count % USERS}")),
            "rotations": Load(ends, asked.seconds / (2 * USERS + 2), lambda count: daemon.ctl("rotate", f"lab/user{count % USERS}")),
            "reloads": Load(ends, 2, reload),
            "key changes": Load(ends, max(asked.seconds / 40, 5), rekey),
            "looks": Load(ends, 0.5, look),
        }
        begun, times, samples = now(), [], []
        for load in loads.values():
            load.start()
        while now() - begun < asked.seconds and not ends.is_set():
            times.append(now() - begun)
            samples.append(sample(daemon, folder))
            time.sleep(max(0, len(times) - (now() - begun)))
        ends.set()
        for name, load in loads.items():
            load.join(120)
            if load.error:
                sys.exit(f"{name}: {load.error}")
        figures = Figures(f"benches/soak.py --seconds {asked.seconds:.0f}")
        third = len(samples) // 3
        for name, load in loads.items():
            figures.add(f"soak: {name}", load.count, "")
        for key, unit, more in (("memory", "MB", 3), ("descriptors", "", 3), ("threads", "", 3), ("journal", "MB", 1)):
            before, after = (statistics.median(one[key] for one in part) for part in (samples[third:2 * third], samples[2 * third:]))
            figures.add(f"soak: {key}, median of the last third", after, unit)
            figures.add(f"soak: {key}, more than in the second third", max(0, after - before), unit, more)
        figures.add("soak: memory at its highest", max(one["memory"] for one in samples), "MB")
        figures.add("soak: size of the vault at the end", samples[-1]["vault"], "MB")
        figures.add("soak: size of the audit log at the end", samples[-1]["log"], "MB")
        figures.add("soak: CPU", samples[-1]["cpu"] - samples[0]["cpu"], "s")
        figures.write(asked.json)
        if asked.svg:
            draw(asked.svg, times, samples)
    finally:
        if daemon:
            daemon.stop()
        lab.end()
        subprocess.run(["rm", "-rf", folder])


main()
