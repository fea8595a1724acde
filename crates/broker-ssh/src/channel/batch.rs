//! Pieces that arrived one by one and are passed on with one system call

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// The most pieces in one batch: 1 MiB with the largest packets, more than one read from the SSH server returns.
pub(super) const MOST: usize = 16;

/// Bytes in several pieces, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch(VecDeque<Bytes>);

impl Batch {
    /// Adds a piece; returns whether there is room for one more.
    pub(super) fn push(&mut self, piece: Bytes) -> bool {
        self.0.push_back(piece);
        self.0.len() < MOST
    }
}

impl From<Bytes> for Batch {
    fn from(first: Bytes) -> Self {
        Self(VecDeque::from([first]))
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = slices.iter_mut().zip(&self.0);
        pieces
            .map(|(slice, piece)| *slice = IoSlice::new(piece))
            .count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.0.front_mut() {
            if count < front.len() {
                return front.advance(count);
            }
            count -= front.len();
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pieces_are_passed_on_in_order_however_much_is_taken() {
        for taken in 1..=9 {
            let mut batch = Batch::from(Bytes::from_static(b"abc"));
            batch.push(Bytes::from_static(b"d"));
            batch.push(Bytes::from_static(b"efghi"));
            let mut seen = Vec::new();
            while batch.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 2];
                let filled = batch.chunks_vectored(&mut slices);
                let offered = slices[..filled].iter().flat_map(|slice| slice.to_vec());
                let offered: Vec<u8> = offered.collect();
                let taken = taken.min(offered.len());
                seen.extend_from_slice(&offered[..taken]);
                batch.advance(taken);
            }
            assert_eq!(seen, b"abcdefghi");
        }
    }

    #[test]
    fn a_batch_is_full_at_its_bound() {
        let mut batch = Batch::default();
        let rooms = (0..MOST).map(|_| batch.push(Bytes::from_static(b"x")));
        assert_eq!(rooms.filter(|room| !room).count(), 1);
    }
}
