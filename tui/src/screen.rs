//! The terminal: taken, drawn to, listened to, and given back whatever happens.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use buildtap_decoder::event::Time;
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
    Event, KeyEventKind,
};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::app::{App, Effect};
use crate::model::Shared;

/// How often what is new is drawn.
const FRAME: Duration = Duration::from_millis(50);
/// How often it is drawn when nothing is new, for the ages that grow.
const IDLE: Duration = Duration::from_millis(250);
/// Events of the terminal that are taken between two drawings.
const BURST: usize = 256;

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, from when it was taken to when it is dropped.
#[derive(Debug)]
struct Guard;

impl Guard {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Guard;
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            EnableMouseCapture,
            EnableBracketedPaste,
            crossterm::cursor::Hide
        )?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, if it was taken: whoever ends the program in another way calls this
/// first.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Nobody is left to be told if this fails.
    let _ = execute!(
        io::stdout(),
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        crossterm::cursor::Show
    );
    let _ = disable_raw_mode();
}

thread_local! {
    /// Whether this thread draws.
    static DRAWS: Cell<bool> = const { Cell::new(false) };
}

/// Lets a panic be read on a terminal that is as it was. Other threads that panic do not end the
/// screen, and must not write on it.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if DRAWS.get() {
                restore();
            }
            if !TAKEN.load(Ordering::SeqCst) {
                before(panic);
            }
        }));
    });
}

/// Shows the store until the user leaves, or [`Shared::stop`] is called. When it returns, which
/// may be by a panic, the terminal is as it was, and whoever feeds the store is asked to stop.
pub fn show(shared: &Arc<Shared>, app: App) -> io::Result<()> {
    /// Asks for the end when it is dropped.
    struct Stop<'a>(&'a Shared);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.stop();
            DRAWS.set(false);
        }
    }
    restore_on_panic();
    DRAWS.set(true);
    let _stop = Stop(shared);
    run(shared, app)
}

fn run(shared: &Arc<Shared>, mut app: App) -> io::Result<()> {
    let _guard = Guard::take()?;
    // How tests show that the terminal is given back after a panic.
    let fails = std::env::var_os("BUILDTAP_TEST_FAIL_SCREEN").is_some();
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let events = listen(shared)?;
    let mut drawn = None;
    let mut at = Instant::now();
    loop {
        if shared.is_stopped() {
            return Ok(());
        }
        let revision = shared.revision();
        let due = match drawn {
            None => true,
            Some(seen) if seen != revision => at.elapsed() >= FRAME,
            Some(_) => at.elapsed() >= IDLE,
        };
        if due {
            draw(shared, &mut app, &mut terminal)?;
            settle(shared, &mut app)?;
            assert!(!fails, "the screen was asked to fail here");
            drawn = Some(revision);
            at = Instant::now();
        }
        let wait = match drawn == Some(shared.revision()) {
            true => IDLE,
            false => FRAME,
        };
        let wait = wait
            .saturating_sub(at.elapsed())
            .max(Duration::from_millis(1));
        // A moment's wait even if it is due: keys come first.
        let first = match events.recv_timeout(wait.min(FRAME)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        for event in std::iter::once(first).chain(events.try_iter()).take(BURST) {
            let event = event?;
            if matches!(event, Event::Resize(..)) {
                // What was on it may be gone, even if it is as large as before by now.
                // (Terminal::clear would ask the terminal where its cursor is.)
                let size = terminal.size()?;
                terminal.resize(size.into())?;
            }
            handle(shared, &mut app, event);
        }
        drawn = None;
        if !settle(shared, &mut app)? {
            return Ok(());
        }
    }
}

/// What the terminal sends, read in a thread of its own: the beginning of a key that is never
/// completed would keep the screen from being drawn.
fn listen(shared: &Arc<Shared>) -> io::Result<Receiver<io::Result<Event>>> {
    let (sender, events) = sync_channel(BURST);
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("keys".into());
    thread.spawn(move || {
        while !shared.is_stopped() {
            let event = match event::poll(FRAME) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let is_last = event.is_err();
            // Nobody listens any more if this fails.
            if sender.send(event).is_err() || is_last {
                break;
            }
        }
    })?;
    Ok(events)
}

/// Does what the screen wants done outside of it; false if that is its end.
fn settle(shared: &Arc<Shared>, app: &mut App) -> io::Result<bool> {
    for effect in app.effects() {
        match effect {
            Effect::Quit => return Ok(false),
            Effect::Copy(text) => {
                execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))?;
            }
            Effect::Save(path, text) => {
                let said = match save(&path, &text) {
                    Ok(()) => format!("saved as {}", path.display()),
                    Err(error) => format!("cannot save as {} ({error})", path.display()),
                };
                app.say(said);
            }
            Effect::SaveCapture(path, taps) => shared.save(path, taps),
            Effect::Pause(paused) => shared.pause(paused),
            Effect::ToCommand(what) => shared.to_command(what),
        }
    }
    Ok(true)
}

/// Writes a new file, for its owner alone.
fn save(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Draws into memory with the store locked, and onto the terminal without.
fn draw(
    shared: &Arc<Shared>,
    app: &mut App,
    terminal: &mut Terminal<CrosstermBackend<io::Stdout>>,
) -> io::Result<()> {
    // A hung-up terminal may tell nobody: its signal can be ignored, and writing nothing succeeds.
    if !io::stdout().is_terminal() {
        return Err(io::Error::other("it is gone"));
    }
    terminal.autoresize()?;
    {
        let mut frame = terminal.get_frame();
        let area = frame.area();
        let store = shared.lock();
        let now = now(&store);
        app.draw(&store, now, area, frame.buffer_mut());
    }
    terminal.flush()?;
    terminal.swap_buffers();
    io::stdout().flush()
}

/// What ages count to: the present moment as long as more may come.
fn now(store: &crate::model::Store) -> Time {
    match store.is_live() && !store.is_paused() {
        true => Time::now().max(store.now),
        false => store.now,
    }
}

fn handle(shared: &Arc<Shared>, app: &mut App, event: Event) {
    let store = shared.lock();
    let now = now(&store);
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => app.key(key, &store, now),
        Event::Mouse(mouse) => app.mouse(mouse, &store, now),
        _ => {}
    }
}
