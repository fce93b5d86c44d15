//! Lets animals play, and looks what is said of them.

use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use buildtap_decoder::findings;
use buildtap_fixtures::peers::client::Ending;
use buildtap_fixtures::peers::net::Address;
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::Step;
use buildtap_tests::process::Process;
use buildtap_tests::program;
use buildtap_tests::trace::Trace;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::between;
use crate::first_screen::first_screen;
use crate::judge::{Seen, judge};
use crate::table::{Entry, Kind, Play, entries};

/// How soon a wait is reported: nothing that is healthy here takes so long.
pub(crate) const STALL_AFTER: Duration = Duration::from_millis(500);

/// How long a play may take to its end after something was found that is no stall.
const ENDING: Duration = Duration::from_secs(2);

/// Plays that go on at a time: they mostly wait.
const AT_A_TIME: usize = 6;

/// Which animal [`client`] plays: its place in the table, and which of the two it is.
const PLAYED: &str = "BUILDTAP_TEST_ANIMAL";

/// The command of `buildtap run`: plays the client, and exits with 0 if its build was completed.
pub(crate) fn client() {
    let played = std::env::var(PLAYED).unwrap();
    let (place, kind) = played.split_once(' ').unwrap();
    let kind = match kind {
        "animal" => Kind::Animal,
        _ => Kind::Twin,
    };
    let entry = entries().nth(place.parse().unwrap()).unwrap();
    let socket = std::env::var("DOCKER_HOST").unwrap();
    let address = Address::Unix(socket.strip_prefix("unix://").unwrap().into());
    let play = entry.play(kind);
    let outcome = Runtime::new().unwrap().block_on(clients(&address, play));
    eprintln!("the client says: {outcome:?}");
    // Not by a panic: the exit status is what counts.
    std::process::exit(if outcome.iter().all(|it| *it == Ending::Completed) {
        0
    } else {
        7
    });
}

/// The client, and the second one once the first is asked for its files: its session is open then.
async fn clients(address: &Address, mut play: Play) -> Vec<Ending> {
    let Some(second) = play.second else {
        return vec![scenario::client(address, play.client).await.ending];
    };
    let asked = Arc::new(Notify::new());
    let ask = Arc::clone(&asked);
    play.client.observer = Some(Arc::new(move |step, _| {
        if step == Step::SendStat {
            ask.notify_one();
        }
    }));
    let second = async {
        asked.notified().await;
        scenario::client(address, second).await
    };
    let (first, second) = tokio::join!(scenario::client(address, play.client), second);
    vec![first.ending, second.ending]
}

/// Looks at some animals and their twins.
pub(crate) fn show(entries: &'static [Entry]) {
    let only = std::env::var("BUILDTAP_ANIMAL").ok();
    let all = entries
        .iter()
        .filter(|entry| only.as_ref().is_none_or(|only| only == entry.code));
    let both = all.flat_map(|entry| [(entry, Kind::Animal), (entry, Kind::Twin)]);
    let queue = Mutex::new(VecDeque::from_iter(both));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some((entry, kind)) = next else { break };
                    let looked = catch_unwind(|| judge(entry, kind, &watch(entry, kind)));
                    if let Err(why) = looked.unwrap_or_else(|_| Err("see above".into())) {
                        let what = format!("{} {kind:?} ({}): {why}", entry.code, entry.animal);
                        failed.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// Plays one: an animal until something is found, a twin to its end.
pub(crate) fn watch(entry: &Entry, kind: Kind) -> Seen {
    let home = TempDir::new().unwrap();
    let play = entry.play(kind);
    let starting = between::start(play.between, play.daemon.clone(), home.path());
    let (upstream, _daemon) = runtime().block_on(starting);
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (trace, capture) = (file("trace.jsonl"), file("capture.pcapng"));
    let stall_after = format!("{}ms", STALL_AFTER.as_millis());
    let upstream = upstream.to_string();
    let mut command = program::command(home.path(), &[]);
    if play.between.is_proxy() {
        let listen = format!("unix://{}", between::tap(home.path()).display());
        command.args(["proxy", "--listen", &listen]);
    } else {
        command.arg("run");
    }
    command
        .args(["--upstream", &upstream, "--stall-after", &stall_after])
        .args(["--format", "json", "--output", &trace, "--record", &capture]);
    let found = || {
        let lines = std::fs::read_to_string(&trace).unwrap_or_default();
        lines.contains(r#"{"kind":"finding""#)
    };
    let finished = if play.between.is_proxy() {
        let mut process = Process::start(&mut command);
        process.wait_until_said(" leads to ");
        let tap = Address::Unix(between::tap(home.path()));
        let client = runtime().spawn(async move { clients(&tap, play).await });
        if kind == Kind::Animal {
            assert!(process.runs_until("a finding", found));
        } else {
            let endings = runtime().block_on(client).unwrap();
            assert_eq!(endings, [Ending::Completed]);
        }
        process.interrupt()
    } else {
        let place = entries().position(|it| std::ptr::eq(it, entry)).unwrap();
        let kind_name = match kind {
            Kind::Animal => "animal",
            Kind::Twin => "twin",
        };
        command
            .arg("--")
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "client", "--nocapture"])
            .env(PLAYED, format!("{place} {kind_name}"));
        let mut process = Process::start(&mut command);
        if kind == Kind::Animal && process.runs_until("a finding", found) {
            // What does not hang comes to its end by itself.
            let is_stall = findings::find(entry.code).is_some_and(|entry| entry.stall);
            let begun = Instant::now();
            let patience = if is_stall { Duration::ZERO } else { ENDING };
            if process.runs_until("the end", || begun.elapsed() >= patience) {
                process.signal_group(Signal::INT);
            }
        }
        process.finish()
    };
    let mut diagnose = program::command(home.path(), &["diagnose", "--format", "json"]);
    diagnose.args(["--stall-after", &stall_after, &capture]);
    let diagnosis = Process::run(&mut diagnose).stdout;
    Seen {
        trace: Trace::read(Path::new(&trace)),
        diagnosis: serde_json::from_str(&diagnosis).unwrap_or_default(),
        screen: first_screen(
            Path::new(&capture),
            (kind == Kind::Animal).then_some(entry.code),
        ),
        finished,
    }
}
