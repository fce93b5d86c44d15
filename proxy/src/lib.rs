//! The I/O half of the `buildtap` program: everything that touches sockets, processes, the
//! command line and the terminal.
//!
//! | module | what lives there |
//! |---|---|
//! | [`address`] | where something listens: `unix:///path`, `tcp://host:port` |
//! | [`upstream`] | which daemon the user's clients would talk to |
//! | [`listen`] | the sockets that stand in for it |
//! | [`relay`] | bytes from one to the other, unchanged |
//! | [`tap`] | the trait through which the relay tells what it saw |
//! | [`child`] | the user's command and its exit status |
//! | [`command`] | `run` and `proxy`, put together from the above |
//! | [`cli`] | arguments and help |
//! | [`watch`] | the tap that decodes, and the thread that shows |
//! | [`record`] | the capture file that `--record` writes |
//! | [`view`] | what was decoded, as text or JSON |
//! | [`output`] | where that goes |
//! | [`show`], [`export`](mod@export), [`redact`](mod@redact), [`demo`], [`cassette`](mod@cassette), [`diff`](mod@diff), [`replay`], [`explain`] | the commands of these names |
//! | [`diagnose`] | findings, the cause before what follows from it |
//! | [`save`] | parts of a capture, as they were chosen on the screen |
//! | [`recall`] | messages that the screen has forgotten, read again |
//! | [`screen`] | the terminal UI on a relay, or on a capture |
//! | [`pane`] | the command in a terminal of its own |
//! | [`stall`] | whether anything can still move |
//! | [`error`], [`notice`] | sentences for the operator |
//!
//! What does not live here: any knowledge of what the bytes mean. That is `buildtap-decoder`,
//! which the relay reaches only through [`tap::Tap`]: it does not depend on what a tap does, and
//! goes on when a tap fails.
//!
//! This is the library of a program, split off so that tests and benchmarks can use the parts.
//! It promises no stable interface.

pub mod address;
pub mod cassette;
pub mod child;
pub mod cli;
mod client_process;
pub mod command;
pub mod demo;
pub mod diagnose;
pub mod diff;
pub mod error;
pub mod explain;
pub mod export;
pub mod listen;
pub mod notice;
pub mod otlp;
pub mod output;
pub mod pane;
pub mod recall;
pub mod record;
pub mod redact;
pub mod relay;
pub mod replay;
pub mod save;
pub mod schemas;
pub mod screen;
pub mod show;
pub mod stall;
pub mod stream;
pub mod tap;
pub mod upstream;
pub mod view;
pub mod watch;
