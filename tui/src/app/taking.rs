//! What is taken out of the screen: copied to where it can be pasted from, or saved as a file.

use std::path::PathBuf;

use buildtap_decoder::event::Time;
use buildtap_decoder::filter::Thing;

use super::{App, Effect};
use crate::export;
use crate::keys::Action;
use crate::model::Store;
use crate::view::Tab;

impl App {
    /// Copies the call under the cursor.
    pub(super) fn copy(&mut self, action: Action, store: &Store, now: Time) {
        self.take_up(store, now);
        let Some(id) = self.sight.focus.call else {
            self.say("there is no call under the cursor");
            return;
        };
        let text = self.with_view(store, now, |_, cx| {
            let call = cx.store.trace().calls.get(id)?;
            Some(match action {
                Action::CopyGrpcurl => export::grpcurl(cx, call),
                _ => export::lines(cx, std::iter::once(call)),
            })
        });
        if let Some(text) = text.flatten() {
            self.say(format!("copied call {id}"));
            self.effects.push(Effect::Copy(text));
        }
    }

    /// Saves what is shown: the call in hand where one is looked at, else all that the filter
    /// leaves.
    pub(super) fn save(&mut self, path: &str, store: &Store, now: Time) {
        let name = path.trim();
        if name.is_empty() {
            return;
        }
        let path = PathBuf::from(name);
        let one = matches!(self.tab(), Tab::Messages | Tab::Transfer);
        let all = self.sight.filter.is_none();
        let focus = self.sight.focus.call.filter(|_| one);
        let is_capture = [".pcapng", ".pcapng.zst", ".pcapng.gz", ".pcap"];
        let is_capture = is_capture.iter().any(|ending| name.ends_with(ending));
        let effect = self.with_view(store, now, |_, cx| {
            let trace = cx.store.trace();
            let calls = trace.calls.iter().filter(|call| match focus {
                Some(focus) => call.id == focus,
                None => cx.shows(Thing::Call(call)),
            });
            if !is_capture {
                return Effect::Save(path, export::lines(cx, calls));
            }
            let mut taps = Vec::new();
            if !all || focus.is_some() {
                let connections = calls.filter_map(|call| trace.connections.get(call.connection));
                taps.extend(connections.map(|connection| connection.tap));
                taps.sort_unstable();
                taps.dedup();
            }
            Effect::SaveCapture(path, taps)
        });
        self.effects.extend(effect);
    }
}
