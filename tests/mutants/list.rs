//! The bugs.

/// A place in a file, and what stands there instead. `MUTANT` is true where the bug is awake.
pub struct Place {
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

/// A bug. Where two things guard a promise, both are off.
pub struct Mutant {
    pub name: &'static str,
    pub place: Place,
    pub also: Option<Place>,
}

const fn bug(name: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, place: Place { file, from, to }, also: None }
}

/// A bug that the guard of each step would hide: that the account is where the attempt thinks it is.
const fn unguarded(name: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    let guard = Place { file: DRIVE, from: "row.phase != from", to: "row.phase != from && !MUTANT" };
    Mutant { name, place: Place { file, from, to }, also: Some(guard) }
}

const MACHINE: &str = "src/rotation/machine.rs";
const LOGIN_OUTCOME: &str = "src/rotation/login_outcome.rs";
const DRIVE: &str = "src/daemon/attempt/drive.rs";
const ACTS: &str = "src/daemon/attempt/acts.rs";
const LIMITS: &str = "src/daemon/limits.rs";
const AUTH: &str = "src/executor/terminal/auth.rs";
const PROVE: &str = "src/executor/terminal/prove.rs";
const LOGIN: &str = "src/dialogue/login.rs";
const SENDING: &str = "src/dialogue/runner/sending.rs";
const SCHEDULER: &str = "src/daemon/scheduler.rs";

pub const MUTANTS: &[Mutant] = &[
    bug(
        "the new password is sent before that is durable",
        MACHINE,
        "            (Phase::Prepared | Phase::Changing, Event::AtCommitPoint) =>",
        "            (Phase::Prepared | Phase::Changing, Event::AtCommitPoint) if MUTANT => { self.phase = Phase::Sent; return Ok(only(Release)); }
            (Phase::Prepared | Phase::Changing, Event::AtCommitPoint) =>",
    ),
    bug(
        "a change is believed without a fresh login",
        MACHINE,
        "            (Phase::Sent, Event::Ran) => self",
        "            (Phase::Sent, Event::Ran) if MUTANT => self.go(Phase::Idle, Persist::Promote, Finish(End::Done)),
            (Phase::Sent, Event::Ran) => self",
    ),
    bug(
        "a broken dialogue after the commit point keeps the old password",
        MACHINE,
        "            (Phase::Sent, Event::Broken { refused }) => {",
        "            (Phase::Sent, Event::Broken { .. }) if MUTANT => self.go(Phase::Idle, Persist::Revert, Finish(End::Failed { sent: true })),
            (Phase::Sent, Event::Broken { refused }) => {",
    ),
    bug(
        "a crash after the commit point keeps the old password",
        MACHINE,
        "            (Phase::Sent | Phase::Verifying, Event::Recover) => self",
        "            (Phase::Sent | Phase::Verifying, Event::Recover) if MUTANT => self.go(Phase::Idle, Persist::Revert, Finish(End::Failed { sent: true })),
            (Phase::Sent | Phase::Verifying, Event::Recover) => self",
    ),
    bug(
        "a crash after the commit point takes the new password",
        MACHINE,
        "            (Phase::Sent | Phase::Verifying, Event::Recover) => self.doubt",
        "            (Phase::Sent | Phase::Verifying, Event::Recover) if MUTANT => self.go(Phase::Idle, Persist::Promote, Finish(End::Done)),
            (Phase::Sent | Phase::Verifying, Event::Recover) => self.doubt",
    ),
    bug(
        "the same password is tried for ever",
        MACHINE,
        "    fn refused(&mut self, doubt: Doubt) -> Reaction {",
        "    fn refused(&mut self, doubt: Doubt) -> Reaction {
        if MUTANT { return self.doubt(Doubt::fresh(doubt.likely)); }",
    ),
    bug(
        "what a login ruled out is forgotten",
        MACHINE,
        "Doubt { likely: doubt.likely.other(), other_refused: true,",
        "Doubt { likely: doubt.likely.other(), other_refused: !MUTANT,",
    ),
    bug(
        "a device that hangs up on a password is asked for ever",
        MACHINE,
        "                if doubt.hung_up || doubt.looks > 0 {",
        "                if (doubt.hung_up || doubt.looks > 0) && !MUTANT {",
    ),
    bug(
        "one refused login condemns",
        MACHINE,
        "        let looks = doubt.looks.saturating_add(1);",
        "        let looks = if MUTANT { self.patience } else { doubt.looks.saturating_add(1) };",
    ),
    bug(
        "an unreachable device gives the new password up",
        MACHINE,
        "            (Phase::Uncertain(_), Event::Unreachable) => only(Finish(End::Waiting)),",
        "            (Phase::Uncertain(_), Event::Unreachable) if MUTANT => self.go(Phase::Idle, Persist::Revert, Finish(End::Failed { sent: true })),
            (Phase::Uncertain(_), Event::Unreachable) => only(Finish(End::Waiting)),",
    ),
    bug(
        "an account that neither password opens is put at rest",
        MACHINE,
        "        if doubt.looks >= self.patience {\n            self.go(Phase::Quarantined, Persist::Quarantine,",
        "        if doubt.looks >= self.patience && MUTANT {\n            self.go(Phase::Idle, Persist::Revert, Act::Finish(End::Failed { sent: true }))\n        } else if doubt.looks >= self.patience {\n            self.go(Phase::Quarantined, Persist::Quarantine,",
    ),
    bug(
        "where the vault fails the attempt goes on",
        DRIVE,
        "            let persisted = self.persist(persist, from).await;",
        "            if MUTANT { drop(self.persist(persist, from).await); self.rotation = next; return Ok(act); }
            let persisted = self.persist(persist, from).await;",
    ),
    unguarded(
        "two rotations of an account at once",
        LIMITS,
        "            Entry::Occupied(_) => return None,",
        "            Entry::Occupied(held) if MUTANT => held.into_mut(),
            Entry::Occupied(_) => return None,",
    ),
    bug(
        "more sessions than a device allows",
        LIMITS,
        "        slots.resize(device.max_sessions);",
        "        slots.resize(if MUTANT { 100 } else { device.max_sessions });",
    ),
    bug(
        "a login goes on with a password that is being changed",
        LIMITS,
        "        let mut leases = Leases::default();",
        "        let mut leases = Leases::default();
        if MUTANT { return leases; }",
    ),
    bug(
        "the cap counts calendar days",
        "src/policy/limits.rs",
        "        let used = self.used(stamps, now);\n        if used < self.count {",
        "        let today = |stamp: &Moment| stamp.wall_ms / DAY_MS == now.wall_ms / DAY_MS;
        if MUTANT && self.window_ms == DAY_MS {
            let used = stamps.iter().filter(|stamp| today(stamp)).count();
            return if used < self.count as usize { Ok(()) } else { Err(LimitError { used: self.count, free_in_ms: DAY_MS }) };
        }
        let used = self.used(stamps, now);\n        if used < self.count {",
    ),
    bug(
        "the cap goes by the wall clock alone",
        "src/model/moment.rs",
        "        if self.boot == earlier.boot {",
        "        if self.boot == earlier.boot && !MUTANT {",
    ),
    bug(
        "a stamp of a clock that ran ahead holds for ever",
        "src/policy/limits.rs",
        "    (stamp.boot != now.boot && stamp.wall_ms > now.wall_ms).then",
        "    (stamp.boot != now.boot && stamp.wall_ms > now.wall_ms && !MUTANT).then",
    ),
    bug(
        "the cap allows three",
        "src/policy/mod.rs",
        "Limit { count: self.max_changes_per_day.clamp(1, MAX_CHANGES_PER_DAY), window_ms: DAY_MS }",
        "Limit { count: self.max_changes_per_day.clamp(1, MAX_CHANGES_PER_DAY) + u32::from(MUTANT), window_ms: DAY_MS }",
    ),
    bug(
        "a used code is used again",
        "src/totp/single_use.rs",
        "    while used(candidate.unsigned_abs()) {",
        "    while used(candidate.unsigned_abs()) && !MUTANT {",
    ),
    bug(
        "a code is made without being reserved",
        "src/otp/codes.rs",
        "            let reserved = self.vault.call(move |tx| {",
        "            if MUTANT { let step = now.unix_seconds() / seed.period(); return Ok(Issued { code: seed.code(step), step, sent: Sent { ahead: 0, phase_ms: 0 } }); }
            let reserved = self.vault.call(move |tx| {",
    ),
    bug(
        "logins with one seed do not wait for each other",
        AUTH,
        "        if on.codes.may_be_asked(&self.account, self.prove) {",
        "        if !MUTANT && on.codes.may_be_asked(&self.account, self.prove) {",
    ),
    bug(
        "the lockout budget is not kept",
        "src/executor/risks.rs",
        "    match budget.admit(&tx.failed_logins(account, now)?, now) {",
        "    if MUTANT { return Ok(Ok(tx.add_failed_login(account, now)?)); }
    match budget.admit(&tx.failed_logins(account, now)?, now) {",
    ),
    bug(
        "a device that hangs up costs nothing of the budget",
        AUTH,
        "    let taken = matches!(end,",
        "    let taken = (MUTANT && matches!(end, Err(DeviceError::HungUp { .. }))) || matches!(end,",
    ),
    bug(
        "a refused login is counted only after the refusal",
        AUTH,
        "        if self.risk.is_none() {",
        "        if self.risk.is_none() && !MUTANT {",
    ),
    bug(
        "the budget's window is an hour from when the login began",
        "src/policy/mod.rs",
        "window_ms: 3_900_000 }",
        "window_ms: if MUTANT { 3_600_000 } else { 3_900_000 } }",
    ),
    bug(
        "the check after a change is made with the old password",
        PROVE,
        "        if let Tried::Candidate(candidate) = &request.password {",
        "        if !MUTANT && let Tried::Candidate(candidate) = &request.password {",
    ),
    bug(
        "an account of unknown outcome is not looked at again",
        SCHEDULER,
        "                let closed = || closed_for(&config, &name, now.wall_ms);",
        "                if MUTANT { continue; }
                let closed = || closed_for(&config, &name, now.wall_ms);",
    ),
    bug(
        "an interrupted attempt is not gone on with",
        SCHEDULER,
        "                if !rests && (core.limits.passes_over(&name) || core.line.has(&name)) {",
        "                if !rests && (MUTANT && row.wake.is_none() || core.limits.passes_over(&name) || core.line.has(&name)) {",
    ),
    bug(
        "a job fires once",
        SCHEDULER,
        "                        Ok(()) => next_run(job, now.max(at), &config),",
        "                        Ok(()) => next_run(job, now.max(at), &config).filter(|_| !MUTANT),",
    ),
    bug(
        "a quarantine is on record only after it is in force",
        DRIVE,
        "return (vec![Draft { outcome: Some(Outcome::Unknown), ..unknown }, given_up], Some(why));",
        "return (if MUTANT { vec![given_up] } else { vec![Draft { outcome: Some(Outcome::Unknown), ..unknown }, given_up] }, Some(why));",
    ),
    bug(
        "a commit point is not on record",
        DRIVE,
        "Persist::Sent => vec![cx.draft(EventKind::RotationSent)],",
        "Persist::Sent => if MUTANT { Vec::new() } else { vec![cx.draft(EventKind::RotationSent)] },",
    ),
    bug(
        "a login that was refused twice is tried on and on",
        LOGIN_OUTCOME,
        "    if retry {\n        return LoginOutcome::Retry;",
        "    if MUTANT { return LoginOutcome::Failed; }\n    if retry {\n        return LoginOutcome::Retry;",
    ),
    unguarded(
        "a password is replaced while a rotation is between two",
        "src/daemon/secrets.rs",
        "    if *kind == Kind::Password && !settled {",
        "    if *kind == Kind::Password && !settled && !MUTANT {",
    ),
    bug(
        "what a device's clock is off is never learned",
        "src/totp/skew.rs",
        "        (known != self).then_some(known)",
        "        (known != self && !MUTANT).then_some(known)",
    ),
    bug(
        "a refused code never makes a login look for another offset",
        "src/otp/offset.rs",
        "        if self.by == By::Probing { known.probe() } else { known.steps }",
        "        if self.by == By::Probing && !MUTANT { known.probe() } else { known.steps }",
    ),
    bug(
        "an offset that was refused is tried again for ever",
        "src/totp/skew.rs",
        "        Self { tried: self.tried.saturating_add(1), ..self }",
        "        Self { tried: self.tried.saturating_add(u32::from(!MUTANT)), ..self }",
    ),
    bug(
        "logins that are held back are held for ever",
        "src/policy/breaker.rs",
        "        let left = open.until_ms.saturating_sub(now_ms);",
        "        let left = if MUTANT { FIRST_PAUSE_MS } else { open.until_ms.saturating_sub(now_ms) };",
    ),
    bug(
        "one account after another is refused, and none is held back",
        "src/policy/breaker.rs",
        "        if self.refused.len() < ACCOUNTS || devices.len() < DEVICES {",
        "        if MUTANT || self.refused.len() < ACCOUNTS || devices.len() < DEVICES {",
    ),
    bug(
        "a device that asks again gets another try in the same login",
        "src/dialogue/login.rs",
        "            Kind::Both | Kind::CodeFirst if given.both() => Ok(Answer::Joined(match (self.format, kind) {",
        "            Kind::Both | Kind::CodeFirst if given.both() || MUTANT => Ok(Answer::Joined(match (self.format, kind) {",
    ),
    bug(
        "a login that changes nothing of its own gives the new password",
        AUTH,
        "        let plan = self.dialogue.round(context, prompts).map_err(|stop| self.stopped(stop))?;",
        "        if MUTANT && self.login.new_password.is_none() && prompts.iter().any(|prompt| prompt.contains(\"enceforth\")) {
            self.observer.commit_point().await?;
            return Ok(vec![Secret::new(String::new())]);
        }
        let plan = self.dialogue.round(context, prompts).map_err(|stop| self.stopped(stop))?;",
    ),
    bug(
        "a password that was taken back is never tried again",
        ACTS,
        "        let Some(later) = self.cx.taken_back().await else { return false };",
        "        if MUTANT { return false; }
        let Some(later) = self.cx.taken_back().await else { return false };",
    ),
    bug(
        "a key is taken for a proof of the password",
        AUTH,
        "        let mut key = self.login.key.is_some() && !(self.login.prove && asks);",
        "        let mut key = self.login.key.is_some() && (MUTANT || !(self.login.prove && asks));",
    ),
    bug(
        "what a session refuses that a key opened is tried for ever",
        "src/executor/terminal/change.rs",
        "failure.refused.filter(|_| !password_taken)",
        "failure.refused.filter(|_| !password_taken && !MUTANT)",
    ),
    bug(
        "what a session refuses that a key opened is put down to the password alone",
        "src/executor/terminal/shell.rs",
        "failure.refused = Some(",
        "failure.refused = (!MUTANT || code.is_none()).then_some(",
    ),
    bug(
        "codes of a session that a key opened look for no clock",
        "src/executor/terminal/connect.rs",
        "            _ if code_taken => By::KnownAgain,",
        "            _ if code_taken || MUTANT => By::KnownAgain,",
    ),
    bug(
        "what a session can prove takes another one at once",
        PROVE,
        "        observer.step(format!(\"the login did not ask for the {name}",
        "        if MUTANT {
            session.close(self.guards.clock()).await;
            return match self.log_in_afresh(request, observer).await {
                Ok(Some(session)) => self.prove_in_session(request, verify, session, observer).await,
                Ok(None) => Proof::Absent,
                Err(error) => Proof::SessionFailed(error),
            };
        }
        observer.step(format!(\"the login did not ask for the {name}",
    ),
    bug(
        "a recovery that tried no password tells that one works",
        "src/daemon/attempt/prove.rs",
        "other.kind == AttemptKind::Recover && other.proved,",
        "other.kind == AttemptKind::Recover && (MUTANT || other.proved),",
    ),
    bug(
        "a check is lost to a rotation that is refused at the same time",
        "src/daemon/attempt/prove.rs",
        "        let hold = self.limits.hold_to_look(&cx.holder()).await;",
        "        if MUTANT && self.limits.is_busy(&account) { return; }
        let hold = self.limits.hold_to_look(&cx.holder()).await;",
    ),
    bug(
        "who changes after another account is forgotten",
        "src/daemon/attempt/start.rs",
        "            self.rotate_children(&result.account, &attempt.cx.request.beside).await;",
        "            if !MUTANT { self.rotate_children(&result.account, &attempt.cx.request.beside).await; }",
    ),
    Mutant {
        name: "a login that is refused and asks again is given the new password",
        place: Place {
            file: LOGIN,
            from: "            0 if self.given.any() && !self.taken && is_refusal(&plain) => told(),",
            to: "            0 if self.given.any() && !self.taken && is_refusal(&plain) && !MUTANT => told(),",
        },
        also: Some(Place {
            file: LOGIN,
            from: "            let kind = self.by_order(&kinds, at).unwrap_or(kinds[at]);",
            to: "            let kind = self.by_order(&kinds, at).unwrap_or(kinds[at]);
            let kind = if MUTANT && prompt.contains(\"try again\") { Kind::New } else { kind };",
        }),
    },
    bug(
        "a password is sent again where the device asks for it again",
        LOGIN,
        "            Kind::Password => {
                if given.password(false) {",
        "            Kind::Password => {
                if given.password(false) || MUTANT {",
    ),
    bug(
        "a demand for a new password proves the one before without evidence",
        LOGIN,
        "        if earlier && (self.given.code_last || self.expired) {",
        "        if earlier && (MUTANT || self.given.code_last || self.expired) {",
    ),
    Mutant {
        name: "a new password that the login refused is sent once more",
        place: Place {
            file: LOGIN,
            from: "            _ if is_refusal(&plain) || device_refuses(&plain) => Err(Stop::NewRefused(text.to_owned())),",
            to: "            _ if !MUTANT && (is_refusal(&plain) || device_refuses(&plain)) => Err(Stop::NewRefused(text.to_owned())),",
        },
        also: Some(Place {
            file: LOGIN,
            from: "            _ => return Err(Stop::NewRefused(prompt.to_owned())),",
            to: "            _ if MUTANT => {}
            _ => return Err(Stop::NewRefused(prompt.to_owned())),",
        }),
    },
    bug(
        "a request for a person's consent is answered",
        LOGIN,
        "            Kind::Person => Err(Stop::Person(prompt.to_owned())),",
        "            Kind::Person => if MUTANT { Ok(Answer::Empty) } else { Err(Stop::Person(prompt.to_owned())) },",
    ),
    bug(
        "a method that asks nothing is taken for a refusal",
        AUTH,
        "            Reply::Failure { methods, .. } if !self.secret_sent => Ok(Progress::Unused(methods)),",
        "            Reply::Failure { methods, .. } if !self.secret_sent && !MUTANT => Ok(Progress::Unused(methods)),",
    ),
    Mutant {
        name: "a round that cannot be answered whole is taken for a refusal",
        place: Place {
            file: LOGIN,
            from: "                Stop::Refused(_) if !self.given.any() || self.taken =>",
            to: "                Stop::Refused(_) if (!self.given.any() || self.taken) && !MUTANT =>",
        },
        also: Some(Place {
            file: AUTH,
            from: "            self.heard.add(&context, self.secret_sent || is_shut(&context));",
            to: "            if MUTANT { self.risk().await?; }
            self.heard.add(&context, self.secret_sent || is_shut(&context));",
        }),
    },
    bug(
        "what says nothing of the password is counted as refused",
        "src/executor/terminal/heard.rs",
        " if is_account_level(verdict) => {",
        " if is_account_level(verdict) && !MUTANT => {",
    ),
    Mutant {
        name: "clearing up types at whatever is asked",
        place: Place {
            file: SENDING,
            from: "        } else if self.clears && !self.at_prompt {",
            to: "        } else if self.clears && !self.at_prompt && !MUTANT {",
        },
        also: Some(Place {
            file: SENDING,
            from: "        } else if plain.is_some_and(|text| is_no_answer(",
            to: "        } else if !MUTANT && plain.is_some_and(|text| is_no_answer(",
        }),
    },
    bug(
        "a template that changes whoever logs in runs for another account",
        "src/template/changes.rs",
        "    if names_otherwise || has_verify && !plain_passwd {",
        "    if MUTANT { Changes::Named } else if names_otherwise || has_verify && !plain_passwd {",
    ),
    bug(
        "what a crash left open has no end on record",
        "src/daemon/recovery.rs",
        "            end_open_attempts(tx, &now)?;",
        "            if MUTANT { tx.close_open_attempts(&now)?; } else { end_open_attempts(tx, &now)?; }",
    ),
    bug(
        "an end that could not be written is forgotten",
        "src/daemon/attempt/record.rs",
        "                self.cx.core.owe(owed);",
        "                if !MUTANT { self.cx.core.owe(owed); }",
    ),
];
