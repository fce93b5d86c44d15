//! The `buildtap` program: arguments in, exit code out.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use buildtap::child::Signals;
use buildtap::cli::{Cli, Command, ProxyArgs, RunArgs};
use buildtap::command::{self, Listening, ProxyOptions, RunOptions};
use buildtap::error::{Error, FAILURE};
use buildtap::notice::Notices;
use buildtap::tap::Tap;
use buildtap::upstream::{self, Environment};
use buildtap_decoder::event::{Closed, TapEvent, TapId, Time};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let on_run = matches!(cli.command, Command::Run(_));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(
                &Error::System {
                    doing: "start the I/O threads",
                    error,
                },
                on_run,
            );
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run(args).await,
            Command::Proxy(args) => proxy(args).await,
            Command::Show(_) | Command::Demo(_) => {
                eprintln!("buildtap: this command is not there yet");
                Ok(ExitCode::from(FAILURE))
            }
        }
    });
    done.unwrap_or_else(|error| failed(&error, on_run))
}

fn failed(error: &Error, on_run: bool) -> ExitCode {
    eprintln!("buildtap: {error}");
    ExitCode::from(if on_run {
        error.run_exit_code()
    } else {
        FAILURE
    })
}

async fn run(args: RunArgs) -> Result<ExitCode, Error> {
    let environment = Environment::of_process();
    let tap = Arc::new(CountingTap::default());
    let options = RunOptions {
        command: args.command,
        upstreams: upstream::resolve(&environment, args.upstream.as_ref())?,
        socket_parent: command::socket_parent(&environment),
        notices: Notices::stderr(),
    };
    let status = command::run(options, Arc::clone(&tap) as Arc<dyn Tap>, |_| ()).await?;
    tap.print();
    Ok(ExitCode::from(status.0))
}

async fn proxy(args: ProxyArgs) -> Result<ExitCode, Error> {
    let environment = Environment::of_process();
    let tap = Arc::new(CountingTap::default());
    let options = ProxyOptions {
        listen: args.listen,
        allow_remote: args.allow_remote,
        upstreams: upstream::resolve(&environment, args.upstream.as_ref())?,
        socket_parent: command::socket_parent(&environment),
        notices: Notices::stderr(),
    };
    let mut signals = Signals::take().map_err(|error| Error::System {
        doing: "take over signals",
        error,
    })?;
    command::proxy(
        options,
        Arc::clone(&tap) as Arc<dyn Tap>,
        print_listening,
        signals.stop(),
    )
    .await?;
    tap.print();
    Ok(ExitCode::SUCCESS)
}

/// In a form that a shell can take over.
fn print_listening(listening: &Listening) {
    for point in &listening.points {
        let upstream = &point.upstream;
        eprintln!(
            "buildtap: {} leads to {} (from {})",
            point.address, upstream.address, upstream.chosen_by
        );
        for variable in upstream.role.variables() {
            eprintln!("  export {variable}={}", point.address);
        }
    }
}

/// Counts bytes per connection.
#[derive(Default)]
struct CountingTap(Mutex<BTreeMap<TapId, Counts>>);

#[derive(Default)]
struct Counts {
    bytes: [u64; 2],
    client: Option<String>,
    daemon: String,
    how: Option<Closed>,
}

impl CountingTap {
    fn print(&self) {
        let connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, counts) in connections.iter() {
            eprintln!(
                "buildtap: connection {}: {} -> {}: {} bytes there, {} back, {:?}",
                id.0,
                counts.client.as_deref().unwrap_or("client"),
                counts.daemon,
                counts.bytes[0],
                counts.bytes[1],
                counts.how
            );
        }
    }
}

impl Tap for CountingTap {
    fn event(&self, id: TapId, _: Time, event: TapEvent<'_>) {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = connections.entry(id).or_default();
        match event {
            TapEvent::Open(endpoints) => {
                counts.client = endpoints.client_process.or(Some(endpoints.client));
                counts.daemon = endpoints.daemon;
            }
            TapEvent::Chunk { from, bytes } => counts.bytes[from.index()] += bytes.len() as u64,
            TapEvent::Close { how } => counts.how = Some(how),
            _ => {}
        }
    }
}
