//! Splits one direction of the control connection into lines, independently of the chunks.

use memchr::memchr;

/// The longest line to parse, including its end. Reply lines of 17 kB occur; this leaves room and bounds the memory.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// The next piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole line with its LF.
    Line(Vec<u8>),
    /// A part of a line longer than [`MAX_LINE`], to pass on without parsing.
    Fragment {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether the line begins here.
        first: bool,
    },
}

/// Received bytes that have not been examined yet.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    bytes: Vec<u8>,
    /// The start of the unread part of `bytes`.
    start: usize,
    /// The length of the unread part that is known to contain no LF.
    searched: usize,
    /// Whether the next byte is inside a line that is too long.
    overlong: bool,
}

impl LineBuffer {
    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next piece; `None` until more bytes come.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        if self.overlong {
            return self.next_fragment();
        }
        let window = self.waiting().len().min(MAX_LINE);
        let unsearched = self.waiting().get(self.searched..window)?;
        if let Some(at) = memchr(b'\n', unsearched) {
            let length = self.searched + at + 1;
            return Some(Piece::Line(self.take(length)));
        }
        self.searched = window;
        if window < MAX_LINE {
            return None;
        }
        self.overlong = true;
        let bytes = self.take(MAX_LINE);
        Some(Piece::Fragment { bytes, first: true })
    }

    /// All unread bytes, even in the middle of a line.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        self.take(self.len())
    }

    /// Whether the beginning of a line has been taken, and not its end.
    pub(crate) fn is_inside_line(&self) -> bool {
        self.overlong
    }

    /// The number of unread bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn next_fragment(&mut self) -> Option<Piece> {
        if self.len() == 0 {
            return None;
        }
        let end = memchr(b'\n', self.waiting());
        self.overlong = end.is_none();
        let bytes = self.take(end.map_or(self.len(), |at| at + 1));
        Some(Piece::Fragment {
            bytes,
            first: false,
        })
    }

    /// The unread bytes.
    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let taken = self.waiting().get(..length).unwrap_or_default().to_vec();
        self.start += taken.len();
        self.searched = 0;
        if self.len() == 0 {
            // Most sessions are idle most of the time, and need no buffer then.
            self.bytes = Vec::new();
            self.start = 0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(buffer: &mut LineBuffer) -> Vec<Piece> {
        std::iter::from_fn(|| buffer.next()).collect()
    }

    fn line(text: &[u8]) -> Piece {
        Piece::Line(text.to_vec())
    }

    #[test]
    fn lines_end_with_crlf_or_lf_and_keep_it() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"one\r\ntwo\nthree\r\r\n\npart");
        let expected = [
            line(b"one\r\n"),
            line(b"two\n"),
            line(b"three\r\r\n"),
            line(b"\n"),
        ];
        assert_eq!(pieces(&mut buffer), expected);
        assert_eq!(buffer.take_rest(), b"part");
        assert_eq!(buffer.len(), 0);
    }

    #[test]
    fn a_line_of_exactly_the_bound_is_understood() {
        let mut text = vec![b'x'; MAX_LINE - 1];
        text.push(b'\n');
        let mut buffer = LineBuffer::default();
        buffer.push(&text);
        assert_eq!(pieces(&mut buffer), [line(&text)]);
    }

    #[test]
    fn a_longer_line_comes_in_fragments_and_the_next_line_is_whole() {
        let mut text = vec![b'x'; MAX_LINE];
        text.extend(b"\nnext\n");
        let mut buffer = LineBuffer::default();
        buffer.push(&text);
        let expected = [
            Piece::Fragment {
                bytes: vec![b'x'; MAX_LINE],
                first: true,
            },
            Piece::Fragment {
                bytes: b"\n".to_vec(),
                first: false,
            },
            line(b"next\n"),
        ];
        assert_eq!(pieces(&mut buffer), expected);
    }

    #[test]
    fn the_buffer_is_given_back_when_everything_was_taken() {
        let mut buffer = LineBuffer::default();
        buffer.push(&b"123456\r\n".repeat(1000));
        assert_eq!(pieces(&mut buffer).len(), 1000);
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut buffer = LineBuffer::default();
        for _ in 0..8 {
            buffer.push(&[b'x'; MAX_LINE]);
            assert_eq!(pieces(&mut buffer).len(), 1);
            assert_eq!(buffer.len(), 0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunking_does_not_change_the_lines(
            text in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..300),
            cuts in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let mut whole = LineBuffer::default();
            whole.push(&text);
            let mut chunked = LineBuffer::default();
            let mut seen = Vec::new();
            let mut rest = text.as_slice();
            for cut in cuts.iter().cycle() {
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                chunked.push(chunk);
                seen.extend(pieces(&mut chunked));
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(pieces(&mut whole), seen);
            prop_assert_eq!(whole.take_rest(), chunked.take_rest());
        }
    }
}
