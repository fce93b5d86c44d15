//! The stream of `docker exec`: towards the client cut into frames by docker's stdcopy, from
//! the client raw. With buildx's docker-container driver HTTP/2 runs inside.

use bytes::Bytes;

use super::http2::Http2;
use super::masked;
use super::node::{undecodable, unknown};
use crate::core::Core;
use crate::doctor;
use crate::event::{Closed, Side};
use crate::origin::Joined;
use crate::redact;
use crate::trace::{Connection, Id, PerSide, Said, Text, TextSource, Update};
use crate::wire::http2::PREFACE;
use crate::wire::stdcopy::{Demux, Stream};

/// Bytes of one side that are held back until it is known whether HTTP/2 runs inside.
const HELD_LIMIT: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Exec {
    id: Id<Connection>,
    /// Cuts what the daemon sends; `None` when the exec has a terminal, which is not multiplexed.
    demux: Option<Demux>,
    /// Whether its command is known to be a tunnel to buildkitd.
    dial_stdio: bool,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    /// What each side sent so far: the client's may become the preface, and a gRPC server may
    /// send its SETTINGS before that.
    Unknown(PerSide<Joined>),
    Http2(Box<Http2>),
    Opaque,
}

impl Exec {
    pub(crate) fn new(id: Id<Connection>, multiplexed: bool, dial_stdio: bool) -> Self {
        Exec {
            id,
            demux: multiplexed.then(Demux::new),
            dial_stdio,
            inner: Inner::Unknown(PerSide::default()),
        }
    }

    pub(crate) fn feed(&mut self, core: &mut Core, from: Side, bytes: &[u8]) {
        let Exec {
            id,
            demux,
            dial_stdio,
            inner,
        } = self;
        match (from, demux) {
            (Side::Daemon, Some(demux)) => {
                let fed = demux.feed(bytes, &mut |stream, bytes, _last| match stream {
                    Stream::Stdin | Stream::Stdout => inner.feed(core, *id, Side::Daemon, bytes),
                    Stream::Stderr | Stream::SystemError => {
                        core.redact_here(bytes, redact::text);
                        let show = core.options.show_secrets;
                        let text = masked::text(show, &String::from_utf8_lossy(bytes));
                        // Other commands may say there what they like.
                        if *dial_stdio || matches!(inner, Inner::Http2(_)) {
                            doctor::exec_stderr(core, *id, &text);
                        }
                        let at = core.now;
                        core.update(Update::Text(Box::new(Text {
                            connection: *id,
                            at,
                            source: TextSource::ExecStderr,
                            text,
                        })));
                    }
                });
                if let Err(violation) = fed {
                    undecodable(core, *id, Side::Daemon, violation.to_string());
                }
            }
            _ => inner.feed(core, *id, from, bytes),
        }
    }

    pub(crate) fn gap(&mut self, core: &mut Core, from: Side, why: &str) {
        if let Inner::Http2(http2) = &mut self.inner {
            http2.gap(core, from, why);
        }
    }

    pub(crate) fn undecided(&self, from: Side) -> Option<u64> {
        match &self.inner {
            Inner::Unknown(seen) => seen.get(from).origins.first(),
            Inner::Http2(http2) => http2.undecided(from),
            Inner::Opaque => None,
        }
    }

    pub(crate) fn give_up(&mut self, core: &mut Core) {
        match &mut self.inner {
            Inner::Unknown(seen) => {
                for side in Side::BOTH {
                    unknown(core, side, seen.get(side));
                }
            }
            Inner::Http2(http2) => http2.give_up(core),
            Inner::Opaque => {}
        }
    }

    pub(crate) fn half_close(&mut self, core: &mut Core, from: Side) {
        if let Inner::Http2(http2) = &mut self.inner {
            http2.half_close(core, from);
        }
    }

    pub(crate) fn close(&mut self, core: &mut Core, how: Closed) {
        if let Inner::Http2(http2) = &mut self.inner {
            http2.close(core, how);
        }
    }
}

impl Inner {
    fn feed(&mut self, core: &mut Core, id: Id<Connection>, from: Side, bytes: &[u8]) {
        match self {
            Inner::Http2(http2) => {
                say(core, id, from, bytes);
                http2.feed(core, from, bytes);
            }
            Inner::Opaque => core.blank(bytes),
            Inner::Unknown(seen) => {
                seen.get_mut(from).append(bytes, core.locate(bytes));
                let client = &seen.get(Side::Client).bytes;
                let shorter = client.len().min(PREFACE.len());
                let is_preface = client.get(..shorter) == PREFACE.get(..shorter);
                if !is_preface || seen.get(from).bytes.len() > HELD_LIMIT {
                    for side in Side::BOTH {
                        unknown(core, side, seen.get(side));
                    }
                    *self = Inner::Opaque;
                } else if shorter == PREFACE.len() {
                    let seen = std::mem::take(seen);
                    let mut http2 = Box::new(Http2::new(core, id, Side::Client, None));
                    // The server may have spoken first, and the client's first bytes may answer that.
                    for side in [Side::Daemon, Side::Client] {
                        seen.get(side).each_run(core, side, |core, seen| {
                            say(core, id, side, seen);
                            http2.feed(core, side, seen);
                        });
                    }
                    *self = Inner::Http2(http2);
                }
            }
        }
    }
}

fn say(core: &mut Core, connection: Id<Connection>, from: Side, bytes: &[u8]) {
    core.say(|| Said::Inner {
        connection,
        from,
        bytes: Bytes::copy_from_slice(bytes),
    });
}
