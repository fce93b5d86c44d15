//! What the benchmarks of the relay and of recording share: how they talk, measure and print.
#![allow(dead_code, reason = "every benchmark uses a part of it")]

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use buildtap::watch::Show;
use buildtap_decoder::Decoder;
use rustix::time::{ClockId, clock_gettime};

use crate::common::{Client, Daemon, Talk};

/// Takes the updates and shows nothing.
pub(crate) struct Silent;

impl Show for Silent {
    fn render(&mut self, decoder: &mut Decoder) {
        while decoder.take_update().is_some() {}
    }

    fn write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says it all, one after the other; gives how many bytes that were.
pub(crate) fn play(talk: Talk, client: &mut UnixStream, daemon: &mut UnixStream) -> u64 {
    let mut said = 0;
    for (from, mut bytes) in talk.0 {
        let (from, to) = match from {
            Client => (&mut *client, &mut *daemon),
            Daemon => (&mut *daemon, &mut *client),
        };
        from.write_all(&bytes).unwrap();
        to.read_exact(&mut bytes).unwrap();
        said += bytes.len() as u64;
    }
    said
}

/// Seconds.
pub(crate) fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// Median, smallest and largest.
pub(crate) fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    let most = values.iter().copied().fold(f64::MIN, f64::max);
    format!("{:5.2} ({least:.2} to {most:.2})", median(values.to_vec()))
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().expect(name),
        Err(_) => default,
    }
}
