//! What the process uses of the machine, as the operating system counts it. A figure that cannot be read is 0: that is
//! no reason to fail a command.
#![allow(unsafe_code)]

use std::fs;
use std::mem::MaybeUninit;
use std::sync::LazyLock;
use std::time::Duration;

/// Time spent on processors.
#[derive(Clone, Copy, Default, Debug)]
pub struct CpuTime {
    pub system: Duration,
    pub user: Duration,
}

/// Whose time.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    /// All threads of the process.
    Process,
    /// Processes that it started and that have ended.
    Children,
    /// The calling thread alone.
    Thread,
}

/// Time spent on processors since the start.
pub fn cpu_time(whose: Whose) -> CpuTime {
    let whose = match whose {
        Whose::Process => libc::RUSAGE_SELF,
        Whose::Children => libc::RUSAGE_CHILDREN,
        Whose::Thread => libc::RUSAGE_THREAD,
    };
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the kernel fills the structure, which is large enough, and says whether it did.
    let usage = unsafe {
        if libc::getrusage(whose, usage.as_mut_ptr()) != 0 {
            return CpuTime::default();
        }
        usage.assume_init()
    };
    let duration = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    CpuTime { system: duration(usage.ru_stime), user: duration(usage.ru_utime) }
}

/// Bytes of memory that the process holds in RAM.
pub fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * system(libc::_SC_PAGESIZE)
}

/// Bytes of memory that the machine has.
pub fn machine_bytes() -> usize {
    static BYTES: LazyLock<usize> = LazyLock::new(|| system(libc::_SC_PHYS_PAGES) * system(libc::_SC_PAGESIZE));
    *BYTES
}

fn system(name: libc::c_int) -> usize {
    // SAFETY: it only looks up a number.
    usize::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0)
}

/// The operating system's name and version, and the kind of processor.
pub fn system_name() -> String {
    let kernel = |file: &str| fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
    format!("{} {} {}", kernel("ostype").trim(), kernel("osrelease").trim(), std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_uses_something() {
        assert!(resident_bytes() > 0);
        assert!(machine_bytes() > resident_bytes());
        let (all, own) = (cpu_time(Whose::Process), cpu_time(Whose::Thread));
        assert!(all.user + all.system >= own.user + own.system);
        assert_eq!(system_name().split(' ').count(), 3);
    }
}
