//! What passes does not stay: the memory of buildtap while gigabytes go through it.

use std::fs::{self, File};
use std::io::Write;

use buildtap_tests::lab::{Flavour, Workshop, daemon};
use buildtap_tests::process::Process;
use std::time::Duration;

/// The size of the context, and so of the export, in bytes.
const VOLUME: usize = 2 << 30;
/// What buildtap may take at most, in KiB.
const BAR: u64 = 64 << 10;

/// Much that is not all the same, in pieces that differ.
fn make_large_context(shop: &Workshop) -> String {
    let directory = shop.file("contexts/large");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), "FROM scratch\nCOPY large /\n").unwrap();
    let mut large = File::create(directory.join("large")).unwrap();
    let mut piece = vec![0_u8; 1 << 20];
    let mut state = 1_u64;
    for _ in 0..VOLUME / piece.len() {
        for word in piece.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        large.write_all(&piece).unwrap();
    }
    shop.context("large")
}

#[test]
fn memory_does_not_grow_with_what_passes() {
    if std::env::var_os("BUILDTAP_SLOW").is_none_or(|value| value != "1") {
        eprintln!("skipped: this test moves gigabytes; set BUILDTAP_SLOW=1 to run it");
        return;
    }
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let shop = Workshop::new();
    let context = make_large_context(&shop);
    // All of it goes up and comes down; the second time nothing goes up, but each message is a line.
    for view in [&[][..], &["--format", "json", "--output", "trace.jsonl"]] {
        let out = shop.file("out");
        let _ = fs::remove_dir_all(&out);
        let script = r#"
            docker build --progress=plain -o "type=local,dest=$1" "$2" || exit
            [ "$(cat "/proc/$PPID/comm")" = buildtap ] && grep VmHWM "/proc/$PPID/status"
        "#;
        let mut arguments = vec!["run"];
        arguments.extend(view);
        let out_text = shop.text("out");
        arguments.extend(["--", "sh", "-c", script, "sh", &out_text, &context]);
        let mut run = Process::start(&mut daemon.buildtap(shop.path(), &arguments));
        let ran = run.finish_within(Duration::from_secs(900)).success();
        assert_eq!(
            fs::metadata(out.join("large")).unwrap().len(),
            VOLUME as u64
        );
        let peak = ran.stdout.lines().find_map(|line| {
            let value = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
            value.parse::<u64>().ok()
        });
        let peak = peak.unwrap_or_else(|| panic!("no VmHWM\n{ran}"));
        eprintln!("{view:?}: {peak} KiB at most");
        assert!(peak < BAR, "{peak} KiB");
    }
}
