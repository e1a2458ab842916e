#!/usr/bin/env python3
"""Runs a command at a terminal of its own and answers what it asks, each question once and in any order.

terminal.py ANSWERS COMMAND...   ANSWERS is JSON: [[regular expression, answer, shell command that is run before], ...]

What the command showed goes to stdout; the exit status is the command's, or 97 where nothing came for 60 seconds.
"""
import json
import os
import pty
import re
import select
import subprocess
import sys

answers = [(re.compile(question), answer, before) for question, answer, before in json.loads(sys.argv[1])]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, seen = "", 0
while True:
    ready, _, _ = select.select([terminal], [], [], 60)
    if not ready:
        print(shown)
        print("terminal.py: nothing more came", file=sys.stderr)
        os.kill(pid, 9)
        sys.exit(97)
    try:
        data = os.read(terminal, 65536)
    except OSError:
        data = b""
    if not data:
        break
    shown += data.decode(errors="replace")
    for known in answers:
        question, answer, before = known
        found = question.search(shown, seen)
        if found:
            seen = found.end()
            answers.remove(known)
            if before:
                subprocess.run(before, shell=True, check=True)
            os.write(terminal, answer.encode() + b"\n")
            break
print(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
