//! What the spans of a connection say they come from: buildtap, and who is at both ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::{Connection, Id, Trace};
use opentelemetry::KeyValue;

use crate::otlp::span::{Origin, cut};

/// Origins that are kept: the oldest goes.
const LIMIT: usize = 1_024;
/// Connections inside connections that are gone through.
const DEPTH: usize = 16;

/// The origins of spans, by the outermost connection.
#[derive(Debug)]
pub(super) struct Origins {
    /// What is said of buildtap itself.
    own: Vec<KeyValue>,
    nobody: Arc<Origin>,
    of: BTreeMap<Id<Connection>, Arc<Origin>>,
    /// The same object for the same attributes, so that batches are not split.
    last: Option<Arc<Origin>>,
}

impl Origins {
    pub(super) fn new(own: Vec<KeyValue>) -> Self {
        Origins {
            nobody: Arc::new(Origin::new(own.clone(), None)),
            own,
            of: BTreeMap::new(),
            last: None,
        }
    }

    /// That of what was seen on this connection, or on one inside of it.
    pub(super) fn of(&mut self, trace: &Trace, connection: Id<Connection>) -> Arc<Origin> {
        let Some(row) = outermost(trace, connection) else {
            return Arc::clone(&self.nobody);
        };
        if let Some(known) = self.of.get(&row.id) {
            return Arc::clone(known);
        }
        let made = self.make(trace, row);
        let shared = match &self.last {
            Some(last) if **last == made => Arc::clone(last),
            _ => Arc::new(made),
        };
        self.last = Some(Arc::clone(&shared));
        self.of.insert(row.id, Arc::clone(&shared));
        if self.of.len() > LIMIT {
            self.of.pop_first();
        }
        shared
    }

    /// That of what belongs to no connection that is known.
    pub(super) fn nobody(&self) -> Arc<Origin> {
        Arc::clone(&self.nobody)
    }

    fn make(&self, trace: &Trace, row: &Connection) -> Origin {
        let mut attributes = self.own.clone();
        let mut say = |key: &'static str, value: &str| {
            if !value.is_empty() {
                attributes.push(KeyValue::new(key, cut(value)));
            }
        };
        if let Some(process) = &row.endpoints.client_process {
            // `docker buildx build … (pid 4711)`, as `client_process` writes it.
            let (command, pid) = match process.rsplit_once(" (pid ") {
                Some((command, pid)) => (command, pid.trim_end_matches(')')),
                None => (process.as_str(), ""),
            };
            say("buildtap.client.process.command", command);
            say("buildtap.client.process.pid", pid);
        }
        if row.endpoints.client != "unix" {
            // The port is another one for each connection.
            let host = row.endpoints.client.rsplit_once(':');
            say(
                "buildtap.client.address",
                host.map_or(&*row.endpoints.client, |(host, _)| host),
            );
        }
        say("buildtap.daemon.address", &row.endpoints.daemon);
        for side in Side::BOTH {
            let (key, names) = match side {
                Side::Client => ("buildtap.client.version", &trace.versions.client),
                Side::Daemon => ("buildtap.daemon.version", &trace.versions.daemon),
            };
            say(key, &names.join(", "));
        }
        Origin::new(attributes, None)
    }
}

/// The tapped connection that carries this one.
pub(super) fn outermost(trace: &Trace, connection: Id<Connection>) -> Option<&Connection> {
    let mut row = trace.connections.get(connection)?;
    for _ in 0..DEPTH {
        let Some((outer, _)) = row.parent else { break };
        row = trace.connections.get(outer)?;
    }
    Some(row)
}
