//! What the kernel lets the process have of files: how many may be open, and how large one may become.
#![allow(unsafe_code)]

use std::io;

/// Descriptors that are not clients': listeners, logs, files, the poll, pipes.
const RESERVED: u64 = 32;

/// Lets a write beyond the process's limit of file sizes fail, and whoever writes tell of it, instead of ending the process.
pub fn outlive_file_size_limit() {
    // SAFETY: nothing else in the process handles this signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Raises the limit of open files so that `clients` can be connected, as far as the kernel allows. Returns how many can.
///
/// # Errors
/// If the limit cannot be read.
pub fn make_room_for_clients(clients: u32) -> io::Result<u32> {
    let wanted = clients as u64 + RESERVED;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes the struct it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= wanted {
        return Ok(clients);
    }
    // A privileged process may raise the hard limit, too; another one gets as far as that.
    for most in [wanted, limit.rlim_max.min(wanted)] {
        let raised = libc::rlimit { rlim_cur: most, rlim_max: limit.rlim_max.max(most) };
        // SAFETY: the call reads the struct it is given.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            return Ok((most.saturating_sub(RESERVED)).min(clients as u64) as u32);
        }
    }
    Ok(limit.rlim_cur.saturating_sub(RESERVED).min(clients as u64) as u32)
}
