#!/usr/bin/env python3
"""Draws monitoring/grafana/rotord.json as docs/dashboard.svg, from its own queries.

Usage: tests/lab/dashboard.py [FILE]. Needs prometheus. The day that is shown is made up here: 1,200 accounts that change at night, and a
site that is down from 03:10 to 05:00. Prometheus answers each query of the dashboard; a query that has no answer ends this with an error.
The picture is no Grafana's, but has its panels, places, units, thresholds and legends. Nothing but 127.0.0.1 is contacted.
"""
import json, math, os, random, re, socket, subprocess, sys, tempfile, time, urllib.parse, urllib.request
from html import escape

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BEGIN, STEP, HOURS = 1_796_083_200, 60, 24  # 2026-12-01, UTC
# The limits of the daemon's histograms.
LONG = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
UP_TO = BEGIN + HOURS * 3600
PALETTE = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#e02f44", "#8ab8ff", "#c0d8ff"]
COLORS = {"green": "#299c46", "red": "#d44a3a", "orange": "#e0752d", "blue": "#3274d9"}


def between(at, begin, end):
    return begin <= (at - BEGIN) / 3600 < end


def rates(at):
    """What happens in a minute: each counter's series with its growth."""
    night, day, down = between(at, 1, 4.5), between(at, 7, 19), between(at, 3.17, 5)
    done = (6 if night else 0.35 if day else 0.02) * random.uniform(0.5, 1.5)
    failed = 1.4 * random.uniform(0.5, 1.5) if night and down else 0
    wait = lambda limits, usual: {le: sum(random.random() < 1 - math.exp(-le / usual) for _ in range(20)) / 20 for le in limits}
    grown = {
        'rotord_attempts_total{outcome="done"}': done,
        'rotord_attempts_total{outcome="failed"}': failed,
        'rotord_attempts_total{outcome="unknown"}': failed / 20,
        'rotord_attempts_total{outcome="refused"}': 0.05 if day else 0,
        'rotord_logins_total{result="taken"}': 2 * done,
        'rotord_logins_total{result="refused"}': 0.02 * done,
        'rotord_logins_total{result="unanswered"}': 0.005 * done,
        "rotord_vault_errors_total": 0, "rotord_audit_errors_total": 0,
        "rotord_escrow_errors_total": 0.2 if between(at, 15.5, 15.8) else 0,
    }
    for family, labels, limits, usual, count in [
        ("rotord_attempt_duration_seconds", 'kind="rotate",', LONG, 16, done),
        ("rotord_attempt_duration_seconds", 'kind="verify",', LONG, 7, 0.3),
        ("rotord_phase_duration_seconds", 'phase="change",', LONG, 5, done),
        ("rotord_phase_duration_seconds", 'phase="prove",', LONG, 9, done),
        ("rotord_code_wait_seconds", "", LONG, 11, done),
        ("rotord_vault_commit_seconds", "", SHORT, 0.003, 8 * done + 1),
        ("rotord_audit_append_seconds", "", SHORT, 0.002, 2 * done + 1),
        ("rotord_escrow_write_seconds", "", SHORT, 0.006, done),
    ]:
        part = wait(limits, usual)
        for le in limits:
            grown[f'{family}_bucket{{{labels}le="{le}"}}'] = part[le] * count
        grown[f'{family}_bucket{{{labels}le="+Inf"}}'] = count
    return grown


def gauges(at):
    night, down = between(at, 1, 4.5), between(at, 3.17, 5)
    failing, quarantined = (random.randint(24, 30) if down else 0), int((at - BEGIN) / 3600 > 3.5)
    uncertain = random.randint(1, 4) if down else 0
    running = random.randint(6, 12) if night else random.randint(0, 1)
    ages = {0.25: 420, 0.5: 830, 0.75: 1120, 0.9: 1180, "1.0": 1198, 1.25: 1200, "+Inf": 1200}
    return {
        'rotord_accounts{state="idle"}': 1200 - quarantined - uncertain - running,
        'rotord_accounts{state="changing"}': running // 2,
        'rotord_accounts{state="verifying"}': running - running // 2,
        'rotord_accounts{state="uncertain"}': uncertain,
        'rotord_accounts{state="quarantined"}': quarantined,
        "rotord_accounts_overdue": 2, "rotord_accounts_doubtful": 0, "rotord_accounts_failing": failing,
        "rotord_vault_writable": 1, "rotord_escrow_writable": 1, "rotord_circuit_open": 0, "rotord_clock_warning": 0,
        'rotord_waiting{reason="code"}': random.randint(2, 6) if night else 0,
        'rotord_waiting{reason="session"}': random.randint(10, 25) if night else 0,
        'rotord_waiting{reason="seed"}': random.randint(0, 3) if night else 0,
        "rotord_attempts_running": running, "rotord_lockout_budget_spent": random.randint(0, 2) if night else 0,
        "rotord_last_backup_timestamp_seconds": BEGIN - 5 * 3600, "rotord_password_age_oldest_seconds": 92 * 86400 + at - BEGIN,
        "rotord_config_refused": 0, 'rotord_build_info{version="0.2.0"}': 1,
        **{f'rotord_password_age_ratio_bucket{{le="{le}"}}': count for le, count in ages.items()},
    }


def made_up_day():
    """OpenMetrics with times, one series after the other."""
    random.seed(7)
    series, sums = {}, {}
    for at in range(BEGIN, UP_TO + 1, STEP):
        for name, more in rates(at).items():
            sums[name] = sums.get(name, 0) + more
        for name, value in {**sums, **gauges(at)}.items():
            series.setdefault(name, []).append((at, value))
    for name, samples in series.items():
        labelled = name[:-1] + ',instance="bastion1"}' if name.endswith("}") else name + '{instance="bastion1"}'
        yield from (f"{labelled} {value} {at}\n" for at, value in samples)
    yield "# EOF\n"


class Prometheus:
    def __init__(self, folder):
        with open(f"{folder}/day", "w") as file:
            file.writelines(made_up_day())
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", f"{folder}/day", f"{folder}/data"], check=True, stdout=subprocess.DEVNULL)
        open(f"{folder}/config", "w").close()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/config", f"--storage.tsdb.path={folder}/data", "--storage.tsdb.retention.time=50y",
             f"--web.listen-address=127.0.0.1:{self.port}"], stderr=subprocess.PIPE, text=True)
        next(line for line in self.process.stderr if "ready to receive" in line)

    def ask(self, kind, **query):
        address = f"http://127.0.0.1:{self.port}/api/v1/{kind}?{urllib.parse.urlencode(query)}"
        found = json.load(urllib.request.urlopen(address))["data"]["result"]
        return found or sys.exit(f"no answer to {query['query']}")


def told(value, unit):
    """A figure as Grafana's units tell it."""
    if unit == "s":
        for size, name in ((604800, "weeks"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms")):
            if value >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1e6:.3g} µs" if value else "0 s"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value / 1000:.3g} K"


def legend(target, labels):
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), target.get("legendFormat") or "") or "value"


def text(x, y, what, size=11, color="#9fa7b3", anchor="start", weight="400"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" font-weight="{weight}">{escape(what)}</text>'


class Panel:
    def __init__(self, panel, prometheus):
        self.panel, self.server = panel, prometheus
        defaults = panel["fieldConfig"]["defaults"]
        self.unit, self.defaults = defaults.get("unit", "short"), defaults
        place = panel["gridPos"]
        self.x, self.y, self.w, self.h = place["x"] * 50 + 4, place["y"] * 30 + 4, place["w"] * 50 - 8, place["h"] * 30 - 8

    def answers(self, kind, **more):
        for target in self.panel["targets"]:
            for one in self.server.ask(kind, query=target["expr"].replace("$instance", ".*"), **more):
                yield legend(target, one["metric"]), one

    def draw(self):
        box = f'<rect x="{self.x}" y="{self.y}" width="{self.w}" height="{self.h}" rx="3" fill="#181b1f"/>'
        inside = {"stat": self.stat, "timeseries": self.lines, "bargauge": self.bars}[self.panel["type"]]()
        title = text(self.x + 8, self.y + 18, self.panel["title"], 12, "#ffffff" if self.panel["type"] == "stat" else "#ccccdc", weight="500")
        return box + inside + title

    def stat(self):
        name, one = next(self.answers("query", time=UP_TO))
        value = float(one["value"][1])
        reached = [step for step in self.defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
        names = {key: to["text"] for mapping in self.defaults.get("mappings", []) for key, to in mapping["options"].items()}
        by_name = self.panel["options"].get("textMode") == "name"
        shown = name if by_name else names.get(f"{value:g}", told(value, self.unit))
        return (f'<rect x="{self.x}" y="{self.y}" width="{self.w}" height="{self.h}" rx="3" fill="{COLORS[reached[-1]["color"]]}"/>'
                + text(self.x + self.w / 2, self.y + self.h / 2 + 20, shown, 28, "#ffffff", "middle", "500"))

    def bars(self):
        found = sorted(((name, float(one["value"][1])) for name, one in self.answers("query", time=UP_TO)), key=lambda it: float(it[0].replace("+Inf", "inf")))
        most, width = max(value for _, value in found) or 1, (self.w - 24) / len(found)
        out = []
        for at, (name, value) in enumerate(found):
            x, height = self.x + 12 + at * width, (self.h - 90) * value / most
            out.append(f'<rect x="{x + 8:.0f}" y="{self.y + self.h - 34 - height:.0f}" width="{width - 16:.0f}" height="{height:.0f}" fill="#73bf69"/>')
            out += [text(x + width / 2, self.y + self.h - 14, name, 11, anchor="middle"),
                    text(x + width / 2, self.y + self.h - 40 - height, told(value, self.unit), 13, "#73bf69", "middle")]
        return "".join(out)

    def lines(self):
        step = 900
        times = range(BEGIN + 3600, UP_TO + 1, step)
        series = []
        for name, one in self.answers("query_range", start=times[0], end=times[-1], step=step):
            values = {at: float(value) for at, value in one["values"]}
            series.append((name, [values.get(at, math.nan) for at in times]))
        stacked = self.defaults["custom"]["stacking"]["mode"] == "normal"
        below = [0.0] * len(times)
        drawn = []
        for name, values in series:
            values = [0.0 if math.isnan(value) else value for value in values]
            over = [a + b for a, b in zip(below, values)] if stacked else values
            drawn.append((name, list(below), over))
            if stacked:
                below = over
        most = max(max(over) for _, _, over in drawn) * 1.08 or 1
        left, right, top, bottom = self.x + 64, self.x + self.w - 10, self.y + 32, self.y + self.h - 46
        at = lambda index, value: f"{left + (right - left) * index / (len(times) - 1):.0f},{bottom - (bottom - top) * value / most:.0f}"
        out = []
        for part in range(4):
            y = bottom - (bottom - top) * part / 3
            out.append(f'<path d="M{left} {y:.0f}H{right}" stroke="#2c3235"/>' + text(left - 6, y + 4, told(most * part / 3, self.unit), 10, anchor="end"))
        for hour in range(2, 25, 2):
            out.append(text(left + (right - left) * (hour - 1) / 23, bottom + 14, f"{hour:02}:00", 10, anchor="middle"))
        for number, (_, under, over) in enumerate(drawn):
            color = PALETTE[number % len(PALETTE)]
            points = [at(index, value) for index, value in enumerate(over)]
            if self.defaults["custom"]["fillOpacity"]:
                base = [at(index, value) for index, value in reversed(list(enumerate(under)))]
                out.append(f'<polygon points="{" ".join(points + base)}" fill="{color}" opacity="{self.defaults["custom"]["fillOpacity"] / 100}"/>')
            out.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        x = self.x + 12
        for number, (name, _, _) in enumerate(drawn):
            out.append(f'<rect x="{x}" y="{self.y + self.h - 18}" width="12" height="3" fill="{PALETTE[number % len(PALETTE)]}"/>' + text(x + 17, self.y + self.h - 12, name))
            x += 34 + 6.2 * len(name)
        return "".join(out)


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else f"{ROOT}/docs/dashboard.svg"
    with open(f"{ROOT}/monitoring/grafana/rotord.json") as file:
        panels = json.load(file)["panels"]
    with tempfile.TemporaryDirectory() as folder:
        server = Prometheus(folder)
        try:
            drawn = [Panel(panel, server).draw() for panel in panels]
        finally:
            server.process.terminate()
            server.process.wait()
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * 30 + 4
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1204 {height}" font-family="Inter, Helvetica, Arial, sans-serif" role="img">\n'
                   f'<title>The dashboard over a made-up day</title>\n<rect width="1204" height="{height}" fill="#111217"/>\n' + "\n".join(drawn) + "\n</svg>\n")


main()
