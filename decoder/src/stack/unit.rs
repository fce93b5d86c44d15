//! What is masked of a message once it is complete.

use crate::core::{Core, filled};
use crate::event::Side;
use crate::origin::Origins;
use crate::redact::{self, Patch};
use crate::trace::{Call, Id};

/// A message that stands for itself, and is to be masked.
pub(super) struct Unit {
    /// The call that it belongs to.
    pub(super) call: Id<Call>,
    /// Who sent it.
    pub(super) from: Side,
    /// Whether that is the caller.
    pub(super) is_request: bool,
    /// Whether it is only the beginning.
    pub(super) cut: bool,
}

impl Unit {
    pub(super) fn redact(&self, core: &mut Core, body: &[u8], origins: &Origins) {
        let path = core.trace.calls.get(self.call).map(Call::path);
        core.redact(self.from, body, origins, |redaction, body, out| {
            let (rules, schemas) = (&redaction.rules, &redaction.schemas);
            // Of a call that is forgotten it is not known what it says.
            let Some(path) = path else {
                out.extend(filled(body, 0));
                return;
            };
            redact::message(rules, schemas, &path, self.is_request, body, self.cut, out);
        });
    }

    /// The same of one that is compressed.
    pub(super) fn redact_compressed(&self, core: &mut Core, body: &[u8], origins: &Origins) {
        let limit = core.limits().message;
        let path = core.trace.calls.get(self.call).map(Call::path);
        core.redact(self.from, body, origins, |redaction, body, out| {
            let Some(path) = path else {
                out.extend(filled(body, 0));
                return;
            };
            let (rules, schemas) = (&redaction.rules, &redaction.schemas);
            let masked = redact::compressed(body, limit, |plain, out| {
                redact::message(rules, schemas, &path, self.is_request, plain, self.cut, out);
            });
            out.extend(masked.map(|bytes| Patch { at: 0, bytes }));
        });
    }
}
