//! How clients read passive replies.

use super::Found;
use super::scan::{
    digits, is_space, match_list, scan_dotted, scan_list, scan_number, starts, without_telnet,
};

/// What any client finds in what it was sent, with Telnet commands left in or out.
pub fn find(stream: &[u8]) -> Vec<Found> {
    let mut found = find_in(stream);
    found.extend(find_in(&without_telnet(stream)));
    found
}

fn find_in(stream: &[u8]) -> Vec<Found> {
    let lines: Vec<&[u8]> = stream.split_inclusive(|&byte| byte == b'\n').collect();
    let mut found = Vec::new();
    for line in &lines {
        found.extend(by_line(line));
    }
    for reply in replies(&lines) {
        found.extend(by_reply(&reply));
    }
    found
}

/// Readers that look at one line at a time, wherever it stands: curl takes any code with a blank for the end of a reply,
/// tnftp looks for the address on every line, others compare the first three letters.
fn by_line(line: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    match code(line) {
        Some(227) => {
            found.extend(curl_227(line));
            found.extend(tnftp_227(line));
            found.extend(anywhere(line));
            found.extend(without_blanks(line));
            found.extend(triple(line, true));
        }
        Some(228) => {
            found.extend(long_list(line));
        }
        Some(229) => {
            found.extend(curl_229(line));
            found.extend(third_delimiter(line));
            found.extend(triple(line, false));
            found.extend(anywhere(line));
        }
        _ => {}
    }
    found
}

/// Readers that look at whole replies.
fn by_reply(reply: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    match code(reply) {
        Some(227) => {
            let list = starts(reply).find_map(|at| match_list(unsigned(at), 6));
            found.extend(list.map(|numbers| of("ftplib 227", numbers)));
            found.extend(anywhere(reply));
        }
        Some(229) => {
            found.extend(ftplib_229(reply));
            found.extend(anywhere(reply));
        }
        _ => {}
    }
    found
}

/// Replies as `ftplib` takes them apart: `ddd-` goes on to a line of the same code without a hyphen.
fn replies(lines: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut replies: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<&[u8]> = None;
    for line in lines {
        let head = &line[..line.len().min(3)];
        let hyphen = line.get(3) == Some(&b'-');
        match open {
            Some(code) => {
                replies.last_mut().unwrap().extend_from_slice(line);
                if head == code && !hyphen {
                    open = None;
                }
            }
            None => {
                replies.push(line.to_vec());
                open = hyphen.then_some(head);
            }
        }
    }
    replies
}

fn of(reader: &'static str, numbers: Vec<i128>) -> Found {
    Found { reader, numbers }
}

fn code(line: &[u8]) -> Option<u16> {
    match line {
        [b'2', b'2', last @ b'7'..=b'9', ..] => Some(220 + u16::from(last - b'0')),
        _ => None,
    }
}

/// Without the sign that `starts` keeps.
fn unsigned(text: &[u8]) -> &[u8] {
    match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    }
}

/// The first place behind the code where six numbers of up to three digits stand with commas between.
fn curl_227(line: &[u8]) -> Option<Found> {
    let text = line.get(4..)?;
    let list = (0..text.len()).find_map(|at| match_list(&text[at..], 6));
    list.map(|numbers| of("curl 227", numbers))
}

/// From the first digit to a parenthesis or CR, through `sscanf`.
fn tnftp_227(line: &[u8]) -> Option<Found> {
    let text = line.get(4..)?;
    let start = text.iter().position(u8::is_ascii_digit)?;
    let end = text[start..]
        .iter()
        .position(|byte| matches!(byte, b'\r' | b')'));
    let captured = &text[start..end.map_or(text.len(), |end| start + end)];
    scan_list(captured, 6).map(|numbers| of("tnftp 227", numbers))
}

/// `sscanf` tried at each number, with commas or dots in the address.
fn anywhere(text: &[u8]) -> Vec<Found> {
    let lists = starts(text).filter_map(|at| scan_list(at, 6).or_else(|| scan_dotted(at)));
    lists.map(|numbers| of("sscanf", numbers)).collect()
}

/// Blanks behind the code are thrown away first.
fn without_blanks(line: &[u8]) -> Vec<Found> {
    let dense: Vec<u8> = line[3..]
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b' ' | b'\t'))
        .collect();
    let lists = starts(&dense).filter_map(|at| match_list(unsigned(at), 6));
    let first = lists.map(|numbers| of("without blanks", numbers)).next();
    first.into_iter().collect()
}

/// `4,4,a,b,c,d,2,high,low`.
fn long_list(text: &[u8]) -> Vec<Found> {
    let lists = starts(text).filter_map(|at| scan_list(at, 9));
    lists
        .filter(|numbers| numbers[..2] == [4, 4])
        .map(|numbers| of("inetutils 228", [&numbers[2..6], &numbers[7..]].concat()))
        .collect()
}

/// Behind the first parenthesis, three equal delimiters, digits and the delimiter again.
fn curl_229(line: &[u8]) -> Option<Found> {
    let text = behind_parenthesis(line)?;
    let &[d, second, third, ref rest @ ..] = text else {
        return None;
    };
    let (port, rest) = digits(rest)?;
    (second == d && third == d && rest.first() == Some(&d)).then(|| of("curl 229", vec![port]))
}

/// Behind the first parenthesis, whatever is behind the third delimiter.
fn third_delimiter(line: &[u8]) -> Option<Found> {
    let text = behind_parenthesis(line)?;
    let d = *text.first().filter(|byte| byte.is_ascii_graphic())?;
    let third = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == d)
        .nth(2)?
        .0;
    let (port, rest) = scan_number(&text[third + 1..])?;
    (rest.first() == Some(&d)).then(|| of("third delimiter", vec![port]))
}

/// Three equal delimiters and a number, wherever they stand, and a fourth delimiter if it is `closed`.
fn triple(text: &[u8], closed: bool) -> Vec<Found> {
    let found = text.windows(3).enumerate().filter_map(|(at, three)| {
        let d = three[0];
        let equal = three[1] == d && three[2] == d && d.is_ascii_punctuation();
        let (port, rest) = scan_number(&text[at + 3..]).filter(|_| equal)?;
        if closed && rest.first() != Some(&d) {
            return None;
        }
        Some(of("three delimiters", vec![port]))
    });
    found.collect()
}

fn behind_parenthesis(line: &[u8]) -> Option<&[u8]> {
    let at = line.iter().position(|&byte| byte == b'(')?;
    Some(&line[at + 1..])
}

/// Between the first parentheses, in five parts, the fourth through Python's `int`.
fn ftplib_229(reply: &[u8]) -> Option<Found> {
    let text = behind_parenthesis(reply)?;
    let end = text.iter().position(|&byte| byte == b')')?;
    let inner = &text[..end];
    let d = *inner.first()?;
    if inner.last() != Some(&d) {
        return None;
    }
    let parts: Vec<&[u8]> = inner.split(|&byte| byte == d).collect();
    let port = python_int(parts.get(3).filter(|_| parts.len() == 5)?)?;
    Some(of("ftplib 229", vec![port]))
}

/// Blanks around, a sign, underscores between digits; digits of other scripts count, and no number of ours has them.
fn python_int(text: &[u8]) -> Option<i128> {
    let dense: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| *byte != b'_' && !is_space(*byte))
        .collect();
    let body = unsigned(&dense);
    if body.iter().any(|byte| !byte.is_ascii()) {
        let other = |byte: &u8| byte.is_ascii_digit() || !byte.is_ascii();
        return body.iter().all(other).then_some(-1);
    }
    let (number, rest) = digits(body)?;
    rest.is_empty().then_some(number)
}
