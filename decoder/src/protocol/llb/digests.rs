//! The digests of operations, also of those that were redacted since.

use std::collections::{HashMap, HashSet};

use buildtap_proto::pb;
use prost::Message as _;
use sha2::{Digest, Sha256};

/// The digests of the first `limit` operations of a definition, in their order.
///
/// The digest of an operation in which something was masked is not that of its bytes any more.
/// The one that it had is still there, in the inputs of its users and among the metadata. Which
/// is whose follows from the order: a client writes every operation right after those of its
/// inputs that were not written before (BuildKit `client/llb/state.go`).
pub(super) fn of(definition: &pb::Definition, limit: usize) -> Vec<String> {
    let encoded = || definition.def.iter().take(limit);
    let mut digests: Vec<String> = encoded().map(|op| digest(op)).collect();
    let masked = |op: &[u8]| op.contains(&b'*');
    if !encoded().any(|op| masked(op)) {
        return digests;
    }
    let inputs: Vec<Vec<String>> = encoded().map(|op| inputs(op)).collect();
    let named = definition.metadata.keys();
    let mut lost: HashSet<&String> = inputs.iter().flatten().chain(named).collect();
    let own: HashSet<&String> = digests.iter().collect();
    let changed: Vec<bool> = encoded()
        .zip(&digests)
        .map(|(op, digest)| masked(op) && !lost.contains(digest))
        .collect();
    lost.retain(|digest| !own.contains(digest));

    let mut found = HashMap::new();
    let mut unclaimed = Vec::new();
    for (at, (inputs, changed)) in inputs.iter().zip(&changed).enumerate() {
        for input in inputs.iter().rev() {
            if lost.contains(input)
                && let Some(op) = unclaimed.pop()
            {
                lost.remove(input);
                found.insert(op, input.clone());
            }
        }
        if *changed {
            unclaimed.push(at);
        }
    }
    // Nobody's input is the last one.
    let mut left = lost.into_iter();
    if let (&[op], Some(digest), None) = (unclaimed.as_slice(), left.next(), left.next()) {
        found.insert(op, digest.clone());
    }
    for (op, found) in found {
        if let Some(digest) = digests.get_mut(op) {
            *digest = found;
        }
    }
    digests
}

fn inputs(encoded: &[u8]) -> Vec<String> {
    let op = pb::Op::decode(encoded).unwrap_or_default();
    op.inputs.into_iter().map(|input| input.digest).collect()
}

pub(super) fn digest(encoded: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain in which operations have secrets, as it was and as it is in a redacted capture.
    #[test]
    fn of_operations_that_were_masked() {
        let op = |inputs: &[&str], env: &str| {
            let input = |digest: &&str| pb::Input {
                digest: (*digest).to_owned(),
                index: 0,
            };
            let exec = pb::ExecOp {
                meta: Some(pb::Meta {
                    env: vec![env.to_owned()],
                    ..Default::default()
                }),
                ..Default::default()
            };
            pb::Op {
                inputs: inputs.iter().map(input).collect(),
                op: Some(pb::op::Op::Exec(exec)),
                ..Default::default()
            }
            .encode_to_vec()
        };
        let build = |one: &str, two: &str, hashes: Option<&[String]>| {
            let hash =
                |op: &[u8], at: usize| hashes.map_or_else(|| digest(op), |all| all[at].clone());
            let a = op(&[], one);
            let b = op(&[], two);
            let (da, db) = (hash(&a, 0), hash(&b, 1));
            let c = op(&[&da, &db], "A=b");
            let dc = hash(&c, 2);
            let d = op(&[&dc, &da], one);
            let dd = hash(&d, 3);
            let e = op(&[&dd], "");
            let metadata =
                [&da, &db, &dc, &dd].map(|digest| (digest.clone(), pb::OpMetadata::default()));
            pb::Definition {
                def: [a, b, c, d, e].map(Into::into).to_vec(),
                metadata: metadata.into_iter().collect(),
                ..Default::default()
            }
        };
        let before = build("TOKEN=x", "KEY=yz", None);
        let digests = of(&before, 100);
        let after = build("TOKEN=*", "KEY=**", Some(&digests));
        assert_eq!(of(&after, 100), digests);
        assert_ne!(digest(&after.def[0]), digests[0]);
    }
}
