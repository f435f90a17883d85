//! What the process says when it dies or hangs: a report in the log on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT and on panics,
//! and the stacks of all threads on SIGALRM, which the watchdog sends itself when the event loop does not come round.
//!
//! A report stands between the two lines that tools look for, and is not in the log's format. Up to the stacks nothing is
//! allocated and no lock taken: the log is opened and written by system calls, and each thread walks its own stack when it is
//! asked by a signal. What the server has to tell about itself ([`tell_by`]) comes behind that and may crash again, or wait for
//! ever on a lock of the allocator; a second crash ends the report, and so does a timer.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::fmt::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering::SeqCst};

use super::memtest;
use super::symbols::Symbols;
use crate::config::Settings;
use crate::memory;

/// Signals that end the process with a report.
const FATAL: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];
/// The signal by which a thread is asked for its stack.
const ASK: c_int = libc::SIGUSR2;
/// Frames of a stack that are told.
const DEPTH: usize = 100;
/// How long a thread may take to walk its stack, in milliseconds.
const ANSWER_MS: u32 = 500;
/// How long the server may take to tell about itself, in seconds.
const TELL_SECONDS: u32 = 10;
/// Room on which the event loop's signals are handled, for its own may be what has run out.
const SIGNAL_STACK: usize = 256 * 1024;

const BEGIN: &str = "\n\n=== REDIS BUG REPORT START: Cut & paste starting from here ===";
const END: &str = "\n=== REDIS BUG REPORT END. Make sure to include from START to END. ===\n\n       Please report the crash with \
                   all of it.\n";

/// What a report is told by: it writes what the server knows of itself.
pub type Tell = fn(&mut dyn Write, Occasion);

/// What a report is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// An assertion has failed; comes ahead of the stacks.
    Assertion,
    Crash,
}

/// Where the log goes: a file, or a descriptor that is open.
enum Log {
    File(CString),
    Open(c_int),
}

static LOG: OnceLock<Log> = OnceLock::new();
static TELL: OnceLock<Tell> = OnceLock::new();
static HIDE: AtomicBool = AtomicBool::new(false);
static REPORT: AtomicBool = AtomicBool::new(true);
static TEST_MEMORY: AtomicBool = AtomicBool::new(true);
static EXIT_ON_PANIC: AtomicBool = AtomicBool::new(false);
static WATCHDOG_MS: AtomicU32 = AtomicU32::new(0);
/// The thread whose state the server tells about, and the one that reports a crash.
static REACTOR: AtomicI32 = AtomicI32::new(0);
static REPORTER: AtomicI32 = AtomicI32::new(0);
/// What is being reported: the signal that the process is to die of.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Threads that are asked stay where they are.
static PARK: AtomicBool = AtomicBool::new(false);
/// One thread collects stacks at a time.
static COLLECTING: AtomicBool = AtomicBool::new(false);
/// The stack that was walked last, and how many frames it has; 0 while it is waited for.
static FRAMES: [AtomicUsize; DEPTH] = [const { AtomicUsize::new(0) }; DEPTH];
static WALKED: AtomicUsize = AtomicUsize::new(0);

/// Reports go to the log of these settings from now on. To be called by the thread of the event loop, once.
pub fn install(settings: &Settings) {
    let log = match settings.logfile.as_str() {
        "" | "/dev/stdout" => Log::Open(libc::STDOUT_FILENO),
        "/dev/stderr" => Log::Open(libc::STDERR_FILENO),
        path => {
            let path = std::path::absolute(path).unwrap_or_default();
            CString::new(path.into_os_string().into_encoded_bytes()).map_or(Log::Open(libc::STDERR_FILENO), Log::File)
        }
    };
    LOG.get_or_init(|| log);
    REACTOR.store(thread_id(), SeqCst);
    let mut frame = std::ptr::null_mut();
    // SAFETY: the first call loads what walks stacks, which must not happen within a handler; it writes one frame at most. The
    // signal stack is never unmapped.
    unsafe {
        libc::backtrace(&raw mut frame, 1);
        let (prot, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let room = libc::mmap(std::ptr::null_mut(), SIGNAL_STACK, prot, kind, -1, 0);
        if room != libc::MAP_FAILED {
            let stack = libc::stack_t { ss_sp: room, ss_flags: 0, ss_size: SIGNAL_STACK };
            libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        }
    }
    handle(ASK, on_ask, libc::SA_RESTART);
    handle(libc::SIGALRM, on_alarm, libc::SA_RESTART);
    std::panic::set_hook(Box::new(on_panic));
    follow(settings);
}

/// Has the server's part of a report written by somebody who knows.
pub fn tell_by(tell: Tell) {
    TELL.get_or_init(|| tell);
}

/// Puts settings into effect. Without [`install`], nothing happens.
pub fn follow(settings: &Settings) {
    if LOG.get().is_none() {
        return;
    }
    HIDE.store(settings.hide_user_data_from_log, SeqCst);
    TEST_MEMORY.store(settings.crash_memcheck_enabled, SeqCst);
    EXIT_ON_PANIC.store(settings.use_exit_on_panic, SeqCst);
    REPORT.store(settings.crash_log_enabled, SeqCst);
    for signal in FATAL {
        if settings.crash_log_enabled {
            handle(signal, on_crash, libc::SA_NODEFER);
        } else {
            reset(signal);
        }
    }
    WATCHDOG_MS.store(settings.watchdog_period, SeqCst);
    set_timer(settings.watchdog_period);
}

/// The event loop has come round: the watchdog waits anew.
pub fn watch() {
    match WATCHDOG_MS.load(SeqCst) {
        0 => {}
        period_ms => set_timer(period_ms),
    }
}

/// Sends SIGALRM after so many milliseconds; 0 for never.
fn set_timer(ms: u32) {
    let value = libc::timeval { tv_sec: (ms / 1000).into(), tv_usec: (ms % 1000 * 1000).into() };
    let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: the kernel reads the structure.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const once, std::ptr::null_mut()) };
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

fn handle(signal: c_int, handler: Handler, flags: c_int) {
    set_action(signal, handler as *const () as usize, flags | libc::SA_SIGINFO | libc::SA_ONSTACK);
}

/// Lets a signal do what it does by itself.
fn reset(signal: c_int) {
    set_action(signal, libc::SIG_DFL, 0);
}

fn set_action(signal: c_int, action: libc::sighandler_t, flags: c_int) {
    // SAFETY: a zeroed sigaction is one with an empty mask; the handlers are functions of this signature.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = action;
        new.sa_flags = flags;
        libc::sigaction(signal, &raw const new, std::ptr::null_mut());
    }
}

fn thread_id() -> i32 {
    // SAFETY: a system call without arguments.
    unsafe { libc::gettid() }
}

/// The log, written without going through the logger.
struct Raw {
    file: c_int,
    opened: bool,
    buffer: [u8; 256],
    len: usize,
}

impl Raw {
    fn open() -> Raw {
        let (file, opened) = match LOG.get() {
            // SAFETY: the path is a C string.
            Some(Log::File(path)) => unsafe {
                let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
                (libc::open(path.as_ptr(), flags, 0o644), true)
            },
            Some(&Log::Open(file)) => (file, false),
            None => (-1, false),
        };
        let (file, opened) = if file < 0 { (libc::STDERR_FILENO, false) } else { (file, opened) };
        Raw { file, opened, buffer: [0; 256], len: 0 }
    }

    fn flush(&mut self) {
        let mut at = 0;
        while at < self.len {
            // SAFETY: the bytes are in the buffer.
            let wrote = unsafe { libc::write(self.file, self.buffer[at..].as_ptr().cast(), self.len - at) };
            match usize::try_from(wrote) {
                Ok(wrote) => at += wrote,
                Err(_) => break,
            }
        }
        self.len = 0;
    }

    /// A line of its own, marked as one that a handler wrote.
    fn line(&mut self, text: fmt::Arguments<'_>) {
        // SAFETY: system calls without pointers to anything.
        let (pid, now) = unsafe { (libc::getpid(), libc::time(std::ptr::null_mut())) };
        self.text(format_args!("{pid}:signal-handler ({now}) {text}\n"));
        self.flush();
    }

    fn text(&mut self, text: fmt::Arguments<'_>) {
        // Writing cannot fail in a way that anybody could be told of.
        let _ = self.write_fmt(text);
    }
}

impl Write for Raw {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.len == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.flush();
        if self.opened {
            // SAFETY: it was opened here.
            unsafe { libc::close(self.file) };
        }
    }
}

// --- handlers ---------------------------------------------------------------------------------------------------

extern "C" fn on_crash(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let me = thread_id();
    match REPORTER.compare_exchange(0, me, SeqCst, SeqCst) {
        Ok(_) => {}
        Err(reporter) if reporter == me => {
            // The report itself has crashed.
            reset(signal);
            let mut out = Raw::open();
            out.line(format_args!(
                "Crashed running signal handler. Providing reduced version of recursive crash report."
            ));
            out.line(format_args!("Crashed by signal: {signal}"));
            out.text(format_args!("{END}"));
            drop(out);
            die(SIGNAL.load(SeqCst));
        }
        // The other thread's report is worth more, and ends the process.
        Err(_) => park(),
    }
    SIGNAL.store(signal, SeqCst);
    let mut out = Raw::open();
    // SAFETY: the kernel handed the structure over.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    out.text(format_args!("{BEGIN}\n"));
    out.line(format_args!("Redis {} crashed by signal: {signal}, si_code: {code}", crate::command::REDIS_VERSION));
    if signal == libc::SIGSEGV || signal == libc::SIGBUS {
        out.line(format_args!("Accessing address: {address:#x}"));
    }
    if let Some(bytes) = memory::refused().filter(|_| signal == libc::SIGABRT && code == libc::SI_TKILL) {
        out.line(format_args!("Out Of Memory allocating {bytes} bytes!"));
    }
    if code == libc::SI_USER {
        // SAFETY: with this code, the structure says who sent the signal.
        let (pid, uid) = unsafe { ((*info).si_pid(), (*info).si_uid()) };
        out.line(format_args!("Killed by PID: {pid}, UID: {uid}"));
    }
    let at = instruction(context);
    if let Some(at) = at {
        out.line(format_args!("Crashed running the instruction at: {at:#x}"));
    }
    stacks(&mut out, at);
    registers(&mut out, context);
    finish(&mut out);
    drop(out);
    die(signal);
}

extern "C" fn on_alarm(_: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let mut out = Raw::open();
    // SAFETY: the kernel handed the structure over; who sent the signal is 0 for its own timer.
    let sender = unsafe { (*info).si_pid() };
    let what = if sender == 0 { "--- WATCHDOG TIMER EXPIRED ---" } else { "Received SIGALRM" };
    out.text(format_args!("\n"));
    out.line(format_args!("{what}"));
    stacks(&mut out, instruction(context));
    out.line(format_args!("--------"));
}

/// The report was not finished in time.
extern "C" fn on_hang(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    let mut out = Raw::open();
    out.text(format_args!("\nThe rest of the report is missing: it takes too long.\n{END}"));
    drop(out);
    die(SIGNAL.load(SeqCst));
}

extern "C" fn on_ask(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    if PARK.load(SeqCst) {
        park();
    }
    walk(instruction(context));
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let me = thread_id();
    let again = match REPORTER.compare_exchange(0, me, SeqCst, SeqCst) {
        Ok(_) => false,
        Err(reporter) if reporter == me => true,
        Err(_) => park(),
    };
    SIGNAL.store(libc::SIGABRT, SeqCst);
    let mut out = Raw::open();
    let message = info.payload_as_str().unwrap_or("a panic without a text");
    let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
    if !again {
        out.text(format_args!("{BEGIN}\n"));
    }
    // What `assert!` says begins so.
    if let Some(claim) = message.strip_prefix("assertion ") {
        let recursive = if again { "RECURSIVE " } else { "" };
        if !again {
            tell(&mut out, Occasion::Assertion);
        }
        out.line(format_args!("=== {recursive}ASSERTION FAILED ==="));
        out.line(format_args!("==> {file}:{line} '{}' is not true", claim.strip_prefix("failed: ").unwrap_or(claim)));
    } else {
        out.line(format_args!("------------------------------------------------"));
        out.line(format_args!("!!! Software Failure. Press left mouse button to continue"));
        out.line(format_args!("Guru Meditation: {message} #{file}:{line}"));
        out.line(format_args!("------------------------------------------------"));
    }
    if again || !REPORT.load(SeqCst) {
        out.text(format_args!("{END}"));
    } else {
        stacks(&mut out, None);
        finish(&mut out);
    }
    drop(out);
    if EXIT_ON_PANIC.load(SeqCst) {
        // SAFETY: ends the process; nothing is to be tidied up.
        unsafe { libc::_exit(1) };
    }
    die(libc::SIGABRT);
}

/// Waits for the end of the process.
fn park() -> ! {
    loop {
        // SAFETY: a system call without arguments.
        unsafe { libc::pause() };
    }
}

/// Ends the process by a signal, so that whoever waits for it learns why, and a core is written if that is wished.
fn die(signal: c_int) -> ! {
    reset(signal);
    // SAFETY: ends the process, at the latest by the second call.
    unsafe {
        libc::kill(libc::getpid(), signal);
        libc::_exit(1)
    }
}

// --- parts of a report ------------------------------------------------------------------------------------------

/// What comes behind the stacks, up to the end.
fn finish(out: &mut Raw) {
    // From here on, it may hang.
    handle(libc::SIGALRM, on_hang, 0);
    set_timer(0);
    // SAFETY: a system call without pointers.
    unsafe { libc::alarm(TELL_SECONDS) };
    tell(out, Occasion::Crash);
    // SAFETY: as above.
    unsafe { libc::alarm(0) };
    if TEST_MEMORY.load(SeqCst) {
        out.text(format_args!("\n------ FAST MEMORY TEST ------\n"));
        PARK.store(true, SeqCst);
        each_other_thread(ask);
        // SAFETY: a system call without pointers; time for the threads to see the signal.
        unsafe { libc::usleep(50_000) };
        let verdict = match memtest::test(out) {
            0 => {
                "Fast memory test PASSED, however your memory can still be broken. Please run a memory test for several hours \
                 if possible."
            }
            _ => "!!! MEMORY ERROR DETECTED! Check your memory ASAP !!!",
        };
        out.text(format_args!("{verdict}\n"));
    }
    out.text(format_args!("{END}"));
}

/// What the server knows of itself, if it is its thread that reports.
fn tell(out: &mut Raw, occasion: Occasion) {
    if let Some(tell) = TELL.get().filter(|_| thread_id() == REACTOR.load(SeqCst)) {
        tell(out, occasion);
    }
}

/// The stacks of all threads; `at` is where this one was interrupted.
fn stacks(out: &mut Raw, at: Option<usize>) {
    if COLLECTING.swap(true, SeqCst) {
        return;
    }
    let symbols = Symbols::of_this_program();
    let symbols = symbols.as_ref();
    out.text(format_args!("\n------ STACK TRACE ------\n"));
    if let Some(at) = at {
        out.text(format_args!("EIP:\n"));
        frame(out, symbols, at);
    }
    walk(at);
    stack(out, symbols, thread_id(), true);
    let (mut expected, mut collected) = (1, 1);
    each_other_thread(|thread| {
        expected += 1;
        WALKED.store(0, SeqCst);
        ask(thread);
        for _ in 0..ANSWER_MS {
            if WALKED.load(SeqCst) > 0 {
                break;
            }
            // SAFETY: a system call without pointers.
            unsafe { libc::usleep(1000) };
        }
        if WALKED.load(SeqCst) > 0 {
            collected += 1;
            stack(out, symbols, thread, false);
        }
    });
    out.text(format_args!("\n{collected}/{expected} expected stacktraces.\n\n------ STACK TRACE DONE ------\n"));
    out.flush();
    COLLECTING.store(false, SeqCst);
}

/// The stack that was walked last.
fn stack(out: &mut Raw, symbols: Option<&Symbols>, thread: i32, mine: bool) {
    out.text(format_args!("\n{thread} "));
    name(out, thread);
    out.text(format_args!("{}\n", if mine { " *" } else { "" }));
    for address in &FRAMES[..WALKED.load(SeqCst).min(DEPTH)] {
        frame(out, symbols, address.load(SeqCst));
    }
}

fn frame(out: &mut Raw, symbols: Option<&Symbols>, address: usize) {
    match symbols.and_then(|symbols| symbols.find(address)) {
        Some((name, offset)) => out.text(format_args!("{name:#}+{offset:#x} [{address:#x}]\n")),
        None => out.text(format_args!("[{address:#x}]\n")),
    }
}

/// Walks the stack of this thread; from where it was interrupted, if that is among its frames.
fn walk(from: Option<usize>) {
    let mut frames = [std::ptr::null_mut(); DEPTH];
    // SAFETY: there is room for so many frames.
    let count = unsafe { libc::backtrace(frames.as_mut_ptr(), DEPTH as c_int) };
    let frames = &frames[..usize::try_from(count).unwrap_or(0)];
    let first = frames.iter().position(|&frame| Some(frame as usize) == from).unwrap_or(0);
    for (slot, &frame) in FRAMES.iter().zip(&frames[first..]) {
        slot.store(frame as usize, SeqCst);
    }
    WALKED.store((frames.len() - first).max(1), SeqCst);
}

fn ask(thread: i32) {
    // SAFETY: a system call without pointers. A thread that is gone gets nothing.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, ASK) };
}

/// Calls `visit` with the number of each thread but this one.
fn each_other_thread(mut visit: impl FnMut(i32)) {
    let me = thread_id();
    let mut buffer = [0_u8; 512];
    // SAFETY: system calls on a descriptor and a buffer of our own; the kernel writes no more than there is room for.
    let directory =
        unsafe { libc::open(c"/proc/self/task".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    loop {
        // SAFETY: as above.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, directory, buffer.as_mut_ptr(), buffer.len()) };
        let Ok(read @ 1..) = usize::try_from(read) else { break };
        let mut at = 0;
        // A record: inode, offset, its length at 16, a type, and at 19 the name, which ends with a zero.
        while let Some(&[low, high]) = buffer[..read].get(at + 16..at + 18) {
            let len = usize::from(u16::from_ne_bytes([low, high])).max(19);
            let name = buffer[..read].get(at + 19..at + len).unwrap_or_default();
            let digits = name.split(|&byte| byte == 0).next().unwrap_or_default();
            if let Some(thread) = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok())
                && thread != me
            {
                visit(thread);
            }
            at += len;
        }
    }
    // SAFETY: as above.
    unsafe { libc::close(directory) };
}

/// The name of a thread.
fn name(out: &mut Raw, thread: i32) {
    /// A path, with the zero behind it.
    struct Path([u8; 40], usize);
    impl Write for Path {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.get_mut(self.1..self.1 + text.len()).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
            self.1 += text.len();
            Ok(())
        }
    }
    let (mut path, mut name) = (Path([0; 40], 0), [0_u8; 16]);
    if write!(path, "/proc/self/task/{thread}/comm\0").is_err() {
        return;
    }
    // SAFETY: the path ends with a zero, and the kernel writes no more than there is room for.
    let read = unsafe {
        let file = libc::open(path.0.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        let read = libc::read(file, name.as_mut_ptr().cast(), name.len());
        libc::close(file);
        read
    };
    let name = &name[..usize::try_from(read).unwrap_or(0)];
    out.text(format_args!("{}", std::str::from_utf8(name).unwrap_or_default().trim_end()));
}

/// Where the thread was interrupted.
#[cfg(target_arch = "x86_64")]
fn instruction(context: *mut c_void) -> Option<usize> {
    // SAFETY: the kernel hands this structure to handlers.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    Some(context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize)
}

/// Where the thread was interrupted.
#[cfg(target_arch = "aarch64")]
fn instruction(context: *mut c_void) -> Option<usize> {
    // SAFETY: the kernel hands this structure to handlers.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    Some(context.uc_mcontext.pc as usize)
}

#[cfg(target_arch = "x86_64")]
fn registers(out: &mut Raw, context: *mut c_void) {
    const NAMES: [(&str, c_int); 18] = [
        ("RAX", libc::REG_RAX),
        ("RBX", libc::REG_RBX),
        ("RCX", libc::REG_RCX),
        ("RDX", libc::REG_RDX),
        ("RDI", libc::REG_RDI),
        ("RSI", libc::REG_RSI),
        ("RBP", libc::REG_RBP),
        ("RSP", libc::REG_RSP),
        ("R8 ", libc::REG_R8),
        ("R9 ", libc::REG_R9),
        ("R10", libc::REG_R10),
        ("R11", libc::REG_R11),
        ("R12", libc::REG_R12),
        ("R13", libc::REG_R13),
        ("R14", libc::REG_R14),
        ("R15", libc::REG_R15),
        ("RIP", libc::REG_RIP),
        ("EFL", libc::REG_EFL),
    ];
    // SAFETY: the kernel hands this structure to handlers.
    let registers = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    print_registers(out, NAMES.iter().map(|&(name, at)| (name, registers[at as usize] as u64)));
    print_stack(out, registers[libc::REG_RSP as usize] as usize);
}

#[cfg(target_arch = "aarch64")]
fn registers(out: &mut Raw, context: *mut c_void) {
    const NAMES: [&str; 31] = [
        "X0 ", "X1 ", "X2 ", "X3 ", "X4 ", "X5 ", "X6 ", "X7 ", "X8 ", "X9 ", "X10", "X11", "X12", "X13", "X14", "X15",
        "X16", "X17", "X18", "X19", "X20", "X21", "X22", "X23", "X24", "X25", "X26", "X27", "X28", "X29", "X30",
    ];
    // SAFETY: the kernel hands this structure to handlers.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    let rest = [("SP ", registers.sp), ("PC ", registers.pc)];
    print_registers(out, NAMES.iter().copied().zip(registers.regs.iter().copied()).chain(rest));
    print_stack(out, registers.sp as usize);
}

fn print_registers<'n>(out: &mut Raw, registers: impl Iterator<Item = (&'n str, u64)>) {
    out.text(format_args!("\n------ REGISTERS ------\n"));
    for (nth, (name, value)) in registers.enumerate() {
        out.text(format_args!("{name}:{value:016x}{}", if nth % 4 == 3 { "\n" } else { " " }));
    }
    out.text(format_args!("\n"));
}

/// The words on top of the stack.
fn print_stack(out: &mut Raw, top: usize) {
    const WORDS: usize = 16;
    if HIDE.load(SeqCst) {
        out.line(format_args!("hide-user-data-from-log is on, skip logging stack content to avoid spilling PII"));
        return;
    }
    let mut words = [0_usize; WORDS];
    let bytes = size_of_val(&words);
    let to = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: bytes };
    let from = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(top), iov_len: bytes };
    // SAFETY: the kernel writes no more than there is room for, and fails if there is nothing to be read.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0) };
    if read == bytes as isize {
        for (nth, word) in words.iter().enumerate().rev() {
            out.text(format_args!("({:016x}) -> {word:016x}\n", top + nth * size_of::<usize>()));
        }
    }
}
