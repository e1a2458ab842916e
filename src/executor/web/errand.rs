//! One run of a web template in a browser of its own: what it may enter, what it costs, and how it ended.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Web;
use super::live::{Live, LiveKind};
use super::session::Session;
use crate::browser::{Browser, Judges, Setup, TlsError};
use crate::config::{Account, WebEndpoint};
use crate::dialogue::Values;
use crate::dialogue::web::{
    Action, FailureKind, LoginEnd, Observation, Parked, Trouble, WebFailure, WebRun, WebVerdict,
};
use crate::executor::error::{DeviceError, HELD_BACK};
use crate::executor::observer::{Observer, SessionSlot};
use crate::executor::risks::Risk;
use crate::executor::values::Stored;
use crate::model::{Masker, Secret, in_words};
use crate::otp::{Aim, By, Issued, Miss, took};
use crate::template::web::{Purpose, WebTemplate};
use crate::totp::Seed;

/// The bound on each wait where the template sets none.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A parked page is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Shorter texts stand in pages by chance.
const SHORTEST: usize = 6;
/// What an attempt is told where the daemon stops.
const STOPPING: &str = "the daemon is stopping";

/// What is to be done.
pub(super) struct Errand<'a> {
    /// The socket of the service that browsers run in; where there is none, the daemon starts them.
    pub(super) socket: &'a Path,
    /// The account that logs in, whose budget pays for it.
    pub(super) login: &'a Account,
    /// The account that it is about.
    pub(super) account: &'a Account,
    pub(super) endpoint: Arc<WebEndpoint>,
    pub(super) template: Arc<WebTemplate>,
    pub(super) purpose: Purpose,
    pub(super) values: Values,
    /// What the vault has of the account, and of the one that logs in.
    pub(super) stored: (Stored, Stored),
    /// The password that is set.
    pub(super) new: Option<Secret>,
    /// The password that is proved.
    pub(super) tried: Option<Secret>,
    /// Whether codes of another time step are tried.
    pub(super) probe: bool,
    /// That the password is refused is no news, since the vault is an old one.
    pub(super) restored: bool,
}

impl Errand<'_> {
    /// All that may be entered and must not be seen.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let of = |stored: &Stored| {
            let fields = stored.fields.iter().map(|(_, value)| value.clone());
            stored.password.iter().cloned().chain(fields).collect::<Vec<_>>()
        };
        let passwords = [&self.new, &self.tried].into_iter().flatten().cloned();
        of(&self.stored.0).into_iter().chain(of(&self.stored.1)).chain(passwords).collect()
    }

    /// Those of them that are worth something after the run, and that no page shows by chance.
    pub(super) fn lasting_secrets(&self) -> Vec<Secret> {
        self.secrets().into_iter().filter(|secret| secret.expose().chars().count() >= SHORTEST).collect()
    }

    pub(super) fn masker(&self) -> Masker {
        let mut masker = self.stored.0.masker(&self.values);
        masker.add_all(&self.stored.1.masker(&Values::default()));
        self.secrets().iter().for_each(|secret| masker.add(secret));
        [self.account.device.name.as_str(), self.login.name.user()].into_iter().for_each(|name| masker.leave(name));
        masker
    }

    fn seed(&self, tag: &str) -> Option<&Seed> {
        let (own, login) = (&self.stored.0, &self.stored.1);
        if tag == "AUTH_TOTP_TOKEN" { login.seed.as_ref() } else { own.seed.as_ref().or(login.seed.as_ref()) }
    }

    fn aim(&self) -> Aim {
        let by = if self.probe { By::Probing } else { By::Known };
        Aim { device: self.account.device.name.clone(), by }
    }

    /// No wait of a run is shorter, in milliseconds.
    fn floor_ms(&self) -> i64 {
        i64::try_from(self.endpoint.timeout.as_millis()).unwrap_or(i64::MAX)
    }

    /// The bound on the loading of a page.
    fn patience(&self) -> Duration {
        self.template.timeout().unwrap_or(TIMEOUT).max(self.endpoint.timeout)
    }
}

/// How a run ended.
pub(super) struct Ended {
    pub(super) verdict: WebVerdict,
    /// A code was entered in it.
    pub(super) with_code: bool,
}

/// What a run has at hand beside its template.
pub(super) struct Under<'a> {
    errand: &'a Errand<'a>,
    observer: &'a dyn Observer,
    pub(super) session: Session,
    secrets: Vec<Secret>,
    risk: Option<Risk>,
    /// A secret was handed to the browser to be entered.
    pub(super) entered: bool,
    code: Option<Issued>,
    pub(super) failed: Option<DeviceError>,
    /// The new password may be in the page.
    pub(super) committed: bool,
    told_refused: BTreeSet<String>,
    /// Held while the browser stands.
    pub(super) slot: SessionSlot,
}

impl Web {
    /// Runs it, in a browser that is gone when this returns.
    ///
    /// # Errors
    /// The run did not begin, or something but the page stopped it.
    pub(super) async fn run(&self, errand: &Errand<'_>, observer: &dyn Observer) -> Result<Ended, DeviceError> {
        self.run_on(errand, observer).await.map(|(ended, _)| ended)
    }

    /// The same, in a browser that stands on.
    ///
    /// # Errors
    /// As for [`Web::run`].
    pub(super) async fn run_on<'a>(
        &self,
        errand: &'a Errand<'a>,
        observer: &'a dyn Observer,
    ) -> Result<(Ended, Under<'a>), DeviceError> {
        let program = errand.template.program(errand.purpose).ok_or_else(|| DeviceError::Incapable {
            account: errand.login.name.to_string(),
            why: format!("the template {} has no such part", errand.account.device.template),
        })?;
        let masker = observer.learn(&errand.masker());
        let mut under = tokio::select! {
            biased;
            under = self.begin(errand, observer) => under?,
            () = observer.given_up() => return Err(DeviceError::NotCommitted(STOPPING.into())),
        };
        let floor = errand.floor_ms();
        let run = WebRun::new(program, errand.purpose, errand.values.clone(), masker.clone(), floor);
        let verdict = self.go(&mut under, run).await;
        under.tell_refused();
        if let WebVerdict::Failed(failure) = &verdict
            && failure.kind != FailureKind::Browser
            && let Some(picture) = under.session.picture(&under.secrets).await
        {
            observer.picture(picture).await;
        }
        self.settle(&mut under, &verdict).await;
        if let WebVerdict::Failed(failure) = &verdict {
            self.clear_up(&mut under, failure, masker).await;
        }
        match under.failed.take() {
            Some(error) => Err(error),
            None => Ok((Ended { verdict, with_code: under.code.is_some() }, under)),
        }
    }

    /// Runs lines of the template in the browser as it stands.
    async fn go(&self, under: &mut Under<'_>, mut run: WebRun) -> WebVerdict {
        let observer = under.observer;
        let mut heard = Observation::Started;
        loop {
            let action = run.next(self.now(), heard);
            run.notes().into_iter().for_each(|note| observer.step(note));
            heard = match action {
                Action::Finish(verdict) => return verdict,
                action => tokio::select! {
                    biased;
                    heard = self.perform(under, &run, &action) => heard,
                    () = observer.cancelled() => Observation::Stopped(STOPPING.into()),
                },
            };
        }
    }

    /// Runs the template's `section abort` in the page that a change left before its commit point. What becomes of it changes nothing
    /// about how the change ended.
    async fn clear_up(&self, under: &mut Under<'_>, failure: &WebFailure, masker: Masker) {
        let is_change = matches!(under.errand.purpose, Purpose::Change | Purpose::Reconcile);
        let stands = matches!(failure.kind, FailureKind::Page | FailureKind::Dialog);
        // Where nothing was entered nobody is logged in, and nothing was begun.
        if !is_change || !stands || failure.committed || under.committed || !under.entered || under.failed.is_some() {
            return;
        }
        let Some(program) = under.errand.template.program(Purpose::Abort) else { return };
        under.observer.step("clearing up: section abort".into());
        let Ok(page) = under.session.look(&json!({})).await else { return };
        let (values, floor) = (under.errand.values.clone(), under.errand.floor_ms());
        let run = WebRun::new(program, Purpose::Abort, values, masker, floor).on_page(&page);
        if let WebVerdict::Failed(failure) = self.go(under, run).await {
            under.observer.step(format!("section abort did not come to its end: {}", failure.message));
        }
        under.failed = None;
    }

    fn now(&self) -> i64 {
        self.guards.clock().now().since_boot_ms
    }

    /// Judges the certificate, and starts a browser.
    pub(super) async fn begin<'a>(
        &self,
        errand: &'a Errand<'a>,
        observer: &'a dyn Observer,
    ) -> Result<Under<'a>, DeviceError> {
        let slot = match observer.try_slot() {
            Some(slot) => slot,
            None => observer.slot().await,
        };
        observer.may_connect()?;
        let (endpoint, device) = (&errand.endpoint, errand.account.device.name.to_string());
        let unreachable =
            |why: String| DeviceError::Connect { device: device.clone(), address: endpoint.authority(), why };
        let (mut setup, judges) = (Setup::default(), Judges::new(&endpoint.trust));
        // A certificate that is not trusted costs no browser. Each of the browser's own connections is judged again.
        if endpoint.scheme == "https" {
            judges.judge(&endpoint.own()).await.map_err(|error| match error {
                TlsError::NotTrusted(why) => DeviceError::Certificate { device: device.clone(), why },
                error => unreachable(error.to_string()),
            })?;
        }
        let patience = errand.patience();
        setup.page_load_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        setup.user_agent = errand.template.user_agent().filter(|_| endpoint.send_user_agent).map(str::to_owned);
        let browser = Browser::start(errand.socket, endpoint.allowed(), judges, setup);
        let browser = browser.await.map_err(|trouble| unreachable(trouble.to_string()))?;
        observer.step(format!("Chromium {} in a fresh profile", browser.version()));
        Ok(Under {
            errand,
            observer,
            session: Session::new(Arc::new(browser), endpoint.clone(), patience),
            secrets: errand.secrets(),
            risk: None,
            entered: false,
            code: None,
            failed: None,
            committed: false,
            told_refused: BTreeSet::new(),
            slot,
        })
    }

    async fn perform(&self, under: &mut Under<'_>, run: &WebRun, action: &Action) -> Observation {
        match action {
            Action::Code { tag } => self.make_code(under, tag).await,
            Action::Commit { .. } => under.commit().await,
            Action::Sleep { until } => {
                self.sleep_until(*until).await;
                Observation::Done
            }
            Action::Person(parked) => self.wait_for_person(under, run, parked).await,
            action => {
                if let Action::Page { not_before, .. } = action {
                    self.sleep_until(*not_before).await;
                }
                let is_secret = under.enters_secret(action);
                if is_secret && let Err(error) = self.take_risk(under).await {
                    return under.stop(error);
                }
                let before = under.session.entered();
                let heard = under.session.perform(action).await;
                under.entered |= is_secret && under.session.entered() > before;
                under.tell_refused();
                heard
            }
        }
    }

    async fn sleep_until(&self, moment: i64) {
        let wait = u64::try_from(moment - self.now()).unwrap_or(0);
        if wait > 0 {
            self.guards.clock().sleep(Duration::from_millis(wait)).await;
        }
    }

    /// The budget pays before the first secret of a login is entered.
    pub(super) async fn take_risk(&self, under: &mut Under<'_>) -> Result<(), DeviceError> {
        if under.risk.is_none() {
            let login = under.errand.login;
            under.risk = Some(self.guards.risks.take(&login.name, login.policy.lockout()).await?);
        }
        Ok(())
    }

    pub(super) async fn make_code(&self, under: &mut Under<'_>, tag: &str) -> Observation {
        let errand = under.errand;
        let Some(seed) = errand.seed(tag) else {
            return under.stop(DeviceError::NoSeed { account: errand.login.name.to_string() });
        };
        let waiting = |what: crate::otp::WaitsFor| under.observer.step(what.to_string());
        match self.guards.codes.issue(seed, &errand.aim(), None, waiting).await {
            Ok(issued) => {
                under.observer.leaves(&issued.code);
                under.secrets.push(issued.code.clone());
                let code = issued.code.clone();
                under.code = Some(issued);
                Observation::Code(code)
            }
            Err(error) => under.stop(error.into()),
        }
    }

    /// Keeps the browser until a person has done what is asked.
    async fn wait_for_person(&self, under: &mut Under<'_>, run: &WebRun, parked: &Parked) -> Observation {
        let clock = self.guards.clock();
        let park_for = under.errand.endpoint.park_for;
        let until_ms = clock.now().plus_ms(i64::try_from(park_for.as_millis()).unwrap_or(i64::MAX)).wall_ms;
        let name = &under.errand.account.name;
        let kind = LiveKind::Parked { secrets: under.errand.lasting_secrets(), attempt: under.observer.attempt() };
        let live = Live::new(under.session.browser().clone(), parked.text.clone(), until_ms, kind);
        let shown = self.live.show(name, live);
        under.observer.waits_for_person(&parked.text).await;
        let done = async {
            loop {
                match under.session.look(&parked.look).await {
                    Ok(result) if run.until_holds(&result) => return None,
                    // There is nothing left that a person could work in.
                    Err(Trouble::Gone(why)) => return Some(why),
                    _ => {}
                }
                clock.sleep(LOOK_AGAIN).await;
            }
        };
        let (observation, how) = tokio::select! {
            biased;
            () = shown.live.continued() => (Observation::PersonDone, None),
            gone = done => match gone {
                None => (Observation::PersonDone, Some("the page that was waited for is there".to_owned())),
                Some(why) => (Observation::Trouble(Trouble::Gone(why)), Some("the browser is gone".to_owned())),
            },
            () = clock.sleep(park_for) => (Observation::PersonGone, Some(format!("nobody did it within {}", in_words(i64::try_from(park_for.as_millis()).unwrap_or(i64::MAX))))),
        };
        let live = shown.live.clone();
        drop(shown);
        let (by, viewers) = live.close().await;
        let how = how.unwrap_or_else(|| {
            format!("{} said that it is done", by.map_or_else(|| "somebody".to_owned(), |by| by.name))
        });
        let viewers: Vec<String> = viewers.into_iter().map(|viewer| viewer.name).collect();
        let who = if viewers.is_empty() { "nobody".to_owned() } else { viewers.join(", ") };
        under.observer.waited_for_person(&format!("{how}; {who} looked into the browser")).await;
        observation
    }

    /// Puts on record what the run showed of the secrets that it entered: the budget gets back what it paid, or has paid it once.
    pub(super) async fn settle(&self, under: &mut Under<'_>, verdict: &WebVerdict) {
        let Some(risk) = under.risk.take() else { return };
        let (aim, account) = (under.errand.aim(), under.errand.login.name.clone());
        let sent = under.code.as_ref().map(|code| code.sent);
        let now_ms = self.now();
        match verdict.login(under.entered) {
            LoginEnd::Taken => {
                under.observer.entered();
                if self.guards.breaker().took(now_ms) {
                    tracing::info!(%account, "{account}: a login was taken: no login is held back any more");
                }
                let took = move |tx: &dyn crate::vault::Ledger| {
                    tx.login_was_taken(&account, sent.is_some())?;
                    sent.map_or(Ok(()), |sent| took(tx, &aim, sent, false).map(|_| ()))
                };
                risk.worked_with(took);
            }
            LoginEnd::Rejected { code } => {
                if self.guards.breaker().refused(&account, under.errand.restored, now_ms) {
                    tracing::error!("{HELD_BACK}");
                }
                let miss = sent.filter(|_| code).map(|sent| Miss { aim, ahead: sent.ahead, in_session: false });
                risk.refused(sent.is_some(), miss).await;
            }
            LoginEnd::NotJudged => risk.worked(),
            // It stays on record as one that may have been refused.
            LoginEnd::Unanswered => drop(risk),
        }
    }
}

impl Under<'_> {
    /// Whether an action enters a password or a code into a page.
    fn enters_secret(&self, action: &Action) -> bool {
        let entered = match action {
            Action::Page { call, .. } => call.secret.as_ref(),
            Action::Keys { keys, .. } => Some(keys),
            Action::Script { body } => Some(body),
            Action::Open { url } => Some(url),
            _ => None,
        };
        let holds = |text: &Secret| self.secrets.iter().any(|secret| text.expose().contains(secret.expose()));
        entered.is_some_and(holds)
    }

    fn stop(&mut self, error: DeviceError) -> Observation {
        let why = error.to_string();
        self.failed.get_or_insert(error);
        Observation::Stopped(why)
    }

    /// The new password is entered next: that is durable first.
    pub(super) async fn commit(&mut self) -> Observation {
        if let Err(why) = self.observer.logged_in().await {
            return self.stop(DeviceError::NotCommitted(why));
        }
        match self.observer.commit_point().await {
            Ok(()) => Observation::Allowed,
            Err(error) => self.stop(error),
        }
    }

    /// Tells of hosts that the page asked for and was not let through to, each once.
    fn tell_refused(&mut self) {
        for untrusted in self.session.browser().untrusted() {
            if self.told_refused.insert(untrusted.why.clone()) {
                self.observer.step(format!("nothing was sent there: {}", untrusted.why));
            }
        }
        for host in self.session.browser().refused() {
            if self.told_refused.insert(host.clone()) {
                self.observer.step(format!(
                    "the page tried to reach {host}, which is not allowed: nothing was sent there; allow_hosts lets it through"
                ));
            }
        }
    }
}

/// An error of a login, made of why a run failed before its commit point.
pub(super) fn login_error(errand: &Errand<'_>, failure: WebFailure, with_code: bool) -> DeviceError {
    let (account, why) = (errand.login.name.to_string(), failure.message);
    let device = errand.account.device.name.to_string();
    match failure.kind {
        FailureKind::PasswordRejected => DeviceError::Refused { account, why, with_code },
        FailureKind::CodeRejected => DeviceError::Refused { account, why, with_code: true },
        FailureKind::Locked => DeviceError::NotNow { account, why, no_room: false },
        FailureKind::Certificate => DeviceError::Certificate { device, why },
        FailureKind::Network => DeviceError::Connect { device, address: errand.endpoint.authority(), why },
        FailureKind::Person => DeviceError::NeedsPerson { account, why },
        FailureKind::Stopped => DeviceError::NotCommitted(why),
        _ => DeviceError::Page { device, why },
    }
}
