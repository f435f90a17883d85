//! The debugger of scripts: what somebody who debugs one can ask for, and what they are shown.
//!
//! A session is one run of one script. The script stops before lines; while it stands, its client sends requests, each an
//! array of strings that is a command of the debugger, and gets an array of lines for each. What happens between two stops
//! (calls of commands, their replies, errors, what the script itself says) is shown with the next stop.
//!
//! This is the part that knows neither the interpreter, whose hooks ask it where to stop (`script/vm/debug.rs`), nor the
//! connection, which belongs to the [`Host`](super::Host).

mod text;

use memchr::memchr;

use crate::resp::request::Parsed;
use crate::resp::{Limits, RequestParser};
use crate::types::number::{leading_i64, parse_i64};
pub use text::write_reply;

/// A script has at most so many breakpoints.
const BREAKPOINTS_MAX: usize = 64;
/// Replies and values are shown up to so many bytes, unless `maxlen` says something else.
const SHOWN: usize = 256;
/// `maxlen` does not go below this.
const SHOWN_MIN: i64 = 60;
/// Bytes of lines that are kept for the next stop. What a script says in a loop beyond that is left out.
const LOG_MAX: usize = 16 << 20;
/// Of values without a limit, so many bytes are shown.
const VALUE_MAX: usize = 1 << 20;
/// Bytes of a request that has not arrived in full.
const REQUEST_MAX: usize = 1 << 20;
/// No argument of a request is longer.
const ARGUMENT_MAX: u64 = 16 * 1024;
/// So many words of a command are shown.
const WORDS_SHOWN: usize = 10;

const HELP: &[&str] = &[
    "Redis Lua debugger help:",
    "[h]elp               Show this help.",
    "[s]tep               Run to the next line.",
    "[n]ext               The same.",
    "[c]ontinue           Run to the next breakpoint.",
    "[l]ist               Show the code around this line.",
    "[l]ist [line]        Show the code around that line; 0 is this line.",
    "[l]ist [line] [ctx]  Show as many lines of code before and behind it.",
    "[w]hole              Show all code.",
    "[p]rint              Show the local variables of this function.",
    "[p]rint <var>        Show a variable, of this function or its callers.",
    "                     KEYS and ARGV are known, too.",
    "[b]reak              Show the breakpoints.",
    "[b]reak <line>       Set a breakpoint.",
    "[b]reak -<line>      Remove a breakpoint.",
    "[b]reak 0            Remove all breakpoints.",
    "[t]race              Show which functions led here.",
    "[e]val <code>        Run some Lua code, which does not see local variables.",
    "[r]edis <cmd>        Run a command.",
    "[m]axlen [len]       Show or set how much of a reply or value is shown;",
    "                     0 is all of it.",
    "[a]bort              End the script. What it did in a session begun with",
    "                     SCRIPT DEBUG SYNC stays.",
    "",
    "What scripts can call:",
    "redis.debug()        Show its arguments.",
    "redis.breakpoint()   Stop before the next line.",
];

/// What a request asks of the interpreter.
#[derive(PartialEq, Eq, Debug)]
pub enum Request {
    /// Nothing: the lines for it are there.
    Answered,
    /// The script is to go on.
    Resume,
    /// It is to end.
    Abort,
    /// A variable is to be shown, or all of the current function.
    Print(Option<Vec<u8>>),
    Trace,
    /// Code is to be run.
    Evaluate(Vec<u8>),
    /// A command is to be run.
    Call(Vec<Vec<u8>>),
}

/// A session.
pub struct Debugger {
    /// The script, line by line.
    source: Vec<Vec<u8>>,
    breakpoints: Vec<usize>,
    /// It stops before the next line, whichever that is. Until then, what it calls is shown.
    stepping: bool,
    /// The script has asked to be stopped.
    called: bool,
    /// The line that is about to run, from 1 on.
    pub line: usize,
    /// Lines that are to be shown, as RESP, and how many they are.
    log: Vec<u8>,
    lines: usize,
    /// How many did not fit.
    left_out: usize,
    /// Bytes of a reply or a value that are shown; 0 for all.
    shown: usize,
    /// Its client knows that there is more of them.
    hinted: bool,
    /// What has arrived of requests.
    pub input: Vec<u8>,
}

impl Debugger {
    /// A session that stops before the script's first line.
    pub fn new(script: &[u8]) -> Debugger {
        let kept = script.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        let lines = script[..kept].split(|&byte| byte == b'\n').map(<[u8]>::to_vec);
        Debugger {
            source: if kept == 0 { Vec::new() } else { lines.collect() },
            breakpoints: Vec::new(),
            stepping: true,
            called: false,
            line: 0,
            log: Vec::new(),
            lines: 0,
            left_out: 0,
            shown: SHOWN,
            hinted: false,
            input: Vec::new(),
        }
    }

    /// Whether what the script calls is to be shown.
    pub fn is_stepping(&self) -> bool {
        self.stepping
    }

    /// Whether the script is to be stopped before the current line.
    pub fn is_due(&self) -> bool {
        self.stepping || self.called || self.breakpoints.contains(&self.line)
    }

    /// The script asks to be stopped before its next line.
    pub fn call_breakpoint(&mut self) {
        self.called = true;
    }

    /// Nobody is there any more: the script does not stop again.
    pub fn release(&mut self) {
        self.stepping = false;
        self.breakpoints.clear();
    }

    /// The script has been stopped. `overdue` says that it was because it had run for long.
    pub fn stop(&mut self, overdue: bool) {
        let reason = match () {
            () if self.called => "redis.breakpoint() called",
            () if self.breakpoints.contains(&self.line) => "break point",
            () if overdue => "timeout reached, infinite loop?",
            () => "step over",
        };
        (self.stepping, self.called) = (false, false);
        let line = self.line;
        self.say(format!("* Stopped at {line}, stop reason = {reason}").as_bytes());
        self.say_line(line);
    }

    /// Adds a line to what is shown. Line ends in it become blanks.
    pub fn say(&mut self, line: &[u8]) {
        if self.log.len() + line.len() > LOG_MAX {
            self.left_out += 1;
            return;
        }
        self.lines += 1;
        self.log.push(b'+');
        self.log.extend(line.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.log.extend_from_slice(b"\r\n");
    }

    /// As [`Debugger::say`], for what is cut to the length that was asked for.
    pub fn say_limited(&mut self, line: &[u8]) {
        let limit = if self.shown == 0 { VALUE_MAX } else { self.shown };
        if line.len() <= limit {
            return self.say(line);
        }
        self.say(&[&line[..limit], b" ..."].concat());
        if !std::mem::replace(&mut self.hinted, true) {
            self.say(b"<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.");
        }
    }

    /// Of a value or reply, what is longer than this need not be written.
    pub fn enough(&self) -> usize {
        if self.shown == 0 { VALUE_MAX } else { self.shown }
    }

    /// Of what a script says, what is longer than this need not be written.
    pub const fn most() -> usize {
        VALUE_MAX
    }

    /// Shows a command that is about to run.
    pub fn say_call<'a>(&mut self, words: impl ExactSizeIterator<Item = &'a [u8]>) {
        let count = words.len();
        let mut line = b"<redis>".to_vec();
        for word in words.take(WORDS_SHOWN) {
            line.push(b' ');
            line.extend_from_slice(&word[..word.len().min(VALUE_MAX)]);
        }
        if count > WORDS_SHOWN {
            line.extend_from_slice(format!(" ... ({} more)", count - WORDS_SHOWN - 1).as_bytes());
        }
        self.say(&line);
    }

    /// Shows the reply to a command, which is RESP.
    pub fn say_reply(&mut self, reply: &[u8]) {
        let mut line = b"<reply> ".to_vec();
        write_reply(&mut line, reply, self.enough() + 1);
        self.say_limited(&line);
    }

    /// Shows an error. One that a command `replied` is shown as it came, others without the code that is every error's.
    pub fn say_error(&mut self, text: &[u8], replied: bool) {
        let mut line = b"<error> ".to_vec();
        match text.strip_prefix(b"ERR ").filter(|_| !replied) {
            Some(text) => line.extend_from_slice(text),
            None => {
                line.push(b'-');
                line.extend_from_slice(text);
            }
        }
        self.say(&line);
    }

    /// Takes what is to be shown: an array of lines.
    pub fn take_log(&mut self) -> Vec<u8> {
        if self.left_out > 0 {
            let left_out = std::mem::take(&mut self.left_out);
            let hint = format!("+<hint> {left_out} more lines were left out.\r\n");
            self.log.extend_from_slice(hint.as_bytes());
            self.lines += 1;
        }
        let mut out = format!("*{}\r\n", std::mem::take(&mut self.lines)).into_bytes();
        out.append(&mut self.log);
        self.log = Vec::new();
        out
    }

    /// The next request, if it has arrived in full.
    ///
    /// # Errors
    /// What has arrived is none, or too long.
    pub fn next_request(&mut self) -> Result<Option<Vec<Vec<u8>>>, &'static str> {
        const BROKEN: &str = "protocol error";
        match self.input.first() {
            None => return Ok(None),
            Some(b'*') => {}
            // There is no other way to write a request.
            Some(_) => return Err(BROKEN),
        }
        let (mut at, mut spans) = (0, Vec::new());
        let limits = Limits { max_bulk: ARGUMENT_MAX, authenticated: true };
        match RequestParser::default().parse(&self.input, &mut at, &mut spans, limits) {
            Ok(Parsed::Command) if !spans.is_empty() => {
                let words = spans.iter().map(|span| span.bytes(&self.input, &[]).to_vec()).collect();
                self.input.drain(..at);
                Ok(Some(words))
            }
            Ok(Parsed::Incomplete) if self.input.len() <= REQUEST_MAX => Ok(None),
            Ok(Parsed::Incomplete) => Err("max client buffer reached"),
            Ok(Parsed::Command) | Err(_) => Err(BROKEN),
        }
    }

    /// Does what a request asks for, or says what is left to do.
    pub fn execute(&mut self, words: &[Vec<u8>]) -> Request {
        let name = words.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match (&name[..], words.get(1..).unwrap_or_default()) {
            (b"h" | b"help", _) => HELP.iter().for_each(|line| self.say(line.as_bytes())),
            (b"s" | b"step" | b"n" | b"next", _) => {
                self.stepping = true;
                return Request::Resume;
            }
            (b"c" | b"continue", _) => return Request::Resume,
            (b"a" | b"abort", _) => return Request::Abort,
            (b"t" | b"trace", _) => return Request::Trace,
            (b"e" | b"eval", code) => return Request::Evaluate(code.join(&b' ')),
            (b"r" | b"redis", command @ [_, ..]) => return Request::Call(command.to_vec()),
            (b"p" | b"print", [variable]) => return Request::Print(Some(variable.clone())),
            (b"p" | b"print", _) => return Request::Print(None),
            (b"m" | b"maxlen", rest) => self.limit(rest),
            (b"b" | b"break", []) => self.say_breakpoints(),
            (b"b" | b"break", rest) => rest.iter().for_each(|word| self.change_breakpoint(word)),
            (b"l" | b"list", rest) => {
                let around = rest.first().map_or(0, |word| leading_i64(word));
                let around = usize::try_from(around).ok().filter(|&line| line > 0).unwrap_or(self.line);
                self.list(around, rest.get(1).map_or(5, |word| leading_i64(word)));
            }
            (b"w" | b"whole", _) => self.list(1, i64::MAX),
            _ => self.say(b"<error> Unknown Redis Lua debugger command or wrong number of arguments."),
        }
        Request::Answered
    }

    fn limit(&mut self, words: &[Vec<u8>]) {
        if let [limit] = words {
            self.hinted = true;
            self.shown = match leading_i64(limit) {
                0 => 0,
                limit => limit.max(SHOWN_MIN) as usize,
            };
        }
        match self.shown {
            0 => self.say(b"<value> replies are unlimited."),
            limit => self.say(format!("<value> replies are truncated at {limit} bytes.").as_bytes()),
        }
    }

    fn say_breakpoints(&mut self) {
        if self.breakpoints.is_empty() {
            return self.say(b"No breakpoints set. Use 'b <line>' to add one.");
        }
        self.say(format!("{} breakpoints set:", self.breakpoints.len()).as_bytes());
        for line in self.breakpoints.clone() {
            self.say_line(line);
        }
    }

    fn change_breakpoint(&mut self, word: &[u8]) {
        let Some(number) = parse_i64(word) else {
            return self.say(&[b"Invalid argument:'", word, b"'"].concat());
        };
        let line = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
        let known = self.breakpoints.iter().position(|&known| known == line);
        match (number.signum(), known) {
            (0, _) => {
                self.breakpoints.clear();
                self.say(b"All breakpoints removed.");
            }
            (-1, Some(at)) => {
                self.breakpoints.remove(at);
                self.say(b"Breakpoint removed.");
            }
            (-1, None) => self.say(b"No breakpoint in the specified line."),
            _ if self.breakpoints.len() == BREAKPOINTS_MAX => self.say(b"Too many breakpoints set."),
            (_, None) if line <= self.source.len() => {
                self.breakpoints.push(line);
                self.list(line, 1);
            }
            _ => self.say(b"Wrong line number."),
        }
    }

    /// Shows the lines that are at most so far from one.
    fn list(&mut self, around: usize, context: i64) {
        for line in 1..=self.source.len() {
            if i64::try_from(line.abs_diff(around)).is_ok_and(|distance| distance <= context) {
                self.say_line(line);
            }
        }
    }

    /// Shows a line of the script.
    pub fn say_line(&mut self, line: usize) {
        let mark = match (line == self.line, self.breakpoints.contains(&line)) {
            (true, true) => "->#",
            (true, false) => "-> ",
            (false, true) => "  #",
            (false, false) => "   ",
        };
        let mut text = format!("{mark}{line:<3} ").into_bytes();
        match line.checked_sub(1).and_then(|at| self.source.get(at)) {
            Some(source) => text.extend_from_slice(source),
            None => text.extend_from_slice(b"<out of range source code line>"),
        }
        self.say(&text);
    }
}

/// The line of a reply that begins at `at`, without its type, and where the next one begins.
fn line_at(reply: &[u8], at: usize) -> (&[u8], usize) {
    let rest = reply.get(at + 1..).unwrap_or_default();
    let end = memchr(b'\r', rest).unwrap_or(rest.len());
    (&rest[..end], at + 1 + end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    /// What is shown for a request that needs no interpreter.
    fn shown(debugger: &mut Debugger, line: &str) -> Vec<String> {
        assert_eq!(debugger.execute(&words(line)), Request::Answered, "{line}");
        lines(&debugger.take_log())
    }

    fn lines(log: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(log);
        let mut lines: Vec<String> = text.split_terminator("\r\n").map(str::to_owned).collect();
        let head = lines.remove(0);
        assert_eq!(head, format!("*{}", lines.len()));
        lines
    }

    #[test]
    fn requests_arrive_in_pieces_and_what_is_none_ends_the_session() {
        let mut debugger = Debugger::new(b"return 1");
        let bytes = b"*2\r\n$1\r\nb\r\n$1\r\n1\r\n*1\r\n$1\r\nc\r\n";
        let mut requests = Vec::new();
        for byte in bytes {
            debugger.input.push(*byte);
            requests.extend(debugger.next_request().expect("it is well formed"));
        }
        assert_eq!(requests, [words("b 1"), words("c")]);
        for broken in ["x", "*0\r\n", "*1\r\nx\r\n", "*1\r\n$-1\r\n", "*1\r\n$99999999\r\n", "step\r\n"] {
            debugger.input = broken.as_bytes().to_vec();
            assert_eq!(debugger.next_request(), Err("protocol error"), "{broken:?}");
        }
        debugger.input = b"*1000000\r\n".to_vec();
        while debugger.input.len() <= REQUEST_MAX {
            assert_eq!(debugger.next_request(), Ok(None));
            debugger.input.extend(b"$16000\r\n".iter().chain(&[b'x'; 16_000]).chain(b"\r\n"));
        }
        assert_eq!(debugger.next_request(), Err("max client buffer reached"));
    }

    #[test]
    fn breakpoints_are_set_listed_and_removed() {
        let mut debugger = Debugger::new(b"a\nb\nc\n\n");
        debugger.line = 2;
        debugger.release();
        assert!(!debugger.is_due());
        assert_eq!(shown(&mut debugger, "b 2"), ["+   1   a", "+->#2   b", "+   3   c"]);
        assert!(debugger.is_due());
        assert_eq!(
            shown(&mut debugger, "b 4 x -3 -2"),
            [
                "+Wrong line number.",
                "+Invalid argument:'x'",
                "+No breakpoint in the specified line.",
                "+Breakpoint removed.",
            ]
        );
        assert!(!debugger.is_due());
        let mut long = Debugger::new(&b"x\n".repeat(70)[..139]);
        for line in 1..=BREAKPOINTS_MAX {
            assert_ne!(shown(&mut long, &format!("b {line}")), ["+Wrong line number."]);
        }
        assert_eq!(shown(&mut long, "b 65"), ["+Too many breakpoints set."]);
        assert_eq!(shown(&mut long, "b").len(), BREAKPOINTS_MAX + 1);
        assert_eq!(shown(&mut long, "b 0"), ["+All breakpoints removed."]);
    }

    #[test]
    fn what_is_shown_is_limited() {
        let mut debugger = Debugger::new(b"");
        debugger.say_limited(&[b'x'; 300]);
        let cut = format!("+{} ...", "x".repeat(SHOWN));
        let hint = "+<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.";
        assert_eq!(lines(&debugger.take_log()), [cut.as_str(), hint]);
        debugger.say_limited(&[b'x'; 300]);
        assert_eq!(lines(&debugger.take_log()), [cut.as_str()]);
        assert_eq!(shown(&mut debugger, "m -3"), ["+<value> replies are truncated at 60 bytes."]);
        assert_eq!(shown(&mut debugger, "m 0"), ["+<value> replies are unlimited."]);
        for _ in 0..LOG_MAX / VALUE_MAX + 4 {
            debugger.say(&vec![b'x'; VALUE_MAX]);
        }
        let log = debugger.take_log();
        assert!(log.len() <= LOG_MAX + 100);
        assert_eq!(lines(&log).last().map(String::as_str), Some("+<hint> 5 more lines were left out."));
        assert_eq!(lines(&debugger.take_log()), [""; 0]);
    }
}
