use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use super::*;
use crate::clock::{Time, Waiting};
use crate::dialogue::{LoginFormat, Values};
use crate::executor::observer::SessionSlot;
use crate::executor::terminal::connect::turn_with_slot;
use crate::executor::terminal::connector::{Shell, Stream};
use crate::model::{AccountName, BootId};
use crate::otp::Codes;
use crate::policy::Limit;
use crate::template::Piece;
use crate::totp::{Seed, Skew};
use crate::vault::VaultKey;

use tokio::sync::Notify;

/// A clock that stands still unless it is moved; who sleeps by it sleeps for ever, or not at all.
#[derive(Default)]
struct Still(AtomicI64, AtomicBool);

impl Time for Still {
    fn now(&self) -> Moment {
        let ms = self.0.load(Ordering::SeqCst);
        Moment { wall_ms: 1_000_000_000_000 + ms, boot: BootId::of("b"), since_boot_ms: ms }
    }

    fn sleep(&self, _: Duration) -> Waiting<'static, ()> {
        if self.1.load(Ordering::SeqCst) { Box::pin(std::future::ready(())) } else { Box::pin(std::future::pending()) }
    }

    fn look_again(&self) -> Waiting<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A device that answers so, and says these words with its last answer.
struct Fake<F>(F, Arc<Mutex<Vec<String>>>);

impl<F: FnMut(Ask) -> Waiting<'static, Result<Reply, String>> + Send + Sync> Connection for Fake<F> {
    fn ask<'a>(&'a mut self, _: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>> {
        (self.0)(ask)
    }

    fn words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.1.lock().unwrap())
    }

    fn shell(&self) -> Waiting<'_, Result<Box<dyn Shell>, String>> {
        Box::pin(async { Err("no shell".into()) })
    }

    fn tunnel<'a>(&'a self, _: &'a str, _: u16) -> Waiting<'a, Result<Box<dyn Stream>, String>> {
        Box::pin(async { Err("no way through here".into()) })
    }

    fn close(self: Box<Self>) -> Waiting<'static, ()> {
        Box::pin(async {})
    }
}

/// One that asks nothing, on and on, 25 seconds each time; and whether somebody else had a turn with the seed at each.
fn endless(time: Arc<Still>, codes: Codes, others: Arc<Mutex<Vec<bool>>>) -> impl Connection {
    Fake(
        move |ask| -> Waiting<'static, _> {
            let (time, codes, others) = (time.clone(), codes.clone(), others.clone());
            Box::pin(async move {
                time.0.fetch_add(25_000, Ordering::SeqCst);
                let seed = seed();
                let had = tokio::select! {
                    biased;
                    _ = codes.turn(&seed, |_| {}) => true,
                    () = std::future::ready(()) => false,
                };
                others.lock().unwrap().push(had);
                Ok(match ask {
                    Ask::None => refused(Methods { interactive: true, ..Methods::default() }),
                    _ => Reply::Prompts { context: String::new(), prompts: Vec::new() },
                })
            })
        },
        Arc::default(),
    )
}

/// One that says one thing after another, and hangs up at the end.
fn scripted(replies: impl IntoIterator<Item = Reply>) -> impl Connection {
    speaking(replies, "")
}

/// The same, with words at its end.
fn speaking(replies: impl IntoIterator<Item = Reply>, last: &'static str) -> impl Connection {
    let mut replies: VecDeque<Reply> = replies.into_iter().collect();
    let words = Arc::new(Mutex::new(Vec::new()));
    let says = words.clone();
    Fake(
        move |_| -> Waiting<'static, _> {
            let said = replies.pop_front().ok_or_else(|| "it hung up".to_owned());
            if replies.is_empty() && !last.is_empty() {
                says.lock().unwrap().push(last.to_owned());
            }
            Box::pin(async move { said })
        },
        words,
    )
}

struct Silent;

impl Observer for Silent {
    fn step(&self, _: String) {}

    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn seed() -> Seed {
    Seed::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap()
}

/// What a login needs.
struct Place {
    time: Arc<Still>,
    on: Guards,
    device: Peer,
    login: Login,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = VaultKey::create(&folder.path().join("key")).unwrap();
        let vault = crate::vault::open(&folder.path().join("state"), &key).unwrap();
        let time = Arc::new(Still::default());
        // Not at the begin of a step, where a code would have to be waited for.
        time.0.store(5_000, Ordering::SeqCst);
        let clock = Clock::over(time.clone());
        let on = Guards::new(vault, clock);
        let device = Peer::at("192.0.2.1", 22);
        let login = Login {
            account: AccountName::parse("web1/root").unwrap(),
            budget: Limit { count: 3, window_ms: 3_900_000 },
            password: Some(Secret::new("secret".into())),
            new_password: None,
            seed: Some(seed()),
            key: None,
            format: LoginFormat::Separate,
            prompts: Vec::new(),
            values: Values::default(),
            masker: Masker::default(),
            prove: false,
            probe: false,
            leads_on: false,
            restored: false,
        };
        Self { time, on, device, login, _folder: folder }
    }

    async fn turn(&self) -> (Option<Turn>, Aim) {
        self.login.turn(&self.device, &self.on, &Silent).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Logs in at a device that says this. Which clock the code of the next login is made by?
    async fn after(&self, replies: impl IntoIterator<Item = Reply>) -> By {
        let mut link = scripted(replies);
        let end = log_in(&mut link, &self.device, &self.login, self.turn().await, &self.on, &Silent).await;
        assert!(end.as_ref().is_err_and(DeviceError::may_be_refusal), "{end:?}");
        self.time.0.fetch_add(30_000, Ordering::SeqCst);
        self.turn().await.1.by
    }
}

fn asks(prompt: &str) -> Reply {
    Reply::Prompts { context: String::new(), prompts: vec![prompt.into()] }
}

fn asks_for_code() -> Reply {
    asks("Verification code: ")
}

fn refused(methods: Methods) -> Reply {
    Reply::Failure { methods, partial: false }
}

#[tokio::test]
async fn a_device_that_asks_on_and_on_does_not_hold_up_who_shares_the_seed() {
    let place = Place::new();
    let others = Arc::new(Mutex::new(Vec::new()));
    let mut link = endless(place.time.clone(), place.on.codes.clone(), others.clone());
    let ended = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
    assert!(matches!(ended, Err(DeviceError::Broken { .. })), "{ended:?}");
    let others = others.lock().unwrap();
    assert_eq!(others[..5], [false, false, false, true, true], "its turn lasts for a minute, and then for no longer");
}

#[tokio::test]
async fn only_a_login_that_was_refused_with_a_code_makes_the_next_one_look_for_another_clock() {
    let place = Place::new();
    let password = Methods { password: true, ..Methods::default() };
    let interactive = Methods { interactive: true, ..Methods::default() };
    assert_eq!(place.after([refused(password)]).await, By::Known, "it hung up on the password");
    assert_eq!(place.after([refused(password), refused(password)]).await, By::Known, "it refused the password");
    assert_eq!(place.after([refused(interactive), asks_for_code(), refused(interactive)]).await, By::Probing);
}

#[tokio::test]
async fn after_a_refusal_a_code_is_sent_at_the_time_in_its_step_at_which_one_was_taken() {
    let place = Place::new();
    let interactive = Methods { interactive: true, ..Methods::default() };
    let said = |end| [refused(interactive), asks_for_code(), end];
    place.after(said(refused(interactive))).await;
    // Its step began twenty seconds ago, and at the next look another one begins.
    place.time.0.fetch_add(5_000, Ordering::SeqCst);
    let mut link = scripted(said(Reply::In));
    let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
    assert!(end.is_ok(), "{end:?}");
    place.time.0.fetch_add(10_000, Ordering::SeqCst);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (seed, device) = (seed(), &place.device.name);
    let free = place.on.codes.is_free(&seed, device, |_, _| Ok(By::KnownAgain), |what| tell.send(what).unwrap());
    tokio::select! {
        ended = free => panic!("{ended:?}"),
        waits = told.recv() => assert_eq!(waits, Some(WaitsFor::Step(Duration::from_secs(20)))),
    }
}

#[tokio::test]
async fn while_a_clock_is_looked_for_it_is_noted_when_in_its_step_a_code_of_the_known_one_was_taken() {
    let place = Place::new();
    let aim = Aim::at(&place.device.name);
    let taken = move |tx: &dyn Ledger| {
        took(tx, &aim, Sent { ahead: 0, phase_ms: 887 }, false)?;
        Ok(tx.skew(&aim.device)?.phase_ms)
    };
    assert_eq!(place.on.vault.call(taken.clone()).await.unwrap(), None, "nothing was refused before");
    let refused = Skew { tried: 1, ..Skew::default() };
    let device = place.device.name.clone();
    place.on.vault.call(move |tx| tx.set_skew(&device, refused)).await.unwrap();
    assert_eq!(place.on.vault.call(taken).await.unwrap(), Some(887));
}

#[tokio::test]
async fn what_a_jump_host_demands_is_not_what_the_device_behind_it_demands() {
    let mut place = Place::new();
    let interactive = Methods { interactive: true, ..Methods::default() };
    let said = || [refused(interactive), asks("Password: "), asks_for_code(), asks("New password: ")];
    for leads_on in [false, true] {
        place.login.leads_on = leads_on;
        let mut link = scripted(said());
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
        let demanded = matches!(end, Err(DeviceError::Prompt(PromptError::NewDemanded)));
        assert_eq!(demanded, !leads_on, "{end:?}");
        let budget = Limit { count: 1, ..place.login.budget };
        let room = place.on.risks.take(&place.login.account, budget).await;
        room.unwrap_or_else(|error| panic!("the password was right: {error}")).worked();
        place.time.0.fetch_add(7_200_000, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_device_that_asks_for_the_password_again_refused_who_gave_it() {
    let mut place = Place::new();
    let interactive = Methods { interactive: true, ..Methods::default() };
    place.login.prompts = vec![says("*PIN*", "CURRENT_PASSWORD")];
    place.login.values.set("CURRENT_PASSWORD", Secret::new("secret".into()));
    for prompt in ["Password: ", "Password and verification code: ", "PIN, please "] {
        let mut link = scripted([refused(interactive), asks(prompt), asks(prompt), Reply::In]);
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
        let of_whom = matches!(&end, Err(DeviceError::Refused { account, .. }) if account == "web1/root");
        assert!(of_whom, "{prompt}: {end:?}");
        place.time.0.fetch_add(7_200_000, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_login_that_only_leads_on_does_not_end_that_others_are_held_back() {
    let mut place = Place::new();
    for (leads_on, held) in [(true, true), (false, false)] {
        for name in ["a/x", "b/x", "c/x", "d/x", "e/x"] {
            place.on.breaker().refused(&AccountName::parse(name).unwrap(), false, 0);
        }
        place.login.leads_on = leads_on;
        let interactive = Methods { interactive: true, ..Methods::default() };
        let mut link = scripted([refused(interactive), asks("Password: "), Reply::In]);
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(place.on.breaker().held_for(0).is_some(), held);
    }
}

/// A device that says this; how the login ended, and whether its commit point was passed.
async fn ends(place: &Place, replies: impl IntoIterator<Item = Reply>) -> (Result<Entered, DeviceError>, bool) {
    struct Counts(AtomicBool);
    impl Observer for Counts {
        fn step(&self, _: String) {}

        fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
            self.0.store(true, Ordering::SeqCst);
            Box::pin(std::future::ready(Ok(())))
        }
    }
    let (mut link, observer) = (scripted(replies), Counts(false.into()));
    let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &observer).await;
    place.time.0.fetch_add(7_200_000, Ordering::SeqCst);
    (end, observer.0.into_inner())
}

fn says(pattern: &str, tag: &str) -> (Text, Text) {
    let text = |piece| Text { pieces: vec![piece] };
    (text(Piece::Literal(pattern.into())), text(Piece::Tag(tag.into(), None)))
}

#[tokio::test]
async fn only_a_login_that_is_to_change_its_password_gives_a_new_one_though_the_template_would() {
    let mut place = Place::new();
    let interactive = Methods { interactive: true, ..Methods::default() };
    place.login.prompts = vec![says("*Henceforth*", "NEW_PASSWORD")];
    let said = || [refused(interactive), asks("Password: "), asks_for_code(), asks("Henceforth: "), Reply::In];
    let (end, committed) = ends(&place, said()).await;
    assert!(matches!(end, Err(DeviceError::Prompt(PromptError::NewDemanded))), "{end:?}");
    assert!(!committed, "it is somebody else's change, or none");
    let at_once = [refused(interactive), asks("Henceforth: "), Reply::In];
    let (end, committed) = ends(&place, at_once).await;
    assert!(matches!(end, Err(DeviceError::Prompt(PromptError::Unknown(..)))), "nothing proved a password: {end:?}");
    assert!(!committed);
    let new = Secret::new("other".into());
    place.login.values.set("NEW_PASSWORD", new.clone());
    place.login.new_password = Some(new);
    let (end, committed) = ends(&place, said()).await;
    assert!(committed && end.is_ok_and(|entered| entered.changed_at_login && entered.password_taken));
}

#[tokio::test]
async fn a_new_password_that_is_demanded_beside_the_old_one_proves_nothing() {
    let place = Place::new();
    let interactive = Methods { interactive: true, ..Methods::default() };
    let both = Reply::Prompts { context: String::new(), prompts: vec!["Password: ".into(), "New password: ".into()] };
    let (end, _) = ends(&place, [refused(interactive), both]).await;
    assert!(matches!(end, Err(DeviceError::Prompt(PromptError::Unknown(..)))), "{end:?}");
}

#[tokio::test]
async fn what_a_template_answers_must_have_a_value_and_only_the_password_itself_is_proved_by_it() {
    let mut place = Place::new();
    let interactive = Methods { interactive: true, ..Methods::default() };
    let said = || [refused(interactive), asks("Door: "), Reply::In];
    place.login.prove = true;
    place.login.prompts = vec![says("*Door*", "DOOR_PASSWORD")];
    let (end, _) = ends(&place, said()).await;
    assert!(matches!(&end, Err(DeviceError::Incapable { why, .. }) if why.contains("DOOR_PASSWORD")), "{end:?}");
    place.login.values.set("DOOR_PASSWORD", Secret::new("sesame".into()));
    let (end, _) = ends(&place, said()).await;
    assert!(end.is_ok_and(|entered| !entered.password_sent), "another secret was sent");
    place.login.prompts = vec![says("*Door*", "CURRENT_PASSWORD")];
    place.login.values.set("CURRENT_PASSWORD", Secret::new("secret".into()));
    let (end, _) = ends(&place, said()).await;
    assert!(end.is_ok_and(|entered| entered.password_sent));
}

/// Keeps what it is told, and the secrets that leave.
#[derive(Default)]
struct Hears(Mutex<(Vec<String>, Vec<Secret>)>);

impl Observer for Hears {
    fn step(&self, text: String) {
        self.0.lock().unwrap().0.push(text);
    }

    fn leaves(&self, secret: &Secret) {
        self.0.lock().unwrap().1.push(secret.clone());
    }

    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A device whose second prompt says this of the password that it was given, and whose third of the code.
fn repeats(say: impl Fn(&str) -> String + Send + Sync + 'static) -> impl Connection {
    let mut rounds = 0;
    Fake(
        move |ask| -> Waiting<'static, _> {
            rounds += 1;
            let given = match &ask {
                Ask::Answers(answers) => answers.first().map_or("", Secret::expose).to_owned(),
                _ => String::new(),
            };
            let reply = match rounds {
                1 => refused(Methods { interactive: true, ..Methods::default() }),
                2 => asks("Password: "),
                3 => asks(&format!("{} Verification code: ", say(&given))),
                _ => asks(&format!("{} which colour? ", say(&given))),
            };
            Box::pin(async move { Ok(reply) })
        },
        Arc::default(),
    )
}

#[tokio::test]
async fn a_prompt_that_repeats_a_secret_in_pieces_is_quoted_without_it() {
    let mut place = Place::new();
    let password = "Corr3ct-Horse-Battery-Staple";
    place.login.password = Some(Secret::new(password.into()));
    let ways: [fn(&str) -> String; 6] = [
        |given| given.to_owned(),
        |given| format!("{}{given}", "x".repeat(81 - given.len())),
        |given| format!("{}{given}", "y".repeat(201 - given.len())),
        |given| given.chars().map(|c| format!("{c}\r")).collect(),
        |given| format!("{} {}", &given[..3], &given[3..]),
        |given| format!("{}\u{8}\u{8}{}", &given[..5], &given[3..]).to_uppercase(),
    ];
    for way in ways {
        let (mut link, hears) = (repeats(way), Hears::default());
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &hears).await;
        place.time.0.fetch_add(7_200_000, Ordering::SeqCst);
        let (mut told, secrets) = hears.0.into_inner().unwrap();
        assert_eq!(secrets.len(), 1, "the observer knows the code: {told:?}");
        told.push(end.map(|_| ()).unwrap_err().to_string());
        assert!(told.len() >= 2 && told.iter().any(|text| text.contains("nothing answers it")), "{told:?}");
        for secret in [password, secrets[0].expose()] {
            for text in &told {
                let (text, joined) = (text.to_lowercase(), text.to_lowercase().replace(' ', ""));
                for at in 0..=secret.len() - 6 {
                    let piece = secret[at..at + 6].to_lowercase();
                    assert!(!text.contains(&piece) && !joined.contains(&piece), "{text}");
                }
            }
        }
    }
}
impl Place {
    /// Whether nothing of the budget is spent.
    async fn has_room(&self) -> bool {
        let budget = Limit { count: 1, ..self.login.budget };
        match self.on.risks.take(&self.login.account, budget).await {
            Ok(risk) => {
                risk.worked();
                true
            }
            Err(_) => false,
        }
    }

    /// Whether the code of the step at hand was not used up.
    async fn has_code(&self) -> bool {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (seed, device) = (seed(), &self.device.name);
        let free = self.on.codes.is_free(&seed, device, |_, _| Ok(By::Known), |what| tell.send(what).unwrap());
        tokio::select! {
            free = free => free.unwrap().is_some(),
            _ = told.recv() => false,
        }
    }
}

fn interactive() -> Reply {
    refused(Methods { interactive: true, ..Methods::default() })
}

fn round(context: &str, prompts: &[&str]) -> Reply {
    Reply::Prompts { context: context.into(), prompts: prompts.iter().map(|&prompt| prompt.to_owned()).collect() }
}

#[tokio::test]
async fn a_method_with_nothing_behind_it_is_dropped_and_never_counted() {
    let place = Place::new();
    let both = Methods { interactive: true, password: true, ..Methods::default() };
    let (end, _) = ends(&place, [refused(both), refused(both), Reply::In]).await;
    assert!(end.is_ok_and(|entered| entered.password_taken), "it goes on to the password");
    let (end, _) = ends(&place, [interactive(), interactive()]).await;
    assert!(matches!(end, Err(DeviceError::Incapable { .. })), "{end:?}");
    let nothing = refused(Methods::default());
    let password = refused(Methods { password: true, ..Methods::default() });
    let (end, _) = ends(&place, [nothing, password, Reply::In]).await;
    assert!(end.is_ok(), "a device that names its methods late: {end:?}");
    assert!(place.has_room().await);
}

#[tokio::test]
async fn between_two_methods_nothing_is_refused_and_the_second_one_is_tried() {
    let place = Place::new();
    let both = Methods { interactive: true, password: true, ..Methods::default() };
    let second = || Reply::Failure { methods: Methods { password: false, ..both }, partial: true };
    let (end, _) = ends(&place, [refused(both), refused(both), second(), asks_for_code(), Reply::In]).await;
    assert!(end.is_ok(), "nothing behind it as the first factor: {end:?}");
    // The device took the password, and hangs up when the next method begins.
    let (end, _) = ends(&place, [refused(Methods { interactive: false, ..both }), second()]).await;
    assert!(matches!(&end, Err(DeviceError::Broken { .. })), "{end:?}");
    // It took the password, and PAM asks for it again by the other method.
    let only = Methods { interactive: false, ..both };
    let (end, _) = ends(&place, [refused(only), second(), asks("Password: ")]).await;
    assert!(matches!(&end, Err(DeviceError::Prompt(PromptError::Unknown(..)))), "{end:?}");
    assert!(place.has_room().await, "no refusal is counted");
    let notice = round("\nAccess denied? Call 123.", &["Verification code: "]);
    let (end, _) = ends(&place, [refused(only), second(), notice, Reply::In]).await;
    assert!(end.is_ok(), "what it says as the next method begins: {end:?}");
}

#[tokio::test]
async fn a_round_that_cannot_be_answered_whole_sends_nothing_and_uses_up_no_code() {
    for prompts in
        [&["Password: "; 5][..], &["Verification code: "; 2], &["Password: ", "Verification code: ", "Colour: "]]
    {
        let place = Place::new();
        // The device would take any answer.
        let mut link = scripted([interactive(), round("", prompts), Reply::In]);
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
        assert!(matches!(end, Err(DeviceError::Prompt(PromptError::Unknown(..)))), "{end:?}");
        assert!(place.has_room().await && place.has_code().await);
    }
    let place = Place::new();
    let mut link = scripted([interactive(), asks_for_code(), Reply::In]);
    let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
    assert!(end.is_ok() && !place.has_code().await);
}

#[tokio::test]
async fn a_device_that_does_not_let_anybody_in_now_costs_nothing() {
    let place = Place::new();
    let booting = "System is booting up. Unprivileged users are not permitted to log in yet.";
    let taken = || vec![interactive(), asks("Password: "), asks_for_code()];
    for (mut replies, last) in [(taken(), booting), (taken(), "The account is locked due to 3 failed logins.")] {
        let mut link = speaking(replies.clone(), last);
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
        assert!(matches!(&end, Err(DeviceError::NotNow { why, .. }) if why.contains(last)), "{end:?}");
        place.time.0.fetch_add(7_200_000, Ordering::SeqCst);
        replies.push(interactive());
        let mut link = speaking(replies, last);
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
        assert!(matches!(&end, Err(DeviceError::NotNow { .. })), "{end:?}");
        place.time.0.fetch_add(7_200_000, Ordering::SeqCst);
    }
    let empty = [interactive(), asks("Password: "), round(&format!("\n{booting}"), &[]), interactive()];
    let (end, _) = ends(&place, empty).await;
    assert!(matches!(end, Err(DeviceError::NotNow { .. })), "in a round without prompts: {end:?}");
    let (end, _) = ends(&place, [interactive(), asks("Password: "), asks("Account locked.\nPassword: ")]).await;
    assert!(matches!(end, Err(DeviceError::NotNow { .. })), "above a question: {end:?}");
    let locked = "The account is locked due to 3 failed logins.\n(7 minutes left to unlock)\nPassword: ";
    let (end, _) = ends(&place, [interactive(), asks(locked), asks_for_code(), interactive()]).await;
    assert!(
        matches!(&end, Err(DeviceError::NotNow { why, .. }) if why.contains("due to 3")),
        "before it asks: {end:?}"
    );
    let tally = round("\nAccount temporary locked (599 seconds left)", &[]);
    let (end, _) = ends(&place, [interactive(), tally, asks("Password: "), asks_for_code(), interactive()]).await;
    assert!(matches!(&end, Err(DeviceError::NotNow { why, .. }) if why.contains("599")), "in a round before: {end:?}");
    assert!(place.has_room().await);
    // What it says before any secret, at each login perhaps, is told and judges nothing.
    let banner = round("\nToo many sessions are locked here", &["Password: "]);
    let (end, _) = ends(&place, [interactive(), banner, interactive()]).await;
    assert!(matches!(&end, Err(DeviceError::Refused { why, .. }) if why.contains("Too many sessions")), "{end:?}");
    let both = [interactive(), asks("Password: "), round("\nLogin incorrect or account locked", &[])];
    let (end, _) = ends(&place, both).await;
    assert!(matches!(&end, Err(DeviceError::Refused { why, .. }) if why.contains("Login incorrect or")), "{end:?}");
}

#[tokio::test]
async fn what_a_person_must_do_or_nobody_knows_ends_the_login_and_counts_nothing() {
    let place = Place::new();
    let push =
        round("\nApprove the request showing 42 in your Authenticator app, then press Enter", &["Press Enter: "]);
    let (end, _) = ends(&place, [interactive(), asks("Password: "), push, Reply::In]).await;
    assert!(matches!(&end, Err(DeviceError::NeedsPerson { .. })), "{end:?}");
    let menu = asks("0 - Push\n1 - Google Authenticator\nSelection: ");
    let (end, _) = ends(&place, [interactive(), asks("Password: "), menu, Reply::In]).await;
    let text = end.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("Google Authenticator") && text.contains("login-prompt \"*Selection:*\" \"1\""), "{text}");
    assert!(place.has_room().await);
}

#[tokio::test]
async fn a_refused_new_password_is_told_in_the_device_s_words_and_no_secret_in_them() {
    let mut place = Place::new();
    place.login.new_password = Some(Secret::new("Candidate-One".into()));
    let refusal = "BAD PASSWORD: Candidate-One contains less than 3 character classes";
    let said = [
        interactive(),
        asks("Password: "),
        asks_for_code(),
        round("\nPassword expired. Change your password now.", &["Current Password: "]),
        asks("New password: "),
        round(&format!("\n{refusal}"), &["New password: "]),
        Reply::In,
    ];
    let (end, committed) = ends(&place, said).await;
    assert!(committed);
    let Err(DeviceError::NewRefused { why, .. }) = &end else { panic!("{end:?}") };
    assert!(why.contains("3 character classes") && !why.contains("Candidate-One"), "{why}");
    assert!(place.has_room().await, "the old one was taken");
    place.login.new_password = None;
    let unknown = format!("{}secret is what? ", "x".repeat(500));
    let (end, _) = ends(&place, [interactive(), asks(&unknown)]).await;
    let text = end.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("is what?") && !text.contains("secret"), "{text}");
}

/// A device with room for one session, and what was told of it while so many were held.
#[derive(Default)]
struct OneRoom {
    held: Arc<AtomicUsize>,
    told: Mutex<Vec<(String, usize)>>,
    waits: Notify,
}

struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Observer for OneRoom {
    fn step(&self, text: String) {
        self.told.lock().unwrap().push((text, self.held.load(Ordering::SeqCst)));
        self.waits.notify_one();
    }

    fn try_slot(&self) -> Option<SessionSlot> {
        if self.held.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.held.fetch_add(1, Ordering::SeqCst);
        Some(SessionSlot::new(Held(self.held.clone())))
    }

    fn slot(&self) -> Waiting<'_, SessionSlot> {
        self.waits.notify_one();
        Box::pin(std::future::pending())
    }

    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn who_waits_for_a_code_has_no_session_and_who_waits_for_a_session_has_no_turn() {
    let place = Place::new();
    let observer = OneRoom::default();
    let waits = async || {
        tokio::select! {
            got = turn_with_slot(&place.login, &place.device, &place.on, &observer) => panic!("{:?}", got.map(|_| ())),
            () = observer.waits.notified() => {}
        }
    };
    let free = turn_with_slot(&place.login, &place.device, &place.on, &observer).await.unwrap();
    assert_eq!(observer.held.load(Ordering::SeqCst), 1);
    // Somebody else has the session, and waits for no code.
    let ((turn, _), slot) = free;
    drop(turn);
    waits().await;
    assert!(place.on.codes.try_turn(&seed()).is_some(), "the turn was given back");
    drop(slot);
    // The code of this step is used up.
    place.on.codes.issue(&seed(), &Aim::at(&place.device.name), None, |_| {}).await.unwrap();
    waits().await;
    let told = observer.told.lock().unwrap().pop().unwrap();
    assert!(told.0.contains("for a fresh code") && told.1 == 0, "{told:?}");
}

#[tokio::test]
async fn a_device_that_asks_slow_servers_is_waited_for_as_long_as_its_config_says() {
    let mut place = Place::new();
    place.time.1.store(true, Ordering::SeqCst);
    for (own, told) in [(10, "no answer within 30 s"), (90, "no answer within 90 s")] {
        Arc::make_mut(&mut place.device.ssh).connect_timeout = Duration::from_secs(own);
        let mut link =
            Fake(|_| -> Waiting<'static, Result<Reply, String>> { Box::pin(std::future::pending()) }, Arc::default());
        let end = log_in(&mut link, &place.device, &place.login, place.turn().await, &place.on, &Silent).await;
        assert!(matches!(&end, Err(DeviceError::Broken { why, .. }) if why.contains(told)), "{end:?}");
    }
}
