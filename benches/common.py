"""What the benches share: a daemon that is waited for, a real OpenSSH, and figures beside their bounds."""
import json, os, signal, socket, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def now():
    return time.monotonic()


class Daemon:
    """A rotord that tells when it is ready."""

    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        path = f"{folder}/notify"
        if os.path.exists(path):
            os.unlink(path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(path)
        self.notify.settimeout(120)
        begun = now()
        self.process = subprocess.Popen([f"{binaries}/rotord", "--config", f"{folder}/rotord.toml"], stderr=open(f"{folder}/stderr", "a"),
                                        env={**os.environ, "NOTIFY_SOCKET": path})
        self.until("READY=1")
        self.ready = now() - begun

    def until(self, what):
        while what not in self.notify.recv(65536).decode().split("\n"):
            pass

    def status(self, key):
        """Of /proc, in MB."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        raise KeyError(key)

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
            file.write("5")

    def ctl(self, *args, **more):
        begun = now()
        done = subprocess.run([f"{self.binaries}/rotorctl", "--socket", f"{self.folder}/socket", *args], capture_output=True, **more)
        if done.returncode:
            sys.exit(f"rotorctl {args[0]} ended with {done.returncode}: {done.stdout.decode()[-500:]}{done.stderr.decode()[-500:]}")
        return now() - begun, done.stdout

    def get(self, path):
        """Seconds until the first byte and until the last, and the length, of an answer of the API."""
        begun = now()
        with socket.socket(socket.AF_UNIX) as api:
            api.connect(f"{self.folder}/socket")
            api.sendall(f"GET {path} HTTP/1.1\r\nHost: rotord\r\nConnection: close\r\n\r\n".encode())
            first, size = None, 0
            while piece := api.recv(1 << 20):
                first = first or now() - begun
                size += len(piece)
        return first, now() - begun, size

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.notify.close()


class Lab:
    """The real OpenSSH of the tests, with these users; it needs root."""

    def __init__(self, folder, users, step):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.csv = f"{folder}/accounts.csv"
        environment = {**os.environ, "PORT": str(self.port), "DIR": folder, "USERS": " ".join(users), "STEP": str(step)}
        self.process = subprocess.Popen([f"{ROOT}/tests/lab/sshd.sh"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(f"{folder}/ready"):
            if self.process.poll() is not None:
                sys.exit("the OpenSSH of the tests did not start; it needs root")
            time.sleep(0.1)
        self.accounts = [line.strip().split(",") for line in open(self.csv)]
        self.fingerprint = open(f"{folder}/fingerprint").read().strip()

    def secrets(self, step):
        """What rotorctl import reads."""
        rows = (f"lab/{user},{password},otpauth://totp/x?secret={seed}&period={step}\n" for user, password, seed in self.accounts)
        return ("account,password,totp\n" + "".join(rows)).encode()

    def device(self, sessions):
        accounts = "".join(f'[account."lab/{user}"]\n' for user, _, _ in self.accounts)
        return (f'[device.lab]\naddress = "127.0.0.1:{self.port}"\nhost_key = ["{self.fingerprint}"]\ntemplate = "linux-passwd"\n'
                f'max_sessions = {sessions}\n{accounts}')

    def end(self):
        self.process.kill()
        self.process.wait()


def head_of_config():
    return f'[daemon]\nstate_dir = "state"\nsocket = "socket"\ntemplate_dirs = ["{ROOT}/templates"]\n[vault]\nkey_file = "key"\n'


def new_key(binaries, folder):
    subprocess.run([f"{binaries}/rotorctl", "key", "new", f"{folder}/key"], check=True, stdout=subprocess.DEVNULL)


class Figures:
    """Figures as they come: printed beside their bounds, and kept for a table."""

    def __init__(self, command):
        self.command, self.all = command, []

    def add(self, what, value, unit, bound=None, spread=None):
        self.all.append({"what": what, "value": round(value, 3), "unit": unit, "bound": bound, "spread": spread, "command": self.command})
        mark = "" if bound is None else ("  ok" if value <= bound else "  NOT MET")
        between = "" if spread is None else f" ({spread[0]:.2f} to {spread[1]:.2f})"
        print(f"{what:58} {value:10.3f} {unit:3}{between}{'' if bound is None else f' at most {bound}'}{mark}", flush=True)

    def write(self, path):
        if path:
            with open(path, "w") as file:
                json.dump(self.all, file, indent=1)
