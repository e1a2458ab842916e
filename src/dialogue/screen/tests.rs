use proptest::prelude::*;

use super::*;

/// ArubaOS-Switch at its login: it asks for the size, and paints its prompt in the last row of it
/// (carlmontanari/scrapli#331), here as a terminal of 80 rows is told.
const ARUBA: &str = "\x1b[?6l\x1b[1;80r\x1b[?7h\x1b[2J\x1b[1;1H\x1b[1920;1920H\x1b[6n\x1b[1;1HYour previous successful login (as manager) was on 2024-05-24 11:29:02     \r\n from X.X.X.X\r\n\x1b[1;80r\x1b[80;1H\x1b[80;1H\x1b[2K\x1b[80;1H\x1b[?25h\x1b[80;1H\x1b[80;1HHOSTNAME# \x1b[80;1H\x1b[80;11H\x1b[80;1H\x1b[?25h\x1b[80;11H";

/// What ProCurve sends for a line end, and its next prompt (ktbyers/netmiko#1699).
const PROCURVE_ENTER: &str = "\x1b[1;0H\x1b[1M\x1b[24;1H\x1b[1L\x1b[24;32H\x1b[24;1H\x1b[2K\x1b[24;1H\x1b[?25h\x1b[24;1H\x1b[1;24r\x1b[24;1H\x1b[1;24r\x1b[24;1H\x1b[24;1H\x1b[2K\x1b[24;1H\x1b[?25h\x1b[24;1H\x1b[24;1H65432p-swi004-new-office-2etg# \x1b[24;1H\x1b[24;32H\x1b[24;1H\x1b[?25h\x1b[24;32H";

/// RouterOS at its login (7.16), and what it sends to end a command: the prompt, blanks over what stood behind it, the
/// prompt again (7.23).
const ROUTEROS: &str =
    "\r\x1b[9999B\r\x1b[9999B\x1bZ  \x1b[6n\x1b[H\x1b[9999B\x1b[6n\x1b[H\x1b[9999C\x1b[6n\r\n[admin@MikroTik] > ";
const ROUTEROS_END: &str =
    "\r\r\r\r[admin@MikroTik] >                                                              \r[admin@MikroTik] > ";

/// cmd.exe behind ConPTY: it clears the screen and homes the cursor, and shows blanks as movements.
const CONPTY: &str = "\x1b[?9001h\x1b[?1004h\x1b[c\x1b[?25l\x1b[2J\x1b[m\x1b[H\x1b]0;C:\\Windows\\system32\\cmd.exe\x07\x1b[?25hMicrosoft Windows [Version 10.0.20348.169]\r\n(c) Microsoft Corporation.\x1b[1CAll rights reserved.\x1b[4;1Hadmin@SRV1 C:\\Users\\admin>";

fn fed(pieces: &[&str]) -> Screen {
    let mut screen = Screen::default();
    pieces.iter().for_each(|piece| screen.feed(piece.as_bytes()));
    screen
}

#[test]
fn the_last_thing_is_what_stands_before_the_cursor() {
    for (bytes, last) in [
        (ARUBA, "HOSTNAME# "),
        (PROCURVE_ENTER, "65432p-swi004-new-office-2etg# "),
        (ROUTEROS, "[admin@MikroTik] > "),
        (ROUTEROS_END, "[admin@MikroTik] > "),
        (CONPTY, "admin@SRV1 C:\\Users\\admin>"),
        ("sw# \x1b[30C\x1b[27D\x08\x08\x08", "sw# "),
        ("sw#     \x08\x08\x08\x08", "sw# "),
        ("\x1b[5;1Htop\x1b[1;1Hsw#\x1b[s\x1b[24;1Hstatus: ok\x1b[u ", "sw# "),
        ("\x1b7\x1b[24;1H[menu]\x1b8sw# ", "sw# "),
        ("PS C:\\> \x1b[90mget-help\x1b[m\x1b[8D", "PS C:\\> "),
    ] {
        let screen = fed(&[bytes]);
        assert_eq!(screen.cursor_line(), last, "{bytes:?}");
        assert!(screen.unread().ends_with(last), "{:?}", screen.unread());
    }
}

#[test]
fn a_line_end_painted_by_deleting_the_first_row_is_one() {
    let mut screen = fed(&["\x1b[1;24r\x1b[24;1Hsw# ", "show run"]);
    screen.mark_sent();
    screen.feed(PROCURVE_ENTER.as_bytes());
    assert_eq!(screen.since_sent(), "\n65432p-swi004-new-office-2etg# ");
    assert!(screen.all().contains("sw# show run\n"), "{:?}", screen.all());
}

#[test]
fn questions_to_the_terminal_are_answered_within_bounds() {
    let replies = |bytes: &str| fed(&[bytes]).take_replies();
    assert_eq!(replies(ARUBA), ["\x1b[200;500R"], "the size is asked for so");
    assert_eq!(replies(ROUTEROS), ["\x1b[?1;2c", "\x1b[200;3R", "\x1b[200;1R", "\x1b[1;500R"]);
    assert_eq!(replies(CONPTY), ["\x1b[?1;2c"]);
    assert_eq!(replies("\x1b[5n\x1b[0c\x1b[?6n"), ["\x1b[0n", "\x1b[?1;2c", "\x1b[?1;1R"]);
    assert!(replies("\x1b[>c\x1b[18t\x1b]11;?\x07\x1bP$qm\x1b\\\x05").is_empty(), "a VT100 knows nothing of these");
    assert_eq!(fed(&["\x1b[6n"; 5000]).take_replies().len(), 100);
    assert!(replies("New password: \x1b[6n\x1b[c").is_empty(), "it might become a part of the password");
    let mut screen = fed(&["\x1b[6n"]);
    assert_eq!((screen.take_replies().len(), screen.take_replies().len()), (1, 0));
}

#[test]
fn what_is_painted_again_as_it_stood_is_not_new() {
    for again in ["\r[admin@MikroTik] > ", "\r\x1b[K[admin@MikroTik] > ", "\x1b[2K\r[admin@MikroTik] > "] {
        let mut screen = fed(&["\r\n[admin@MikroTik] > "]);
        let all = screen.unread().len();
        screen.consume(all - 1);
        screen.mark_sent();
        for place in 0..=again.len() {
            let mut screen = fed(&["\r\n[admin@MikroTik] > "]);
            screen.consume(all - 1);
            screen.mark_sent();
            screen.feed(&again.as_bytes()[..place]);
            assert_eq!((screen.unread().trim(), screen.since_sent()), ("", ""), "{again:?} up to {place}");
        }
        screen.feed(again.as_bytes());
        screen.feed(b"/user print\r\n");
        assert_eq!(screen.since_sent(), "/user print\n");
    }
}

#[test]
fn what_is_painted_over_what_was_read_is_new() {
    let mut screen = fed(&["--More--"]);
    screen.consume(8);
    screen.mark_sent();
    screen.feed(b"\r        \rnext page");
    assert_eq!(screen.unread().trim(), "next page");
    assert_eq!(screen.since_sent().trim(), "next page");
    let mut asked = fed(&["\r\nPassword: "]);
    asked.consume(10);
    asked.feed(b"\rPassword OK\r\n");
    assert_eq!(asked.unread(), " OK\n");
}

#[test]
fn a_screen_that_is_cleared_was_read_up_to_there() {
    let mut screen = fed(&["welcome\r\n", "\x1b[2J\x1b[Hlogin> "]);
    assert_eq!(screen.unread(), "welcome\nlogin> ");
    screen.consume("welcome".len());
    screen.feed(b"\x1b[?1049h\x1b[Hmenu> ");
    assert!(screen.unread().ends_with("login> \nmenu> "), "{:?}", screen.unread());
    assert_eq!(fed(&["\x1b[2J\x1b[H\x1b[2J\x1b[H\x1b[2J\x1b[Hx"]).all(), "x");
}

#[test]
fn a_row_that_is_full_goes_on_in_the_next_without_a_line_end() {
    let long = "x".repeat(COLUMNS + 20);
    let screen = fed(&[&long, "\r\nsw# "]);
    assert_eq!(screen.all(), format!("{long}\nsw# "));
    assert_eq!(fed(&[&long, "\ry"]).cursor_line().len(), COLUMNS + 1, "a return goes to the beginning of the row");
    assert_eq!(fed(&["\x1b[?7l", &long]).all().len(), COLUMNS, "DECAWM");
}

#[test]
fn cells_rows_and_regions_are_edited_as_on_a_terminal() {
    for (bytes, all) in [
        ("abcdef\x1b[4D\x1b[2Pxy", "abxy"),
        ("abcdef\x1b[4D\x1b[2@xy", "abxycdef"),
        ("abcdef\x1b[4D\x1b[2Xx", "abx ef"),
        ("abcdef\x1b[3D\x1b[1K", "    ef"),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[Lnew", "a\nnew\nb\nc"),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[M", "a\nc"),
        ("head\x1b[2;3r\x1b[2;1Hone\r\ntwo\r\nthree\r\nfour", "head\none\ntwo\nthree\nfour"),
        ("a\r\nb\x1b[1;1H\x1bMtop", "top\na\nb"),
        ("a\tb\rx", "x\tb"),
        ("a\tb\x1b[4Gx", "a  x    b"),
        ("\u{5bc6}\u{7801}\u{ff1a}\x1b[3Gx", "\u{5bc6}x \u{ff1a}"),
        ("ab\x1b[3b\x1b[G\x1b[2Cz", "abzbb"),
        ("one\x1b[2;5Htwo\x1b[1;1H\x1b[J", ""),
    ] {
        assert_eq!(fed(&[bytes]).all(), all, "{bytes:?}");
    }
}

proptest! {
    /// Output is the same text, in pieces of any size.
    #[test]
    fn pieces_make_no_difference(
        parts in proptest::collection::vec(prop_oneof![
            "[ -~]{0,12}", "[a-zé密\u{1f511}]{1,3}",
            Just("\r\n".to_owned()), Just("\r".to_owned()), Just("\x08".to_owned()), Just("\t".to_owned()),
            "\x1b\\[[0-9]{0,3}(;[0-9]{1,3})?[A-HJ-MPSTXbdfrsu@]", "\x1b[78DEMc]", "\x1b\\[\\?(6|7|1049)[hl]",
        ], 0..40),
        size in 1usize..30,
    ) {
        let bytes: Vec<u8> = parts.concat().into_bytes();
        let (mut whole, mut pieces) = (Screen::default(), Screen::default());
        whole.feed(&bytes);
        for piece in bytes.chunks(size) {
            pieces.feed(piece);
            prop_assert!(pieces.unread().len() <= pieces.all().len());
        }
        prop_assert_eq!(whole.all(), pieces.all());
        prop_assert_eq!(whole.unread(), pieces.unread());
    }

    /// Whatever is painted, what is not painted over is found in the text.
    #[test]
    fn plain_lines_are_the_text_itself(lines in proptest::collection::vec("[ -~]{0,60}", 0..400), size in 1usize..200) {
        let text = lines.join("\r\n");
        let mut screen = Screen::default();
        text.as_bytes().chunks(size).for_each(|piece| screen.feed(piece));
        prop_assert_eq!(screen.all(), text.replace('\r', ""));
        prop_assert_eq!(screen.unread(), screen.all());
    }
}

#[test]
fn what_a_hostile_device_paints_costs_bounded_memory_and_time() {
    let begin = std::time::Instant::now();
    for bytes in [
        "\x1b[200;500Hx\x1b[2J",
        "\x1b[1;1Hx\x1b[200;1Hy",
        "\x1b[2;200r\x1b[200;1H\r\n",
        "\x1b[200S\x1b[200T\x1b[200Lx",
        "\x1b[999b",
        "\u{1f511}",
        "\x1b[1;1H\x1b[500@\x1b[500P",
    ] {
        let mut screen = Screen::default();
        let chunk: String = bytes.repeat(32 * 1024 / bytes.len());
        for _ in 0..8 {
            screen.feed(chunk.as_bytes());
            assert!(screen.all().len() <= LIMIT, "{bytes:?}: {}", screen.all().len());
        }
    }
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}
