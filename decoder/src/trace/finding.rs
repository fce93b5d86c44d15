//! Findings: what is abnormal, in words, with the evidence.

use super::{Build, Call, Connection, Exchange, Id, Session, Transfer};
use crate::event::{Side, Time};

/// Something that is wrong or likely to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number.
    pub id: Id<Finding>,
    /// The stable name of its kind, in kebab-case.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Who must act, where somebody must.
    pub waiting_on: Option<Side>,
    /// What is wrong: one sentence.
    pub summary: String,
    /// What to do: one sentence.
    pub advice: String,
    /// What it rests on: the call, the message, the time.
    pub evidence: Vec<String>,
    /// When it was seen first.
    pub at: Time,
    /// Since when it is certain; `None`: it is only likely, so far.
    pub certain: Option<Time>,
    /// What it is about.
    pub subject: Subject,
}

impl Finding {
    /// How sure it is.
    pub fn confidence(&self) -> Confidence {
        match self.certain {
            Some(_) => Confidence::Certain,
            None => Confidence::Likely,
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// It looks like it, and something else may turn out: a wait that may end, a limit that was
    /// not announced.
    Likely,
    /// It was said or done, or nothing else explains what was not.
    Certain,
}

impl Confidence {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Confidence::Likely => "likely",
            Confidence::Certain => "certain",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// May be the cause of trouble.
    Warning,
    /// Something failed or cannot go on.
    Error,
}

impl Severity {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A connection.
    Connection(Id<Connection>),
    /// A session.
    Session(Id<Session>),
    /// A call.
    Call(Id<Call>),
    /// An HTTP exchange.
    Exchange(Id<Exchange>),
    /// A transfer.
    Transfer(Id<Transfer>),
    /// A build.
    Build(Id<Build>),
}
