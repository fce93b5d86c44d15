//! Builds a directory with bollard: the local and tar exports by `POST /build` with a session, the image by
//! `Control.Solve` over `POST /grpc` and a session. The daemon is the one that `DOCKER_HOST` names.
//!
//! Steps and logs go to standard output. It ends with 0 when the daemon says that the build is done, with 1 when it
//! fails, and with 2 when it was called wrongly.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bollard::Docker;
use bollard::grpc::build::{
    ImageBuildFrontendOptions, ImageBuildLoadInput, ImageBuildNetworkMode, SecretSource,
};
use bollard::grpc::driver::Build as _;
use bollard::grpc::driver::moby::Moby;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptionsBuilder, BuilderVersion, ImageBuildOutput};
use bytes::Bytes;
use futures_util::TryStreamExt;

const USAGE: &str = "\
usage: buildtap-client-bollard [OPTIONS] MODE DEST CONTEXT

  MODE     local   DEST is a directory that gets the tree (POST /build)
           tar     DEST is a file that gets an archive (POST /build)
           image   DEST is the name of the image (Control.Solve)
  CONTEXT  the directory to build

  --file NAME          the Dockerfile, within the context (Dockerfile)
  --session ID         the id of the session of a POST /build (a fresh one)
  --secret ID=FILE     a secret for RUN --mount=type=secret; for images only
  --no-cache           use no result of an earlier build

There is no network for RUN.";

/// What the command line asks for.
struct Options {
    mode: Mode,
    dest: String,
    context: PathBuf,
    file: String,
    session: String,
    secrets: Vec<(String, PathBuf)>,
    no_cache: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Local,
    Tar,
    Image,
}

/// The command line does not say what to do.
#[derive(Debug)]
struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{USAGE}", self.0)
    }
}

impl Error for Misuse {}

impl From<lexopt::Error> for Misuse {
    fn from(error: lexopt::Error) -> Self {
        Misuse(error.to_string())
    }
}

impl Options {
    fn parse() -> Result<Self, Misuse> {
        use lexopt::prelude::*;
        let mut file = "Dockerfile".to_owned();
        let mut session = format!("bollard-{}", std::process::id());
        let mut secrets = Vec::new();
        let mut no_cache = false;
        let mut words = Vec::new();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("file") => file = parser.value()?.string()?,
                Long("session") => session = parser.value()?.string()?,
                Long("secret") => {
                    let secret = parser.value()?.string()?;
                    let (id, path) = secret.split_once('=').ok_or_else(|| {
                        Misuse(format!("--secret wants ID=FILE, which {secret} is not"))
                    })?;
                    secrets.push((id.to_owned(), path.into()));
                }
                Long("no-cache") => no_cache = true,
                Value(word) => words.push(word.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        let Ok([mode, dest, context]) = <[String; 3]>::try_from(words) else {
            return Err(Misuse("MODE, DEST and CONTEXT are needed".into()));
        };
        let mode = match mode.as_str() {
            "local" => Mode::Local,
            "tar" => Mode::Tar,
            "image" => Mode::Image,
            other => return Err(Misuse(format!("there is no mode {other}"))),
        };
        if mode != Mode::Image && !secrets.is_empty() {
            return Err(Misuse(
                "bollard has secrets for images only, in Control.Solve".into(),
            ));
        }
        Ok(Options {
            mode,
            dest,
            context: context.into(),
            file,
            session,
            secrets,
            no_cache,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(misuse) => {
            eprintln!("{misuse}");
            return ExitCode::from(2);
        }
    };
    match build(options).await {
        Ok(()) => {
            println!("the build is done");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the build failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn build(options: Options) -> Result<(), Box<dyn Error>> {
    let docker = Docker::connect_with_defaults()?;
    let context = archive(&options.context)?;
    match options.mode {
        Mode::Local => {
            let output = ImageBuildOutput::Local(options.dest.clone());
            post_build(&docker, &options, output, context).await
        }
        Mode::Tar => {
            let output = ImageBuildOutput::Tar(options.dest.clone());
            post_build(&docker, &options, output, context).await
        }
        Mode::Image => solve(&docker, &options, context).await,
    }
}

/// The directory as the tar that bollard sends.
fn archive(directory: &Path) -> std::io::Result<Bytes> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    tar.append_dir_all(".", directory)?;
    Ok(tar.into_inner()?.into())
}

/// `POST /build` with the context in its body, and a session for what comes back.
async fn post_build(
    docker: &Docker,
    options: &Options,
    output: ImageBuildOutput,
    context: Bytes,
) -> Result<(), Box<dyn Error>> {
    let parameters = BuildImageOptionsBuilder::default()
        .version(BuilderVersion::BuilderBuildKit)
        .dockerfile(&options.file)
        .session(&options.session)
        .outputs(output)
        .networkmode("none")
        .nocache(options.no_cache)
        .build();
    let body = bollard::body_full(context);
    let mut progress = std::pin::pin!(docker.build_image(parameters, None, Some(body)));
    while let Some(said) = progress.try_next().await? {
        tell(&said);
    }
    Ok(())
}

/// Prints the steps that begin, and what they print.
fn tell(said: &BuildInfo) {
    let Some(BuildInfoAux::BuildKit(status)) = &said.aux else {
        return;
    };
    for vertex in &status.vertexes {
        if vertex.started.is_some() && vertex.completed.is_none() {
            println!("{}", vertex.name);
        }
    }
    for log in &status.logs {
        print!("{}", String::from_utf8_lossy(&log.msg));
    }
}

/// `Control.Solve`; the daemon pulls the context and asks for secrets through the session.
async fn solve(docker: &Docker, options: &Options, context: Bytes) -> Result<(), Box<dyn Error>> {
    let mut frontend = ImageBuildFrontendOptions::builder()
        .dockerfile(Path::new(&options.file))
        .force_network_mode(&ImageBuildNetworkMode::None)
        .nocache(options.no_cache);
    for (id, path) in &options.secrets {
        frontend = frontend.set_secret(id, &SecretSource::File(path.clone()));
    }
    let context = ImageBuildLoadInput::Upload(context);
    Moby::new(docker)
        .docker_build(&options.dest, frontend.build(), context, None, None)
        .await?;
    Ok(())
}
