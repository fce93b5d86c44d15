//! Which key does what: one table, from which the screen takes its keys, the help its lines, the
//! bar at the bottom its hints, and `docs/screen.md` its page.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key, or the mouse, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Show or hide the keys.
    Help,
    /// Go to the view with this number, from 0.
    Tab(usize),
    /// Go to the next view.
    NextTab,
    /// Go to the view before.
    PreviousTab,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// Half a page up.
    HalfPageUp,
    /// Half a page down.
    HalfPageDown,
    /// To the first line.
    Top,
    /// To the last line.
    Bottom,
    /// Fold, or go to the left.
    Left,
    /// Unfold, or go to the right.
    Right,
    /// Fold or unfold.
    Toggle,
    /// Open what is under the cursor.
    Open,
    /// Where we came from; or close what is open on top.
    Back,
    /// The messages of what is under the cursor.
    Messages,
    /// The findings about what is under the cursor.
    Findings,
    /// To the other pane.
    Pane,
    /// Sort by the next column.
    Sort,
    /// Sort the other way around.
    Reverse,
    /// Search in what is shown.
    Search,
    /// What was searched for, further down.
    SearchNext,
    /// What was searched for, further up.
    SearchPrevious,
    /// Show only what fits a filter.
    Filter,
    /// Stay at the newest.
    Follow,
    /// Hold the screen still.
    Pause,
    /// Go to a time.
    GoTo,
    /// Set or remove a bookmark.
    Bookmark,
    /// To the next bookmark.
    NextBookmark,
    /// Look closer.
    ZoomIn,
    /// Look from further away.
    ZoomOut,
    /// Copy as JSON.
    CopyJson,
    /// Copy as hex.
    CopyHex,
    /// Copy as a line for grpcurl.
    CopyGrpcurl,
    /// Save what is shown.
    Save,
    /// Type into the command that runs.
    Type,
}

/// Where a key has its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    General,
    /// Where there are lines to move in.
    Moving,
    /// In what is shown.
    Looking,
    /// In one view.
    View(&'static str),
}

/// What some keys do.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The keys, as in [`name`].
    pub keys: &'static [&'static str],
    /// What they ask for.
    pub action: Action,
    /// In a word, for the bar.
    pub hint: &'static str,
    /// In some words, for the help.
    pub help: &'static str,
    /// Where.
    pub scope: Scope,
}

const fn key(
    scope: Scope,
    keys: &'static [&'static str],
    action: Action,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
        action,
        hint,
        help,
        scope,
    }
}

use Action as A;
use Scope::{General, Looking, Moving, View};

/// All keys.
pub const KEYS: &[Binding] = &[
    key(
        General,
        &["q", "Ctrl-c"],
        A::Quit,
        "quit",
        "leave the screen; what is watched ends as well",
    ),
    key(
        General,
        &["?", "F1"],
        A::Help,
        "help",
        "show or hide these keys",
    ),
    key(
        General,
        &["1"],
        A::Tab(0),
        "overview",
        "builds and sessions, and who is waited for",
    ),
    key(General, &["2"], A::Tab(1), "calls", "every call"),
    key(
        General,
        &["3"],
        A::Tab(2),
        "messages",
        "the messages of a call",
    ),
    key(
        General,
        &["4"],
        A::Tab(3),
        "transfer",
        "how a transfer stands",
    ),
    key(General, &["5"], A::Tab(4), "timeline", "what took how long"),
    key(General, &["6"], A::Tab(5), "findings", "what is wrong"),
    key(
        General,
        &["7"],
        A::Tab(6),
        "connections",
        "HTTP requests, upgrades, HTTP/2 settings",
    ),
    key(
        General,
        &["8"],
        A::Tab(7),
        "output",
        "what the command prints",
    ),
    key(
        General,
        &["9"],
        A::Tab(8),
        "diff",
        "two captures side by side",
    ),
    key(General, &["Tab"], A::NextTab, "next view", "the next view"),
    key(
        General,
        &["Shift-Tab"],
        A::PreviousTab,
        "previous view",
        "the view before",
    ),
    key(
        General,
        &["Esc", "Backspace"],
        A::Back,
        "back",
        "back to where you came from; close what is open on top",
    ),
    key(Moving, &["k", "↑"], A::Up, "up", "up"),
    key(Moving, &["j", "↓"], A::Down, "down", "down"),
    key(
        Moving,
        &["Ctrl-b", "PageUp"],
        A::PageUp,
        "page up",
        "a page up",
    ),
    key(
        Moving,
        &["Ctrl-f", "PageDown"],
        A::PageDown,
        "page down",
        "a page down",
    ),
    key(
        Moving,
        &["Ctrl-u"],
        A::HalfPageUp,
        "half up",
        "half a page up",
    ),
    key(
        Moving,
        &["Ctrl-d"],
        A::HalfPageDown,
        "half down",
        "half a page down",
    ),
    key(Moving, &["g", "Home"], A::Top, "first", "to the first line"),
    key(
        Moving,
        &["G", "End"],
        A::Bottom,
        "last",
        "to the last line, and stay there",
    ),
    key(Moving, &["h", "←"], A::Left, "fold", "fold; to the left"),
    key(
        Moving,
        &["l", "→"],
        A::Right,
        "unfold",
        "unfold; to the right",
    ),
    key(Moving, &["Space"], A::Toggle, "fold", "fold or unfold"),
    key(
        Moving,
        &["Enter"],
        A::Open,
        "open",
        "open what is under the cursor",
    ),
    key(
        Moving,
        &["m"],
        A::Messages,
        "messages",
        "the messages of the call under the cursor",
    ),
    key(
        Moving,
        &["e"],
        A::Findings,
        "explain",
        "what is wrong with what is under the cursor",
    ),
    key(Moving, &["w"], A::Pane, "pane", "to the other pane"),
    key(
        Looking,
        &["f"],
        A::Filter,
        "filter",
        "show only what fits a filter; an empty one shows all",
    ),
    key(
        Looking,
        &["/"],
        A::Search,
        "search",
        "search in what is shown",
    ),
    key(
        Looking,
        &["n"],
        A::SearchNext,
        "next",
        "what was searched for, further down",
    ),
    key(
        Looking,
        &["N"],
        A::SearchPrevious,
        "previous",
        "what was searched for, further up",
    ),
    key(
        Looking,
        &["F"],
        A::Follow,
        "follow",
        "stay at what is newest",
    ),
    key(
        Looking,
        &["p"],
        A::Pause,
        "pause",
        "hold the screen still; what is watched goes on",
    ),
    key(
        Looking,
        &["t"],
        A::GoTo,
        "go to time",
        "go to a time: 12.5, +3, -1, 14:03:07",
    ),
    key(
        Looking,
        &["b"],
        A::Bookmark,
        "bookmark",
        "set or remove a bookmark",
    ),
    key(
        Looking,
        &["'"],
        A::NextBookmark,
        "next mark",
        "to the next bookmark",
    ),
    key(Looking, &["s"], A::Sort, "sort", "sort by the next column"),
    key(
        Looking,
        &["r"],
        A::Reverse,
        "reverse",
        "sort the other way around",
    ),
    key(Looking, &["y"], A::CopyJson, "copy", "copy as JSON"),
    key(
        Looking,
        &["Y"],
        A::CopyHex,
        "copy hex",
        "copy the bytes as hex",
    ),
    key(
        Looking,
        &["c"],
        A::CopyGrpcurl,
        "grpcurl",
        "copy as a command line for grpcurl",
    ),
    key(
        Looking,
        &["S"],
        A::Save,
        "save",
        "save what is shown, as JSON lines or as a capture",
    ),
    key(
        View("Timeline"),
        &["+", "="],
        A::ZoomIn,
        "closer",
        "look closer",
    ),
    key(
        View("Timeline"),
        &["-"],
        A::ZoomOut,
        "further",
        "look from further away",
    ),
    key(
        View("Timeline"),
        &["h", "←"],
        A::Left,
        "earlier",
        "what was earlier",
    ),
    key(
        View("Timeline"),
        &["l", "→"],
        A::Right,
        "later",
        "what was later",
    ),
    key(
        View("Timeline"),
        &["Space"],
        A::Toggle,
        "fit",
        "as wide as what is under the cursor; again for everything",
    ),
    key(
        View("Transfer"),
        &["h", "←"],
        A::Left,
        "before",
        "the transfer before",
    ),
    key(
        View("Transfer"),
        &["l", "→"],
        A::Right,
        "next",
        "the next transfer",
    ),
    key(
        View("Output"),
        &["i"],
        A::Type,
        "type",
        "type into the command; Ctrl-] ends it",
    ),
];

/// What a key asks for in the view with this title.
pub fn action(event: KeyEvent, view: &str) -> Option<Action> {
    let pressed = name(event)?;
    let fits = |binding: &&Binding| match binding.scope {
        View(title) => title == view,
        _ => true,
    };
    let of_view = KEYS
        .iter()
        .filter(|binding| matches!(binding.scope, View(_)));
    let general = KEYS
        .iter()
        .filter(|binding| !matches!(binding.scope, View(_)));
    of_view
        .chain(general)
        .filter(fits)
        .find(|binding| binding.keys.contains(&pressed.as_str()))
        .map(|binding| binding.action)
}

/// The binding of an action in the view with this title.
pub fn binding(action: Action, view: &str) -> Option<&'static Binding> {
    let mut of_action = KEYS.iter().filter(|binding| binding.action == action);
    let of_view = of_action
        .clone()
        .find(|binding| matches!(binding.scope, View(title) if title == view));
    of_view.or_else(|| of_action.find(|binding| !matches!(binding.scope, View(_))))
}

/// A key as it is named in the table: `a`, `G`, `Ctrl-d`, `Enter`, `↑`.
pub fn name(event: KeyEvent) -> Option<String> {
    let key = match event.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "Enter".into(),
        KeyCode::Esc => "Esc".into(),
        KeyCode::Backspace => "Backspace".into(),
        KeyCode::Tab => "Tab".into(),
        KeyCode::BackTab => return Some("Shift-Tab".into()),
        KeyCode::Up => "↑".into(),
        KeyCode::Down => "↓".into(),
        KeyCode::Left => "←".into(),
        KeyCode::Right => "→".into(),
        KeyCode::PageUp => "PageUp".into(),
        KeyCode::PageDown => "PageDown".into(),
        KeyCode::Home => "Home".into(),
        KeyCode::End => "End".into(),
        KeyCode::F(n) => format!("F{n}"),
        _ => return None,
    };
    Some(match event.modifiers.contains(KeyModifiers::CONTROL) {
        true => format!("Ctrl-{key}"),
        false => key,
    })
}

/// The bytes that a terminal sends to a program for this key; `None` for Ctrl-], which is how the
/// user takes the keys back.
pub fn bytes(event: KeyEvent) -> Option<Vec<u8>> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let mut bytes = match event.code {
        KeyCode::Char(']' | '5') if control => return None,
        KeyCode::Char(c) if control && c.is_ascii() => vec![c.to_ascii_uppercase() as u8 & 0x1f],
        KeyCode::Char(c) => c.to_string().into_bytes(),
        KeyCode::Enter => b"\r".to_vec(),
        KeyCode::Tab => b"\t".to_vec(),
        KeyCode::BackTab => b"\x1b[Z".to_vec(),
        KeyCode::Backspace => b"\x7f".to_vec(),
        KeyCode::Esc => b"\x1b".to_vec(),
        KeyCode::Up => b"\x1b[A".to_vec(),
        KeyCode::Down => b"\x1b[B".to_vec(),
        KeyCode::Right => b"\x1b[C".to_vec(),
        KeyCode::Left => b"\x1b[D".to_vec(),
        KeyCode::Home => b"\x1b[H".to_vec(),
        KeyCode::End => b"\x1b[F".to_vec(),
        KeyCode::Delete => b"\x1b[3~".to_vec(),
        KeyCode::PageUp => b"\x1b[5~".to_vec(),
        KeyCode::PageDown => b"\x1b[6~".to_vec(),
        _ => Vec::new(),
    };
    if event.modifiers.contains(KeyModifiers::ALT) && !bytes.is_empty() {
        bytes.insert(0, 0x1b);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        for (at, one) in KEYS.iter().enumerate() {
            for other in KEYS.iter().skip(at + 1) {
                // A view may have a meaning of its own for a key.
                let apart = one.scope != other.scope
                    && (matches!(one.scope, View(_)) || matches!(other.scope, View(_)));
                for key in one.keys.iter().filter(|_| !apart) {
                    assert!(!other.keys.contains(key), "{key} is bound twice");
                }
            }
        }
    }

    #[test]
    fn keys_have_names() {
        let key = |code, modifiers| action(KeyEvent::new(code, modifiers), "Overview");
        assert_eq!(
            key(KeyCode::Char('d'), KeyModifiers::CONTROL),
            Some(A::HalfPageDown)
        );
        assert_eq!(
            key(KeyCode::Char('G'), KeyModifiers::SHIFT),
            Some(A::Bottom)
        );
        assert_eq!(key(KeyCode::Up, KeyModifiers::NONE), Some(A::Up));
        assert_eq!(
            key(KeyCode::BackTab, KeyModifiers::SHIFT),
            Some(A::PreviousTab)
        );
        assert_eq!(key(KeyCode::Char('+'), KeyModifiers::NONE), None);
    }
}
