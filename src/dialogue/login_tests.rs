use super::*;
use crate::model::Secret;

/// Rounds of one login: context, prompts.
type Rounds<'a> = &'a [(&'a str, &'a [&'a str])];

fn dialogue(format: LoginFormat, allow_new: bool) -> LoginDialogue {
    LoginDialogue::new(format, Vec::new(), allow_new).named("admin", &["web1"])
}

/// What is answered in each round, until the login stops.
fn plays(mut dialogue: LoginDialogue, rounds: Rounds) -> (Vec<String>, Option<Stop>) {
    let mut said = Vec::new();
    for (context, prompts) in rounds {
        let prompts: Vec<String> = prompts.iter().map(|&prompt| prompt.to_owned()).collect();
        if prompts.is_empty() {
            if let Err(stop) = dialogue.no_prompts(context) {
                return (said, Some(stop));
            }
            continue;
        }
        match dialogue.round(context, &prompts) {
            Ok(plan) => {
                dialogue.sent(&plan);
                let answers: Vec<String> = plan.answers.iter().map(|answer| format!("{answer:?}")).collect();
                said.push(answers.join("+"));
            }
            Err(stop) => return (said, Some(stop)),
        }
    }
    (said, None)
}

fn answered(format: LoginFormat, rounds: Rounds) -> String {
    let (said, stop) = plays(dialogue(format, true), rounds);
    match stop {
        None => said.join(" "),
        Some(stop) => format!("{} {}", said.join(" "), name(&stop)).trim().to_owned(),
    }
}

fn name(stop: &Stop) -> String {
    let whole = format!("{stop:?}");
    whole.split('(').next().unwrap_or_default().to_uppercase()
}

const SEPARATE: LoginFormat = LoginFormat::Separate;

#[test]
fn logins_of_real_products_are_answered_round_by_round() {
    let oath = "One-time password (OATH) for `admin': ";
    let duo = "Duo two-factor login for admin\n\nEnter a passcode or select one of the following options:\n\n 1. Duo Push to XXX-XXX-0100\n 2. Phone call to XXX-XXX-0100\n\nPasscode or option (1-2): ";
    let mfa = "MFA two-factor login for username\n\nEnter a passcode or select one of the following options:\n\n 1. MFA Push to Mobile MFA Client\n 2. SMS passcodes to Cell Phone\n\nPasscode or option (1-2):";
    let expired = "You are required to change your password immediately (root enforced)\nChanging password for root.\n(current) UNIX password: ";
    let logins: &[(&str, Rounds, &str)] = &[
        (
            "pam_google_authenticator",
            &[("", &["Password: "]), ("", &["Verification code: "]), ("", &[])],
            "Password Code",
        ),
        (
            "google-authenticator-libpam, forward_pass",
            &[("", &["Password & verification code: "])],
            "Joined(PasswordThenCode)",
        ),
        ("pam_oath", &[("", &["Password: "]), ("", &[oath])], "Password Code"),
        ("SSSD issue 5586", &[("", &["First Factor: "]), ("", &["Second Factor (optional): "])], "Password Code"),
        ("SSSD issue 6081", &[("", &["Password + OTP: "])], "Joined(PasswordThenCode)"),
        (
            "SSSD, an expired password",
            &[
                ("", &["First Factor: "]),
                ("", &["Second Factor: "]),
                ("Password expired. Change your password now.", &[]),
                ("", &["First Factor (Current Password): "]),
                ("", &["Second Factor: "]),
                ("", &["New Password: "]),
                ("", &["Reenter new Password: "]),
            ],
            "Password Code Password Code NewPassword NewPassword",
        ),
        ("Duo", &[("", &["Password: "]), ("", &[duo])], "Password Code"),
        ("netmiko issue 1813", &[("", &["Unix Login password: "]), ("", &[mfa])], "Password Code"),
        ("RSA SecurID on BoKS 8.1", &[("", &["Enter PASSCODE: "])], "Code"),
        (
            "RSA SecurID, new PIN",
            &[
                ("", &["Enter PASSCODE: "]),
                ("", &["To continue you must enter a new PIN.\nAre you ready to enter a new PIN? (y/n) [n] "]),
            ],
            "Code UNKNOWN",
        ),
        ("FortiOS", &[("", &["admin@198.51.100.7's password: "]), ("", &["FortiToken Code: "])], "Password Code"),
        (
            "FortiAuthenticator (Termix issue 1288)",
            &[("", &["Password: "]), ("", &["+Enter your Token or type 'push' to receive a push notification:"])],
            "Password Code",
        ),
        (
            "Microsoft NPS (pam_radius issue 67)",
            &[("", &["Password: "]), ("\nEnter Your Microsoft verification code", &["Response: "])],
            "Password Code",
        ),
        ("JumpServer", &[("", &["Password: "]), ("\nPlease Enter MFA Code.", &["[OTP Code]: "])], "Password Code"),
        (
            "RADIUS, question in the instruction",
            &[("", &["Password: "]), ("\nEnter the 6 digit code from your token", &["Enter your response: "])],
            "Password Code",
        ),
        ("both in one round", &[("SSH Login\n", &["Password: ", "Token: "])], "Password+Code"),
        ("code first", &[("", &["Verification code: "]), ("", &["Password: "])], "Code Password"),
        (
            "empty rounds between",
            &[
                ("\nWelcome", &[]),
                ("", &["Password: "]),
                ("", &[]),
                ("", &["Verification code: "]),
                ("\nLast login: yesterday", &[]),
            ],
            "Password Code",
        ),
        (
            "pam_lastlog before the code",
            &[
                ("", &["Password: "]),
                (
                    "",
                    &[
                        "Last failed login: Wed Sep  2 09:27:27 EDT 2020 from x on ssh:notty\nThere were 2 failed login attempts since the last successful login.\nVerification code: ",
                    ],
                ),
            ],
            "Password Code",
        ),
        (
            "paramiko issue 1749",
            &[("", &["Password: "]), ("", &[expired]), ("", &["New password: "]), ("", &["Retype new password: "])],
            "Password Password NewPassword NewPassword",
        ),
        (
            "netmiko issue 2083, NX-OS",
            &[
                ("", &["Password: "]),
                ("\nPassword expired. Change your password now.", &["Current Password: "]),
                ("", &["Enter new password: "]),
                ("", &["Confirm new password: "]),
            ],
            "Password Password NewPassword NewPassword",
        ),
        (
            "tac_plus issue 7",
            &[
                ("", &["Password: "]),
                ("\nPlease change your password.", &["Old password: "]),
                ("", &["New password: "]),
                ("", &["Retype new password: "]),
            ],
            "Password Password NewPassword NewPassword",
        ),
        (
            "sshj issue 81",
            &[
                ("", &["Administrator@123.123.123.123's password: "]),
                (
                    "",
                    &[
                        "The password for this account has expired and must be changed.\nEnter Administrator@123.123.123.123's old password: ",
                    ],
                ),
                ("", &["Enter Administrator@123.123.123.123's new password: "]),
                ("", &["Retype Administrator@123.123.123.123's new password: "]),
            ],
            "Password Password NewPassword NewPassword",
        ),
        (
            "a change in one round",
            &[
                ("", &["Password: "]),
                ("\nYour password has expired", &["Old password: ", "New password: ", "New password: "]),
            ],
            "Password Password+NewPassword+NewPassword",
        ),
        (
            "FortiOS, a forced change",
            &[
                ("", &["Password: "]),
                ("\nYou are forced to change your password. Please input a new password.", &["New Password: "]),
                ("", &["Confirm Password: "]),
            ],
            "Password NewPassword NewPassword",
        ),
        (
            "Okta RADIUS agent",
            &[
                ("", &["Password: "]),
                ("", &["Please select your factor:\n0 - Push\n1 - Google Authenticator\n2 - SMS\nSelection: "]),
            ],
            "Password UNKNOWN",
        ),
        (
            "Warpgate issue 1431",
            &[(
                "Warpgate authentication\nWarpgate authentication: please open the following URL in your browser:\nhttps://warpgate.example.org/@warpgate#/login/1\n\nMake sure you're seeing this security key: 5 7 0 C",
                &["Press Enter when done: "],
            )],
            "PERSON",
        ),
        (
            "Azure AD pam (azure-docs issue 34196)",
            &[(
                "",
                &[
                    "To sign in, use a web browser to open the page https://example.org/devicelogin and enter the code FJS3K6X4D to authenticate. Press ENTER when ready.",
                ],
            )],
            "PERSON",
        ),
        (
            "Microsoft number matching",
            &[
                ("", &["Password: "]),
                ("\nApprove the request showing 42 in your Authenticator app, then press Enter", &["Press Enter: "]),
            ],
            "Password PERSON",
        ),
        ("Duo verified push", &[("", &["Password: "]), ("", &["Enter code 042 in Duo Mobile: "])], "Password PERSON"),
        (
            "privacyIDEA push",
            &[("", &["Password: "]), ("\nPlease confirm the authentication on your smartphone", &["Password: "])],
            "Password PERSON",
        ),
        (
            "Duo autopush",
            &[("", &["Password: "]), ("\nPushed a login request to your device...", &[])],
            "Password PERSON",
        ),
        (
            "PAN-OS",
            &[("\nDevice in use.", &["Do you accept and acknowledge the statement above ? (yes/no) : "])],
            "UNKNOWN",
        ),
    ];
    for (source, rounds, expected) in logins {
        assert_eq!(answered(SEPARATE, rounds), *expected, "{source}");
    }
}

#[test]
fn a_device_that_asks_again_or_speaks_of_failure_refused_what_was_sent() {
    let again = "Login incorrect, please try again\nPassword: ";
    for rounds in [
        &[("", &["Password: "][..]), ("", &["Password: "][..])][..],
        &[("", &["Password: "]), ("", &[again])],
        &[("", &["Password: "]), ("\nAccess denied", &["Password: "])],
        &[("", &["Password: "]), ("\nLogin incorrect", &[]), ("", &["Verification code: "])],
        &[("", &["Password: "]), ("\nLogin incorrect", &["New password: "])],
        &[("", &["Password: "]), ("", &["Confirm password again: "])],
        &[("", &["Password: "]), ("", &["Wrong password, enter your new password again: "])],
        &[("", &["Password: "]), ("", &["Falsches Passwort, neuer Versuch: Passwort: "])],
    ] {
        assert_eq!(answered(SEPARATE, rounds), "Password REFUSED", "{rounds:?}");
    }
    for rounds in [
        &[("", &["Password: "][..]), ("", &["Verification code: "][..]), ("", &["Verification code: "][..])][..],
        &[
            ("", &["Password: "]),
            ("", &["Verification code: "]),
            ("\nInvalid code, try again", &["Verification code: "]),
        ],
        &[("", &["Password: "]), ("", &["Verification code: "]), ("", &["Password: "])],
    ] {
        assert_eq!(answered(SEPARATE, rounds), "Password Code REFUSED", "{rounds:?}");
    }
    let joined = &[("", &["Password & verification code: "][..]), ("", &["Verification code: "][..])];
    assert_eq!(answered(SEPARATE, joined), "Joined(PasswordThenCode) REFUSED");
    let before = &[("\nUnauthorized access is denied. Login incorrect?", &["Password: "][..])];
    assert_eq!(answered(SEPARATE, before), "Password", "nothing was sent that it could refuse");
}

#[test]
fn a_new_password_that_is_refused_is_not_sent_again() {
    let change = |next: (&'static str, &'static [&'static str])| {
        let rounds = [("", &["Password: "][..]), ("\nYour password has expired.", &["New password: "][..]), next];
        plays(dialogue(SEPARATE, true), &rounds)
    };
    for next in [
        ("", &["New password: "][..]),
        ("\nBAD PASSWORD: The password contains less than 3 character classes", &["New password: "]),
        ("", &["You must choose a longer password.\nNew password: "]),
        ("\nSorry, passwords do not match", &["New password: "]),
        ("\nPassword has been already used. Choose another.", &["Retype new password: "]),
    ] {
        let (said, stop) = change(next);
        assert_eq!(said, ["Password", "NewPassword"]);
        assert!(matches!(stop, Some(Stop::NewRefused(_))), "{next:?}: {stop:?}");
    }
    let thrice: Rounds = &[
        ("", &["Password: "]),
        ("", &["New password: "]),
        ("", &["Retype new password: "]),
        ("", &["Retype new password: "]),
    ];
    assert!(matches!(plays(dialogue(SEPARATE, true), thrice).1, Some(Stop::NewRefused(_))));
}

#[test]
fn a_demand_for_a_new_password_proves_the_old_one_only_with_evidence() {
    let stops = |rounds: Rounds| plays(dialogue(SEPARATE, false), rounds).1.map(|stop| name(&stop)).unwrap_or_default();
    for rounds in [
        &[("", &["Password: "][..]), ("", &["Verification code: "][..]), ("", &["New password: "][..])][..],
        &[("", &["Password: ", "Token: "]), ("", &["New password: "])],
        &[("", &["Password & verification code: "]), ("", &["New password: "])],
        &[("", &["Password: "]), ("\nYour password has expired.", &["New password: "])],
        &[
            ("", &["Password: "]),
            ("\nYou are required to change your password immediately (password aged)", &[]),
            ("", &["New password: "]),
        ],
        &[("", &["Password: "]), ("\nPassword expired. Change your password now.", &["Current Password: "])],
    ] {
        assert_eq!(stops(rounds), "NEWDEMANDED", "{rounds:?}");
    }
    for rounds in [
        &[("", &["Password: "][..]), ("", &["New password: "][..])][..],
        &[("", &["Password: "]), ("", &["Current password: "])],
        &[("", &["Verification code: "]), ("", &["Password: "]), ("", &["New password: "])],
        &[("", &["Password: "]), ("\nWarning: your password will expire in 3 days.", &["New password: "])],
    ] {
        assert_eq!(stops(rounds), "NEWUNPROVED", "{rounds:?}");
    }
    assert_eq!(stops(&[("", &["New password: "])]), "UNKNOWN", "nothing was sent");
    assert_eq!(stops(&[("", &["Password: ", "New password: "])]), "UNKNOWN", "nothing was judged");
}

#[test]
fn a_new_password_is_given_only_to_a_device_that_had_the_old_one_or_the_key() {
    let demand: Rounds = &[("", &["New password: "])];
    assert_eq!(answered(SEPARATE, demand), "UNKNOWN");
    let mut by_key = dialogue(SEPARATE, true);
    by_key.key_was_accepted();
    assert_eq!(plays(by_key, demand).0, ["NewPassword"]);
}

#[test]
fn one_field_logins_follow_the_device_s_setting_whatever_the_first_prompt_is_called() {
    use LoginFormat::{CodeThenPassword, PasswordCommaCode, PasswordThenCode};
    for prompt in [
        "Password: ",
        "Enter PASSCODE: ",
        "(admin@192.0.2.1) Enter PASSCODE: ",
        "PIN: ",
        "Enter your PIN followed by your token code: ",
        "PIN+Token: ",
        "Token: ",
        "One-time password: ",
    ] {
        for format in [PasswordThenCode, CodeThenPassword, PasswordCommaCode] {
            let rounds: Rounds = &[("", &[prompt]), ("", &["Password: "])];
            assert_eq!(answered(format, rounds), format!("Joined({format:?}) REFUSED"), "{prompt}");
        }
    }
    assert_eq!(answered(PasswordThenCode, &[("", &["Enter a new PIN: "])]), "UNKNOWN");
    let change: Rounds = &[("", &["Password: "]), ("", &["Current password: "]), ("", &["New password: "])];
    assert_eq!(answered(PasswordThenCode, change), "Joined(PasswordThenCode) Password NewPassword");
    let joined = PasswordThenCode.join(&Secret::new("pw".into()), &Secret::new("123456".into()));
    assert_eq!(joined.expose(), "pw123456");
}

#[test]
fn questions_that_look_alike_are_told_apart_by_their_order() {
    use LoginFormat::{CodeFirst, PasswordFirst};
    for prompt in ["Password: ", "Passcode: ", "PIN: ", "Enter your response: "] {
        for (format, first, second) in [(PasswordFirst, "Password", "Code"), (CodeFirst, "Code", "Password")] {
            let one_by_one: Rounds = &[("", &[prompt]), ("", &[prompt])];
            assert_eq!(answered(format, one_by_one), format!("{first} {second}"), "{prompt}");
            assert_eq!(answered(format, &[("", &[prompt, prompt])]), format!("{first}+{second}"), "{prompt}");
            let thrice: Rounds = &[("", &[prompt]), ("", &[prompt]), ("", &["Password: "])];
            assert_eq!(answered(format, thrice), format!("{first} {second} REFUSED"), "{prompt}");
            assert_eq!(answered(format, &[("", &[prompt, prompt, prompt])]), "UNKNOWN", "{prompt}");
            let failed: Rounds = &[("", &[prompt]), ("\nAccess denied", &[prompt])];
            assert_eq!(answered(format, failed), format!("{first} REFUSED"), "{prompt}");
        }
    }
    let told: Rounds = &[("", &["Verification code: "]), ("", &["Password: "])];
    assert_eq!(answered(PasswordFirst, told), "Code Password", "words go before the order");
    assert_eq!(answered(CodeFirst, &[("", &["Password: ", "Verification code: "])]), "Password+Code");
    let method = dialogue(PasswordFirst, false).password_method().unwrap();
    assert_eq!(method.answers, [Answer::Joined(PasswordFirst)], "SSH's method has one field");
}

#[test]
fn a_round_is_answered_whole_or_not_at_all() {
    for prompts in [
        &["Password: ", "Password: ", "Password: ", "Password: ", "Password: "][..],
        &["Verification code: ", "Verification code: "],
        &["Password: ", "Favourite colour: "],
    ] {
        assert_eq!(answered(SEPARATE, &[("", prompts)]), "UNKNOWN", "{prompts:?}");
    }
    // What is not sent is not given.
    let mut login = dialogue(SEPARATE, false);
    assert!(login.round("", &["Password: ".into(), "Colour: ".into()]).is_err());
    assert_eq!(login.round("", &["Password: ".into()]).unwrap().answers, [Answer::Password]);
    assert_eq!(login.round("", &["Password: ".into()]).unwrap().answers, [Answer::Password]);
}

#[test]
fn the_password_goes_once_through_all_methods() {
    let mut login = dialogue(SEPARATE, false);
    let plan = login.password_method().unwrap();
    login.sent(&plan);
    assert!(matches!(login.round("", &["Password: ".into()]), Err(Stop::Refused(_))));
    assert!(login.password_method().is_err());
    assert_eq!(login.round("", &["Verification code: ".into()]).unwrap().answers, [Answer::Code]);
}

fn own(pattern: &str) -> OwnPrompt {
    OwnPrompt { pattern: Pattern::glob(pattern), password: false, code: false, new: false, other: false }
}

#[test]
fn a_template_s_own_answers_come_first_and_send_no_secret_twice() {
    let with = |own: Vec<OwnPrompt>, allow_new| LoginDialogue::new(SEPARATE, own, allow_new).named("admin", &[]);
    let password = || OwnPrompt { password: true, ..own("*PIN*") };
    for (again, expected) in [("PIN: ", "REFUSED"), ("Password: ", "REFUSED"), ("The other PIN: ", "REFUSED")] {
        let (said, stop) = plays(with(vec![password()], false), &[("", &["PIN: "]), ("", &[again])]);
        assert_eq!(
            (said.as_slice(), stop.map(|stop| name(&stop)).as_deref()),
            (&["Template(0)".to_owned()][..], Some(expected))
        );
    }
    let menu = || vec![own("*Selection:")];
    let chooses: Rounds = &[
        ("", &["Password: "]),
        ("", &["1 - Google Authenticator\n2 - Push\nSelection: "]),
        ("", &["Enter your code: "]),
    ];
    assert_eq!(plays(with(menu(), false), chooses).0, ["Password", "Template(0)", "Code"]);
    let again: Rounds = &[("", &["Selection: "]), ("", &["Selection: "])];
    assert!(matches!(plays(with(menu(), false), again).1, Some(Stop::Unknown(..))), "one push at the most");
    let renews = || vec![OwnPrompt { new: true, ..own("*enceforth*") }];
    let demands: Rounds =
        &[("", &["Password: "]), ("", &["What will you say henceforth? "]), ("", &["Henceforth, once more: "])];
    assert_eq!(plays(with(renews(), true), demands).0, ["Password", "Template(0)", "Template(0)"]);
    let twice: Rounds = &[("", &["Password: "]), ("", &["Henceforth: "]), ("", &["Henceforth: "])];
    assert!(matches!(plays(with(renews(), true), twice).1, Some(Stop::NewRefused(_))));
    assert!(matches!(plays(with(renews(), false), twice).1, Some(Stop::NewUnproved(_))));
}

#[test]
fn a_prompt_that_nothing_answers_comes_with_a_line_for_the_template() {
    for (prompt, answer, expected) in [
        ("Please select:\n0 - Push\nSelection: ", "1", "login-prompt \"*Selection:*\" \"1\""),
        ("Do you accept ? (yes/no) : ", "…", "login-prompt \"*Do you accept ? (yes/no) :*\" \"yes\""),
        ("Option (1-2): ", "1", "login-prompt \"*Option (*\" \"1\""),
        ("What is ******** in \"this\": ", "…", "login-prompt \"*this*\" \"…\""),
        ("", "…", "login-prompt \"*…*\" \"…\""),
    ] {
        assert_eq!(remedy(prompt, answer), expected);
    }
    assert_eq!(shown_prompt("What is your \u{1b}[31mquest?", 200), "What is your  [31mquest?");
    assert!(matches!(plays(dialogue(SEPARATE, false), &[("", &["x"; 21])]).1, Some(Stop::TooMany(20))));
}

#[test]
fn the_next_code_is_given_once_where_the_device_asks_for_the_next_one() {
    let ace = "Wait for the tokencode to change,\nthen enter the new tokencode: ";
    let asa: (&str, &[&str]) = ("", &["Enter Next PASSCODE: "]);
    let one_field = LoginFormat::PasswordThenCode;
    let passcode: (&str, &[&str]) = ("", &["Enter PASSCODE: "]);
    assert!(answered(one_field, &[passcode, ("", &[ace])]).ends_with(" Code"));
    assert!(answered(one_field, &[passcode, ("", &[ace]), ("", &[ace])]).ends_with(" Code REFUSED"));
    type Round = (&'static str, &'static [&'static str]);
    let (password, code): (Round, Round) = (("", &["Password: "]), ("", &["Verification code: "]));
    assert_eq!(answered(SEPARATE, &[password, code, asa]), "Password Code Code");
    assert_eq!(answered(SEPARATE, &[password, code, code]), "Password Code REFUSED");
    assert_eq!(
        answered(SEPARATE, &[password, code, ("\nInvalid code", &["Enter Next PASSCODE: "])]),
        "Password Code REFUSED"
    );
    let sms = "\n3. SMS passcodes to XXX-XXX-0100 (next code starts with: 9)";
    assert_eq!(answered(SEPARATE, &[password, code, (sms, &["Passcode or option (1-3): "])]), "Password Code REFUSED");
}

#[test]
fn what_was_said_before_anything_was_sent_is_no_verdict_when_it_comes_again() {
    let notice = "\nAccess is denied to anybody without a permit.\nFailed logins are reported.";
    let rounds: Rounds = &[(notice, &["Password: "]), (notice, &["Verification code: "])];
    assert_eq!(answered(SEPARATE, rounds), "Password Code");
    let rounds: Rounds = &[("\nHello", &["Password: "]), (notice, &["Verification code: "])];
    assert_eq!(answered(SEPARATE, rounds), "Password REFUSED");
    let rounds: Rounds = &[(notice, &["Password: "]), (notice, &["Access denied\nPassword: "])];
    assert_eq!(answered(SEPARATE, rounds), "Password REFUSED");
}

proptest::proptest! {
    /// Whatever a device asks: the password goes once, and once more in a change; a code likewise; the new one twice at the most.
    #[test]
    fn no_secret_goes_twice(
        rounds in proptest::collection::vec((0_usize..6, proptest::collection::vec(0_usize..10, 0..3)), 1..12),
        format in 0_usize..6,
        allow_new: bool,
    ) {
        const CONTEXTS: [&str; 6] = ["", "\nYour password has expired", "\nAccess denied", "\nEnter PASSCODE", "\nWelcome", "\nEnter your new password"];
        const PROMPTS: [&str; 10] = ["Password: ", "Verification code: ", "New password: ", "Retype new password: ", "Current password: ", "Response: ", "Token: ", "Password & code: ", "Own: ", "Enter Next PASSCODE: "];
        let formats: Vec<LoginFormat> = LoginFormat::NAMES.iter().filter_map(|name| LoginFormat::parse(name)).collect();
        let mine = OwnPrompt { password: true, ..own("Own:*") };
        let mut login = LoginDialogue::new(formats[format], vec![mine], allow_new);
        let (mut passwords, mut codes, mut nexts, mut news, mut currents) = (0, 0, 0, 0, 0);
        for (context, prompts) in rounds {
            let prompts: Vec<String> = prompts.into_iter().map(|at| PROMPTS[at].to_owned()).collect();
            if prompts.is_empty() {
                if login.no_prompts(CONTEXTS[context]).is_err() { break; }
                continue;
            }
            let Ok(plan) = login.round(CONTEXTS[context], &prompts) else { break };
            login.sent(&plan);
            for (answer, prompt) in plan.answers.iter().zip(&prompts) {
                let joined = matches!(answer, Answer::Joined(_));
                let password = joined || matches!(answer, Answer::Password | Answer::Template(_));
                currents += usize::from(password && passwords > 0 && prompt == "Current password: ");
                passwords += usize::from(password);
                let next = codes > 0 && prompt.contains("Next");
                nexts += usize::from(next && *answer == Answer::Code);
                codes += usize::from(joined || *answer == Answer::Code && !next);
                news += usize::from(*answer == Answer::NewPassword);
            }
        }
        proptest::prop_assert!(passwords <= 1 + currents && currents <= 1, "{passwords} {currents}");
        proptest::prop_assert!(codes <= 2 && (codes <= 1 || news + currents > 0) && nexts <= 2);
        let most = if allow_new { 2 } else { 0 };
        proptest::prop_assert!(news <= most);
    }
}

#[test]
fn a_host_whose_name_speaks_of_failure_refuses_nothing() {
    let password: (&str, &[&str]) = ("", &["Password for admin@invalid-lab-1: "]);
    let code: (&str, &[&str]) = ("", &["Verification code for admin@invalid-lab-1: "]);
    assert_eq!(answered(SEPARATE, &[password, code]), "Password Code");
    let (_, stop) = plays(dialogue(SEPARATE, true), &[password, ("", &["Login incorrect\nPassword for admin@web1: "])]);
    assert!(matches!(stop, Some(Stop::Refused(_))), "{stop:?}");
}

#[test]
fn a_password_that_is_asked_for_after_an_expired_one_is_not_taken_for_a_refusal() {
    let asked: Rounds = &[("", &["Password: "]), ("", &["Your password has expired. Please enter a password: "])];
    assert_eq!(answered(SEPARATE, asked), "Password UNKNOWN");
    assert_eq!(answered(SEPARATE, &[("", &["Password: "]), ("", &["Please enter a password: "])]), "Password REFUSED");
}

#[test]
fn a_notice_of_failures_beside_the_question_for_the_code_refuses_nothing() {
    for notice in ["You have 1 failed login attempt.", "Note: the account is locked after 5 wrong codes."] {
        let above = format!("{notice}\nVerification code: ");
        assert_eq!(answered(SEPARATE, &[("", &["Password: "]), ("", &[&above])]), "Password Code", "{notice}");
        let beside: Rounds = &[("", &["Password: "]), (notice, &["Verification code: "])];
        assert_eq!(answered(SEPARATE, beside), "Password Code", "{notice}");
    }
}

#[test]
fn what_only_a_person_has_is_not_answered_behind_the_password() {
    for (prompt, stop) in [
        ("Insert your U2F device, then press ENTER.", "PERSON"),
        ("Visit https://weblogin.example.org/pam/BX72 to log in, then press ENTER: ", "PERSON"),
        ("Enter the OTP from the Email: ", "PERSON"),
        ("Recovery code: ", "UNKNOWN"),
        ("Enter 1 for push, 2 for token: ", "UNKNOWN"),
        ("reenter password for pam_mount:", "UNKNOWN"),
    ] {
        let said = answered(SEPARATE, &[("", &["Password: "]), ("", &[prompt])]);
        assert_eq!(said, format!("Password {stop}"), "{prompt}");
    }
}
