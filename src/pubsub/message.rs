//! A message on its way to many clients: encoded once, whatever the number of those who get it.
//!
//! The two protocols write a message in the same way but for the first byte: RESP2 has an array where RESP3 has a push.
//! A short message is copied into each client's output, where it costs less than a reference to it would; a long one is
//! shared by all who speak the same protocol.

use std::rc::Rc;

use crate::resp::{Output, Proto, Reply};

/// From this many bytes on, a message is shared rather than copied.
pub const SHARED_FROM: usize = 2048;
/// The least room that the output of a client without a buffer gets for messages: several short ones fit without growth, and
/// it is less than a reply buffer, so that it is not lent to others for one.
const ROOM: usize = 896;

/// An encoded message.
pub struct Message {
    /// As RESP2 has it.
    encoded: Vec<u8>,
    /// The same in memory that outputs share, by protocol: made when first needed.
    shared: [Option<Rc<Vec<u8>>>; 2],
}

impl Message {
    /// A message of several strings: its type, the names it came by, and its contents.
    pub fn new(parts: &[&[u8]]) -> Message {
        let mut reply = Reply::default();
        reply.out.tail().reserve(parts.iter().map(|part| part.len() + 16).sum());
        reply.push(parts.len());
        for part in parts {
            reply.bulk(part);
        }
        Message { encoded: std::mem::take(reply.out.tail()), shared: [None, None] }
    }

    /// Puts the message behind everything that a client is to be sent.
    #[inline]
    pub fn queue(&mut self, proto: Proto, output: &mut Output) {
        if self.encoded.len() >= SHARED_FROM {
            return self.queue_shared(proto, output);
        }
        let tail = output.tail();
        let start = tail.len();
        if tail.capacity() == 0 {
            tail.reserve(self.encoded.len().max(ROOM));
        }
        tail.extend_from_slice(&self.encoded);
        if proto == Proto::Resp3 {
            tail[start] = b'>';
        }
    }

    fn queue_shared(&mut self, proto: Proto, output: &mut Output) {
        let shared = self.shared[(proto == Proto::Resp3) as usize].get_or_insert_with(|| {
            let mut encoded = self.encoded.clone();
            if proto == Proto::Resp3 {
                encoded[0] = b'>';
            }
            Rc::new(encoded)
        });
        output.push_shared(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_messages_look_the_same_in_both_protocols() {
        for payload in [0, 1, 100, SHARED_FROM, 100_000] {
            let payload = vec![b'x'; payload];
            let mut message = Message::new(&[b"message", b"ch", &payload]);
            for (proto, first) in [(Proto::Resp2, '*'), (Proto::Resp3, '>')] {
                let mut output = Output::default();
                output.tail().extend_from_slice(b"+OK\r\n");
                message.queue(proto, &mut output);
                message.queue(proto, &mut output);
                let mut sent = Vec::new();
                while !output.is_empty() {
                    assert!(output.write_to(&mut sent).is_ok());
                }
                let text = String::from_utf8_lossy(&payload);
                let one = format!("{first}3\r\n$7\r\nmessage\r\n$2\r\nch\r\n${}\r\n{text}\r\n", payload.len());
                assert_eq!(String::from_utf8_lossy(&sent), format!("+OK\r\n{one}{one}"));
            }
        }
    }
}
