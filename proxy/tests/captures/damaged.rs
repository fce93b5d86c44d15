//! Captures that were cut or changed: shown as far as they go, and never for ever.
//!
//! `BUILDTAP_DAMAGES=10000` tries that many.

use std::path::Path;
use std::time::{Duration, Instant};

use buildtap::cli::{Cli, Command, ViewArgs};
use buildtap::output::Output;
use buildtap::show::show;
use buildtap::view::View;
use buildtap_decoder::{Decoder, Options};
use clap::Parser;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{CAPTURES, path};

/// Nothing here takes a hundredth of it.
const DEADLINE: Duration = Duration::from_secs(60);

fn damages() -> u32 {
    let wanted = std::env::var("BUILDTAP_DAMAGES").ok();
    wanted.and_then(|wanted| wanted.parse().ok()).unwrap_or(100)
}

fn views() -> Vec<ViewArgs> {
    [&["--log"][..], &["--format", "json"]]
        .iter()
        .map(|form| {
            let arguments = [&["buildtap", "show", "FILE"], *form].concat();
            match Cli::parse_from(arguments).command {
                Some(Command::Show(args)) => args.view,
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

/// How it ended, in words.
fn shown(file: &Path, args: &ViewArgs) -> String {
    let mut view = View::new(args, Output::file(Path::new("/dev/null")).unwrap(), false).unwrap();
    let mut decoder = Decoder::new(Options {
        updates: true,
        messages: true,
        ..Options::default()
    });
    let ended = show(file, false, &mut decoder, &mut view, &|| false);
    decoder.finish();
    view.finish(&mut decoder).unwrap();
    match ended {
        Ok(notes) => notes.to_string(),
        Err(error) => error.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: damages(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_capture_is_shown_as_far_as_it_goes(
        which in any::<Index>(),
        cut in prop::option::of(any::<Index>()),
        flips in prop::collection::vec((any::<Index>(), 0..8_u8), 0..8),
    ) {
        let (name, _) = CAPTURES[which.index(CAPTURES.len())];
        let mut bytes = std::fs::read(path(name)).unwrap();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        for args in views() {
            let begun = Instant::now();
            prop_assert!(!shown(file.path(), &args).trim().is_empty());
            prop_assert!(begun.elapsed() < DEADLINE);
        }
    }
}
