//! The terminal UI (`buildtap-tui`), on a relay (`--tui`) or on a capture (`buildtap view`).
//!
//! What is drawn lives in that crate. Here it gets what it shows: from the tap's thread, or from
//! a thread that reads a file.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use buildtap_decoder::describe::Describer;
use buildtap_decoder::event::Time;
use buildtap_decoder::masking::Redaction;
use buildtap_decoder::redact::Rules;
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::{self, Capture};
use buildtap_fixtures::compare::compare;
use buildtap_tui::app::App;
use buildtap_tui::model::{Difference, Feed, Progress, Shared, Source};
use buildtap_tui::palette::Palette;
use buildtap_tui::view::Tab;

use crate::cassette;
use crate::cli::{DiffArgs, SchemaArgs, ScreenArgs};
use crate::command::Listening;
use crate::error::Error;
use crate::notice::Notices;
use crate::otlp::live::Live;
use crate::save::saver;
use crate::schemas::schemas;
use crate::show::{ShowError, read};
use crate::watch::Show;

/// How long what is decoded live is gathered before it is put on the screen: twice for each
/// picture. Every time the relay stands still for a moment.
const PACE: Duration = Duration::from_millis(20);

/// How often it is looked whether the user left.
const LOOK: Duration = Duration::from_millis(50);

/// Whether there is a terminal to draw on and to read keys from.
pub fn is_possible() -> bool {
    io::stdout().is_terminal()
}

/// The screen while it is shown on what is watched.
pub struct Screen {
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
}

/// Feeds the screen with what a relay sees, and makes spans of it beside that.
pub struct LiveFeed {
    feed: Feed,
    /// What is sent, if that is wanted.
    pub live: Option<Live>,
}

impl Show for LiveFeed {
    fn render(&mut self, decoder: &mut Decoder) {
        let live = &mut self.live;
        self.feed.take(decoder, &mut |trace, now, update| {
            if let Some(live) = live {
                live.update(trace, now, update);
            }
        });
        if let Some(live) = live {
            live.look(decoder);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.feed.put();
        if let Some(live) = &mut self.live {
            live.offer();
        }
        std::thread::sleep(PACE);
        Ok(())
    }
}

/// Feeds it with what is in a file.
struct FileFeed(Feed);

impl Show for FileFeed {
    fn render(&mut self, decoder: &mut Decoder) {
        self.0.take(decoder, &mut |_, _, _| {});
    }

    fn idle(&mut self, decoder: &mut Decoder) {
        /// What nobody has written to for so long is no live session any more.
        const OLD: Duration = Duration::from_secs(600);
        let now = Time::now();
        if decoder.now() > Time::default() && now.since(decoder.now()) < OLD {
            decoder.tick(now);
        }
        self.render(decoder);
    }

    fn write(&mut self) -> io::Result<()> {
        self.0.put();
        Ok(())
    }
}

/// Completes when the user leaves.
pub async fn left(shared: &Shared) {
    while !shared.is_stopped() {
        tokio::time::sleep(LOOK).await;
    }
}

/// What the screen needs of a decoder.
pub fn options(options: Options) -> Options {
    Options {
        updates: true,
        messages: true,
        frames: true,
        ..options
    }
}

impl Screen {
    /// Takes the terminal, and shows what is given to the feed.
    pub fn open(
        name: String,
        schemas_of: &SchemaArgs,
        show_secrets: bool,
    ) -> Result<(Self, LiveFeed), Error> {
        let shared = Shared::new(Source::Live(name));
        let app = app(schemas_of, show_secrets)?;
        let feed = LiveFeed::new(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("screen".into()).spawn({
            let shared = Arc::clone(&shared);
            move || buildtap_tui::screen::show(&shared, app)
        });
        let thread = thread.map_err(Error::system("start a thread"))?;
        Ok((Screen { shared, thread }, feed))
    }

    /// Where notices go as long as the screen is shown.
    pub fn notices(&self) -> Notices {
        let shared = Arc::clone(&self.shared);
        Notices::new(move |notice| shared.note(notice.to_string()))
    }

    /// Tells where clients connect to.
    pub fn listening(&self) -> impl FnOnce(&Listening) + use<> {
        let shared = Arc::clone(&self.shared);
        move |listening| {
            for point in &listening.points {
                let upstream = &point.upstream;
                shared.note(format!(
                    "{} leads to {} (from {})",
                    point.address, upstream.address, upstream.chosen_by
                ));
                for variable in upstream.role.variables() {
                    shared.note(format!("  export {variable}={}", point.address));
                }
            }
        }
    }

    /// Completes when the user leaves.
    pub fn left(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move { left(&shared).await }
    }

    /// What is shown.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets parts of the recording be saved, if there is one.
    pub fn saving_from(
        &self,
        recording: Option<&Path>,
        schemas_of: &SchemaArgs,
        show_secrets: bool,
    ) -> Result<(), Error> {
        if let Some(path) = recording {
            let redaction = redaction(schemas_of, show_secrets)?;
            self.shared.save_with(saver(path.to_owned(), redaction));
        }
        Ok(())
    }

    /// Says that nothing more will come.
    pub fn over(&self, how: Option<String>) {
        self.shared.set_progress(Progress::Over(how));
    }

    /// Gives the terminal back, and says on it what was told meanwhile.
    pub fn close(self) -> Result<(), Error> {
        self.shared.stop();
        let shown = self.thread.join();
        for note in &self.shared.lock().notes {
            eprintln!("buildtap: {note}");
        }
        let shown = shown.unwrap_or_else(|_| Err(io::Error::other("it failed, see above")));
        shown.map_err(Error::system("draw on the terminal"))
    }
}

impl LiveFeed {
    /// A feed of this store.
    pub fn new(shared: Arc<Shared>) -> Self {
        LiveFeed {
            feed: Feed::new(shared),
            live: None,
        }
    }

    /// The same, and spans are made by `live`.
    pub fn with(self, live: Option<Live>) -> Self {
        LiveFeed { live, ..self }
    }
}

fn app(schemas_of: &SchemaArgs, show_secrets: bool) -> Result<App, Error> {
    let describer = Describer::new(schemas(schemas_of)?, show_secrets);
    Ok(App::new(describer, Palette::of_process()))
}

/// What is masked in captures that are saved.
fn redaction(schemas_of: &SchemaArgs, show_secrets: bool) -> Result<Option<Arc<Redaction>>, Error> {
    if show_secrets {
        return Ok(None);
    }
    Ok(Some(Arc::new(Redaction {
        rules: Rules::default(),
        schemas: schemas(schemas_of)?,
    })))
}

/// `buildtap diff --tui`: shows two captures side by side, until the user leaves.
pub fn diff(args: &DiffArgs, on_open: impl FnOnce(Arc<Shared>)) -> Result<(), Error> {
    if !is_possible() {
        return Err(Error::NoTerminal);
    }
    let schemas_used = schemas(&args.reading.schemas)?;
    let good = cassette::open(&args.good, &args.reading, &schemas_used)?;
    let bad = cassette::open(&args.bad, &args.reading, &schemas_used)?;
    let comparison = compare(&good, &bad, &schemas_used).map_err(Error::Contents)?;
    let shared = Shared::new(Source::File(args.good.clone()));
    let other = Shared::new(Source::File(args.bad.clone()));
    for (shared, path) in [(&shared, &args.good), (&other, &args.bad)] {
        // Of a cassette there are only the differences.
        if let Ok(capture) = open(path) {
            let decoder = Decoder::new(options(Options {
                show_secrets: args.reading.show_secrets,
                ..Options::default()
            }));
            let _ = load(capture, false, decoder, shared);
        }
        shared.set_progress(Progress::Over(None));
    }
    let differences = comparison.differences.iter().map(|it| Difference {
        place: it.place.clone(),
        what: it.what.clone(),
        good_at: it.good_at,
        bad_at: it.bad_at,
    });
    shared.compare(other, differences.collect(), comparison.common);
    let mut app = app(&args.reading.schemas, args.reading.show_secrets)?;
    app.open(Tab::Diff);
    on_open(Arc::clone(&shared));
    buildtap_tui::screen::show(&shared, app).map_err(Error::system("draw on the terminal"))
}

/// `buildtap view`: shows a capture until the user leaves, or `stop` completes.
pub fn view(args: &ScreenArgs, on_open: impl FnOnce(Arc<Shared>)) -> Result<(), Error> {
    if !is_possible() {
        return Err(Error::NoTerminal);
    }
    let capture = open(&args.file).map_err(ShowError::from)?;
    let shared = Shared::new(Source::File(args.file.clone()));
    let app = app(&args.schemas, args.show_secrets)?;
    if args.file.as_os_str() != "-" {
        let redaction = redaction(&args.schemas, args.show_secrets)?;
        shared.save_with(saver(args.file.clone(), redaction));
    }
    on_open(Arc::clone(&shared));
    let decoder = Decoder::new(options(Options {
        show_secrets: args.show_secrets,
        stall_after: Some(args.stall_after),
        ..Options::default()
    }));
    let follow = args.follow;
    let loading = std::thread::Builder::new().name("load".into()).spawn({
        let shared = Arc::clone(&shared);
        move || load(capture, follow, decoder, &shared)
    });
    let loading = loading.map_err(Error::system("start a thread"))?;
    let shown = buildtap_tui::screen::show(&shared, app);
    let loaded = loading.join();
    shown.map_err(Error::system("draw on the terminal"))?;
    match loaded {
        Ok(Err(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

fn open(path: &Path) -> Result<Capture, capture::CaptureError> {
    let options = capture::Options::default();
    match path.as_os_str() == "-" {
        true => Ok(Capture::new(io::stdin(), options)),
        false => capture::open(path, options),
    }
}

/// Reads a capture into the screen.
fn load(
    mut capture: Capture,
    follow: bool,
    mut decoder: Decoder,
    shared: &Arc<Shared>,
) -> Result<(), ShowError> {
    let mut feed = FileFeed(Feed::new(Arc::clone(shared)));
    if follow {
        shared.set_progress(Progress::Live);
    }
    let progressed = |progress: Option<capture::Progress>| {
        if let Some(progress) = progress.filter(|_| !follow) {
            shared.set_progress(Progress::Loading(progress.read, progress.len));
        }
    };
    let stop = || shared.is_stopped();
    let read = read(
        &mut capture,
        follow,
        &mut decoder,
        &mut feed,
        &progressed,
        &stop,
    );
    feed.0.catch_up(&mut decoder);
    let broken = read.as_ref().err().map(ToString::to_string);
    if let Some(broken) = &broken {
        shared.note(broken.clone());
    }
    shared.set_progress(Progress::Over(broken));
    read
}
