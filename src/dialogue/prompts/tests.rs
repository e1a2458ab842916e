use super::verdict::{CLOSED, CREDENTIALS, EXPIRED, FULL, NEXT_CODE, PERSON, SENT, SHUT};
use super::words::{ENDINGS, ROWS, Sign};
use super::*;

fn names() -> Names {
    Names { user: "admin".into(), hosts: vec!["web1".into(), "192.0.2.7".into()] }
}

fn kind(prompt: &str) -> Kind {
    read(prompt, "", &[], &names())
}

fn in_context(prompt: &str, context: &str) -> Kind {
    read(prompt, context, &[], &names())
}

#[test]
fn each_wording_of_the_vocabulary_is_read_as_what_it_is_a_sign_of() {
    for (wording, sign, language, source) in ROWS {
        assert!(!language.is_empty() && !source.is_empty(), "{wording}");
        assert_eq!(*wording, wording.to_lowercase());
        let (found, length) = wording_at(wording).unwrap();
        assert_eq!((found.sign(), length), (Some(*sign), wording.len()), "{wording}");
        let expected = match sign {
            Sign::Password => Kind::Password,
            Sign::Code => Kind::Code,
            Sign::WeakCode | Sign::Device => Kind::WeakCode,
            Sign::Pin => Kind::Pin,
            Sign::User => Kind::User,
            Sign::Press => Kind::Key,
            Sign::Menu => Kind::Menu,
            Sign::YesNo | Sign::Other => Kind::Unknown,
            _ => continue,
        };
        let mut upper = wording.chars();
        let upper: String = upper.next().into_iter().flat_map(char::to_uppercase).chain(upper).collect();
        for prompt in [
            format!("{wording}: "),
            format!("({wording})"),
            format!("Please enter your {wording}:"),
            format!("{upper}："),
        ] {
            assert_eq!(kind(&prompt), expected, "{prompt}");
        }
        if !wording.chars().any(is_unspaced) {
            for longer in [format!("{wording}9:"), format!("{wording}-9:"), format!("{wording}ü")] {
                assert!(taken(&longer, wording).is_none(), "{longer}");
            }
            let inside = format!("ü{wording}:");
            let compound = wording.contains([' ', '\'', '/']) || ENDINGS.iter().any(|(end, _)| wording.ends_with(end));
            assert!(compound || tokens(&inside)[0] == Token::Opaque, "{inside}");
        }
    }
}

#[test]
fn each_qualifier_makes_a_password_a_new_or_a_current_one_or_one_asked_for_again() {
    for (wording, sign, language, _) in ROWS {
        let expected = match sign {
            Sign::New => Kind::New,
            Sign::Current => Kind::Current,
            Sign::Again => Kind::PasswordAgain,
            _ => continue,
        };
        let password = match *language {
            "zh" | "zh-CN" | "zh-TW" => "密码",
            "ja" => "パスワード",
            "ko" => "암호",
            _ => "password",
        };
        let prompt = format!("{wording} {password}:");
        assert_eq!(kind(&prompt), expected, "{prompt}");
    }
}

#[test]
fn each_verdict_has_its_wording() {
    for (table, says) in [
        (&CREDENTIALS, judges_credentials as fn(&str) -> bool),
        (&SHUT, is_account_level),
        (&SHUT, is_shut),
        (&CLOSED, is_account_level),
        (&FULL, is_full),
        (&NEXT_CODE, wants_next_code),
        (&EXPIRED, says_expired),
        (&PERSON, asks_for_person),
    ] {
        for (wording, language, source) in table.rows {
            assert!(says(&format!("- {wording}. -")), "{wording} ({language}, {source})");
            assert!(says(&format!("First line\r\n{}!", wording.to_uppercase())) || wording.contains("ı"), "{wording}");
        }
    }
    for (wording, ..) in SENT.rows {
        assert_eq!(kind(&format!("Verification code {wording}:")), Kind::Person, "{wording}");
    }
}

#[test]
fn real_questions_are_read_right() {
    for (prompt, expected) in [
        // SSSD, pam_sss.c and its bugs.
        ("First Factor: ", Kind::Password),
        ("Second Factor: ", Kind::Code),
        ("Second Factor (optional): ", Kind::Code),
        ("First Factor (Current Password): ", Kind::Current),
        ("Enter first factor:", Kind::Password),
        ("Enter second factor:", Kind::Code),
        ("Password + OTP:", Kind::Both),
        ("Password + OTP token value", Kind::Both),
        // Linux-PAM in its languages.
        ("Passwort: ", Kind::Password),
        ("Geben Sie ein neues Passwort ein: ", Kind::New),
        ("Geben Sie das aktuelle Passwort ein: ", Kind::Current),
        ("Geben Sie das neue Passwort erneut ein: ", Kind::NewAgain),
        ("Mot de passe : ", Kind::Password),
        ("Nouveau mot de passe : ", Kind::New),
        ("Mot de passe actuel : ", Kind::Current),
        ("Retapez le nouveau mot de passe : ", Kind::NewAgain),
        ("Contraseña: ", Kind::Password),
        ("Nueva contraseña: ", Kind::New),
        ("Contraseña actual: ", Kind::Current),
        ("Vuelva a escribir la nueva contraseña: ", Kind::NewAgain),
        ("Palavra-passe: ", Kind::Password),
        ("Nova palavra-passe: ", Kind::New),
        ("Palavra-passe atual: ", Kind::Current),
        ("Digite novamente a nova palavra-passe: ", Kind::NewAgain),
        ("Senha: ", Kind::Password),
        ("Nova senha: ", Kind::New),
        ("Atual senha: ", Kind::Current),
        ("Redigite a nova senha: ", Kind::NewAgain),
        ("Nuova password: ", Kind::New),
        ("Password attuale: ", Kind::Current),
        ("Reimmettere la nuova password: ", Kind::NewAgain),
        ("Hasło: ", Kind::Password),
        ("Nowe hasło: ", Kind::New),
        ("Obecne hasło: ", Kind::Current),
        ("Proszę ponownie wpisać nowe hasło: ", Kind::NewAgain),
        ("Huidig wachtwoord: ", Kind::Current),
        ("Nieuw wachtwoord herhalen: ", Kind::NewAgain),
        ("Новый пароль: ", Kind::New),
        ("Текущий пароль: ", Kind::Current),
        ("Повторите ввод нового пароля: ", Kind::NewAgain),
        ("密码： ", Kind::Password),
        ("新的密码： ", Kind::New),
        ("当前的密码： ", Kind::Current),
        ("重新输入新的密码： ", Kind::NewAgain),
        ("新 密碼： ", Kind::New),
        ("目前密碼： ", Kind::Current),
        ("再次輸入新的 密碼： ", Kind::NewAgain),
        ("パスワード:", Kind::Password),
        ("新しい パスワード:", Kind::New),
        ("現在のパスワード:", Kind::Current),
        ("新しい パスワードを再入力してください:", Kind::NewAgain),
        ("새 암호: ", Kind::New),
        ("새 암호 다시 입력: ", Kind::NewAgain),
        ("Ange nytt lösenord igen: ", Kind::NewAgain),
        ("Opakujte nové heslo: ", Kind::NewAgain),
        ("Yeni parolayı tekrar girin: ", Kind::NewAgain),
        // Codes in other languages.
        ("Einmalpasswort: ", Kind::Code),
        ("Bitte geben Sie Ihr Einmal-Passwort ein:", Kind::Code),
        ("Geben Sie den Sicherheitscode ein:", Kind::Code),
        ("Mot de passe à usage unique : ", Kind::Code),
        ("Saisissez le code de vérification :", Kind::Code),
        ("Contraseña de un solo uso: ", Kind::Code),
        ("Introduzca el código de verificación:", Kind::Code),
        ("Senha de uso único: ", Kind::Code),
        ("Palavra-passe de utilização única: ", Kind::Code),
        ("Password monouso: ", Kind::Code),
        ("Inserire il codice di verifica:", Kind::Code),
        ("Hasło jednorazowe: ", Kind::Code),
        ("Podaj kod weryfikacyjny:", Kind::Code),
        ("请输入动态口令：", Kind::Code),
        ("一次性密码:", Kind::Code),
        ("请输入验证码", Kind::Code),
        ("ワンタイムパスワード:", Kind::Code),
        ("認証コードを入力してください:", Kind::Code),
        // Linux-PAM, OpenSSH, FreeBSD, Windows, TACACS+, BIG-IP.
        ("Password: ", Kind::Password),
        ("(current) UNIX password: ", Kind::Current),
        ("Enter new UNIX password: ", Kind::New),
        ("Retype new UNIX password: ", Kind::NewAgain),
        ("New BIG-IP password:", Kind::New),
        ("Retype new BIG-IP password:", Kind::NewAgain),
        ("Old password:", Kind::Current),
        ("Enter admin@192.0.2.7's old password: ", Kind::Current),
        ("Enter admin@192.0.2.7's new password: ", Kind::New),
        ("Retype Administrator@123.123.123.123's new password:", Kind::NewAgain),
        ("admin@198.51.100.7's password: ", Kind::Password),
        ("Password for admin@bsd1:", Kind::Password),
        ("Unix Login password: ", Kind::Password),
        ("TACACS Password: ", Kind::Password),
        ("New password for manager: ", Kind::New),
        ("Confirm Password: ", Kind::PasswordAgain),
        ("New password (again): ", Kind::NewAgain),
        ("Re-enter new Password: ", Kind::NewAgain),
        ("New password to confirm: ", Kind::NewAgain),
        ("New password, for confirmation: ", Kind::NewAgain),
        ("Enter the new password again:", Kind::NewAgain),
        ("Choose a new password: ", Kind::New),
        // One-time codes of products.
        ("Verification code: ", Kind::Code),
        ("Password & verification code: ", Kind::Both),
        ("One-time password (OATH) for `admin': ", Kind::Code),
        ("Passcode or option (1-2): ", Kind::WeakCode),
        ("Enter PASSCODE: ", Kind::WeakCode),
        ("(foo@master81) Enter PASSCODE:", Kind::WeakCode),
        ("Enter a new PIN, 4 - 8 alphanumeric characters: ", Kind::Unknown),
        ("Re-enter new PIN to confirm: ", Kind::Unknown),
        ("Are you ready to enter a new PIN? (y/n) [n] ", Kind::Unknown),
        (
            "PIN accepted. Wait for the tokencode to change,\nthen enter the new PASSCODE\nEnter PASSCODE: ",
            Kind::WeakCode,
        ),
        ("Wait for the tokencode to change, then enter the new tokencode: ", Kind::Code),
        ("Enter your PIN followed by your token code: ", Kind::PinAndCode),
        ("Second Factor Authentication (PIN+Token):", Kind::Code),
        ("PIN+Token: ", Kind::PinAndCode),
        ("FortiToken Code: ", Kind::Code),
        ("FortiToken:", Kind::Code),
        ("+Enter your Token or type 'push' to receive a push notification:", Kind::WeakCode),
        ("Two-factor authentication token: ", Kind::Code),
        ("Enter Your Microsoft verification code", Kind::Code),
        ("please enter otp: ", Kind::Code),
        ("[OTP Code]: ", Kind::Code),
        ("[MFA auth]: ", Kind::Code),
        ("MFA token for admin: ", Kind::Code),
        ("YubiKey for `admin': ", Kind::Code),
        ("Secondary password: ", Kind::Code),
        ("Dynamic password: ", Kind::Code),
        ("OTP value: ", Kind::Code),
        ("Enter PIN from your authenticator app: ", Kind::Code),
        ("Enter the password shown on your token: ", Kind::Code),
        ("Password,passcode: ", Kind::Both),
        ("OTP followed by password: ", Kind::CodeFirst),
        ("Your password will expire in 3 days.\nVerification code: ", Kind::Code),
        ("Your password will expire in 3 days. Verification code: ", Kind::Code),
        // A person.
        ("Enter code 042 in Duo Mobile: ", Kind::Person),
        ("Enter the number 42 in Microsoft Authenticator: ", Kind::Person),
        ("Enter the verification code sent to your mobile: ", Kind::Person),
        ("Enter the verification code sent by SMS: ", Kind::Person),
        (
            "To sign in, use a web browser to open the page https://example.org/devicelogin and enter the code FJS3K6X4D to authenticate. Press ENTER when ready.",
            Kind::Person,
        ),
        // What nothing answers.
        ("Do you accept and acknowledge the statement above ? (yes/no) : ", Kind::Unknown),
        ("Do you want to enter a verification code? [y/n]", Kind::Unknown),
        ("The password needs to be changed. Change now? [Y/N]:", Kind::Unknown),
        ("Favourite colour: ", Kind::Unknown),
        ("Enter a new PIN:", Kind::Unknown),
        ("Please select your factor:\n0 - Push\n1 - Google Authenticator\n2 - SMS\nSelection: ", Kind::Menu),
        ("1 - Google Authenticator\n2 - SMS\nAuthenticator: ", Kind::Menu),
        ("1) Push\n2) Token\n: ", Kind::Menu),
        ("Enter the code of your choice: ", Kind::Menu),
        ("otp-md5 498 gr4269 ext\nPassword: ", Kind::Unknown),
        ("login: ", Kind::User),
        ("User Name:", Kind::User),
        ("Press any key to continue", Kind::Key),
        (": ", Kind::Generic),
        ("", Kind::Generic),
    ] {
        assert_eq!(kind(prompt), expected, "{prompt}");
    }
}

#[test]
fn a_word_counts_only_where_it_qualifies_the_thing_asked_for() {
    for notice in [
        "NOTICE: this is the new jump host of site B",
        "Log in with your password first, then the code of your token",
        "Confirm that you are authorised, or leave",
        "Current time: 12:00. Old accounts were removed.",
        "Repeat offenders are reported. Enter at your own risk",
        "You may need a one-time password again and again",
        "** This system is managed by Puppet\n** Unauthorized Access Is Prohibited",
        "Last failed login: Wed Sep  2 09:27:27 EDT 2020 from 192.0.2.9 on ssh:notty\nThere were 2 failed login attempts since the last successful login.",
    ] {
        for (question, expected) in
            [("Password: ", Kind::Password), ("Verification code: ", Kind::Code), ("New password: ", Kind::New)]
        {
            assert_eq!(kind(&format!("{notice}\n{question}")), expected, "{notice}");
            assert_eq!(in_context(question, &format!("\n{notice}")), expected, "{notice}");
            assert_eq!(in_context(question, &format!("{notice}\n")), expected, "{notice}");
        }
    }
    for (prompt, expected) in [
        ("Password for the new jump host: ", Kind::Password),
        ("Password (new users: call 123): ", Kind::Password),
        ("Password to confirm the login: ", Kind::Password),
        ("Password on code-server-1: ", Kind::Password),
        ("Verification code for your new password: ", Kind::Code),
        ("Password, or code of a new token: ", Kind::Password),
    ] {
        assert_eq!(kind(prompt), expected, "{prompt}");
    }
}

#[test]
fn names_of_users_and_hosts_change_nothing() {
    for name in ["token", "code", "new", "again", "current", "otp", "new-otp-1", "pin", "login", "confirm.example.org"]
    {
        for names in
            [Names { user: name.into(), hosts: Vec::new() }, Names { user: "x".into(), hosts: vec![name.into()] }]
        {
            for (question, expected) in [
                (format!("Password for {name}: "), Kind::Password),
                (format!("Password for `{name}': "), Kind::Password),
                (format!("{name}'s password: "), Kind::Password),
                (format!("{name} password: "), Kind::Password),
                (format!("({name}@new-otp-2) Password: "), Kind::Password),
                (format!("Password for {name}@new-token.example.org: "), Kind::Password),
                (format!("{name}@192.0.2.9's password: "), Kind::Password),
                (format!("Verification code for {name}: "), Kind::Code),
                ("Verification code: ".to_owned(), Kind::Code),
                ("New password: ".to_owned(), Kind::New),
                (format!("New password for {name}: "), Kind::New),
                ("Token: ".to_owned(), Kind::WeakCode),
                ("Password: ".to_owned(), Kind::Password),
            ] {
                assert_eq!(read(&question, "", &[], &names), expected, "{question} ({name})");
            }
        }
    }
    // A host whose name the config does not have.
    assert_eq!(kind("new-otp-1 password: "), Kind::Password);
}

#[test]
fn a_question_that_says_nothing_is_explained_by_the_nearest_text() {
    for (prompt, context, expected) in [
        ("Response: ", "\nEnter Your Microsoft verification code", Kind::Code),
        ("Enter your response: ", "\nEnter the 6 digit code from your token", Kind::Code),
        (": ", "\nEnter your password", Kind::Password),
        ("", "\nEnter PASSCODE", Kind::WeakCode),
        ("Response:", "RADIUS\nWelcome.\nPlease enter your new password", Kind::New),
        ("Answer: ", "Verification code\n", Kind::Code),
        ("Response: ", "\n1 - Push\n2 - Google Authenticator", Kind::Menu),
        (
            "Response: ",
            "\nEnter a passcode or select one of the following options:\n 1. Duo Push\n 2. Phone",
            Kind::WeakCode,
        ),
        ("Response: ", "\nApprove the sign-in, or enter a verification code:", Kind::Code),
        ("Response: ", "\nApprove the sign-in on your phone", Kind::Person),
        ("Password: ", "\nPlease enter your one-time password", Kind::Code),
        ("Password: ", "One-time password\n", Kind::Code),
        ("Password: ", "Two-factor login\nWelcome to web1", Kind::Password),
        ("Password: ", "\nApprove the request showing 42 in your Authenticator app, then press Enter", Kind::Person),
        ("Press Enter", "\nApprove the request showing 42 in your Authenticator app", Kind::Person),
        (
            "Press Enter when done: ",
            "Warpgate authentication\nplease open the following URL in your browser:\nhttps://example.org/",
            Kind::Person,
        ),
        ("Press Enter", "\nRead this", Kind::Key),
        ("Code: ", "\nA code has been sent to your phone", Kind::Person),
        ("Response: ", "\nWhat is your quest?", Kind::Generic),
    ] {
        assert_eq!(in_context(prompt, context), expected, "{prompt} {context}");
    }
    let earlier = ["Enter the 6 digit code from your token".to_owned()];
    assert_eq!(read(": ", "", &earlier, &names()), Kind::Code, "a round without prompts");
    assert_eq!(
        read("Password: ", "", &["We sent a push notification to your phone".to_owned()], &names()),
        Kind::Person
    );
}

#[test]
fn a_notice_of_the_past_or_of_rules_is_no_refusal() {
    for text in [
        "Last failed login: Wed Sep  2 09:27:27 EDT 2020 from ipaserver on ssh:notty",
        "There were 2 failed login attempts since the last successful login.",
        "There was 1 failed login attempt since the last successful login.",
        "Letzte fehlgeschlagene Anmeldung: Mi 2. Sep",
        "Es gab 3 fehlgeschlagene Versuche seit der letzten erfolgreichen Anmeldung.",
        "Il y a eu 3 tentatives de connexion échouées depuis la dernière connexion réussie.",
        "Hubo 2 intentos de logueo fallidos desde el último logueo exitoso.",
        "自上次成功登录以来，有3 次失败的登录尝试。",
        "最後の正しいログインの後に 2 回の失敗ログインの試行があります。",
        "Unauthorized access is denied",
        "Invalid attempts will be prosecuted",
        "If login failed, call 123",
        "Welcome",
        "Enter a valid code",
    ] {
        assert!(!is_refusal(text), "{text}");
    }
    for text in [
        "Login incorrect, please try again\nPassword: ",
        "Permission denied, please try again.",
        "Access denied\r\nPassword: ",
        "Invalid verification code",
        "Authentication failure",
        "Wrong passcode. Try again:",
        "Passcode not accepted",
        "Fehler bei Authentifizierung",
        "Falsches Passwort. Bitte erneut versuchen:",
        "Échec de l’authentification",
        "Contraseña incorrecta, inténtelo de nuevo",
        "Autenticazione non riuscita",
        "Nieprawidłowe hasło, spróbuj ponownie",
        "密码错误，请重试",
        "認証失敗",
    ] {
        assert!(is_refusal(text), "{text}");
    }
}

#[test]
fn what_is_not_about_the_password_is_told_apart() {
    for text in [
        "System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8).",
        "The account is locked due to 3 failed logins.",
        "The account is locked due to 3 failed logins.\n(10 minutes left to unlock)",
        "Your account has expired; please contact your system administrator.",
        "Not allowed at this time",
        "Exceeded MaxStartups",
        "Too many sessions: only 1 session per user is allowed. Try again later.",
        "Authentication failed: account locked",
        "Access denied. The system is under maintenance.",
        "RADIUS server is not responding, authentication failed",
        "Das Konto ist wegen 3 fehlgeschlagener Anmelde-Versuche gesperrt.",
        "Le compte est temporairement verrouillé dû aux 3 connexions échouées.",
        "由于 3 次登录失败，此帐户已锁定。",
        "(7 minutes left to unlock)",
        "3004-303 There have been too many unsuccessful login attempts; please see\n\tthe system administrator.",
        "You are not allowed to login at this time.",
        "Remote logins are not allowed for this account.",
        "This terminal can not be used at this time.",
        "You are not allowed to log on at this time",
        "The referenced account is currently locked out and may not be logged on to.",
        "There are currently no logon servers available to service the logon request.",
        "Your account has been locked out due to excessive authentication failures. Please contact your system administrator if you need help.",
        "Your account is locked. Contact the help desk if you need access before Monday.",
        "Account locked due to 5 wrong passwords",
        "User account is locked because of 3 invalid logins",
    ] {
        assert!(is_account_level(text), "{text}");
    }
    for text in [
        "Login incorrect or account locked",
        "Wrong password, or your account is locked",
        "Users may not share passwords. Accounts may be locked.",
        "Login incorrect\nThe account is locked after 3 attempts",
        "Your account will be locked after 3 failed attempts",
        "1 attempt left before your account is locked",
        "Too many authentication failures",
        "Access denied",
    ] {
        assert!(!is_account_level(text), "{text}");
    }
    assert!(says_expired("You are required to change your password immediately (administrator enforced)."));
    assert!(!says_expired("Warning: your password will expire in 3 days."));
    assert!(!says_expired("Your password will expire in 3 days and must be changed"));
}

#[test]
fn sentences_that_products_put_together_are_read_by_their_parts() {
    for text in [
        // Account and token states: Aruba, ExtremeXOS, privacyIDEA, pam_tally2, daloRADIUS, pam-authramp, portals.
        "Login disabled for 300 seconds",
        "Login temporarily disabled due to too many failed attempts. Please wait 300 seconds.",
        "The user is disabled",
        "User suspended",
        "Your token is locked",
        "wrong otp value: failcounter exceeded, token is locked",
        "Account temporary locked (599 seconds left)",
        "Account locked! Unlocking in 28s.",
        "The account is expired",
        "Your IP has been banned",
        "Benutzerkonto ist deaktiviert",
        "Votre compte a été désactivé",
        "La cuenta está deshabilitada",
        // Servers: Duo, Okta, pam_radius, SSSD.
        "Unable to contact authentication server",
        "Failed to connect to the authentication server",
        "An error occurred while contacting the authentication server",
        "All RADIUS servers are dead",
        "LDAP server down",
        "Authentication request timed out",
        "Push timed out",
        // Room.
        "All VTY lines are in use",
        "No VTY lines available",
        "The number of online users has reached the maximum",
        "Your maximum daily usage time has been reached",
        "Rate limit exceeded. Try again later.",
        // The device, and rules that are not about the password.
        "System is not ready, try again later",
        "This is the standby unit. Please log in to the active unit.",
        "Access denied: you are not permitted to log in to this host.",
        "You are calling outside your allowed timespan",
    ] {
        assert!(is_account_level(text), "{text}");
    }
    for text in [
        "Login failed, please try again later",
        "Permission denied, please try again.",
        "Invalid password, user is locked or disabled",
        "Your account is not locked",
        "Idle timeout 10 minutes",
        "Note: the account is locked after 5 wrong codes.",
        "Accounts: user disabled after three failed logins",
        "Maximum number of login attempts exceeded",
        "Access is restricted to authorized users",
        "Unauthorized access is not permitted",
        "Invalid password. Your account will be locked after 3 more failed attempts.",
    ] {
        assert!(!is_account_level(text), "{text}");
    }
}

#[test]
fn what_is_counted_asked_or_told_as_a_rule_refuses_nothing() {
    for text in [
        "You have 1 failed login attempt.",
        "2 failed login attempts since Mon Nov 30",
        "Note: the account is locked after 5 wrong codes.",
        "Warning: 5 failed attempts lock the account for 10 minutes.",
        "Failed logins are reported to security.",
        "Any misuse is an offence; invalid logins are audited.",
        "Problems? Login denied? Call the helpdesk",
        "In case of failure call 1234",
        "Previous login failures: 2",
    ] {
        assert!(!is_refusal(text), "{text}");
    }
    for text in [
        "Invalid password. Your account will be locked after 3 more failed attempts.",
        "Authentication failed. 2 attempts left before your account is locked.",
        "Invalid credentials",
        "Incorrect passcode. Please try again.",
        "Login incorrect",
        "Too many failed attempts",
        "Sorry, try again.",
    ] {
        assert!(is_refusal(text), "{text}");
    }
}

#[test]
fn codes_and_passwords_that_are_not_to_be_had_here_are_not_answered() {
    for (prompt, expected) in [
        ("Enter the code we sent to ***-***-1234: ", Kind::Person),
        ("Enter the code that was sent to a***@example.com: ", Kind::Person),
        ("Enter the verification code you received on your phone: ", Kind::Person),
        ("Enter the OTP received on your mobile: ", Kind::Person),
        // privacyIDEA's own texts.
        ("Enter the OTP from the SMS:", Kind::Person),
        ("Enter the OTP from the Email:", Kind::Person),
        ("An OTP has been sent to your registered email address.\nOTP: ", Kind::Person),
        ("Your new password has been sent to your mobile. Password: ", Kind::Person),
        ("Enter the code from your mobile app: ", Kind::WeakCode),
        ("Enter the 6-digit code from your phone: ", Kind::WeakCode),
        // pam_u2f(8), device code logins.
        ("Insert your U2F device, then press ENTER.", Kind::Person),
        ("Visit https://weblogin.example.org/pam/BX72 to log in, then press ENTER: ", Kind::Person),
        ("Press Enter after approving: ", Kind::Person),
        ("Press Enter once the sign-in is complete: ", Kind::Person),
        // A login node of LONI shows a new user a seed.
        ("Your new secret key is: JBSWY3DPEHPK3PXP\nScan the QR code above.\nEnter one-time token: ", Kind::Person),
        ("Open your Authenticator app, and enter the number '73' to sign in.\nPress Enter to continue: ", Kind::Person),
        ("Press any key to continue", Kind::Key),
        // pam_otpw(8), pam_mount(8), ssh(1).
        ("Password 023: ", Kind::Unknown),
        ("Password 023/045/067: ", Kind::Unknown),
        ("reenter password for pam_mount:", Kind::Unknown),
        ("Enter passphrase for key '/root/.ssh/id_rsa': ", Kind::Unknown),
        ("Enable password: ", Kind::Unknown),
        ("Recovery code: ", Kind::Unknown),
        ("Verification code or backup code: ", Kind::Code),
        ("Do you want to change your password? ", Kind::Unknown),
        ("Token_Code: ", Kind::Code),
        ("Set password: ", Kind::New),
        // Choices by number, as PingID and NetIQ make them.
        ("Enter 1 for push, 2 for token: ", Kind::Menu),
        ("Enter '1' for Okta Verify or '2' for Google Authenticator code: ", Kind::Menu),
        ("Enter a passcode or 1 for push: ", Kind::WeakCode),
    ] {
        assert_eq!(kind(prompt), expected, "{prompt}");
    }
    let number = "Open your Authenticator app, and enter the number '73' to sign in.";
    assert!(asks_for_person(number) && !asks_for_person("Enter the number shown on your token"));
    assert_eq!(in_context("Response: ", "\nOpen your authenticator app.\nEnter the code shown"), Kind::WeakCode);
    // An address in a notice asks nothing of anybody.
    assert!(!asks_for_person("Your password expires in 3 days: see https://portal.example.org"));
    assert!(asks_for_person("To sign in, open https://example.org/device and enter the code ABCD"));
}

proptest::proptest! {
    #[test]
    fn whatever_stands_in_a_prompt_is_read(prompt in "\\PC{0,200}", context in "(?s).{0,100}") {
        kind(&prompt);
        in_context(&prompt, &context);
        let _ = is_account_level(&prompt);
    }
}
