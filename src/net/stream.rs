//! A connected socket, TCP or Unix.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::net::{TcpStream, UnixStream};
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// A non-blocking connection.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }

    /// Whether the client is on a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Stream::Unix(_))
    }

    /// Lets the system gather small pieces into large packets, at the price of delay.
    pub fn delay(&self) {
        if let Stream::Tcp(stream) = self
            && let Err(error) = stream.set_nodelay(false)
        {
            log::debug!("TCP_NODELAY stays set: {error}");
        }
    }

    /// The stream as mio registers it.
    pub fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }

    /// Appends up to `most` bytes to a buffer without clearing the memory first. Returns how many came; 0 at the end
    /// of the stream.
    ///
    /// # Errors
    /// Those of the socket, `WouldBlock` included.
    #[inline]
    pub fn read_into(&mut self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        buffer.reserve(most);
        let spare = &mut buffer.spare_capacity_mut()[..most];
        let ((came, _), _) = recv(self.socket(), spare, RecvFlags::empty())?;
        let read = came.len();
        // SAFETY: the kernel wrote that many bytes behind the buffer's end, within its capacity.
        unsafe { buffer.set_len(buffer.len() + read) };
        Ok(read)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.socket(), bytes, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(pieces),
            Stream::Unix(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
