//! The views: each draws the store in its own way, and shares nothing with the others but words
//! and widgets.

mod calls;
mod connections;
mod diff;
mod findings;
mod messages;
mod output;
mod overview;
mod timeline;
mod transfer;

use crate::view::{Tab, View};

/// All views, in the order of their numbers.
pub(crate) fn all() -> Vec<(Tab, Box<dyn View>)> {
    vec![
        (Tab::Overview, Box::<overview::Overview>::default()),
        (Tab::Calls, Box::<calls::Calls>::default()),
        (Tab::Messages, Box::<messages::Messages>::default()),
        (Tab::Transfer, Box::<transfer::Transfer>::default()),
        (Tab::Timeline, Box::<timeline::Timeline>::default()),
        (Tab::Findings, Box::<findings::Findings>::default()),
        (Tab::Connections, Box::<connections::Connections>::default()),
        (Tab::Output, Box::<output::Output>::default()),
        (Tab::Diff, Box::<diff::Diff>::default()),
    ]
}
