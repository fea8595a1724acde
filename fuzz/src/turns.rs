//! Makes a conversation out of the fuzzer's bytes.

use crate::oracle::Turn;

/// The bytes in pieces of one peer, each with an answer of the other behind it. A byte before each piece says how long it is
/// and which answer follows.
pub fn of(
    mut data: &[u8],
    answers: &[&[u8]; 8],
    speaker: fn(Vec<u8>) -> Turn,
    answerer: fn(Vec<u8>) -> Turn,
) -> Vec<Turn> {
    let mut turns = Vec::new();
    while let [head, rest @ ..] = data {
        let length = usize::from(head >> 3) * 4;
        let (piece, tail) = rest.split_at(length.min(rest.len()));
        turns.push(speaker(piece.to_vec()));
        turns.push(answerer(answers[usize::from(head & 7)].to_vec()));
        data = tail;
    }
    turns
}
