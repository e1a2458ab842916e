#!/usr/bin/env python3
"""Client CPU of a whole rotation (login, passwd, fresh login): rotord, paramiko and the floor, in turn in the same run.

Run as root, with paramiko installed (pip install paramiko), after cargo build --release --bins --example bench:

    benches/rotation.py target/release [ACCOUNTS [ROUNDS]] [--json FILE] [--syncs]

All change ACCOUNTS accounts at once on the same real OpenSSH (tests/lab/sshd.sh), each round with accounts of its own.
CPU is user + system time of the client with all its threads: of the daemon for rotord (vault, audit log and escrow included),
of this process for paramiko. The floor is two bare logins of russh, the first with a terminal and a shell (benches/bench). All
sleep until the next code is valid: waiting costs none of them CPU. --syncs counts the daemon's fsync and fdatasync calls with
strace(1) in one more round, and measures nothing else in that.
"""
import argparse, base64, concurrent.futures, hashlib, hmac, os, re, resource, signal, statistics, struct, subprocess, sys, tempfile, time

import paramiko

from common import Daemon, Figures, Lab, head_of_config, new_key

STEP = 2


def code(seed, step):
    digest = hmac.new(base64.b32decode(seed), struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[19] & 15
    return "%06d" % ((struct.unpack(">I", digest[at:at + 4])[0] & 0x7FFFFFFF) % 1000000)


class Codes:
    """A code of a step that was never used."""

    def __init__(self, seed):
        self.seed, self.last = seed, int(time.time()) // STEP + 1

    def fresh(self):
        """Sleeps once, until the step after the last used one begins."""
        wait = (self.last + 1) * STEP - time.time()
        if wait > 0:
            time.sleep(wait)
        self.last = int(time.time()) // STEP
        return code(self.seed, self.last)


def paramiko_login(port, user, password, codes):
    transport = paramiko.Transport(("127.0.0.1", port))
    transport.start_client()
    answer = lambda title, text, prompts: [password if "assword" in p else codes.fresh() for p, _ in prompts]
    transport.auth_interactive(user, answer)
    return transport


def read_until(channel, pattern):
    seen = ""
    while not re.search(pattern, seen):
        seen += channel.recv(65536).decode(errors="replace")


def paramiko_rotation(port, user, old, new, codes):
    transport = paramiko_login(port, user, old, codes)
    channel = transport.open_session()
    channel.get_pty(width=500)
    channel.invoke_shell()
    for wait, send in [(r"\$ ?(\x1b\S*)?$", "LC_ALL=C passwd"), (r"urrent password: ?$", old), (r"ew password: ?$", new), (r"etype.*: ?$", new)]:
        read_until(channel, wait)
        channel.sendall(send + "\n")
    read_until(channel, "successfully")
    transport.close()
    paramiko_login(port, user, new, codes).close()


def cpu_of_this_process():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rotord_round(daemon, users):
    """Seconds of CPU per rotation, and of wall time, for one request that names all accounts."""
    before = daemon.cpu()
    took, _ = daemon.ctl("rotate", *[f"lab/{user}" for user in users])
    return (daemon.cpu() - before) / len(users), took


def floor_round(bench, port, accounts, users):
    """The same of two bare logins for each account."""
    start = time.time()
    done = subprocess.run([bench, "floor", str(port), accounts, str(STEP), *users], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the floor: {done.stderr[-500:]}")
    return float(done.stdout), time.time() - start


def count_syncs(daemon, users, folder):
    """Calls of fsync and fdatasync in one round, for each rotation."""
    trace = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", f"{folder}/trace", "-p", str(daemon.process.pid)])
    while "TracerPid:\t0\n" in open(f"/proc/{daemon.process.pid}/status").read():
        time.sleep(0.05)
    daemon.ctl("rotate", *[f"lab/{user}" for user in users])
    trace.send_signal(signal.SIGINT)
    trace.wait()
    calls = open(f"{folder}/trace").read()
    return {call: len(re.findall(rf"\b{call}\(", calls)) / len(users) for call in ("fsync", "fdatasync")}


def paramiko_round(port, users, passwords, seeds):
    """The same with a thread for each account."""
    before, start = cpu_of_this_process(), time.time()
    with concurrent.futures.ThreadPoolExecutor(len(users)) as pool:
        jobs = [pool.submit(paramiko_rotation, port, user, passwords[user], "Other.Pass-" + os.urandom(6).hex(), Codes(seeds[user]))
                for user in users]
        for job in jobs:
            job.result()
    return (cpu_of_this_process() - before) / len(users), time.time() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries")
    parser.add_argument("accounts", nargs="?", type=int, default=20)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("--json")
    parser.add_argument("--syncs", action="store_true")
    asked = parser.parse_args()
    binaries, count, rounds = os.path.abspath(asked.binaries), asked.accounts, asked.rounds
    folder = tempfile.mkdtemp(prefix="rotord-bench-")
    users = [f"user{n}" for n in range(3 * count * rounds + (count + 1 if asked.syncs else 0))]
    lab, daemon = Lab(f"{folder}/lab", users, STEP), None
    try:
        with open(f"{folder}/rotord.toml", "w") as config:
            config.write(head_of_config() + lab.device(count))
        new_key(binaries, folder)
        daemon = Daemon(binaries, folder)
        daemon.ctl("import", "-", input=lab.secrets(STEP))
        passwords = {user: password for user, password, _ in lab.accounts}
        seeds = {user: seed for user, _, seed in lab.accounts}
        clients = {"rotord": [], "paramiko": [], "floor": []}
        for at in range(rounds):
            mine, other, bare = (users[(3 * at + n) * count:(3 * at + n + 1) * count] for n in range(3))
            clients["rotord"].append(rotord_round(daemon, mine))
            clients["paramiko"].append(paramiko_round(lab.port, other, passwords, seeds))
            clients["floor"].append(floor_round(f"{binaries}/examples/bench", lab.port, lab.csv, bare))
        figures = Figures("benches/rotation.py")

        def figure(what, values, unit, bound=None):
            values = sorted(values)
            figures.add(what, statistics.median(values), unit, bound, (values[0], values[-1]))

        for name, results in clients.items():
            figure(f"CPU of a rotation, {name}", [1000 * used for used, _ in results], "ms")
            figure(f"a round of {count} at once, {name}", [wall for _, wall in results], "s")
        for other, bound in (("paramiko", 0.4), ("floor", 2.0)):
            figure(f"CPU of rotord by that of {other}", [mine / its for (mine, _), (its, _) in zip(clients["rotord"], clients[other])], "", bound)
        if asked.syncs:
            rest = users[3 * count * rounds:]
            for several in (rest[:1], rest[1:]):
                for call, each in count_syncs(daemon, several, folder).items():
                    figure(f"{call} in a rotation, {len(several)} at once", [each], "")
        figures.write(asked.json)
    finally:
        if daemon:
            daemon.stop()
        lab.end()
        subprocess.run(["rm", "-rf", folder])


main()
