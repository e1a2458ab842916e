#!/usr/bin/env python3
"""Client CPU of a whole rotation (login, passwd, fresh login): rotord against paramiko, in turn in the same run.

Run as root, with paramiko installed (pip install paramiko), after cargo build --release:

    benches/rotation.py target/release [ACCOUNTS [ROUNDS]]

Both change ACCOUNTS accounts at once on the same real OpenSSH (tests/lab/sshd.sh), each round with accounts of its own.
CPU is user + system time of the client with all its threads: of the daemon for rotord (vault, audit log and escrow included),
of this process for paramiko. Both sleep until the next code is valid: waiting costs neither of them CPU.
"""
import base64, concurrent.futures, hashlib, hmac, json, os, re, resource, signal, socket, statistics, struct, subprocess, sys, tempfile, time

import paramiko

STEP = 2
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


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


def ticks(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of_this_process():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rotord_round(ctl, daemon, users):
    """Seconds of CPU per rotation, and of wall time, for one request that names all accounts."""
    before, start = ticks(daemon.pid), time.time()
    ctl("rotate", *[f"lab/{user}" for user in users])
    return (ticks(daemon.pid) - before) / len(users), time.time() - start


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
    binaries = os.path.abspath(sys.argv[1])
    count, rounds = (int(sys.argv[at]) if len(sys.argv) > at else default for at, default in ((2, 20), (3, 5)))
    folder = tempfile.mkdtemp(prefix="rotord-bench-")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = [f"user{n}" for n in range(2 * count * rounds)]
    lab = subprocess.Popen([f"{ROOT}/tests/lab/sshd.sh"], env={**os.environ, "PORT": str(port), "DIR": f"{folder}/lab", "USERS": " ".join(users), "STEP": str(STEP)},
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    daemon = None
    try:
        while not os.path.exists(f"{folder}/lab/ready"):
            time.sleep(0.1)
        accounts = [line.strip().split(",") for line in open(f"{folder}/lab/accounts.csv")]
        fingerprint = open(f"{folder}/lab/fingerprint").read().strip()
        with open(f"{folder}/rotord.toml", "w") as config:
            config.write(f'[daemon]\nstate_dir = "state"\nsocket = "socket"\ntemplate_dirs = ["{ROOT}/templates"]\n'
                         f'[vault]\nkey_file = "key"\n'
                         f'[device.lab]\naddress = "127.0.0.1:{port}"\nhost_key = ["{fingerprint}"]\ntemplate = "linux-passwd"\nmax_sessions = {count}\n')
            config.write("".join(f'[account."lab/{user}"]\n' for user, _, _ in accounts))
        subprocess.run([f"{binaries}/rotorctl", "key", "new", f"{folder}/key"], check=True, stdout=subprocess.DEVNULL)
        daemon = subprocess.Popen([f"{binaries}/rotord", "--config", f"{folder}/rotord.toml"], stderr=subprocess.DEVNULL)

        def ctl(*args, **more):
            done = subprocess.run([f"{binaries}/rotorctl", "--socket", f"{folder}/socket", *args], capture_output=True, **more)
            if done.returncode:
                sys.exit(f"rotorctl {args[0]} ended with {done.returncode}: {done.stdout.decode()}{done.stderr.decode()[-500:]}")

        while not os.path.exists(f"{folder}/socket"):
            time.sleep(0.05)
        rows = "".join(f"lab/{user},{password},otpauth://totp/x?secret={seed}&period={STEP}\n" for user, password, seed in accounts)
        ctl("import", "-", input=("account,password,totp\n" + rows).encode())
        passwords = {user: password for user, password, _ in accounts}
        seeds = {user: seed for user, _, seed in accounts}
        ours, theirs = [], []
        for at in range(rounds):
            mine, other = users[2 * at * count:(2 * at + 1) * count], users[(2 * at + 1) * count:2 * (at + 1) * count]
            ours.append(rotord_round(ctl, daemon, mine))
            theirs.append(paramiko_round(port, other, passwords, seeds))
        for name, results in (("rotord", ours), ("paramiko", theirs)):
            cpu = sorted(1000 * used for used, _ in results)
            wall = statistics.median(wall for _, wall in results)
            print(f"{name:8} {statistics.median(cpu):6.2f} ms of CPU a rotation (median of {rounds} rounds of {count} at once, {cpu[0]:.2f} to {cpu[-1]:.2f}; a round takes {wall:.2f} s)")
        ratios = sorted(mine / other for (mine, _), (other, _) in zip(ours, theirs))
        print(f"ratio    {statistics.median(ratios):6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    finally:
        if daemon:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
        lab.kill()


main()
