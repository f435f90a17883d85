//! Encoding replies. A handler says what it answers; RESP2 or RESP3 decides how that looks.

use std::rc::Rc;

use super::output::{BY_REFERENCE, Output};
use crate::types::number::{F64_LEN, format_f64, push_header};

/// The protocol version a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Proto {
    /// RESP2, the default.
    #[default]
    Resp2 = 2,
    /// RESP3, chosen by HELLO 3.
    Resp3 = 3,
}

/// The replies of one client, being written.
#[derive(Default)]
pub struct Reply {
    /// Where the bytes go.
    pub out: Output,
    /// How they look.
    pub proto: Proto,
}

/// An array whose length is not known yet; see [`Reply::deferred_array`].
#[must_use]
pub struct Deferred {
    /// Where its header belongs, counted in bytes of the tail.
    at: usize,
    /// How many chunks there were: they may not change in between.
    chunks: usize,
}

impl Reply {
    #[inline]
    fn is_resp3(&self) -> bool {
        self.proto == Proto::Resp3
    }

    /// `<kind><number>\r\n`
    #[inline]
    fn header(&mut self, kind: u8, number: usize) {
        push_header(self.out.tail(), kind, number);
    }

    /// Bytes that are RESP already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.tail().extend_from_slice(bytes);
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A status line. `text` has no line end.
    pub fn status(&mut self, text: &str) {
        let tail = self.out.tail();
        tail.push(b'+');
        tail.extend_from_slice(text.as_bytes());
        tail.extend_from_slice(b"\r\n");
    }

    /// An error: its code and text without the dash. Line ends in it become spaces.
    pub fn error(&mut self, text: &[u8]) {
        let tail = self.out.tail();
        tail.push(b'-');
        tail.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        tail.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, number: i64) {
        match number {
            0..100 => self.header(b':', number as usize),
            _ => {
                let tail = self.out.tail();
                tail.push(b':');
                tail.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                tail.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A count or a length.
    #[inline]
    pub fn count(&mut self, number: usize) {
        self.integer(number as i64);
    }

    /// A string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        let tail = self.out.tail();
        tail.reserve(bytes.len() + 2);
        tail.extend_from_slice(bytes);
        tail.extend_from_slice(b"\r\n");
    }

    /// A string of the keyspace; a long one is sent by reference.
    pub fn blob(&mut self, blob: &Rc<Vec<u8>>) {
        if blob.len() < BY_REFERENCE {
            return self.bulk(blob);
        }
        self.header(b'$', blob.len());
        self.out.push_shared(blob);
        self.raw(b"\r\n");
    }

    /// A number as a string.
    pub fn bulk_integer(&mut self, number: i64) {
        self.bulk(itoa::Buffer::new().format(number).as_bytes());
    }

    /// "There is no such value."
    #[inline]
    pub fn null(&mut self) {
        self.raw(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// "There is no such array."
    pub fn null_array(&mut self) {
        self.raw(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// An array of `len` replies that follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// A map of `pairs` keys and values that follow in turn.
    pub fn map(&mut self, pairs: usize) {
        if self.is_resp3() {
            self.header(b'%', pairs);
        } else {
            self.header(b'*', pairs * 2);
        }
    }

    /// A set of `len` replies that follow.
    pub fn set(&mut self, len: usize) {
        self.header(if self.is_resp3() { b'~' } else { b'*' }, len);
    }

    /// A floating-point number, in RESP2 as a string.
    pub fn double(&mut self, number: f64) {
        let mut buffer = [0; F64_LEN];
        let text = format_f64(number, &mut buffer);
        if self.is_resp3() {
            let tail = self.out.tail();
            tail.push(b',');
            tail.extend_from_slice(text);
            tail.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// True or false, in RESP2 as 1 or 0.
    pub fn boolean(&mut self, truth: bool) {
        if self.is_resp3() {
            self.raw(if truth { b"#t\r\n" } else { b"#f\r\n" });
        } else {
            self.integer(truth as i64);
        }
    }

    /// An integer of any size, given as its decimal text; in RESP2 a string.
    pub fn big_number(&mut self, digits: &str) {
        if self.is_resp3() {
            let tail = self.out.tail();
            tail.push(b'(');
            tail.extend_from_slice(digits.as_bytes());
            tail.extend_from_slice(b"\r\n");
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    /// Text for a person, with its format in three letters (`txt`, `mkd`); in RESP2 a string.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        if self.is_resp3() {
            self.header(b'=', text.len() + 4);
            let tail = self.out.tail();
            tail.extend_from_slice(format.as_bytes());
            tail.push(b':');
            tail.extend_from_slice(text);
            tail.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// Attributes of the reply that follows; RESP2 has no word for them, so the caller writes none there.
    pub fn attribute(&mut self, pairs: usize) {
        debug_assert!(self.is_resp3());
        self.header(b'|', pairs);
    }

    /// An out-of-band message of `len` replies; in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.header(if self.is_resp3() { b'>' } else { b'*' }, len);
    }

    /// Starts an array whose length is told by [`Reply::finish_array`]; until then nothing may be sent by reference.
    pub fn deferred_array(&mut self) -> Deferred {
        Deferred { at: self.out.tail().len(), chunks: self.out.chunks() }
    }

    /// Ends an array started by [`Reply::deferred_array`].
    pub fn finish_array(&mut self, array: Deferred, len: usize) {
        self.finish(b'*', array, len);
    }

    /// Ends what was started by [`Reply::deferred_array`] as a set.
    pub fn finish_set(&mut self, set: Deferred, len: usize) {
        self.finish(if self.is_resp3() { b'~' } else { b'*' }, set, len);
    }

    /// Ends what was started by [`Reply::deferred_array`] as a map of `pairs` keys and values.
    pub fn finish_map(&mut self, map: Deferred, pairs: usize) {
        if self.is_resp3() {
            self.finish(b'%', map, pairs);
        } else {
            self.finish(b'*', map, pairs * 2);
        }
    }

    fn finish(&mut self, kind: u8, array: Deferred, len: usize) {
        self.finish_with(array, |reply| reply.header(kind, len));
    }

    /// Puts what is written now where [`Reply::deferred_array`] was asked for a place.
    pub fn finish_with(&mut self, place: Deferred, write: impl FnOnce(&mut Reply)) {
        assert_eq!(place.chunks, self.out.chunks(), "what was deferred holds no shared values");
        let body_end = self.out.tail().len();
        write(self);
        let written = self.out.tail().len() - body_end;
        self.out.tail()[place.at..].rotate_right(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_in_both_protocols() {
        type Case = (&'static str, fn(&mut Reply), &'static str, &'static str);
        let cases: &[Case] = &[
            ("status", |r| r.status("PONG"), "+PONG\r\n", "+PONG\r\n"),
            ("error", |r| r.error(b"ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            ("integer", |r| r.integer(-5), ":-5\r\n", ":-5\r\n"),
            ("small integer", |r| r.integer(9), ":9\r\n", ":9\r\n"),
            ("large integer", |r| r.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            ("bulk", |r| r.bulk(b"ab\r\n"), "$4\r\nab\r\n\r\n", "$4\r\nab\r\n\r\n"),
            ("null", |r| r.null(), "$-1\r\n", "_\r\n"),
            ("null array", |r| r.null_array(), "*-1\r\n", "_\r\n"),
            ("array", |r| r.array(12), "*12\r\n", "*12\r\n"),
            ("map", |r| r.map(2), "*4\r\n", "%2\r\n"),
            ("set", |r| r.set(2), "*2\r\n", "~2\r\n"),
            ("double", |r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            ("true", |r| r.boolean(true), ":1\r\n", "#t\r\n"),
            ("false", |r| r.boolean(false), ":0\r\n", "#f\r\n"),
            ("big number", |r| r.big_number("123"), "$3\r\n123\r\n", "(123\r\n"),
            ("verbatim", |r| r.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            ("push", |r| r.push(3), "*3\r\n", ">3\r\n"),
        ];
        for (name, write, resp2, resp3) in cases {
            for (proto, expected) in [(Proto::Resp2, resp2), (Proto::Resp3, resp3)] {
                let mut reply = Reply { proto, ..Reply::default() };
                write(&mut reply);
                assert_eq!(String::from_utf8_lossy(reply.out.tail()), *expected, "{name} in {proto:?}");
            }
        }
    }

    #[test]
    fn a_deferred_array_gets_its_length_in_front() {
        for len in [0, 9, 10, 1000] {
            let mut reply = Reply::default();
            reply.ok();
            let array = reply.deferred_array();
            (0..len).for_each(|n| reply.integer(n));
            reply.finish_array(array, len as usize);
            let mut expected = Reply::default();
            expected.ok();
            expected.array(len as usize);
            (0..len).for_each(|n| expected.integer(n));
            assert_eq!(reply.out.tail(), expected.out.tail());
        }
    }
}
