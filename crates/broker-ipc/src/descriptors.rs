//! Descriptors that one process sends to another over a datagram socket, each with a text that says what it is.
//!
//! A service manager takes descriptors in this way (`sd_pid_notify_with_fds(3)`), and so does a daemon that replaces
//! another one.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;

/// How long a receiver may be behind. One that is longer behind hangs.
const RECEIVER_LIMIT: Duration = Duration::from_secs(10);

/// The longest text. A service manager accepts more, but nobody here says so much.
const MAX_TEXT: usize = 1024;

/// Sends one descriptor, or a text alone, to the socket at a path. Waits if the receiver is behind.
///
/// # Errors
/// The system's reason.
pub fn send(to: &Path, text: &str, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(to)?;
    socket.set_write_timeout(Some(RECEIVER_LIMIT))?;
    let descriptors = descriptor.as_slice();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let text = [IoSlice::new(text.as_bytes())];
    sendmsg(&socket, &text, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the next text, with its descriptor if it has one.
///
/// # Errors
/// The system's reason, or that the message is longer than any that is sent here.
pub async fn receive(socket: &tokio::net::UnixDatagram) -> io::Result<(String, Option<OwnedFd>)> {
    let receive = || {
        let mut text = [0; MAX_TEXT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut text)];
        let received = recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        if received.flags.intersects(cut) {
            return Err(io::Error::other("a message with a descriptor is too long"));
        }
        let descriptor = ancillary.drain().find_map(descriptor_in);
        let text = text.get(..received.bytes).unwrap_or_default();
        Ok((String::from_utf8_lossy(text).into_owned(), descriptor))
    };
    socket.async_io(Interest::READABLE, receive).await
}

fn descriptor_in(message: RecvAncillaryMessage<'_>) -> Option<OwnedFd> {
    if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
        descriptors.next()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn a_descriptor_arrives_with_its_text() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = (directory.path().join("s"), directory.path().join("f"));
        std::fs::write(&file, "content").unwrap();
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        send(&path, "name", Some(File::open(&file).unwrap().as_fd())).unwrap();
        send(&path, "no more", None).unwrap();
        let (text, descriptor) = receive(&socket).await.unwrap();
        let mut content = String::new();
        let mut received = File::from(descriptor.unwrap());
        received.read_to_string(&mut content).unwrap();
        assert_eq!((text.as_str(), content.as_str()), ("name", "content"));
        let (text, descriptor) = receive(&socket).await.unwrap();
        assert!(text == "no more" && descriptor.is_none());
    }
}
