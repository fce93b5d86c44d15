//! What can be asked for: the one table that checking, completion and the document are made from.

use crate::protocol::grpc_status::CODE_NAMES;

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text, compared as it stands.
    Text,
    /// One of a few words, compared without regard to case.
    Word(Words),
    /// A number without a unit.
    Number,
    /// Bytes: `10`, `4KiB`, `1.5MB`.
    Size,
    /// A length of time: `500ms`, `5s`, `1m30s`.
    Duration,
    /// `true` or `false`.
    Flag,
}

impl Type {
    /// For people: "a text".
    pub fn as_str(self) -> &'static str {
        match self {
            Type::Text => "a text",
            Type::Word(_) => "a word",
            Type::Number => "a number",
            Type::Size => "a size",
            Type::Duration => "a duration",
            Type::Flag => "true or false",
        }
    }
}

/// Which words a field may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// These and no others.
    Only(&'static [&'static str]),
    /// These and no others, the least first: they can be compared with `<`.
    Ordered(&'static [&'static str]),
    /// These, or a number.
    OrNumber(&'static [&'static str]),
    /// These, and others that a peer may have made up.
    Some(&'static [&'static str]),
}

impl Words {
    /// Those that are known.
    pub fn known(self) -> &'static [&'static str] {
        match self {
            Words::Only(words)
            | Words::Ordered(words)
            | Words::OrNumber(words)
            | Words::Some(words) => words,
        }
    }
}

const SIDES: Type = Type::Word(Words::Only(&["client", "daemon"]));

const KINDS: &[&str] = &[
    "connection",
    "session",
    "call",
    "message",
    "exchange",
    "transfer",
    "file",
    "build",
    "vertex",
    "finding",
    "text",
];

const STATES: &[&str] = &[
    "open",
    "complete",
    "failed",
    "cancelled",
    "reset",
    "closed",
    "refused",
    "cut-short",
    "unfinished",
];

const SERVICES: &[&str] = &[
    "Auth",
    "Content",
    "Control",
    "FileSend",
    "FileSync",
    "Health",
    "LLBBridge",
    "Secrets",
    "SSH",
    "TraceService",
    "Upload",
];

const METHODS: &[&str] = &[
    "Check",
    "DiffCopy",
    "GET",
    "GetSecret",
    "POST",
    "Session",
    "Solve",
    "Status",
];

/// The codes of gRPC, and what stands in the place of one for a call that ended without.
const STATUSES: &[&str] = &statuses();

const fn statuses() -> [&'static str; CODE_NAMES.len() + 1] {
    let mut all = ["RESET"; CODE_NAMES.len() + 1];
    let (codes, _) = all.split_at_mut(CODE_NAMES.len());
    codes.copy_from_slice(&CODE_NAMES);
    all
}

macro_rules! fields {
    ($($variant:ident $name:literal $kind:expr, $searched:literal, $help:literal;)*) => {
        /// Something that can be asked of a thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "`help` says what each of them is")]
        pub enum Field { $($variant,)* }

        impl Field {
            /// All of them, what is asked for most first.
            pub const ALL: &[Field] = &[$(Field::$variant,)*];

            /// How it is written.
            pub fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }

            /// What its values are.
            pub fn kind(self) -> Type {
                match self { $(Field::$variant => $kind,)* }
            }

            /// What it is, in a line.
            pub fn help(self) -> &'static str {
                match self { $(Field::$variant => $help,)* }
            }

            /// Whether a word without a field is looked for in it.
            pub fn is_searched(self) -> bool {
                match self { $(Field::$variant => $searched,)* }
            }
        }
    };
}

fields! {
    Kind "kind" Type::Word(Words::Only(KINDS)), false,
        "What it is.";
    State "state" Type::Word(Words::Only(STATES)), false,
        "How it stands; the same words as in JSON.";
    WaitingOn "waiting_on" SIDES, false,
        "Which side must act, while one must.";
    Waiting "waiting" Type::Duration, false,
        "For how long that side has not.";
    Service "service" Type::Word(Words::Some(SERVICES)), true,
        "The gRPC service, with or without its package.";
    Method "method" Type::Word(Words::Some(METHODS)), true,
        "The gRPC method, `DiffCopy` or `FileSync.DiffCopy`, or the HTTP method.";
    Status "status" Type::Word(Words::OrNumber(STATUSES)), false,
        "How a call or request was answered: a gRPC code or its number, `RESET`, the number of an HTTP status, and `OK` if that is below 400.";
    Error "error" Type::Text, true,
        "What was said to be wrong.";
    Bytes "bytes" Type::Size, false,
        "Bytes of messages, bodies or file contents, both ways; of a message, its length.";
    ClientBytes "client_bytes" Type::Size, false,
        "Those that the client sent.";
    DaemonBytes "daemon_bytes" Type::Size, false,
        "Those that the daemon sent.";
    Messages "messages" Type::Number, false,
        "Messages of a call, both ways.";
    Duration "duration" Type::Duration, false,
        "How long it went on, or has gone on so far.";
    Age "age" Type::Duration, false,
        "How long ago it began.";
    Idle "idle" Type::Duration, false,
        "For how long nothing was sent, while it goes on.";
    Start "start" Type::Duration, false,
        "When it began, counted from the first connection, as in the log.";
    Path "path" Type::Text, true,
        "The path of a file or of an HTTP request; of a transfer that goes on, those of its listing.";
    Subject "subject" Type::Text, true,
        "What it is about: a directory, a secret's id, a registry, an exporter.";
    Name "name" Type::Text, true,
        "What it is called: `FileSync.DiffCopy`, the step of a build, the name of a transfer.";
    Caller "caller" SIDES, false,
        "Who makes the call.";
    From "from" SIDES, false,
        "Who sent the message, or sends the files.";
    Session "session" Type::Text, true,
        "The session's id or its number.";
    Id "id" Type::Number, false,
        "Its number among those of its kind.";
    Connection "connection" Type::Number, false,
        "The number of the connection.";
    Call "call" Type::Number, false,
        "The number of the call.";
    Transfer "transfer" Type::Number, false,
        "The number of the transfer.";
    Build "build" Type::Number, false,
        "The number of the build.";
    Stream "stream" Type::Number, false,
        "The HTTP/2 stream.";
    Direction "direction" Type::Word(Words::Only(&["to-daemon", "to-client"])), false,
        "Which way the files go.";
    Flavour "flavour" Type::Word(Words::Only(&["packet", "bytes", "unknown"])), false,
        "What the messages of a transfer are.";
    Files "files" Type::Number, false,
        "Files that a transfer announced.";
    Packet "packet" Type::Word(Words::Only(&["STAT", "REQ", "DATA", "FIN", "ERR"])), false,
        "The type of an fsutil packet.";
    Exporter "exporter" Type::Word(Words::Some(&["local", "tar", "oci", "docker", "image", "moby"])), true,
        "The type of an output of the build, or of the one that a transfer serves.";
    Frontend "frontend" Type::Word(Words::Some(&["dockerfile.v0", "gateway.v0"])), true,
        "What makes the build's graph.";
    Cached "cached" Type::Flag, false,
        "Whether the result of a step was there already.";
    Digest "digest" Type::Text, true,
        "The digest of a step, or of the step that caused a call.";
    Finding "finding" Type::Word(Words::Some(&[])), true,
        "The code of a finding, or of those about the thing: `buildtap explain` lists them.";
    Severity "severity" Type::Word(Words::Ordered(&["info", "warning", "error"])), false,
        "How bad the finding is, or the worst of those about the thing.";
    Protocol "protocol" Type::Word(Words::Only(&["unknown", "http1", "http2", "exec-tunnel", "opaque"])), false,
        "What is spoken on the connection.";
    Header "header" Type::Text, false,
        "A header, metadata or trailer: `name: value`.";
    Process "process" Type::Text, false,
        "The process or address of the client.";
    Text "text" Type::Text, true,
        "The text of a finding, or one that was printed for people.";
}

impl Field {
    /// The field that is written like this.
    pub fn find(name: &str) -> Option<Field> {
        Field::ALL
            .iter()
            .copied()
            .find(|field| field.name() == name)
    }

    /// The words that are known of it, for those that have words.
    pub fn words(self) -> Vec<&'static str> {
        match self {
            Field::Finding => crate::findings::entries().map(|entry| entry.code).collect(),
            _ => match self.kind() {
                Type::Word(words) => words.known().to_vec(),
                Type::Flag => vec!["true", "false"],
                _ => Vec::new(),
            },
        }
    }
}
