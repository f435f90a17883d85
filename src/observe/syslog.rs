//! The system's log, to which the server's log also goes if `syslog-enabled` says so.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::sync::OnceLock;

use ::log::Level;

use crate::config::SyslogFacility;

/// The name under which lines appear. The library keeps a pointer to it, so it lives as long as the process.
static IDENT: OnceLock<CString> = OnceLock::new();

/// An open way to the system's log.
pub struct Syslog(());

impl Syslog {
    /// Opens it; once in a process. NUL bytes are left out of the name.
    pub fn open(ident: &str, facility: SyslogFacility) -> Syslog {
        let ident = ident.bytes().filter(|&byte| byte != 0).collect::<Vec<u8>>();
        let ident = IDENT.get_or_init(|| CString::new(ident).unwrap_or_default());
        // SAFETY: the name is a C string that is never freed.
        unsafe { libc::openlog(ident.as_ptr(), libc::LOG_PID | libc::LOG_NDELAY | libc::LOG_NOWAIT, code(facility)) };
        Syslog(())
    }

    /// Writes a line, up to its first NUL byte.
    pub fn write(&self, level: Level, text: &str) {
        let bytes = text.bytes().take_while(|&byte| byte != 0).collect::<Vec<u8>>();
        let Ok(text) = CString::new(bytes) else { return };
        let priority = match level {
            Level::Error | Level::Warn => libc::LOG_WARNING,
            Level::Info => libc::LOG_NOTICE,
            Level::Debug => libc::LOG_INFO,
            Level::Trace => libc::LOG_DEBUG,
        };
        // SAFETY: the format takes one C string, and one is given.
        unsafe { libc::syslog(priority, c"%s".as_ptr(), text.as_ptr()) };
    }
}

/// The system's number of a facility.
fn code(facility: SyslogFacility) -> libc::c_int {
    match facility {
        SyslogFacility::User => libc::LOG_USER,
        SyslogFacility::Local0 => libc::LOG_LOCAL0,
        SyslogFacility::Local1 => libc::LOG_LOCAL1,
        SyslogFacility::Local2 => libc::LOG_LOCAL2,
        SyslogFacility::Local3 => libc::LOG_LOCAL3,
        SyslogFacility::Local4 => libc::LOG_LOCAL4,
        SyslogFacility::Local5 => libc::LOG_LOCAL5,
        SyslogFacility::Local6 => libc::LOG_LOCAL6,
        SyslogFacility::Local7 => libc::LOG_LOCAL7,
    }
}
