use super::*;
use proptest::prelude::*;

fn masker(secrets: &[&str]) -> Masker {
    let mut masker = Masker::default();
    secrets.iter().for_each(|secret| masker.add(&Secret::new((*secret).to_owned())));
    masker
}

/// Every record that can be made of a text.
fn records(masker: &Masker, text: &str) -> Vec<String> {
    vec![
        unescaped(&masker.mask(text)),
        masker.shown(text, 60),
        masker.shown(text, 4000),
        masker.shown_end(text, 3, 300),
        masker.shown_end(text, 100, 4000),
        unescaped(&masker.lines(text)),
        // What knows the secret later: the text was cut before.
        masker.mask(Masker::default().shown(text, 47)),
        masker.mask(Masker::default().shown_end(text, 3, 47)),
    ]
}

/// Without the letters that stand for control characters.
fn unescaped(text: &str) -> String {
    let escapes = ["\\r", "\\n", "\\t", "\\u{8}", "\\u{0}", "\\u{1b}"];
    escapes.iter().fold(text.to_owned(), |text, escape| text.replace(escape, " "))
}

/// A piece of six characters that stands in a text, with its white space or without.
fn piece(text: &str, secret: &str) -> Option<String> {
    let (text, secret): (String, Vec<char>) = (text.to_lowercase(), secret.to_lowercase().chars().collect());
    let joined: String = text.split_whitespace().collect();
    secret.windows(6).map(|six| six.iter().collect()).find(|six: &String| text.contains(six) || joined.contains(six))
}

/// What a terminal makes of a line that does not fit.
#[derive(Debug, Clone)]
enum Echo {
    Plain,
    /// Broken at a column, with this at each break.
    Wrapped(usize, &'static str),
    /// Each piece repeats the end of the one before: so many characters, and so many of them again.
    Overlapping(usize, usize, &'static str),
    /// The last characters are taken back with backspaces and printed again.
    Repainted(usize, usize),
    /// A window that slides over the line, with marks at its ends (Cisco IOS, readline's horizontal-scroll-mode).
    Scrolled(usize),
    Capitals,
    Spelt(&'static str),
    Quoted,
}

fn echoes(echo: &Echo, line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let text = |chars: &[char]| chars.iter().collect::<String>();
    match echo {
        Echo::Plain => line.to_owned(),
        Echo::Wrapped(width, mark) => chars.chunks(*width).map(text).collect::<Vec<_>>().join(mark),
        Echo::Overlapping(width, again, mark) => {
            let step = width.saturating_sub(*again).max(1);
            let starts = (0..chars.len()).step_by(step);
            starts.map(|at| text(&chars[at..(at + width).min(chars.len())])).collect::<Vec<_>>().join(mark)
        }
        Echo::Repainted(every, back) => {
            let mut out = String::new();
            for (at, c) in chars.iter().enumerate() {
                out.push(*c);
                if at % every == every - 1 {
                    let from = (at + 1).saturating_sub(*back);
                    out.push_str(&"\u{8}".repeat(at + 1 - from));
                    out.push_str(&text(&chars[from..=at]));
                }
            }
            out
        }
        Echo::Scrolled(width) => {
            let ends = (*width..chars.len() + 10).step_by(10).map(|end| end.min(chars.len()));
            ends.map(|end| format!("\r#${}", text(&chars[end.saturating_sub(*width)..end]))).collect()
        }
        Echo::Capitals => line.to_uppercase(),
        Echo::Spelt(between) => chars.iter().map(char::to_string).collect::<Vec<_>>().join(between),
        Echo::Quoted => format!("{line:?}"),
    }
}

fn echo() -> impl Strategy<Value = Echo> {
    let mark = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " \r",
        " \u{8}",
        "\u{1b}[K\r\n",
        "\u{1b}[31m",
        "$\r\n$",
        "\\\n> ",
        "\u{200b}",
    ]);
    prop_oneof![
        Just(Echo::Plain),
        (1..90usize, mark.clone()).prop_map(|(width, mark)| Echo::Wrapped(width, mark)),
        (2..40usize, 1..20usize, mark).prop_map(|(width, again, mark)| Echo::Overlapping(width, again, mark)),
        (1..20usize, 1..20usize).prop_map(|(every, back)| Echo::Repainted(every, back)),
        (7..60usize).prop_map(Echo::Scrolled),
        Just(Echo::Capitals),
        prop::sample::select(vec![" ", "\u{0}", "\r\n", "-", "\u{1b}[0m", "\t"]).prop_map(Echo::Spelt),
        Just(Echo::Quoted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_mask_leaves_no_secret_in_a_text(
        secrets in prop::collection::vec("[a-d]{4,6}", 1..4),
        text in "[a-e]{0,40}",
    ) {
        let mut masker = Masker::default();
        secrets.iter().for_each(|secret| masker.add(&Secret::new(secret.clone())));
        let masked = masker.mask(text);
        prop_assert!(!secrets.iter().any(|secret| masked.contains(secret)), "{}", masked);
    }

    #[test]
    fn no_record_has_six_characters_of_a_secret_whatever_the_terminal_does(
        secret in "[!-)+-~]{12,30}|[a-zA-Z0-9]{8,20}|[a-zäöü€ -~]{10,24}|[0-9]{6,8}",
        before in "[ -)+-~]{0,30}(#| \\$)? ?(username admin secret )?",
        after in "( role network-admin)?",
        echo in echo(),
        (from, to) in (0..200usize, 0..200usize),
    ) {
        let masker = masker(&[&secret]);
        let all = echoes(&echo, &format!("{before}{secret}{after}"));
        let cut: String = all.chars().skip(from).collect();
        let cut: String = cut.chars().take(to).collect();
        for text in [all, cut, format!("{before}{secret}\r\n% {before}{secret} is not taken\r\n")] {
            for record in records(&masker, &text) {
                prop_assert_eq!(piece(&record, &secret), None, "{:?} became {:?}", text, record);
            }
        }
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is(text in "[ -~]{0,200}") {
        prop_assert_eq!(masker(&["\u{e4}1Kq#9zR!vT2\u{fc}", "Xw7$Lm4&Pd8?"]).mask(text.as_str()), text);
    }
}

#[test]
fn a_secret_is_masked_whole_and_control_characters_are_escaped() {
    let masker = masker(&["abcd", "abcdef"]);
    assert_eq!(masker.mask("x abcdef\u{1b}[2J abcd"), "x ********\\u{1b}[2J ********");
}

#[test]
fn an_echo_that_is_wrapped_scrolled_or_repainted_is_masked() {
    let masker = masker(&["q8Zk-rT4w_Xm2P"]);
    for (echo, masked) in [
        ("secret q8Zk-r\r\nT4w_Xm2P", "secret ********"),
        ("secret q8Zk\r\n-rT4\r\nw_Xm\r\n2P ok", "secret ******** ok"),
        ("r1#$k-rT4w_Xm2P", "r1#$********"),
        ("q8Zk-\u{8}\u{8}k-rT4", "********"),
        ("q8Zk   \u{8}\u{8}\u{8}-rT4w_Xm2P.", "********."),
        ("Q8ZK-RT4W_XM2P", "********"),
        ("q8Zk\\-rT4w\\_Xm2P", "********"),
        ("begins with q8Zk-", "begins with q8Zk-"),
    ] {
        assert_eq!(masker.shown(echo, 200), masked, "{echo:?}");
    }
}

#[test]
fn a_text_is_masked_before_it_is_shortened() {
    let masker = masker(&["q8Zk-rT4w_Xm2P"]);
    let text = format!("{}q8Zk-rT4w_Xm2P what is this", "x".repeat(190));
    assert_eq!(masker.shown(&text, 200), format!("{}********", "x".repeat(190)) + " w");
    assert_eq!(masker.shown_end("a\nb q8Zk-rT4\nw_Xm2P\n\nc\n", 2, 10), "****** | c");
}

#[test]
fn a_code_is_masked_with_blanks_in_it() {
    let masker = masker(&["492038"]);
    assert_eq!(masker.mask("code 492 038 is not taken, 49 20 38"), "code ******** is not taken, ********");
    assert_eq!(masker.mask("code 492037, 92038 s"), "code 492037, 92038 s");
}

#[test]
fn common_words_and_short_secrets_are_masked_as_a_whole_only() {
    let prompt = "Enter the password of the administrator: ";
    assert_eq!(masker(&["Password-Administrator-1"]).mask(prompt), prompt);
    assert_eq!(masker(&["Password-Administrator-1"]).mask("no Password-Admin"), "no ********");
    assert_eq!(masker(&["password"]).mask("a password is pass\r\nword"), "a ******** is ********");
    assert_eq!(masker(&["test"]).mask("t est Test te\r\nst test"), "t est Test ******** ********");
}

#[test]
fn a_name_that_is_no_secret_is_no_piece_of_a_password_that_has_it_in_it() {
    let mut masker = masker(&["core-router-7-Xk2", "core-router-7"]);
    assert_eq!(masker.mask("core-router refuses CORE-ROUTER-7-XK"), "******** refuses ********");
    masker.leave("core-router-7");
    assert_eq!(masker.mask("core-router refuses CORE-ROUTER-7-XK"), "core-router refuses ********");
    assert_eq!(masker.mask("a password that is a name: core-router-7"), "a password that is a name: ********");
}

#[test]
fn what_is_added_later_is_known_and_copies_know_what_their_original_knows() {
    let mut masker = masker(&["q8Zk-rT4w_Xm2P"]);
    assert_eq!(masker.mask("Lw9!vB3c?Hn"), "Lw9!vB3c?Hn");
    let mut other = Masker::default();
    other.add(&Secret::new("Lw9!vB3c?Hn".into()));
    masker.add_all(&other);
    assert_eq!(masker.clone().mask("Lw9!vB3c?Hn k-rT4w_X"), "******** ********");
    assert_eq!(format!("{masker:?}"), "Masker(of 2 secrets)");
}

#[test]
fn a_long_text_of_one_character_is_masked_as_one() {
    let masker = masker(&[&"a".repeat(60), "aaaa"]);
    assert_eq!(masker.mask("a".repeat(1 << 20)), MASK);
}
