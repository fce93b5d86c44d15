//! The seam between the relay and whoever watches it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use buildtap_decoder::event::{Closed, TapEvent, TapId, Time};

use crate::notice::{Notice, Notices};

/// What the relay tells of a connection.
///
/// [`event`](Tap::event) is called on the relay's own path, in the order read → tap → write:
/// a chunk is told before the other side can have it, so a response is never told before the
/// request that caused it. It must therefore be quick and must not block.
///
/// Calls for one [`TapId`] never overlap and come in order: `Open` first, `Close` last, each
/// once. Calls for different connections may overlap.
///
/// A panic inside is caught. After it the tap is told nothing more, of any connection; the
/// relay goes on.
pub trait Tap: Send + Sync + 'static {
    /// `event` happened on connection `id` at `at`.
    fn event(&self, id: TapId, at: Time, event: TapEvent<'_>);
}

/// A tap that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullTap;

impl Tap for NullTap {
    fn event(&self, _: TapId, _: Time, _: TapEvent<'_>) {}
}

/// Keeps a failing tap away from the relay: see [`Tap`].
pub(crate) struct TapGuard {
    tap: Arc<dyn Tap>,
    dead: AtomicBool,
    notices: Notices,
}

impl TapGuard {
    pub(crate) fn new(tap: Arc<dyn Tap>, notices: Notices) -> Self {
        Self {
            tap,
            dead: AtomicBool::new(false),
            notices,
        }
    }

    fn event(&self, id: TapId, event: TapEvent<'_>) {
        if self.dead.load(Ordering::Relaxed) {
            return;
        }
        // Unwind safety: after a panic the tap is never called again, so nobody can see the
        // state in which it was left.
        let told = catch_unwind(AssertUnwindSafe(|| self.tap.event(id, Time::now(), event)));
        if told.is_err() && !self.dead.swap(true, Ordering::Relaxed) {
            self.notices.tell(&Notice::TapFailed);
        }
    }
}

/// One connection as the tap is told of it. Dropping it tells the `Close`, exactly once, also
/// when the task that relays is aborted.
pub(crate) struct Tapped<'a> {
    guard: &'a TapGuard,
    id: TapId,
    how: Closed,
}

impl<'a> Tapped<'a> {
    /// The caller tells [`TapEvent::Open`] next.
    pub(crate) fn new(guard: &'a TapGuard, id: TapId) -> Self {
        Self {
            guard,
            id,
            how: Closed::Abandoned,
        }
    }

    pub(crate) fn tell(&self, event: TapEvent<'_>) {
        self.guard.event(self.id, event);
    }

    pub(crate) fn close(mut self, how: Closed) {
        self.how = how;
    }
}

impl Drop for Tapped<'_> {
    fn drop(&mut self) {
        self.tell(TapEvent::Close { how: self.how });
    }
}
