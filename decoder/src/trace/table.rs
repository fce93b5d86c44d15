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

/// Rows in the order of appearance. When there are too many of them, or they hold too much, the
/// oldest goes: asking for it then gives `None`, which every reader must be able to live with.
#[derive(Debug)]
pub struct Table<T> {
    rows: VecDeque<(T, usize)>,
    /// Rows that are gone from the front.
    gone: u64,
    limit: usize,
    /// Bytes that the rows hold besides themselves, and how many they may.
    weight: usize,
    weight_limit: usize,
}

impl<T> Table<T> {
    /// A table of at most `limit` rows, which hold at most `weight_limit` bytes.
    pub(crate) fn new(limit: usize, weight_limit: usize) -> Self {
        Table {
            rows: VecDeque::new(),
            gone: 0,
            limit: limit.max(1),
            weight: 0,
            weight_limit,
        }
    }

    /// Appends the row that `make` gives for its number. `weight` is how many bytes it holds
    /// besides itself: text that somebody sent.
    pub(crate) fn add(&mut self, weight: usize, make: impl FnOnce(Id<T>) -> T) -> Id<T> {
        while !self.rows.is_empty()
            && (self.rows.len() >= self.limit
                || self.weight.saturating_add(weight) > self.weight_limit)
        {
            let lightened = self.rows.pop_front().map_or(0, |(_, weight)| weight);
            self.weight = self.weight.saturating_sub(lightened);
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
        self.weight = self.weight.saturating_add(weight);
        self.rows.push_back((make(id), weight));
        id
    }

    /// A row came to hold `more` bytes than it was said to when it was added.
    pub(crate) fn add_weight(&mut self, id: Id<T>, more: usize) {
        let Some(index) = self.index(id) else { return };
        if let Some((_, weight)) = self.rows.get_mut(index) {
            *weight = weight.saturating_add(more);
            self.weight = self.weight.saturating_add(more);
        }
    }

    fn index(&self, id: Id<T>) -> Option<usize> {
        usize::try_from(id.number.checked_sub(self.gone)?.checked_sub(1)?).ok()
    }

    /// The row, unless it is gone.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.rows.get(self.index(id)?).map(|(row, _)| row)
    }

    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let index = self.index(id)?;
        self.rows.get_mut(index).map(|(row, _)| row)
    }

    /// The rows that are still there, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.rows.iter().map(|(row, _)| row)
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.rows.iter_mut().map(|(row, _)| row)
    }

    /// Becomes a copy of `source`: rows that are gone there go, new ones and those among `open`
    /// are copied; `open` is then what is not over.
    pub(super) fn follow_with(
        &mut self,
        source: &Table<T>,
        open: &mut Vec<Id<T>>,
        is_over: impl Fn(&T) -> bool,
        copy: impl Fn(&T) -> T,
    ) {
        while self.gone < source.gone {
            if self.rows.pop_front().is_none() {
                self.gone = source.gone;
                break;
            }
            self.gone = self.gone.saturating_add(1);
        }
        open.retain(|id| {
            let Some(row) = source.get(*id) else {
                return false;
            };
            if let Some(mine) = self.get_mut(*id) {
                *mine = copy(row);
            }
            !is_over(row)
        });
        let new = source.rows.iter().skip(self.rows.len());
        let first = self.gone.saturating_add(self.rows.len() as u64);
        for ((row, weight), before) in new.zip(first..) {
            if !is_over(row) {
                open.push(Id {
                    number: before.saturating_add(1),
                    row: PhantomData,
                });
            }
            self.rows.push_back((copy(row), *weight));
        }
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
        let mut table = Table::new(2, 100);
        let ids: Vec<_> = (0..3).map(|n| table.add(1, |_| n)).collect();
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

    #[test]
    fn old_rows_go_when_the_table_is_too_heavy() {
        let mut table = Table::new(100, 10);
        let ids: Vec<_> = [6, 3, 5, 50]
            .into_iter()
            .map(|n| table.add(n, |_| n))
            .collect();
        // The last one is too heavy by itself, and stands alone.
        let left: Vec<_> = ids.iter().map(|id| table.get(*id).copied()).collect();
        assert_eq!(left, [None, None, None, Some(50)]);
        table.add(1, |_| 1);
        assert_eq!((table.len(), table.gone()), (1, 4));
    }
}
