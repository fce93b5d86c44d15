//! Every way to hang that the peers know: the first screen alone says who must do what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buildtap::demo;
use buildtap::screen::options;
use buildtap::tap::Tap;
use buildtap::watch::DecodingTap;
use buildtap_decoder::Options;
use buildtap_decoder::describe::Describer;
use buildtap_decoder::event::Time;
use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_fixtures::peers::script::{Action, ClientScript, DaemonScript, Rule, Step};
use buildtap_proto::schema::Schemas;
use buildtap_tui::app::App;
use buildtap_tui::model::{Feed, Shared, Source};
use buildtap_tui::palette::Palette;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// Plays a scene, and draws the first screen at 80×24 until all of this is in its first lines.
fn shows(name: &str, scene: Scene, wanted: &[&str]) -> Result<(), String> {
    let tap = Arc::new(DecodingTap::new(options(Options {
        stall_after: Some(Duration::from_secs(1)),
        ..Options::default()
    })));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let parent = tempfile::tempdir().unwrap();
    let played = demo::play(
        scene,
        Arc::clone(&tap) as Arc<dyn Tap>,
        parent.path().to_owned(),
    );
    let playing = runtime.spawn(played);
    let shared = Shared::new(Source::Live("test".into()));
    let mut feed = Feed::new(Arc::clone(&shared));
    let deadline = Instant::now() + DEADLINE;
    let mut app = App::new(
        Describer::new(Schemas::default(), false),
        Palette::new(true),
    );
    let mut seen = String::new();
    let found = loop {
        tap.with(|decoder| {
            decoder.tick(Time::now());
            feed.catch_up(decoder);
        });
        let area = Rect::new(0, 0, 80, 24);
        let mut buf = Buffer::empty(area);
        let store = shared.lock();
        app.draw(&store, Time::now(), area, &mut buf);
        drop(store);
        let text: String = buf
            .content
            .chunks(80)
            .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n")
            .collect();
        // Who is waited for, and the lines about the first of them.
        let top: String = text.lines().take(7).collect::<Vec<_>>().join("\n");
        if wanted.iter().all(|it| top.contains(it)) {
            break true;
        }
        seen = text;
        if Instant::now() >= deadline || playing.is_finished() {
            break false;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    playing.abort();
    runtime.shutdown_background();
    match found {
        true => Ok(()),
        false => Err(format!("{name}: {wanted:?} is not at the top of\n{seen}")),
    }
}

fn client(change: impl FnOnce(ClientScript) -> ClientScript) -> Scene {
    let scene = scenario::demo_build();
    Scene {
        client: change(scene.client).give_up_after(Duration::from_secs(12)),
        ..scene
    }
}

fn daemon(change: impl FnOnce(DaemonScript) -> DaemonScript) -> Scene {
    let scene = scenario::demo_build();
    Scene {
        client: scene.client.give_up_after(Duration::from_secs(12)),
        daemon: change(scene.daemon),
    }
}

#[test]
fn each_hang_has_its_culprit_on_the_first_screen() {
    let cases: Vec<(&str, Scene, &[&str])> = vec![
        (
            "a tree is read as bytes",
            client(ClientScript::read_local_export_as_bytes),
            &["the client must send REQ", "packets-read-as-bytes"],
        ),
        (
            "nothing is asked for",
            client(ClientScript::never_request),
            &["the client must send REQ"],
        ),
        (
            "a request is not answered",
            client(|it| it.rule(Rule::new(Step::SendData, Action::Hang).scope("context"))),
            &["the client must send the rest of"],
        ),
        (
            "the listing does not end",
            client(|it| it.never_send_final_stat("context")),
            &["the client must"],
        ),
        (
            "FIN is not answered",
            client(|it| it.fin_never_answered("context")),
            &["the client must answer FIN with FIN"],
        ),
        (
            "files do not end",
            client(|it| it.never_end_files("context")),
            &["the client must send the rest of"],
        ),
        (
            "the daemon does not answer",
            daemon(DaemonScript::never_answers),
            &["the daemon must"],
        ),
        (
            "the daemon asks for nothing",
            daemon(DaemonScript::never_request),
            &["the daemon must send REQ"],
        ),
        (
            "the daemon's listing does not end",
            daemon(DaemonScript::never_send_final_stat),
            &["the daemon must"],
        ),
        (
            "the session does not come",
            client(|it| it.late_session(Duration::from_secs(30))),
            &["the client must"],
        ),
    ];
    // All at a time: each waits for a silence most of all.
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = cases
            .into_iter()
            .map(|(name, scene, wanted)| scope.spawn(move || shows(name, scene, wanted)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap().err())
            .collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
