//! What the steps of a build print, kept until the steps are told.

use std::collections::BTreeMap;

use buildtap_decoder::trace::{Build, Id, Printed};

/// Lines of a step, bytes of a build's, and builds, whose output is kept.
const LINES: usize = 200;
const BYTES: usize = 1 << 20;
const BUILDS: usize = 16;

/// By build.
#[derive(Debug, Default)]
pub(super) struct Prints(BTreeMap<Id<Build>, OfBuild>);

/// What the steps of one build printed.
#[derive(Debug, Default)]
pub(super) struct OfBuild {
    /// By the step's digest; what did not fit is counted.
    steps: BTreeMap<String, (Vec<Printed>, u32)>,
    bytes: usize,
}

impl Prints {
    pub(super) fn note(&mut self, build: Id<Build>, printed: &Printed) {
        let prints = self.0.entry(build).or_default();
        let step = prints.steps.entry(printed.vertex.clone()).or_default();
        let bytes = printed.text.len() + 64;
        if step.0.len() < LINES && prints.bytes + bytes <= BYTES {
            prints.bytes += bytes;
            step.0.push(printed.clone());
        } else {
            step.1 = step.1.saturating_add(1);
        }
        if self.0.len() > BUILDS {
            self.0.pop_first();
        }
    }

    /// What there is of a build, which is not kept any more.
    pub(super) fn take(&mut self, build: Id<Build>) -> OfBuild {
        self.0.remove(&build).unwrap_or_default()
    }
}

impl OfBuild {
    /// What a step printed, and how many lines were left out.
    pub(super) fn take(&mut self, digest: &str) -> (Vec<Printed>, u32) {
        self.steps.remove(digest).unwrap_or_default()
    }
}
