//! What C's and Python's libraries read as numbers.

/// What `isspace` says in C's locale.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The rest behind what C passes over.
pub fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    &text[spaces..]
}

/// `%d` and `%u`: blanks, a sign, digits.
pub fn scan_number(text: &[u8]) -> Option<(i128, &[u8])> {
    let text = skip_spaces(text);
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (number, rest) = digits(text)?;
    Some((if negative { -number } else { number }, rest))
}

/// One digit or more. What is too large for anything stays too large.
pub fn digits(text: &[u8]) -> Option<(i128, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text[..length]
        .iter()
        .take(30)
        .fold(0, |number, digit| number * 10 + i128::from(digit - b'0'));
    (length > 0).then(|| (number, &text[length..]))
}

/// `atoi`: 0 where there is no number.
pub fn atoi(text: &[u8]) -> i128 {
    scan_number(text).map_or(0, |(number, _)| number)
}

/// `%d,%d,…`, as many as wanted.
pub fn scan_list(text: &[u8], count: usize) -> Option<Vec<i128>> {
    list(text, count, scan_number, |_| b',')
}

/// `(\d+),(\d+),…`, as many as wanted.
pub fn match_list(text: &[u8], count: usize) -> Option<Vec<i128>> {
    list(text, count, digits, |_| b',')
}

/// `%d.%d.%d.%d,%d,%d`.
pub fn scan_dotted(text: &[u8]) -> Option<Vec<i128>> {
    list(text, 6, scan_number, |at| if at < 4 { b'.' } else { b',' })
}

fn list<'a>(
    text: &'a [u8],
    count: usize,
    number: impl Fn(&'a [u8]) -> Option<(i128, &'a [u8])>,
    separator: impl Fn(usize) -> u8,
) -> Option<Vec<i128>> {
    let (first, mut rest) = number(text)?;
    let mut numbers = vec![first];
    while numbers.len() < count {
        rest = rest.strip_prefix(&[separator(numbers.len())])?;
        let (next, behind) = number(rest)?;
        numbers.push(next);
        rest = behind;
    }
    Some(numbers)
}

/// Every place where a number could be read from.
pub fn starts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inside = |at: usize| at > 0 && text[at - 1].is_ascii_digit();
    (0..text.len())
        .filter(move |&at| text[at].is_ascii_digit() && !inside(at))
        .map(|at| match at.checked_sub(1).map(|before| text[before]) {
            Some(b'+' | b'-') => &text[at - 1..],
            _ => &text[at..],
        })
}

/// Telnet commands as two bytes, with the option as a third where there is one.
pub fn without_telnet(stream: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = stream;
    loop {
        rest = match rest {
            [] => return plain,
            [255, 251..=254, _, tail @ ..] => tail,
            [255, 255, tail @ ..] => {
                plain.push(255);
                tail
            }
            [255, _, tail @ ..] | [255, tail @ ..] => tail,
            [byte, tail @ ..] => {
                plain.push(*byte);
                tail
            }
        };
    }
}
