//! A bounded table of numbered rows.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// The number of a row of a [`Table<T>`]: counted from 1 in the order of appearance, never reused.
pub struct Id<T> {
    number: u64,
    row: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The number as people see it.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// Rows in the order of appearance. When `limit` is reached the oldest row goes: asking for it
/// then gives `None`, which every reader must be able to live with.
#[derive(Debug)]
pub struct Table<T> {
    rows: VecDeque<T>,
    /// Rows that are gone from the front.
    gone: u64,
    limit: usize,
}

impl<T> Table<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Table {
            rows: VecDeque::new(),
            gone: 0,
            limit: limit.max(1),
        }
    }

    /// Appends the row that `make` gives for its number.
    pub(crate) fn add(&mut self, make: impl FnOnce(Id<T>) -> T) -> Id<T> {
        if self.rows.len() >= self.limit {
            self.rows.pop_front();
            self.gone = self.gone.saturating_add(1);
        }
        let number = self
            .gone
            .saturating_add(self.rows.len() as u64)
            .saturating_add(1);
        let id = Id {
            number,
            row: PhantomData,
        };
        self.rows.push_back(make(id));
        id
    }

    fn index(&self, id: Id<T>) -> Option<usize> {
        usize::try_from(id.number.checked_sub(self.gone)?.checked_sub(1)?).ok()
    }

    /// The row, unless it is gone.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.rows.get(self.index(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let index = self.index(id)?;
        self.rows.get_mut(index)
    }

    /// The rows that are still there, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.rows.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.rows.iter_mut()
    }

    /// How many rows there are now.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows had to go to keep the limit.
    pub fn gone(&self) -> u64 {
        self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_row_goes_when_the_table_is_full() {
        let mut table = Table::new(2);
        let ids: Vec<_> = (0..3).map(|n| table.add(|_| n)).collect();
        assert_eq!(
            ids.iter().map(|id| id.number()).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(
            ids.iter()
                .map(|id| table.get(*id).copied())
                .collect::<Vec<_>>(),
            [None, Some(1), Some(2)]
        );
        assert_eq!((table.len(), table.gone()), (2, 1));
    }
}
