//! Which messages of a call a filter lets be shown.

use buildtap_decoder::filter::{Field, Filter, Row, Thing, Things, Value};
use buildtap_decoder::trace::{Call, Id};

use crate::model::Message;
use crate::view::Context;

/// Messages that are looked at for one drawing: the others have their turn with the next.
const AT_ONCE: usize = 20_000;

/// The places of the messages that are shown, as far as they were looked at.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What they were looked at for.
    of: Option<(Id<Call>, String, u64)>,
    places: Vec<usize>,
    looked_at: usize,
}

/// A message as a filter sees it: what it has no value for is that of its call.
struct OfCall<'a> {
    message: Message<'a>,
    call: Box<dyn Row + 'a>,
}

impl Row for OfCall<'_> {
    fn any(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let message = &self.message;
        match field {
            Field::Kind => test(Value::Text("message")),
            Field::From => test(Value::Text(message.from.as_str())),
            Field::Bytes => test(Value::Number(message.length)),
            Field::Id => test(Value::Number(message.number)),
            Field::Path if message.path.is_some() => {
                message.path.is_some_and(|path| test(Value::Text(path)))
            }
            Field::State | Field::Name => false,
            _ => self.call.any(field, test),
        }
    }
}

impl Kept {
    /// Looks at what is new. Whether all messages of the call are shown.
    fn all(&mut self, cx: &Context<'_>, call: &Call) -> bool {
        let Some(filter) = cx.filter else {
            return true;
        };
        if cx.shows(Thing::Call(call)) {
            return true;
        }
        // Places move when the oldest are forgotten.
        let of = (
            call.id,
            filter.as_str().to_owned(),
            cx.store.messages.gone(),
        );
        if self.of.as_ref() != Some(&of) {
            *self = Kept {
                of: Some(of),
                ..Kept::default()
            };
        }
        self.look(cx, call, filter);
        false
    }

    fn look(&mut self, cx: &Context<'_>, call: &Call, filter: &Filter) {
        let things = Things {
            trace: cx.store.trace(),
            now: cx.now,
        };
        let count = cx.store.messages.count(call.id);
        let end = count.min(self.looked_at + AT_ONCE);
        for place in self.looked_at..end {
            let Some(message) = cx.store.messages.of_call(call.id, place) else {
                continue;
            };
            let row = OfCall {
                message,
                call: Box::new(things.row(Thing::Call(call))),
            };
            if filter.matches(&row) {
                self.places.push(place);
            }
        }
        self.looked_at = end;
    }

    /// Brings it up to date; says how many messages are shown.
    pub(super) fn update(&mut self, cx: &Context<'_>, call: &Call) -> usize {
        match self.all(cx, call) {
            true => {
                self.of = None;
                cx.store.messages.count(call.id)
            }
            false => self.places.len(),
        }
    }

    /// How many messages are shown, as of the last update.
    pub(super) fn len(&self, cx: &Context<'_>, call: &Call) -> usize {
        match self.of {
            None => cx.store.messages.count(call.id),
            Some(_) => self.places.len(),
        }
    }

    /// The place among all of the call's messages of what is shown on a line.
    pub(super) fn place(&self, line: usize) -> Option<usize> {
        match self.of {
            None => Some(line),
            Some(_) => self.places.get(line).copied(),
        }
    }

    /// The line of the first message that is shown from this place on.
    pub(super) fn line(&self, place: usize) -> usize {
        match self.of {
            None => place,
            Some(_) => self.places.partition_point(|kept| *kept < place),
        }
    }
}
