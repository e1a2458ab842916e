#!/usr/bin/env python3
"""Client CPU of a whole rotation (login, passwd, fresh login): rotord against paramiko, in the same run.

Run as root, with paramiko installed (pip install paramiko), after cargo build --release:

    benches/rotation.py target/release [ACCOUNTS]

Both work on the same real OpenSSH (tests/lab/sshd.sh). CPU is user + system time of the client alone: of the daemon's
process for rotord, of this process for paramiko. Waiting for codes costs none.
"""
import base64, hashlib, hmac, json, os, re, signal, socket, statistics, struct, subprocess, sys, tempfile, time

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
        while int(time.time()) // STEP <= self.last:
            time.sleep(0.02)
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


def main():
    binaries, count = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20
    folder = tempfile.mkdtemp(prefix="rotord-bench-")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = [f"user{n}" for n in range(count)]
    lab = subprocess.Popen([f"{ROOT}/tests/lab/sshd.sh"], env={**os.environ, "PORT": str(port), "DIR": f"{folder}/lab", "USERS": " ".join(users), "STEP": str(STEP)},
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    daemon = None
    try:
        while not os.path.exists(f"{folder}/lab/ready"):
            time.sleep(0.1)
        accounts = [line.strip().split(",") for line in open(f"{folder}/lab/accounts.csv")]
        fingerprint = open(f"{folder}/lab/fingerprint").read().strip()
        with open(f"{folder}/rotord.toml", "w") as config:
            config.write(f'[daemon]\nstate_dir = "state"\nsocket = "socket"\ntemplate_dirs = ["{ROOT}/templates"]\n[vault]\nkey_file = "key"\n'
                         f'[device.lab]\naddress = "127.0.0.1:{port}"\nhost_key = ["{fingerprint}"]\ntemplate = "linux-passwd"\n')
            config.write("".join(f'[account."lab/{user}"]\n' for user, _, _ in accounts))
        subprocess.run([f"{binaries}/rotorctl", "key", "new", f"{folder}/key"], check=True, stdout=subprocess.DEVNULL)
        daemon = subprocess.Popen([f"{binaries}/rotord", "--config", f"{folder}/rotord.toml"], stderr=subprocess.DEVNULL)
        ctl = lambda *args, **more: subprocess.run([f"{binaries}/rotorctl", "--socket", f"{folder}/socket", *args], check=True, capture_output=True, **more)
        while not os.path.exists(f"{folder}/socket"):
            time.sleep(0.05)
        rows = "".join(f"lab/{user},{password},otpauth://totp/x?secret={seed}&period={STEP}\n" for user, password, seed in accounts)
        ctl("import", "-", input=("account,password,totp\n" + rows).encode())
        ours, walls = [], []
        for user, _, _ in accounts:
            before, start = ticks(daemon.pid), time.time()
            ctl("rotate", f"lab/{user}", "--json")
            ours.append(ticks(daemon.pid) - before)
            walls.append(time.time() - start)
        stored = {user: json.loads(ctl("secret", "show", f"lab/{user}", "--json").stdout)["password"] for user, _, _ in accounts}
        theirs = []
        for user, _, seed in accounts:
            codes, before = Codes(seed), time.process_time()
            paramiko_rotation(port, user, stored[user], "Other.Pass-" + os.urandom(6).hex(), codes)
            theirs.append(time.process_time() - before)
        mean = lambda values: 1000 * statistics.mean(values)
        print(f"rotord   {mean(ours):6.2f} ms of CPU a rotation (mean of {count}; wall {statistics.median(walls):.2f} s, mostly waiting for a fresh code)")
        print(f"paramiko {mean(theirs):6.2f} ms (mean of {count})")
        print(f"ratio    {mean(ours) / mean(theirs):6.2f}")
    finally:
        if daemon:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
        lab.kill()


main()
