//! The sockets that stand in for a daemon's: who may use them, what they may replace, and that
//! they are gone afterwards.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildtap::address::Address;
use buildtap::command::{ProxyOptions, proxy};
use buildtap::listen::{ListenError, Listener, MAX_SOCKET_PATH, PrivateDirectory};
use buildtap::notice::Notices;
use buildtap::tap::NullTap;
use buildtap::upstream::{Environment, resolve};
use tempfile::TempDir;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

async fn open(path: &Path) -> Result<Listener, ListenError> {
    Listener::open(&Address::Unix(path.to_owned()), false).await
}

async fn open_text(address: &str, allow_remote: bool) -> Result<Listener, ListenError> {
    Listener::open(&address.parse().unwrap(), allow_remote).await
}

#[tokio::test]
async fn private_sockets_are_for_the_user_alone_and_vanish() {
    let parent = TempDir::new().unwrap();
    let directory = PrivateDirectory::create(parent.path()).unwrap();
    let engine = Listener::private(&directory, "docker.sock").unwrap();
    let buildkit = Listener::private(&directory, "buildkitd.sock").unwrap();
    drop(directory);
    let path = engine.address().path().unwrap().to_owned();
    let place = path.parent().unwrap().to_owned();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&place), 0o700);
    drop(engine);
    assert!(!path.exists());
    assert!(place.exists(), "the other listener is still there");
    drop(buildkit);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_chosen_socket_is_for_the_user_alone_and_vanishes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap.sock");
    let listener = open(&path).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_took_the_place_of_a_socket_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap.sock");
    let listener = open(&path).await.unwrap();
    // Renamed, so that the inode is surely another one.
    fs::write(directory.path().join("new"), "somebody else's").unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    drop(listener);
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the file behind");
    let listener = open(&path).await.unwrap();
    assert_eq!(listener.address().path(), Some(path.as_path()));
}

#[tokio::test]
async fn a_socket_in_use_is_not_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap.sock");
    let owner = UnixListener::bind(&path).unwrap();
    let error = open(&path).await.unwrap_err();
    assert!(matches!(error, ListenError::InUse(_)));
    assert_eq!(
        error.to_string(),
        format!(
            "unix://{} is in use: another program listens there. Give another address with --listen, or stop that program",
            path.display()
        )
    );
    assert!(path.exists());
    drop(owner);
}

#[tokio::test]
async fn other_files_are_not_replaced() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "mine").unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("/nowhere", at("link")).unwrap();
    for (name, what) in [
        ("file", "not a socket"),
        ("directory", "a directory"),
        ("link", "a symbolic link"),
    ] {
        let error = open(&at(name)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("exists and is {what}")), "{error}");
    }
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "mine");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_said_to_be() {
    let directory = TempDir::new().unwrap();
    let base = directory.path().as_os_str().len() + 1;
    let path = |length: usize| directory.path().join("s".repeat(length - base));
    let listener = open(&path(MAX_SOCKET_PATH)).await.unwrap();
    drop(listener);
    let error = open(&path(MAX_SOCKET_PATH + 1)).await.unwrap_err();
    assert!(matches!(error, ListenError::PathTooLong(_)), "{error}");
}

#[tokio::test]
async fn a_missing_directory_is_said_to_be() {
    let error = open(Path::new("/nowhere/at/all.sock")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Check that the directory exists"),
        "{error}"
    );
}

#[tokio::test]
async fn tcp_is_local_unless_allowed() {
    let local = open_text("tcp://127.0.0.1:0", false).await.unwrap();
    let Address::Tcp { port, .. } = local.address() else {
        panic!("{local:?}");
    };
    assert_ne!(*port, 0);
    let again = open_text(&local.address().to_string(), false).await;
    assert!(matches!(again, Err(ListenError::InUse(_))), "{again:?}");

    let error = open_text("tcp://0.0.0.0:0", false).await.unwrap_err();
    assert!(error.to_string().contains("--allow-remote"), "{error}");
    open_text("tcp://0.0.0.0:0", true).await.unwrap();

    let error = open_text("tcp://no-such-name.invalid:0", false)
        .await
        .unwrap_err();
    assert!(matches!(error, ListenError::Resolve(..)), "{error}");
}

#[tokio::test]
async fn a_relay_to_itself_is_refused() {
    let directory = TempDir::new().unwrap();
    let address = Address::Unix(directory.path().join("docker.sock"));
    let options = ProxyOptions {
        listen: Some(address.clone()),
        allow_remote: false,
        upstreams: resolve(&Environment::of_process(), Some(&address)).unwrap(),
        socket_parent: PathBuf::new(),
        notices: Notices::none(),
    };
    let done = proxy(options, Arc::new(NullTap), |_| (), async {}).await;
    assert!(done.unwrap_err().to_string().contains("lead to itself"));
}
