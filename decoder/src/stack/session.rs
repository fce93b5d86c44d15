//! Sessions: asked for, accepted, ended.

use crate::core::Core;
use crate::doctor;
use crate::event::Side;
use crate::protocol::session::SessionOffer;
use crate::trace::{Connection, Id, Session, SessionPath, Update};
use crate::wire::http2::Headers;

/// A `Control.Session` call asks for a session on the connection that it carries.
pub(super) fn control_session(
    core: &mut Core,
    connection: Id<Connection>,
    headers: &Headers,
) -> Id<Session> {
    let offer = SessionOffer::from_headers(headers.pairs()).unwrap_or_default();
    opened(core, connection, SessionPath::ControlSession, offer)
}

/// A session is asked for.
pub(super) fn opened(
    core: &mut Core,
    connection: Id<Connection>,
    path: SessionPath,
    offer: SessionOffer,
) -> Id<Session> {
    let opened = core.now;
    let weight = offer
        .methods
        .iter()
        .map(String::len)
        .fold(offer.uuid.len(), usize::saturating_add);
    let id = core.trace.sessions.add(weight, |id| Session {
        id,
        uuid: offer.uuid,
        path,
        connection,
        name: offer.name,
        shared_key: offer.shared_key,
        methods: offer.methods,
        opened,
        accepted: None,
        closed: None,
        refused: None,
    });
    core.update(Update::SessionOpened(id));
    doctor::session_opened(core, id);
    id
}

/// The daemon agreed.
pub(super) fn accepted(core: &mut Core, id: Id<Session>) {
    let now = core.now;
    if let Some(session) = core.trace.sessions.get_mut(id) {
        session.accepted.get_or_insert(now);
    }
}

/// The daemon refused.
pub(super) fn refused(core: &mut Core, id: Id<Session>, why: String) {
    let now = core.now;
    if let Some(session) = core.trace.sessions.get_mut(id) {
        session.refused = Some(why);
        session.closed = Some((now, Some(Side::Daemon)));
    }
    core.update(Update::SessionClosed(id));
    doctor::session_refused(core, id);
}

/// The session ended; `by` is who ended it, where that can be told.
pub(super) fn closed(core: &mut Core, id: Id<Session>, by: Option<Side>) {
    let now = core.now;
    let Some(session) = core.trace.sessions.get_mut(id) else {
        return;
    };
    if session.closed.is_some() {
        return;
    }
    session.closed = Some((now, by));
    core.update(Update::SessionClosed(id));
}
