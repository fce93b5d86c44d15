//! The screen on a real build while it runs.

use buildtap_tests::lab::{Flavour, daemon};
use buildtap_tests::screen::Screen;
use tempfile::TempDir;

#[test]
fn each_view_is_seen_of_a_live_build_and_the_terminal_is_given_back() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let home = TempDir::new().unwrap();
    let context = home.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("hello.txt"), "hello\n").unwrap();
    // Nothing of it may be in the cache of the daemon.
    let nonce = home.path().display();
    let dockerfile =
        format!("FROM base:latest\n# {nonce}\nCOPY hello.txt /\nRUN echo {nonce}; sleep 5\n");
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();

    let (context, out) = (context.display().to_string(), home.path().join("out"));
    let output = format!("type=local,dest={}", out.display());
    let build = [
        "run",
        "--tui",
        "--",
        "docker",
        "build",
        "--progress=plain",
        "--network",
        "none",
        "-o",
        &output,
        &context,
    ];
    let mut screen = Screen::start(&daemon.buildtap(home.path(), &build), 120, 40);
    screen.wait_for(&["● live", "▶ runs", "build 1 dockerfile.v0", "● running"]);
    for (key, seen) in [
        ("2", "FileSync.DiffCopy"),
        ("\r", "fsutil packets"),
        ("3", "STAT"),
        ("5", "RUN echo"),
        ("6", "nothing abnormal so far"),
        ("7", "POST /session"),
        ("8", "load build context"),
        ("1", "build 1"),
    ] {
        screen.press(key);
        screen.wait_for(&[seen]);
    }
    screen.wait_for(&["command: exit status: 0", "✓ complete"]);
    screen.press("q");
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("nothing abnormal"), "{text}");
    assert_eq!(
        std::fs::read_to_string(out.join("hello.txt")).unwrap(),
        "hello\n"
    );
}
