//! What control characters and sequences do to the screen, after ECMA-48 and the VT100's and xterm's manuals, and the
//! questions to the terminal that it answers.

use vte::{Params, Perform};

use super::grid::{COLUMNS, Grid, ROWS};

/// Questions answered in one session at the most: a device asks a few times at each prompt, and a hostile one for ever.
const MOST_REPLIES: usize = 100;

/// What a VT100 with the advanced video option says of itself (VT100 User Guide, "What are you?").
const WHAT_I_AM: &str = "\x1b[?1;2c";

#[derive(Default)]
pub(super) struct Terminal {
    pub(super) grid: Grid,
    /// What the terminal says to the device, not taken yet.
    pub(super) replies: Vec<String>,
    replied: usize,
}

impl Terminal {
    /// Answers a question of the device: RouterOS and ArubaOS-Switch ask for the size so, ConPTY and others whether anybody
    /// is there. Not where the cursor stands behind a question for a secret: what reads there may take the answer for a part
    /// of it.
    fn reply(&mut self, reply: String) {
        if self.replied < MOST_REPLIES && !crate::dialogue::known::asks_for_secret(&self.grid.cursor_line()) {
            self.replied += 1;
            self.replies.push(reply);
        }
    }

    fn report_position(&mut self, private: &str) {
        let (row, col) = (self.grid.row + 1, self.grid.col + 1);
        self.reply(format!("\x1b[{private}{row};{col}R"));
    }

    fn private_mode(&mut self, mode: u16, on: bool) {
        match mode {
            6 => {
                self.grid.origin = on;
                self.grid.go_to(0, 0);
            }
            7 => self.grid.wraps = on,
            // Another screen begins, or is gone.
            47 | 1047 | 1049 => self.grid.erase_screen(2),
            _ => {}
        }
    }
}

impl Perform for Terminal {
    fn print(&mut self, c: char) {
        self.grid.put(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            // A terminal that does not return at LF would be one of a raw line, whose text no template could match.
            b'\n' | 0x0b | 0x0c => self.grid.new_line(),
            b'\r' => self.grid.set_col(0),
            b'\t' => self.grid.tab(),
            0x08 => self.grid.set_col(self.grid.col.saturating_sub(1)),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        let nth = |n: usize| params.iter().nth(n).and_then(|p| p.first().copied()).unwrap_or(0);
        let first = nth(0);
        let count = usize::from(first.max(1));
        let grid = &mut self.grid;
        match (intermediates, action) {
            ([b'?'], 'h' | 'l') => {
                for mode in params.iter().filter_map(|p| p.first().copied()) {
                    self.private_mode(mode, action == 'h');
                }
            }
            ([b'?'], 'n') if first == 6 => self.report_position("?"),
            ([b'?'], 'J') => grid.erase_screen(first),
            ([b'?'], 'K') => grid.erase_line(first),
            _ if !intermediates.is_empty() || ignore => {}
            (_, 'A') => grid.move_rows(false, count),
            (_, 'B' | 'e') => grid.move_rows(true, count),
            (_, 'C' | 'a') => grid.set_col(grid.col.saturating_add(count)),
            (_, 'D') => grid.set_col(grid.col.saturating_sub(count)),
            (_, 'E' | 'F') => {
                grid.move_rows(action == 'E', count);
                grid.set_col(0);
            }
            (_, 'G' | '`') => grid.set_col(count - 1),
            (_, 'H' | 'f') => grid.go_to(count - 1, usize::from(nth(1).max(1)) - 1),
            (_, 'd') => grid.go_to(count - 1, grid.col),
            (_, 'J') => grid.erase_screen(first),
            (_, 'K') => grid.erase_line(first),
            (_, 'L') => grid.insert_rows(count),
            (_, 'M') => grid.delete_rows(count),
            (_, 'P' | 'X' | '@') => grid.change_cells(action, count),
            (_, 'S') => grid.scroll_up(count.min(ROWS)),
            (_, 'T') => grid.scroll_down(count.min(ROWS)),
            (_, 'b') => (0..count.min(COLUMNS)).for_each(|_| grid.put(grid.last)),
            (_, 'r') => grid.set_region(usize::from(first), usize::from(nth(1))),
            (_, 's') => grid.save(),
            (_, 'u') => grid.restore(),
            (_, 'n') if first == 5 => self.reply("\x1b[0n".into()),
            (_, 'n') if first == 6 => self.report_position(""),
            (_, 'c') if first == 0 => self.reply(WHAT_I_AM.into()),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        if !intermediates.is_empty() {
            return;
        }
        match byte {
            b'7' => self.grid.save(),
            b'8' => self.grid.restore(),
            b'D' => self.grid.index(),
            b'E' => self.grid.new_line(),
            b'M' => self.grid.reverse_index(),
            b'Z' => self.reply(WHAT_I_AM.into()),
            b'c' => self.grid.reset(),
            _ => {}
        }
    }
}
