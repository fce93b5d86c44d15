//! The JSON lines that buildtap wrote (`docs/json.md`).

use std::path::Path;

use serde_json::Value;

/// All lines of one run.
#[derive(Clone, Debug)]
pub struct Trace(Vec<Value>);

impl Trace {
    /// Parses them; each must be an object with a kind.
    pub fn parse(lines: &str) -> Self {
        let parse = |line: &str| -> Value {
            let value: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
            assert!(value["kind"].is_string(), "no kind: {line}");
            value
        };
        Trace(lines.lines().map(parse).collect())
    }

    /// Reads them from a file.
    pub fn read(path: &Path) -> Self {
        let lines = std::fs::read_to_string(path);
        Trace::parse(&lines.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// All objects, in order.
    pub fn all(&self) -> &[Value] {
        &self.0
    }

    /// The objects of a kind, in order.
    pub fn of_kind<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let kind = kind.to_owned();
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// The only object of a kind.
    pub fn only(&self, kind: &str) -> &Value {
        let found: Vec<_> = self.of_kind(kind).collect();
        assert_eq!(found.len(), 1, "{kind}: {found:#?}");
        found[0]
    }

    /// The codes of all findings.
    pub fn findings(&self) -> Vec<&str> {
        self.of_kind("finding")
            .map(|finding| finding["code"].as_str().expect("a code"))
            .collect()
    }

    /// The finding with this code.
    pub fn finding(&self, code: &str) -> &Value {
        self.of_kind("finding")
            .find(|finding| finding["code"] == code)
            .unwrap_or_else(|| panic!("no {code}: {:?}", self.findings()))
    }

    /// The calls on sessions, as `Service.Method`, without health checks, in the order in which they were made.
    pub fn session_calls(&self) -> Vec<String> {
        let mut calls: Vec<_> = self
            .of_kind("call")
            .filter(|call| call["session"].is_string())
            .map(|call| (call["id"].as_u64(), name(call)))
            .filter(|(_, name)| !name.starts_with("Health."))
            .collect();
        calls.sort();
        calls.into_iter().map(|(_, name)| name).collect()
    }

    /// The transfers, in the order in which they began.
    pub fn transfers(&self) -> Vec<&Value> {
        let mut transfers: Vec<_> = self.of_kind("transfer").collect();
        transfers.sort_by_key(|transfer| transfer["id"].as_u64());
        transfers
    }
}

fn name(call: &Value) -> String {
    let service = call["service"].as_str().expect("a service");
    let service = service.rsplit('.').next().expect("at least one part");
    format!("{service}.{}", call["method"].as_str().expect("a method"))
}
