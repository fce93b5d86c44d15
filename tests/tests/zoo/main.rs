//! The zoo: for every kind of finding somebody who misbehaves so, and a healthy twin who does not.
//!
//! An animal and its twin differ by one fault. Both run as the command of a real `buildtap run`, live: the animal gets its
//! finding as the first one, while it misbehaves, and `buildtap diagnose` names the same as the first cause afterwards;
//! the twin gets none, and ends with 0. `docs/zoo.md` is made from the same table.
//!
//! - [`table`]: what an animal is; [`sessions`], [`callbacks`], [`transfers`], [`builds`] and [`connections`]: the animals,
//!   in the families of the catalogue;
//! - [`keeper`]: lets them play; [`judge`]: looks what is said of them, and when;
//! - [`first_screen`]: what is seen of them without a key;
//! - [`between`]: what else is between the two sides;
//! - [`document`]: the table for people.
//!
//! Clients that misbehave before real daemons are in `tests/tests/docker`.

mod between;
mod builds;
mod callbacks;
mod connections;
mod document;
mod first_screen;
mod judge;
mod keeper;
mod sessions;
mod table;
mod transfers;

/// No test: the command that `buildtap run` runs for the animals, which is this program again.
#[test]
#[ignore = "is the client of the other tests"]
fn client() {
    keeper::client();
}

#[test]
fn animals_of_sessions() {
    keeper::show(sessions::ENTRIES);
}

#[test]
fn animals_of_callbacks() {
    keeper::show(callbacks::ENTRIES);
}

#[test]
fn animals_of_transfers() {
    keeper::show(transfers::ENTRIES);
}

#[test]
fn animals_of_builds() {
    keeper::show(builds::ENTRIES);
}

#[test]
fn animals_of_connections() {
    keeper::show(connections::ENTRIES);
}
