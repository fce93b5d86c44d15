//! What a view is: it draws the store, and keeps nothing but where the user stands in it.

use buildtap_decoder::describe::Describer;
use buildtap_decoder::event::Time;
use buildtap_decoder::filter::{Filter, Thing, Things};
use buildtap_decoder::trace::{Build, Call, Finding, Id, Session, Subject, Transfer};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::keys::Action;
use crate::model::{Store, Wait};
use crate::palette::Palette;

/// The views, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Builds and sessions, and who is waited for.
    Overview,
    /// Every call.
    Calls,
    /// The messages of a call.
    Messages,
    /// How a transfer stands.
    Transfer,
    /// What took how long.
    Timeline,
    /// What is wrong.
    Findings,
    /// Connections and HTTP requests.
    Connections,
    /// What a command prints.
    Output,
    /// Two captures side by side.
    Diff,
}

impl Tab {
    /// All of them, in order.
    pub const ALL: [Tab; 9] = [
        Tab::Overview,
        Tab::Calls,
        Tab::Messages,
        Tab::Transfer,
        Tab::Timeline,
        Tab::Findings,
        Tab::Connections,
        Tab::Output,
        Tab::Diff,
    ];

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Tab::Overview => "Overview",
            Tab::Calls => "Calls",
            Tab::Messages => "Messages",
            Tab::Transfer => "Transfer",
            Tab::Timeline => "Timeline",
            Tab::Findings => "Findings",
            Tab::Connections => "Connections",
            Tab::Output => "Output",
            Tab::Diff => "Diff",
        }
    }
}

/// What the user looks at: it was chosen in one view and is shown in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// The build.
    pub build: Option<Id<Build>>,
    /// The session.
    pub session: Option<Id<Session>>,
    /// The call.
    pub call: Option<Id<Call>>,
    /// The transfer.
    pub transfer: Option<Id<Transfer>>,
    /// The finding.
    pub finding: Option<Id<Finding>>,
    /// The connection or the HTTP request.
    pub wire: Option<Subject>,
}

impl Focus {
    /// Turns to something, and to what belongs to it.
    pub fn turn_to(&mut self, subject: Subject, store: &Store) {
        let trace = store.trace();
        match subject {
            Subject::Build(id) => self.build = Some(id),
            Subject::Session(id) => self.session = Some(id),
            Subject::Call(id) => {
                self.call = Some(id);
                let call = trace.calls.get(id);
                self.transfer = call.and_then(|call| call.transfer);
                if let Some(call) = call {
                    self.session = call.session.or(self.session);
                    self.build = call.build.or(self.build);
                }
            }
            Subject::Transfer(id) => {
                if let Some(transfer) = trace.transfers.get(id) {
                    self.turn_to(Subject::Call(transfer.call), store);
                }
                self.transfer = Some(id);
            }
            Subject::Exchange(id) => {
                let exchange = trace.exchanges.get(id);
                self.build = exchange.and_then(|it| it.build).or(self.build);
                self.wire = Some(subject);
            }
            Subject::Connection(_) => self.wire = Some(subject),
        }
    }
}

/// What a view may look at. Everything is as it is at this moment, and nothing can be changed.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What was seen.
    pub store: &'a Store,
    /// What ages count to.
    pub now: Time,
    /// Who is waited for now.
    pub waits: &'a [Wait],
    /// What the user looks at.
    pub focus: &'a Focus,
    /// Colours.
    pub palette: Palette,
    /// Puts messages into words.
    pub describer: &'a Describer,
    /// What is searched for; empty if nothing is.
    pub needle: &'a str,
    /// What is to be shown, if not everything.
    pub filter: Option<&'a Filter>,
}

impl<'a> Context<'a> {
    /// Whether the filter lets something be shown.
    pub fn shows(&self, thing: Thing<'a>) -> bool {
        let things = Things {
            trace: self.store.trace(),
            now: self.now,
        };
        self.filter
            .is_none_or(|filter| filter.matches(&things.row(thing)))
    }
}

/// What came of an [`Action`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The view has no use for it.
    Ignored,
    /// It was done.
    Done,
    /// To be gone on with in another view, about this.
    Go(Tab, Option<Subject>),
    /// A finding is to be shown.
    Finding(Id<Finding>),
    /// This is to be copied; the second text says what it is.
    Copy(String, &'static str),
    /// This is to be told, in a sentence.
    Say(String),
}

/// A view.
pub trait View: Send {
    /// Draws it: a function of the context and of where the user stands, which is put right if
    /// what he stood on is gone.
    fn draw(&mut self, cx: &Context<'_>, area: Rect, buf: &mut Buffer);

    /// Does what a key asked for.
    fn act(&mut self, action: Action, cx: &Context<'_>) -> Outcome;

    /// What is under the cursor.
    fn selected(&self, cx: &Context<'_>) -> Option<Subject> {
        let _ = cx;
        None
    }

    /// A click, at a place of the area that was drawn last.
    fn click(&mut self, at: Position, cx: &Context<'_>) -> Outcome {
        let _ = (at, cx);
        Outcome::Ignored
    }

    /// How many lines can be searched.
    fn lines(&self, cx: &Context<'_>) -> usize {
        let _ = cx;
        0
    }

    /// The text of such a line.
    fn line(&self, cx: &Context<'_>, line: usize) -> String {
        let _ = (cx, line);
        String::new()
    }

    /// What such a line is about, where it is about one thing.
    fn subject(&self, cx: &Context<'_>, line: usize) -> Option<Subject> {
        let _ = (cx, line);
        None
    }

    /// The line under the cursor.
    fn cursor(&self) -> usize {
        0
    }

    /// Puts the cursor on a line.
    fn move_to(&mut self, line: usize) {
        let _ = line;
    }

    /// Goes to what was first said at `at` or later.
    fn go_to(&mut self, at: Time, cx: &Context<'_>) {
        let _ = (at, cx);
    }

    /// Stays at what is newest, or not any more; says whether it does.
    fn follow(&mut self) -> Option<bool> {
        None
    }

    /// What is worth a hint at the bottom, the most important first.
    fn hints(&self) -> &'static [Action] {
        &[]
    }
}
