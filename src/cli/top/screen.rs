//! What `rotorctl top` shows and what a key does: pure state, and its drawing.

use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};

use super::super::output::{local, safe, short};
use crate::control::{AccountStatus, ExplainBody, STATES};

/// Something that a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    /// Look at all accounts now.
    Look,
    Explain(String),
    Rotate(String),
    Verify(String),
}

/// What lies over the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Over {
    #[default]
    Nothing,
    /// A filter is typed.
    Filter,
    Help,
    Text {
        title: String,
        lines: Vec<String>,
        scroll: u16,
    },
    /// `y` has it done.
    Ask(Wish, String),
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Screen {
    accounts: Vec<AccountStatus>,
    /// Places of accounts that the filter takes, the most urgent first.
    shown: Vec<usize>,
    filter: String,
    /// Only those that are at work or need somebody.
    urgent: bool,
    table: TableState,
    over: Over,
    message: String,
    trouble: Option<String>,
    /// The last step of each attempt under way.
    steps: BTreeMap<String, String>,
    colour: bool,
}

/// How soon a person should see an account in a state.
fn urgency(account: &AccountStatus) -> u8 {
    match account.state.as_str() {
        "quarantined" => 0,
        "uncertain" => 1,
        "idle" | "paused" if account.last_error.is_none() && account.warning.is_none() => 5,
        "new" => 4,
        "idle" | "paused" => 3,
        _ => 2,
    }
}

fn is_at_work(account: &AccountStatus) -> bool {
    matches!(account.state.as_str(), "prepared" | "changing" | "sent" | "verifying")
}

const HELP: [(&str, &str); 9] = [
    ("↑ ↓  j k", "the account before, the next"),
    ("/", "filter by name, state or error; Enter keeps it, Esc drops it"),
    ("a", "all accounts, or only those that need a look"),
    ("e  Enter", "explain: how the account stands, and what to type next"),
    ("r", "rotate it now, after a yes"),
    ("v", "verify it: log in with the stored password, change nothing"),
    ("Space", "look at all accounts now"),
    ("?", "this help"),
    ("q", "quit"),
];

impl Screen {
    pub(super) fn new(colour: bool) -> Self {
        Self { colour, message: "? for help".into(), ..Self::default() }
    }

    /// Other accounts, or the same as they stand now.
    pub(super) fn accounts(&mut self, accounts: Vec<AccountStatus>) {
        let chosen = self.chosen().map(|account| account.account.clone());
        self.accounts = accounts;
        self.steps
            .retain(|name, _| self.accounts.iter().any(|account| account.account == *name && is_at_work(account)));
        self.choose(chosen.as_deref());
    }

    /// Filters and sorts anew; the account that was chosen stays so.
    fn choose(&mut self, chosen: Option<&str>) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let takes = |account: &AccountStatus| {
            let text =
                format!("{} {} {}", account.account, account.state, account.last_error.as_deref().unwrap_or_default());
            let text = text.to_lowercase();
            words.iter().all(|word| text.contains(word.as_str())) && (!self.urgent || urgency(account) < 5)
        };
        self.shown = (0..self.accounts.len()).filter(|place| takes(&self.accounts[*place])).collect();
        self.shown.sort_by_key(|place| urgency(&self.accounts[*place]));
        let place = chosen.and_then(|name| self.shown.iter().position(|at| self.accounts[*at].account == name));
        let last = self.shown.len().checked_sub(1);
        self.table.select(place.or_else(|| last.map(|last| self.table.selected().unwrap_or(0).min(last))));
    }

    fn chosen(&self) -> Option<&AccountStatus> {
        self.accounts.get(*self.shown.get(self.table.selected()?)?)
    }

    /// A step of an attempt.
    pub(super) fn step(&mut self, account: &str, text: &str) {
        self.steps.insert(account.to_owned(), text.to_owned());
    }

    /// Something that is told at the foot.
    pub(super) fn tell(&mut self, text: impl Into<String>) {
        self.message = text.into();
    }

    /// What is out of order beside the accounts. It is told once, and leaves the foot to what comes after.
    pub(super) fn trouble(&mut self, trouble: Option<String>) {
        if let Some(text) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            self.message = format!("! {text}");
        }
        self.trouble = trouble;
    }

    /// Shows what `explain` says.
    pub(super) fn explained(&mut self, body: &ExplainBody) {
        let mut lines: Vec<String> = body.means.iter().map(|sentence| safe(sentence)).collect();
        if let Some(why) = &body.why {
            lines.extend([String::new(), format!("Why: {}", safe(why))]);
        }
        if !body.tried.is_empty() {
            lines.extend([String::new(), "Tried last:".to_owned()]);
            lines.extend(body.tried.iter().map(|line| format!("  {}", safe(line))));
        }
        if !body.next.is_empty() {
            lines.extend([String::new(), "Next:".to_owned()]);
            lines.extend(body.next.iter().map(|next| format!("  {}   {}", safe(&next.command), safe(&next.what))));
        }
        let title = format!(" {} is {} ", safe(&body.account), body.state);
        self.over = Over::Text { title, lines, scroll: 0 };
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Some(Wish::Quit);
        }
        match std::mem::take(&mut self.over) {
            Over::Nothing => self.key_on_table(key),
            Over::Filter => {
                self.key_in_filter(key);
                None
            }
            Over::Text { title, lines, scroll } => {
                let scroll = match key.code {
                    KeyCode::Down | KeyCode::Char('j') => scroll.saturating_add(1),
                    KeyCode::Up | KeyCode::Char('k') => scroll.saturating_sub(1),
                    _ => return None,
                };
                self.over = Over::Text { title, lines, scroll };
                None
            }
            Over::Ask(wish, _) if matches!(key.code, KeyCode::Char('y' | 'Y')) => Some(wish),
            Over::Ask(..) => {
                self.tell("nothing was done");
                None
            }
            Over::Help => None,
        }
    }

    fn key_in_filter(&mut self, key: KeyEvent) {
        self.over = Over::Filter;
        match key.code {
            KeyCode::Enter => self.over = Over::Nothing,
            KeyCode::Esc => {
                self.filter.clear();
                self.over = Over::Nothing;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
        let chosen = self.chosen().map(|account| account.account.clone());
        self.choose(chosen.as_deref());
    }

    fn key_on_table(&mut self, key: KeyEvent) -> Option<Wish> {
        let last = self.shown.len().saturating_sub(1);
        let at = self.table.selected().unwrap_or(0);
        let go = |to: usize| Some(to.min(last)).filter(|_| !self.shown.is_empty());
        match key.code {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Char(' ') => return Some(Wish::Look),
            KeyCode::Down | KeyCode::Char('j') => self.table.select(go(at + 1)),
            KeyCode::Up | KeyCode::Char('k') => self.table.select(go(at.saturating_sub(1))),
            KeyCode::PageDown => self.table.select(go(at + 10)),
            KeyCode::PageUp => self.table.select(go(at.saturating_sub(10))),
            KeyCode::Home | KeyCode::Char('g') => self.table.select(go(0)),
            KeyCode::End | KeyCode::Char('G') => self.table.select(go(last)),
            KeyCode::Char('/') => self.over = Over::Filter,
            KeyCode::Char('?') => self.over = Over::Help,
            KeyCode::Esc => {
                self.filter.clear();
                self.choose(None);
            }
            KeyCode::Char('a') => {
                self.urgent = !self.urgent;
                self.choose(None);
            }
            KeyCode::Char('e') | KeyCode::Enter => {
                return self.chosen().map(|account| Wish::Explain(account.account.clone()));
            }
            KeyCode::Char('r') => {
                if let Some(AccountStatus { account, changes_24h, cap, .. }) = self.chosen() {
                    let left = cap.saturating_sub(*changes_24h);
                    let allows = match left {
                        0 => "the cap refuses more for now".to_owned(),
                        left => format!("the cap allows {left} more in 24 hours"),
                    };
                    let question = format!(
                        "Rotate {} now? {changes_24h} of {cap} changes are used; {allows}.  y / n",
                        safe(account)
                    );
                    self.over = Over::Ask(Wish::Rotate(account.clone()), question);
                }
            }
            KeyCode::Char('v') => return self.chosen().map(|account| Wish::Verify(account.account.clone())),
            _ => {}
        }
        None
    }

    fn style(&self, account: &AccountStatus) -> Style {
        let colour = |colour| if self.colour { Style::new().fg(colour) } else { Style::new() };
        match account.state.as_str() {
            "quarantined" => colour(Color::Red).add_modifier(Modifier::BOLD),
            "uncertain" => colour(Color::Yellow).add_modifier(Modifier::BOLD),
            "idle" => colour(Color::Green),
            "paused" | "new" => colour(Color::DarkGray),
            _ => colour(Color::Cyan).add_modifier(Modifier::BOLD),
        }
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let working: Vec<String> = self
            .accounts
            .iter()
            .filter(|account| is_at_work(account))
            .map(|account| {
                let step = self.steps.get(&account.account).map_or("under way", String::as_str);
                format!("▸ {}  {}", safe(&account.account), safe(step))
            })
            .take(5)
            .collect();
        let rows = u16::try_from(working.len()).unwrap_or(0);
        let below = if rows > 0 { rows + 1 } else { 0 };
        let [head, body, work, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(3),
            Constraint::Length(below),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(self.summary()), head);
        self.draw_table(frame, body);
        let lines: Vec<Line<'_>> = working.iter().map(|line| Line::raw(line.as_str())).collect();
        frame.render_widget(Paragraph::new(lines).block(Block::new().borders(Borders::TOP)), work);
        let told = match &self.over {
            Over::Filter => format!("/{}▏", self.filter),
            Over::Ask(_, question) => question.clone(),
            _ => safe(&self.message),
        };
        let bold = Style::new().add_modifier(if self.over == Over::Nothing { Modifier::DIM } else { Modifier::BOLD });
        frame.render_widget(Paragraph::new(told).style(bold), foot);
        self.draw_over(frame);
    }

    fn summary(&self) -> Line<'_> {
        let mut spans = vec![Span::styled(
            format!("rotord  {} of {} accounts", self.shown.len(), self.accounts.len()),
            Style::new().add_modifier(Modifier::BOLD),
        )];
        for state in STATES {
            let count = self.accounts.iter().filter(|account| account.state == state).count();
            if count > 0 {
                spans.push(Span::raw(format!("  {count} {state}")));
            }
        }
        let overdue = self.accounts.iter().filter(|account| account.overdue).count();
        if overdue > 0 {
            spans.push(Span::raw(format!("  {overdue} overdue")));
        }
        if !self.filter.is_empty() {
            spans.push(Span::raw(format!("  /{}", self.filter)));
        }
        if self.urgent {
            spans.push(Span::raw("  only what needs a look"));
        }
        Line::from(spans)
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect) {
        // No more rows than there is room for are made, however many accounts there are.
        let room = usize::from(area.height);
        let at = self.table.selected().unwrap_or(0);
        let first = at.saturating_sub(room);
        let time = |time: &Option<String>| local(time.as_deref()).get(5..16).unwrap_or("-").to_owned();
        let rows =
            self.shown.iter().skip(first).take(room * 2).filter_map(|place| self.accounts.get(*place)).map(|account| {
                let note = account.last_error.as_deref().or(account.warning.as_deref()).unwrap_or_default();
                let overdue = if account.overdue { " overdue" } else { "" };
                Row::new([
                    Cell::new(safe(&account.account)),
                    Cell::new(account.state.clone()).style(self.style(account)),
                    Cell::new(time(&account.last_change) + overdue),
                    Cell::new(time(&account.next_run)),
                    Cell::new(format!("{}/{}", account.changes_24h, account.cap)),
                    Cell::new(short(note, 200)),
                ])
            });
        let widths = [
            Constraint::Fill(3),
            Constraint::Length(11),
            Constraint::Length(19),
            Constraint::Length(11),
            Constraint::Length(4),
            Constraint::Fill(4),
        ];
        let head = Row::new(["ACCOUNT", "STATE", "LAST CHANGE", "NEXT RUN", "24 H", "LAST ERROR"]);
        let table = Table::new(rows.collect::<Vec<_>>(), widths)
            .header(head.style(Style::new().add_modifier(Modifier::DIM)))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        let mut shifted = TableState::new().with_selected(self.table.selected().map(|at| at - first));
        frame.render_stateful_widget(table, area, &mut shifted);
    }

    fn draw_over(&self, frame: &mut Frame<'_>) {
        let (title, lines, scroll) = match &self.over {
            Over::Text { title, lines, scroll } => (title.clone(), lines.clone(), *scroll),
            Over::Help => {
                (" Keys ".to_owned(), HELP.iter().map(|(key, what)| format!("{key:<10} {what}")).collect(), 0)
            }
            _ => return,
        };
        let whole = frame.area();
        let area = Rect {
            x: whole.width / 20,
            y: whole.height / 8,
            width: whole.width - whole.width / 10,
            height: whole.height - whole.height / 4,
        };
        frame.render_widget(Clear, area);
        let block = Block::bordered().title(title).title_bottom(" any key closes it ");
        let text = lines.into_iter().map(Line::raw).collect::<Vec<_>>();
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).scroll((scroll, 0)).block(block), area);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn account(name: &str, state: &str, error: Option<&str>) -> AccountStatus {
        AccountStatus {
            waiting: None,
            account: name.into(),
            state: state.into(),
            last_change: None,
            next_run: None,
            changes_24h: 2,
            cap: 2,
            last_error: error.map(str::to_owned),
            verify_error: None,
            warning: None,
            overdue: false,
            totp_skew: 0,
        }
    }

    fn screen() -> Screen {
        let mut screen = Screen::new(false);
        screen.accounts(vec![
            account("web1/admin", "idle", None),
            account("core/root", "quarantined", Some("it said \u{1b}[2J no")),
            account("web2/admin", "changing", None),
        ]);
        screen
    }

    fn press(screen: &mut Screen, code: KeyCode) -> Option<Wish> {
        screen.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn drawn(screen: &mut Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 14)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content.chunks(100).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
        rows.map(|row| row.trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn what_is_urgent_stands_first_and_what_runs_has_its_step() {
        let mut screen = screen();
        screen.step("web2/admin", "logged in");
        let text = drawn(&mut screen);
        let place = |name: &str| text.find(name).unwrap();
        assert!(place("core/root") < place("web2/admin") && place("web2/admin") < place("web1/admin"), "{text}");
        assert!(
            text.contains("▸ web2/admin  logged in") && text.contains("3 of 3 accounts") && !text.contains('\u{1b}')
        );
        screen.accounts(vec![account("web2/admin", "idle", None)]);
        assert!(!drawn(&mut screen).contains("logged in"));
    }

    #[test]
    fn a_filter_narrows_the_table_and_the_choice_stays() {
        let mut screen = screen();
        press(&mut screen, KeyCode::Down);
        press(&mut screen, KeyCode::Char('/'));
        "WEB".chars().for_each(|c| drop(press(&mut screen, KeyCode::Char(c))));
        press(&mut screen, KeyCode::Enter);
        let text = drawn(&mut screen);
        assert!(!text.contains("core/root") && text.contains("2 of 3"), "{text}");
        assert_eq!(press(&mut screen, KeyCode::Char('e')), Some(Wish::Explain("web2/admin".into())));
        press(&mut screen, KeyCode::Esc);
        assert!(drawn(&mut screen).contains("core/root"));
    }

    #[test]
    fn a_rotation_is_asked_for_with_what_the_cap_allows() {
        let mut screen = screen();
        assert_eq!(press(&mut screen, KeyCode::Char('r')), None);
        assert!(
            drawn(&mut screen).contains("Rotate core/root now? 2 of 2 changes are used; the cap refuses more for now.")
        );
        assert_eq!(press(&mut screen, KeyCode::Char('n')), None);
        press(&mut screen, KeyCode::Char('r'));
        assert_eq!(press(&mut screen, KeyCode::Char('y')), Some(Wish::Rotate("core/root".into())));
        assert_eq!(press(&mut screen, KeyCode::Char('v')), Some(Wish::Verify("core/root".into())));
        assert_eq!(press(&mut screen, KeyCode::Char('q')), Some(Wish::Quit));
    }

    #[test]
    fn what_came_of_work_stays_beside_a_trouble_that_lasts() {
        let mut screen = screen();
        screen.trouble(Some("the clock is off".into()));
        assert!(drawn(&mut screen).contains("! the clock is off"));
        screen.tell("web1/admin: failed");
        screen.trouble(Some("the clock is off".into()));
        assert!(drawn(&mut screen).contains("web1/admin: failed"));
        screen.trouble(Some("the vault is full".into()));
        assert!(drawn(&mut screen).contains("! the vault is full"));
    }

    #[test]
    fn keys_on_an_empty_table_do_nothing() {
        let mut screen = Screen::new(true);
        for code in
            [KeyCode::Down, KeyCode::Up, KeyCode::End, KeyCode::Char('r'), KeyCode::Char('e'), KeyCode::Char('v')]
        {
            assert_eq!(press(&mut screen, code), None);
        }
        press(&mut screen, KeyCode::Char('?'));
        assert!(drawn(&mut screen).contains("rotate it now"));
    }
}
